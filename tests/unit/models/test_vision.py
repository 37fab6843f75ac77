"""The recipe for pictures: every kind of task, bad rows, resuming."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch

from models.configs import AugmentConfig, FitConfig
from models.data.picture_rows import PictureBatches, PictureRows, RowSource
from models.data.targets import TargetSpec
from models.nets.heads import ARCHITECTURES, body_of
from models.picture_model import PictureSpec, best_threshold
from models.progress import TrainingFailed, TrainingStopped
from models.recipe import FitContext, Input, Problem, Target
from models.vision import ConvNet, loss_of, picture_net, start_at_shares
from tests.unit.models import picture_problems as small

CPU = torch.device("cpu")
KINDS = [small.of_classes, small.of_two, small.of_labels, small.of_numbers, small.of_points]


@pytest.fixture(autouse=True)
def one_thread_and_a_small_net(monkeypatch):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setitem(ARCHITECTURES, "resnet18", small.SMALL)
    yield
    torch.set_num_threads(threads)


def fitted(kind=small.of_classes, count=64, context=None, **more):
    problem, train = kind(count)
    _, valid = kind(24, seed=1)
    model = ConvNet(small.config(**more)).fit(problem, train, valid, context or FitContext(device="cpu"))
    return model, train, valid


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_task_is_fitted_judged_and_looked_into(kind, tmp_path):
    model, train, valid = fitted(kind)
    found = model.assess(train, valid)
    assert found.comparison.metric in found.metrics
    assert found.comparison.statement
    model.save(tmp_path)
    about = json.loads((tmp_path / "conv_net.json").read_text())
    assert about["image_size"] == small.SIDE
    figures = model.figures(train, valid)
    assert len({figure.name for figure in figures}) == len(figures) > 0
    assert all(figure.sentence.endswith(".") for figure in figures)


def test_it_learns_a_colour_and_beats_both_rules():
    model, train, valid = fitted(count=160, epochs=6)
    found = model.assess(train, valid)
    assert found.metrics["accuracy"].value > 0.9
    assert found.row_quality.shape == (24,)


def test_it_learns_where_a_point_is_while_pictures_are_turned():
    problem, train = small.of_points(240)
    _, valid = small.of_points(40, seed=1)
    config = replace(
        small.config(epochs=14, augment=AugmentConfig(rotate_degrees=8, lighting=0.1)),
        fit=FitConfig(epochs=14, batch_size=16, learning_rate=6e-3),
    )
    model = ConvNet(config).fit(problem, train, valid, FitContext(device="cpu"))
    found = model.assess(train, valid)
    assert found.comparison.better, found.comparison.statement
    assert found.metrics["mae"].value < 2.5


def test_a_stopped_fit_goes_on_to_the_same_weights(tmp_path):
    turned = AugmentConfig(mixup=0.3)
    whole, _, _ = fitted(augment=turned, epochs=2)
    asked = []

    def stop():
        asked.append(None)
        return len(asked) == 7

    with pytest.raises(TrainingStopped):
        fitted(
            augment=turned,
            epochs=2,
            context=FitContext(device="cpu", checkpoint_folder=tmp_path, should_stop=stop),
        )
    resumed, _, _ = fitted(
        augment=turned, epochs=2, context=FitContext(device="cpu", checkpoint_folder=tmp_path)
    )
    for name, value in whole.net.state_dict().items():
        assert torch.equal(value, resumed.net.state_dict()[name]), name


def with_bad(table, rows, content=b"no picture"):
    pictures = table.column("picture").to_pylist()
    for row in rows:
        pictures[row] = content
    return table.set_column(table.column_names.index("picture"), "picture", pa.array(pictures, pa.binary()))


def test_a_few_unreadable_pictures_are_left_out_and_named():
    problem, train = small.of_classes(64)
    _, valid = small.of_classes(24, seed=1)
    train, valid = with_bad(train, [3]), with_bad(valid, [5], None)
    model = ConvNet(small.config(epochs=1)).fit(problem, train, valid, FitContext(device="cpu"))
    found = model.assess(train, valid)
    assert found.metrics["accuracy"].count == 23
    assert np.flatnonzero(np.isnan(found.row_quality)).tolist() == [5]
    assert (
        "1 of 64 training rows cannot be read, and they are left out: key p3: it is none of"
        in found.warnings[0]
    )
    assert "key p5: it is empty" in found.warnings[1]


def test_many_unreadable_pictures_are_an_error_that_names_them():
    problem, train = small.of_classes(40)
    with pytest.raises(TrainingFailed, match=r"5 of 40 training rows cannot be read.*key p0"):
        ConvNet(small.config()).fit(problem, with_bad(train, range(5)), train, FitContext(device="cpu"))


def test_one_class_alone_is_refused():
    problem, train = small.of_classes(20)
    train = train.set_column(2, "colour", pa.array(["red"] * 20))
    with pytest.raises(TrainingFailed, match="same label"):
        ConvNet(small.config()).fit(problem, train, train, FitContext(device="cpu"))


def test_other_inputs_beside_a_picture_are_refused():
    problem, train = small.of_classes(20)
    problem = replace(problem, inputs=(*problem.inputs, Input("age", "numeric")))
    with pytest.raises(TrainingFailed, match=r"one input.*age \(numeric\)"):
        ConvNet(small.config()).fit(problem, train, train, FitContext(device="cpu"))
    points = Problem("regression", small.PICTURE, Target(("x", "y", "z"), points=True), "mae")
    with pytest.raises(TrainingFailed, match="even number"):
        ConvNet(small.config()).fit(points, train, train, FitContext(device="cpu"))


def test_frozen_epochs_leave_the_body_as_its_weights_are(tmp_path):
    first, _, _ = fitted(epochs=1)
    first.save(tmp_path)
    problem, train = small.of_two(64)
    _, valid = small.of_two(24, seed=1)
    config = replace(
        small.config(), fit=FitConfig(epochs=0, frozen_epochs=1, batch_size=16, learning_rate=1e-3)
    )
    context = FitContext(device="cpu", weights=tmp_path / "model.safetensors")
    model = ConvNet(config).fit(problem, train, valid, context)
    assert torch.equal(model.net.body.stem[0].weight, first.net.body.stem[0].weight)
    assert model.warnings == ()
    without = ConvNet(config).fit(problem, train, valid, FitContext(device="cpu"))
    assert "without pretrained weights" in without.warnings[0]


def batches(config, count=20):
    problem, table = small.of_classes(count)
    rows = PictureRows.read(table, problem, config, part="training")
    source = RowSource(rows, torch.zeros(count, dtype=torch.int64), CPU)
    return PictureBatches(source, source, config, seed=3, device=CPU, class_count=3, points=False)


def test_sizes_grow_over_the_epochs():
    made = batches(replace(small.config(epochs=4), progressive_sizes=(16, 20)))
    assert [made.size_at(epoch) for epoch in range(5)] == [16, 16, 20, 24, 24]
    assert made.train(0)[0][0].shape == (16, 3, 16, 16)
    assert next(iter(made.valid()))[0].shape == (20, 3, 24, 24)


def test_batches_depend_on_seed_epoch_and_place_alone():
    config = small.config(augment=AugmentConfig(mixup=0.4))
    one, two = batches(config), batches(config)
    assert torch.equal(one.train(1)[1][0], two.train(1)[1:][0][0])
    assert torch.equal(one.train(1)[1][1], two.train(1)[1][1])
    assert not torch.equal(one.train(1)[0][0], one.train(2)[0][0])


def test_label_smoothing_is_the_same_for_places_and_for_probabilities():
    problem, _ = small.of_classes(4)
    loss = loss_of(problem, 0.1)
    output, target = torch.randn(5, 3), torch.tensor([0, 1, 2, 0, 1])
    mixed = torch.nn.functional.one_hot(target, 3).float()
    assert torch.allclose(loss(output, target), loss(output, mixed))
    assert loss(output, target) != loss_of(problem, 0.0)(output, target)


def test_smoothing_of_labels_moves_both_towards_one_half():
    problem, _ = small.of_labels(4)
    sure = torch.tensor([[20.0, -20.0]])
    target = torch.tensor([[1.0, 0.0]])
    assert loss_of(problem, 0.0)(sure, target) < 1e-6
    assert loss_of(problem, 0.2)(sure, target) == pytest.approx(2.0, rel=1e-3)


def test_labels_start_at_their_shares():
    problem, _ = small.of_labels(4)
    spec = PictureSpec.of(problem, small.config(), TargetSpec("multilabel", ("labels",), ("red", "high")))
    net = picture_net(spec, body_of("resnet18"), small.config())
    start_at_shares(net, np.array([[1.0, 0.0]] * 8, np.float32))
    assert torch.allclose(net.head[-1].bias.sigmoid(), torch.tensor([0.9, 0.1]))


def test_the_best_threshold_divides_what_can_be_divided():
    label = np.array([[1.0, 0.0], [1.0, 0.0]])
    probability = np.array([[0.3, 0.2], [0.3, 0.2]], np.float32)
    assert 0.2 < best_threshold(label, probability) <= 0.3
    assert best_threshold(np.zeros((2, 2)), probability) == 0.5
