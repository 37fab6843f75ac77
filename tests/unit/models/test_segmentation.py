import dataclasses
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from models.configs import AugmentConfig, FitConfig, UnetConfig
from models.figures import Bars, Matrix, Pictures
from models.mask_model import MaskModel, PlainMask, iou_of_parts, pixel_table
from models.metrics import class_ious
from models.progress import Progress, TrainingFailed, TrainingStopped
from models.recipe import MULTICLASS, FitContext, Target
from models.segmentation import Unet
from tests.unit.models.small_pictures import CLASSES, MASKS, masked_table, png

CONFIG = UnetConfig(
    FitConfig(epochs=6, batch_size=8, learning_rate=2e-3),
    image_size=32,
    augment=AugmentConfig(rotate_degrees=0, zoom=1.0),
)
SHORT = dataclasses.replace(CONFIG, fit=FitConfig(epochs=1, batch_size=8, learning_rate=1e-3))
TRAIN, VALID = masked_table(32), masked_table(12, seed=1)


@cache
def fitted() -> tuple[MaskModel, tuple[Progress, ...]]:
    told: list[Progress] = []
    context = FitContext(seed=3, device="cpu", on_progress=told.append, threads=1)
    return Unet(CONFIG).fit(MASKS, TRAIN, VALID, context), tuple(told)


def test_discs_are_outlined_better_than_by_a_mask_that_does_not_look() -> None:
    found = fitted()[0].assess(TRAIN, VALID)
    assert found.metrics["mean_iou"].value > 0.7
    assert found.metrics["iou_disc"].lower < found.metrics["iou_disc"].value
    assert found.comparison.better
    assert "always the most frequent class" in found.comparison.statement
    assert found.row_quality is not None
    assert found.row_quality.shape == (12,)
    assert found.row_quality_name == "mean_iou"


def test_accuracy_may_be_what_is_compared() -> None:
    model = fitted()[0]
    by_accuracy = MaskModel(model.net, dataclasses.replace(MASKS, metric="accuracy"), CONFIG, model.rule)
    assert by_accuracy.assess(TRAIN, VALID).comparison.metric == "accuracy"


def test_progress_tells_reading_and_the_mean_iou_of_each_epoch() -> None:
    told = fitted()[1]
    assert told[0].stage.startswith("reading training pictures")
    assert told[-1].fraction_done == 1
    assert told[-1].metrics["mean_iou"] > 0.5
    assert told[-1].validation_loss < 0.6


def test_figures_show_masks_bars_and_confusion() -> None:
    masks, bars, confusion = fitted()[0].figures(TRAIN, VALID)
    assert isinstance(masks.body, Pictures)
    assert len(masks.body.pictures) == 12
    assert masks.body.pictures[0].row_id in VALID.column("name").to_pylist()
    assert isinstance(bars.body, Bars)
    assert set(bars.body.names) == set(CLASSES)
    assert isinstance(confusion.body, Matrix)
    assert np.allclose(np.sum(confusion.body.values, 1), 1)


def test_saved_weights_are_the_nets(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    model = fitted()[0]
    model.save(tmp_path)
    assert all(
        torch.equal(value, model.net.state_dict()[name])
        for name, value in load_file(tmp_path / "model.safetensors").items()
    )
    assert not model.files()


def test_the_fit_stops_when_it_is_told_to() -> None:
    asked = iter([False] * 4)
    context = FitContext(device="cpu", should_stop=lambda: next(asked, True))
    with pytest.raises(TrainingStopped):
        Unet(SHORT).fit(MASKS, TRAIN, VALID, context)


def test_the_same_seed_gives_the_same_weights() -> None:
    one, two = (Unet(SHORT).fit(MASKS, TRAIN, VALID, FitContext(seed=1, device="cpu")).net for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


def test_what_leaves_nothing_to_learn_is_refused() -> None:
    context = FitContext(device="cpu")
    empty = TRAIN.set_column(
        2, "mask", [[png(np.zeros((40, 48) if n % 3 else (31, 37), np.uint8)) for n in range(32)]]
    )
    with pytest.raises(TrainingFailed, match="Every pixel of every training mask is 'background'"):
        Unet(SHORT).fit(MASKS, empty, VALID, context)
    with pytest.raises(TrainingFailed, match="1 training rows"):
        Unet(SHORT).fit(MASKS, TRAIN.slice(0, 1), VALID, context)
    with pytest.raises(TrainingFailed, match="does not learn a multiclass task"):
        Unet(SHORT).fit(dataclasses.replace(MASKS, kind=MULTICLASS), TRAIN, VALID, context)
    one_class = dataclasses.replace(MASKS, target=Target(names=("mask",), classes=("disc",)))
    with pytest.raises(TrainingFailed, match="names 1 classes"):
        Unet(SHORT).fit(one_class, TRAIN, VALID, context)


def test_a_class_without_pixels_is_a_warning_and_no_validation_rows_no_error() -> None:
    three = dataclasses.replace(MASKS, target=Target(names=("mask",), classes=(*CLASSES, "ring")))
    model = Unet(SHORT).fit(three, TRAIN, VALID.slice(0, 0), FitContext(device="cpu"))
    found = model.assess(TRAIN, VALID.slice(0, 0))
    assert not found.comparison.better
    assert found.warnings == ("No training mask shows ring: it is never predicted rightly.",)
    assert np.isnan(found.metrics["mean_iou"].value)
    assert model.figures(TRAIN, VALID.slice(0, 0)) == []


def test_plain_masks_and_tables_by_hand() -> None:
    masks = np.array([[[0, 1], [1, 1]], [[0, 1], [0, 0]], [[0, 1], [0, 0]]], np.uint8)
    rule = PlainMask.of(masks, 2)
    assert rule.everywhere == 0
    assert rule.places.tolist() == [[0, 1], [0, 0]]
    table = pixel_table(masks[0], masks[1], 2)
    assert table.tolist() == [[1, 0], [2, 1]]
    assert class_ious(table.astype(float)).tolist() == [1 / 3, 1 / 3]
    assert iou_of_parts(np.array([[1.0, 3.0, 1.0]])) == pytest.approx(1 / 3)
