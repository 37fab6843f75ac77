"""A model's curve: the last report of an epoch stands, and a killed worker loses none."""

import math

from models.progress import Progress
from services.training.curve import Curve


def report(epoch, loss, auc=None):
    return Progress("net", "s", epoch, 3, 1, loss, math.nan, {} if auc is None else {"auc": auc})


def test_the_last_report_of_an_epoch_stands(tmp_path):
    curve = Curve.open(tmp_path / "0-net" / "curve.json")
    for one in (report(1, 0.9), report(1, 0.7, 0.6), report(2, 0.5, 0.8)):
        curve.add(one)
    curve.end()
    points = [
        (epoch, name, value)
        for epoch, _, name, value in Curve.open(tmp_path / "0-net" / "curve.json").points()
    ]
    assert points == [(1, "auc", 0.6), (1, "train_loss", 0.7), (2, "auc", 0.8), (2, "train_loss", 0.5)]


def test_a_file_that_was_cut_off_is_a_new_curve(tmp_path):
    path = tmp_path / "curve.json"
    path.write_text('{"start_ms": 1')
    assert list(Curve.open(path).points()) == []
