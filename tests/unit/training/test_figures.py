"""Figures of the models as messages."""

import math

from models import figures
from services.training.figures import to_proto

BODIES = {
    "table": figures.Table(("word", "share"), (("a", 0.5), ("b", 1))),
    "bars": figures.Bars(("x", "y"), (1.0, 2.0), "importance", (0.5, 1.5), (1.5, 2.5)),
    "lines": figures.Lines((1.0, 2.0), (("loss", (0.5, math.nan)),), "epoch", "loss", True),
    "matrix": figures.Matrix(("a", "b"), ("c", "d", "e"), ((1, 2, 3), (4, 5, 6)), "true", "predicted"),
    "points": figures.Points((0.0,), (1.0,), ("film",), ("drama",), "first", "second"),
    "pictures": figures.Pictures((figures.Picture(b"\x89PNG", "a cat", "7"),)),
    "dendrogram": figures.Dendrogram(("p", "q"), ((0, 1, 0.25),), "distance"),
}


def test_every_body_goes_over_whole():
    for name, body in BODIES.items():
        message = to_proto(figures.Figure(name, "Title", "A sentence.", body))
        assert message.WhichOneof("body") == name
        assert (message.name, message.title, message.sentence) == (name, "Title", "A sentence.")
    sent = {
        name: getattr(to_proto(figures.Figure(name, "", "", body)), name) for name, body in BODIES.items()
    }
    assert [cell.WhichOneof("value") for cell in sent["table"].rows[1].cells] == ["text", "number"]
    assert list(sent["bars"].lower) == [0.5, 1.5]
    assert sent["lines"].logarithmic_x
    assert math.isnan(sent["lines"].lines[0].values[1])
    assert list(sent["matrix"].values) == [1, 2, 3, 4, 5, 6]
    assert sent["points"].groups == ["drama"]
    assert (sent["pictures"].pictures[0].png, sent["pictures"].pictures[0].row_id) == (b"\x89PNG", "7")
    assert sent["dendrogram"].merges[0].height == 0.25


def test_every_body_is_covered():
    import typing

    assert {type(body) for body in BODIES.values()} == set(typing.get_args(figures.Body))
