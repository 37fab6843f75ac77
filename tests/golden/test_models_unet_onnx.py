"""A U-Net in ONNX Runtime against PyTorch, on pictures of any size."""

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from models.data.pictures import decode
from models.mask_model import mask_of
from tests.unit.models.small_pictures import CLASSES
from tests.unit.models.test_segmentation import VALID, fitted


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("unet") / "model.onnx"
    fitted()[0].export_onnx(made)
    return made


def test_onnx_runtime_gives_the_same_masks_at_each_pictures_own_size(path: Path) -> None:
    model = fitted()[0]
    found = model.check_onnx(path, VALID, threads=1)
    assert found.equal
    assert (found.what, found.count, found.tolerance) == ("mask", 12, 5e-3)

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    rows = model.rows(VALID)
    for row in range(4):
        picture = np.asarray(decode(VALID.column("image")[row].as_py()))
        mask, probability = session.run(None, {"image": picture[None]})
        assert mask.dtype == np.uint8
        assert mask.shape == (1, *picture.shape[:2])
        assert probability.shape == (1, 2, *picture.shape[:2])
        assert np.abs(probability.sum(1) - 1).max() < 1e-5
        own = mask_of(model.logits(rows.pixels[row : row + 1])[0], picture.shape[:2])
        assert np.mean(own != mask[0]) < 5e-3


def test_on_the_same_pixels_probabilities_agree_to_a_ten_thousandth(path: Path) -> None:
    model = fitted()[0]
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    pixels = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3)).astype(np.uint8)
    mask, probability = session.run(None, {"image": pixels})
    expected = model.logits(pixels).softmax(1)
    assert np.abs(probability - expected.numpy()).max() < 1e-4
    assert np.mean(mask != expected.argmax(1).numpy()) < 1e-3


def test_the_file_says_its_classes_and_nothing_of_where_it_was_made(path: Path, tmp_path: Path) -> None:
    fitted()[0].export_onnx(tmp_path / "again.onnx")
    content = path.read_bytes()
    assert content == (tmp_path / "again.onnx").read_bytes()
    assert b"/models/nets/" not in content
    properties = {one.key: one.value for one in onnx.load_from_string(content).metadata_props}
    assert json.loads(properties["classes"]) == list(CLASSES)
    assert properties["input"] == "image"


def test_a_graph_of_other_weights_is_told_apart(path: Path, tmp_path: Path) -> None:
    other = onnx.load(path)
    last = next(one for one in other.graph.initializer if one.name.endswith("last.weight"))
    last.CopyFrom(numpy_helper.from_array(1.1 * numpy_helper.to_array(last), last.name))
    onnx.save(other, tmp_path / "other.onnx")
    found = fitted()[0].check_onnx(tmp_path / "other.onnx", VALID, threads=1)
    assert not found.equal
    assert found.what == "probability"
    assert found.where.startswith("validation row p")
