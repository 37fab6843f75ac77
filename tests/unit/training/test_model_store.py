"""The model store: content-addressed, whole or not there, and suspicious of its own disk."""

import hashlib
import json

import pytest
from boarfish import errors
from boarfish.v1 import common_pb2, profile_pb2, task_pb2, training_pb2
from google.protobuf import json_format

from services.common import model_store
from services.common.model_store import ModelStore


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "made"
    path.mkdir()
    for name in model_store.REQUIRED_FILES:
        (path / name).write_text(f"content of {name}")
    task = task_pb2.Task(name="employment", display_name="Beschäftigung")
    (path / model_store.TASK).write_text(json_format.MessageToJson(task))
    profile = profile_pb2.Profile(row_count=7)
    (path / model_store.REFERENCE_PROFILE).write_bytes(profile.SerializeToString())
    (path / "weights.safetensors").write_bytes(bytes(range(256)))
    return path


def manifest(model="tabular_net", seconds=1):
    version = training_pb2.ModelVersion(
        task_name="employment", model=model, dataset="people", dataset_version=9
    )
    version.metrics["auc"].CopyFrom(common_pb2.Estimate(value=0.9, lower=0.8, upper=float("nan"), count=3))
    version.create_time.seconds = seconds
    return version


def test_an_added_version_is_named_by_its_manifest_and_reads_back(tmp_path, folder):
    store = ModelStore(tmp_path / "models")
    added = store.add(folder, manifest())

    assert added.id == hashlib.sha256((added.path / "manifest.json").read_bytes()).hexdigest()
    found = store.get(added.id[:8])
    assert found == added
    assert found.version.id == added.id
    assert found.version.model_card == "content of model_card.md"
    assert found.task.display_name == "Beschäftigung"
    assert found.reference_profile.row_count == 7
    assert found.path_of("model.onnx").read_text() == "content of model.onnx"
    assert set(found.manifest.files) == {
        *model_store.REQUIRED_FILES,
        model_store.REFERENCE_PROFILE,
        "weights.safetensors",
    }
    assert found.manifest.metrics["auc"].lower == 0.8


def test_adding_again_is_the_same_version(tmp_path, folder):
    store = ModelStore(tmp_path / "models")
    assert store.add(folder, manifest()).id == store.add(folder, manifest()).id
    assert len(store.list()) == 1


def test_another_byte_is_another_version(tmp_path, folder):
    store = ModelStore(tmp_path / "models")
    first = store.add(folder, manifest())
    (folder / "weights.safetensors").write_bytes(b"x")
    assert store.add(folder, manifest()).id != first.id


def test_what_a_killed_worker_left_is_not_a_version_and_not_in_the_way(tmp_path, folder):
    store = ModelStore(tmp_path / "models")
    _, content = model_store.seal(folder, manifest())
    identity = hashlib.sha256(content).hexdigest()
    (store.root / f".adding-{identity}").mkdir(parents=True)
    (store.root / f".adding-{identity}" / "model.onnx").write_text("half")
    assert store.list() == []
    assert store.add(folder, manifest()).path_of("model.onnx").read_text() == "content of model.onnx"
    assert [path.name for path in store.root.iterdir()] == [identity]


def test_a_folder_that_lacks_a_file_is_refused(tmp_path, folder):
    (folder / "model.onnx").unlink()
    with pytest.raises(errors.FailedPrecondition, match=r"lacks model\.onnx"):
        ModelStore(tmp_path / "models").add(folder, manifest())


def test_versions_are_listed_newest_first_and_by_task(tmp_path, folder):
    store = ModelStore(tmp_path / "models")
    old = store.add(folder, manifest(seconds=1))
    new = store.add(folder, manifest(seconds=2))
    assert [model.id for model in store.list()] == [new.id, old.id]
    assert [model.id for model in store.list("employment")] == [new.id, old.id]
    assert store.list("other") == []


@pytest.mark.parametrize("damage", ["changed", "removed"])
def test_a_damaged_file_is_named_and_never_handed_out(tmp_path, folder, damage):
    added = ModelStore(tmp_path / "models").add(folder, manifest())
    file = added.path / "model.onnx"
    file.write_text("tampered") if damage == "changed" else file.unlink()
    with pytest.raises(errors.FailedPrecondition, match=r"model\.onnx") as caught:
        added.path_of("model.onnx")
    assert caught.value.reason == "MODEL_FILE_DAMAGED"


def test_a_tampered_manifest_is_refused(tmp_path, folder):
    store = ModelStore(tmp_path / "models")
    added = store.add(folder, manifest())
    path = added.path / "manifest.json"
    said = json.loads(path.read_text())
    said["files"]["model.onnx"] = "0" * 64
    path.write_text(json.dumps(said))
    with pytest.raises(errors.FailedPrecondition, match=r"manifest\.json"):
        store.get(added.id)


@pytest.mark.parametrize("text", ["", "abc", "../../../etc/passwd", "ABCDEF012345", "g" * 12, "a" * 65])
def test_what_cannot_start_an_id_is_refused(tmp_path, text):
    with pytest.raises(errors.InvalidArgument) as caught:
        ModelStore(tmp_path).get(text)
    assert caught.value.violations[0].field == "id"


def test_unknown_and_ambiguous_prefixes():
    identities = ["aaaaaaaa1" + "0" * 55, "aaaaaaaa2" + "0" * 55]
    assert model_store.resolve_prefix("aaaaaaaa2", identities) == identities[1]
    with pytest.raises(errors.InvalidArgument, match="give more characters"):
        model_store.resolve_prefix("aaaaaaaa", identities)
    with pytest.raises(errors.NotFound, match="bbbbbbbb"):
        model_store.resolve_prefix("bbbbbbbb", identities)


def test_unknown_file(tmp_path, folder):
    added = ModelStore(tmp_path / "models").add(folder, manifest())
    with pytest.raises(errors.NotFound, match=r"it has evaluation\.json"):
        added.path_of("secrets.txt")


def test_a_version_need_not_have_a_reference_profile(tmp_path, folder):
    store = ModelStore(tmp_path / "models")
    assert store.add(folder, manifest()).has_reference_profile
    (folder / model_store.REFERENCE_PROFILE).unlink()
    assert not store.add(folder, manifest()).has_reference_profile
