"""A Siamese net in ONNX Runtime against PyTorch, on pairs whose pictures differ in size."""

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from tests.unit.models.test_siamese import VALID, fitted


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("siamese") / "model.onnx"
    fitted()[0].export_onnx(made)
    return made


def test_onnx_runtime_gives_the_same_probability(path: Path) -> None:
    found = fitted()[0].check_onnx(path, VALID, threads=1)
    assert found.equal
    assert (found.what, found.count) == ("probability", 24)
    assert found.largest_difference < 1e-4


def test_pictures_may_have_any_sizes_each_its_own(path: Path) -> None:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    random = np.random.default_rng(0)
    first = random.integers(0, 256, (3, 50, 70, 3)).astype(np.uint8)
    second = random.integers(0, 256, (3, 33, 21, 3)).astype(np.uint8)
    (found,) = session.run(["probability"], {"image_1": first, "image_2": second})
    assert found.shape == (3,)
    assert found.dtype == np.float32
    same_size = random.integers(0, 256, (2, 5, 32, 32, 3)).astype(np.uint8)
    (found,) = session.run(None, {"image_1": same_size[0], "image_2": same_size[1]})
    assert np.abs(found - fitted()[0].probability(*same_size)).max() < 1e-4


def test_the_file_says_columns_and_classes_and_nothing_of_where_it_was_made(path: Path) -> None:
    content = path.read_bytes()
    assert b"/models/nets/" not in content
    model = onnx.load_from_string(content)
    properties = {one.key: json.loads(one.value) for one in model.metadata_props}
    assert properties == {"inputs": ["left", "right"], "classes": ["no", "yes"]}
    assert (model.ir_version, model.opset_import[0].version) == (10, 20)
