"""The graph of a net of pictures answers as PyTorch does, for every kind of task."""

import json
from dataclasses import replace

import numpy as np
import onnxruntime
import pyarrow as pa
import pytest
import torch
from PIL import Image

from models.configs import SignalConfig
from models.data.pictures import resized
from models.data.targets import TargetSpec
from models.export.onnx_vision import TOLERANCE
from models.nets.heads import ARCHITECTURES, body_of
from models.picture_model import PictureModel, PictureSpec
from models.recipe import MULTICLASS, FitContext, Input, Problem, Target
from models.vision import ConvNet, picture_net
from tests.unit.models import picture_problems as small

KINDS = [small.of_two, small.of_labels, small.of_numbers, small.of_points]


@pytest.fixture(autouse=True, scope="module")
def one_thread_and_a_small_net():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ARCHITECTURES, "resnet18", small.SMALL)
        yield
    torch.set_num_threads(threads)


def fitted(kind=small.of_classes, **more):
    problem, train = kind(64)
    _, valid = kind(24, seed=1)
    return ConvNet(small.config(**more)).fit(problem, train, valid, FitContext(device="cpu")), valid


@pytest.fixture(scope="module")
def of_classes(one_thread_and_a_small_net, tmp_path_factory):
    """A model of colours, its validation rows and its graph."""
    model, valid = fitted()
    path = tmp_path_factory.mktemp("classes") / "model.onnx"
    model.export_onnx(path)
    return model, valid, path


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_task_is_answered_alike(kind, tmp_path):
    model, valid = fitted(kind)
    model.export_onnx(tmp_path / "model.onnx")
    parity = model.check_onnx(tmp_path / "model.onnx", valid, threads=1)
    assert parity.equal, parity
    assert parity.count == 24


@pytest.mark.parametrize("architecture", ["efficientnet_lite0"])
def test_the_graphs_of_real_architectures_are_taken_by_onnx_runtime(architecture, tmp_path):
    problem, table = small.of_classes(8)
    torch.manual_seed(0)
    config = replace(small.config(), architecture=architecture)
    spec = PictureSpec.of(problem, config, TargetSpec(MULTICLASS, ("colour",), small.CLASSES))
    model = PictureModel(picture_net(spec, body_of(architecture), config), spec)
    model.export_onnx(tmp_path / "model.onnx")
    parity = model.check_onnx(tmp_path / "model.onnx", table, threads=1)
    assert parity.equal, parity


def test_classes_are_answered_alike(of_classes):
    model, valid, path = of_classes
    assert model.check_onnx(path, valid, threads=1).equal


def test_a_graph_of_other_weights_is_found_out(of_classes):
    model, valid, path = of_classes
    with torch.no_grad():
        model.net.head[-1].bias[0] += 0.01
    different = model.check_onnx(path, valid, threads=1)
    with torch.no_grad():
        model.net.head[-1].bias[0] -= 0.01
    assert not different.equal


@pytest.mark.parametrize(("width", "height"), [(300, 200), (37, 100), (24, 24), (13, 24), (640, 25)])
def test_the_graph_resizes_as_pictures_were_for_training(width, height, of_classes):
    model, _, path = of_classes
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    own = model.outputs(resized(Image.fromarray(pixels), small.SIDE)[None], np.array([0])).softmax(1)
    session = onnxruntime.InferenceSession(path)
    found = session.run(["probability"], {"image": pixels[None]})[0]
    assert np.abs(found - own.numpy()).max() <= TOLERANCE


def of_signals(kind, count=24):
    draws = np.random.default_rng(0)
    label = draws.integers(0, 2, count)
    if kind == "series":
        values = draws.normal(size=(count, 50)) + np.outer(label, np.arange(50) / 10)
        column = pa.array(list(values.astype(np.float32)), pa.list_(pa.float32()))
    else:
        column = pa.array([draws.integers(1, 50 + 150 * one, 500, np.uint8).tobytes() for one in label])
    target = Target(("kind",), classes=("a", "b"))
    table = pa.table({"signal": column, "kind": ["ab"[one] for one in label]})
    return Problem(MULTICLASS, (Input("signal", kind),), target, "accuracy"), table


@pytest.mark.parametrize("kind", ["series", "bytes"])
def test_signals_become_pictures_inside_the_graph(kind, tmp_path):
    problem, table = of_signals(kind)
    config = replace(small.config(), signal=SignalConfig())
    model: PictureModel = ConvNet(config).fit(problem, table, table, FitContext(device="cpu"))
    model.export_onnx(tmp_path / "model.onnx")
    parity = model.check_onnx(tmp_path / "model.onnx", table, threads=1)
    assert parity.equal, parity
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    assert [one.name for one in session.get_inputs()] == [kind]
    assert {figure.name for figure in model.figures(table, table)} >= {"confusion", "grad_cam"}


def test_the_graph_names_its_classes_and_takes_pictures_of_any_size(of_classes):
    session = onnxruntime.InferenceSession(of_classes[2])
    assert [one.name for one in session.get_inputs()] == ["image"]
    assert json.loads(session.get_modelmeta().custom_metadata_map["classes"]) == list(small.CLASSES)
    for count, height, width in ((1, 24, 24), (3, 50, 31), (2, 7, 90)):
        images = np.random.default_rng(0).integers(0, 256, (count, height, width, 3), np.uint8)
        probability, label = session.run(["probability", "label"], {"image": images})
        assert probability.shape == (count, 3)
        assert [small.CLASSES[place] for place in probability.argmax(1)] == label.tolist()


def test_the_same_fit_gives_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        model, _ = fitted(epochs=1)
        model.export_onnx(tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_the_graph_of_labels_gives_those_at_the_threshold_that_was_found(tmp_path):
    model, _ = fitted(small.of_labels)
    model.export_onnx(tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    images = np.random.default_rng(0).integers(0, 256, (16, 24, 24, 3), np.uint8)
    probability, labels = session.run(["probability", "labels"], {"image": images})
    assert np.array_equal(labels, probability >= np.float32(model.spec.target.threshold))


def test_points_come_back_in_pixels_of_the_picture_that_was_given(tmp_path):
    model, _ = fitted(small.of_points)
    model.export_onnx(tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    image = np.full((1, 24, 24, 3), 90, np.uint8)
    small_one = session.run(["value"], {"image": image})[0]
    large_one = session.run(["value"], {"image": image.repeat(2, 1).repeat(4, 2)})[0]
    assert np.allclose(large_one / [4, 2], small_one, atol=0.01)
