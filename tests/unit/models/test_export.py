import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from models.configs import GradientBoostingConfig, TabularNetConfig
from models.data.tabular import TabularRows, TabularSchema
from models.export import onnx_net
from models.tabular import fit_tabular_net
from models.trees import fit_gradient_boosting
from tests.unit.models.small_tables import SCHEMA, strange, table

KINDS = ("numeric", "code", "category")


def only(rows: TabularRows, kinds: tuple[str, ...]) -> TabularRows:
    kept = {kind: getattr(rows, kind) if kind in kinds else getattr(rows, kind)[:, :0] for kind in KINDS}
    return TabularRows(**kept, label=rows.label)


def fitted(which: str, kinds: tuple[str, ...] = KINDS) -> Any:
    names = {kind: getattr(SCHEMA, kind) if kind in kinds else () for kind in KINDS}
    schema = TabularSchema(**names, target="employed", positive_value="1", negative_value="0")
    train, valid = only(table(), kinds), only(table(100, seed=2), kinds)
    if which == "net":
        config = TabularNetConfig(epochs=2, batch_size=64, hidden_sizes=(16, 8))
        return fit_tabular_net(train, valid, schema, config, seed=1, device="cpu")
    return fit_gradient_boosting(train, valid, schema, GradientBoostingConfig(25, 0.1, 7), seed=1)


def answers(path: Path, rows: TabularRows) -> np.ndarray:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    given = {one.name: getattr(rows, one.name) for one in session.get_inputs()}
    (score,) = session.run(["probability"], given)
    return score


every_model = pytest.mark.parametrize("which", ["net", "trees"])


@every_model
@pytest.mark.parametrize("kinds", [KINDS, ("numeric",), ("code",), ("category",), ("numeric", "category")])
def test_the_graph_answers_as_the_model_also_on_strange_rows(
    which: str, kinds: tuple[str, ...], tmp_path: Path
) -> None:
    model = fitted(which, kinds)
    model.export_onnx(tmp_path / "model.onnx")
    for rows in (table(300, seed=4), strange(table(300, seed=5)), table(1), table(0)):
        part = only(rows, kinds)
        score = answers(tmp_path / "model.onnx", part)
        assert score.dtype == np.float32
        assert score.shape == (len(rows),)
        assert np.abs(score - model.predict(part)).max(initial=0) < 5e-6


@every_model
def test_inputs_and_output_are_those_of_the_contract(which: str, tmp_path: Path) -> None:
    fitted(which).export_onnx(tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    assert [(one.name, one.type, one.shape[1]) for one in session.get_inputs()] == [
        ("numeric", "tensor(float)", 2),
        ("code", "tensor(int64)", 2),
        ("category", "tensor(string)", 1),
    ]
    assert [(one.name, one.type) for one in session.get_outputs()] == [("probability", "tensor(float)")]


def test_codes_too_far_apart_for_a_table_are_looked_up_one_column_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = fitted("net")
    model.export_onnx(tmp_path / "dense.onnx")
    monkeypatch.setattr(onnx_net, "WIDEST_SPAN", 2)
    model.export_onnx(tmp_path / "sparse.onnx")
    rows = strange(table(300, seed=5))
    assert np.array_equal(answers(tmp_path / "dense.onnx", rows), answers(tmp_path / "sparse.onnx", rows))


@every_model
def test_files_are_the_same_byte_for_byte_and_hold_no_pickle(which: str, tmp_path: Path) -> None:
    model = fitted(which)
    for turn in ("one", "two"):
        model.export_onnx(tmp_path / f"{turn}.onnx")
        model.export_archive(tmp_path / f"{turn}.mar", name="employment", version="1.0")
    for suffix in ("onnx", "mar"):
        assert (tmp_path / f"one.{suffix}").read_bytes() == (tmp_path / f"two.{suffix}").read_bytes()
    with zipfile.ZipFile(tmp_path / "one.mar") as archive:
        assert {Path(name).suffix for name in archive.namelist()} <= {".json", ".py", ".onnx", ".safetensors"}
        manifest = json.loads(archive.read("MAR-INF/MANIFEST.json"))
    assert manifest["model"] == {
        "modelName": "employment",
        "handler": "torchserve_handler.py",
        "modelVersion": "1.0",
    }


def test_saved_weights_are_all_that_a_net_needs(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    from models.nets.tabular import TabularNet, TabularNetSpec

    model = fitted("net")
    model.save(tmp_path)
    about = json.loads((tmp_path / "tabular_net.json").read_text())
    net = TabularNet(TabularNetSpec.from_json(about["spec"]))
    net.load_state_dict(load_file(tmp_path / "model.safetensors"))
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), model.net.parameters(), strict=True))
    assert about["columns"] == {
        "numeric": ["age", "hours"],
        "code": ["school", "zone"],
        "category": ["sector"],
    }
