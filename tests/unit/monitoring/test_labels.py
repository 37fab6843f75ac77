"""The join of labels with predictions: newest wins, repeats change nothing, contradictions revise."""

import datetime as dt

import pyarrow as pa
import pytest
from boarfish.v1 import task_pb2

from services.monitoring import labels

TARGET = task_pb2.Target(name="employed", positive_value="1", negative_value="0")


def table(*rows: tuple[str, bool | None, int, int]) -> pa.Table:
    """Rows of id, positive, day of the event, sequence."""
    ids, positive, days, sequences = zip(*rows, strict=True)
    moments = [dt.datetime(2020, 1, 1, tzinfo=dt.UTC) + dt.timedelta(days=day) for day in days]
    return pa.table(
        {
            "prediction_id": pa.array(ids, pa.utf8()),
            "positive": pa.array(positive, pa.bool_()),
            "event_time": pa.array(moments, pa.timestamp("us", "UTC")),
            "_sequence": pa.array(sequences, pa.int64()),
        }
    )


def verdicts(found: pa.Table, counted_to: int) -> dict[str, tuple[bool | None, bool]]:
    return {
        row["prediction_id"]: (row["before"], row["after"])
        for row in labels.verdicts(found, counted_to=counted_to).to_dicts()
    }


def test_a_first_label_has_nothing_before_it() -> None:
    assert verdicts(table(("a", True, 0, 5)), counted_to=4) == {"a": (None, True)}


def test_the_newest_by_event_time_holds_whatever_order_they_came_in() -> None:
    found = table(("a", True, 3, 1), ("a", False, 1, 2))
    assert verdicts(found, counted_to=1) == {"a": (True, True)}
    assert verdicts(found, counted_to=0) == {"a": (None, True)}


def test_of_equally_new_labels_the_last_written_holds() -> None:
    assert verdicts(table(("a", True, 1, 1), ("a", False, 1, 2)), counted_to=1) == {"a": (True, False)}


def test_a_label_that_is_neither_value_is_left_out() -> None:
    assert verdicts(table(("a", None, 9, 2), ("a", True, 1, 1), ("b", None, 1, 3)), counted_to=0) == {
        "a": (None, True)
    }


def test_changes_keep_new_and_revised_labels_of_every_role() -> None:
    predictions = pa.table(
        {
            "prediction_id": ["a", "a", "b", "c", "d"],
            "role": ["CHAMPION", "SHADOW", "CHAMPION"] + ["CHAMPION"] * 2,
        }
    )
    found = table(
        ("a", True, 1, 10), ("b", True, 1, 1), ("b", True, 2, 11), ("c", True, 1, 2), ("c", False, 2, 12)
    )
    changed = labels.changes(predictions, labels.verdicts(found, counted_to=9)).sort_by("prediction_id")
    assert changed.column("prediction_id").to_pylist() == ["a", "a", "c"]
    assert changed.column("before").to_pylist() == [None, None, True]
    assert changed.column("after").to_pylist() == [True, True, False]


@pytest.mark.parametrize(
    ("text", "positive"),
    [
        ("1", True),
        ("0", False),
        ("1.0", True),
        (" 0 ", False),
        ("true", True),
        ("false", False),
        ("2", None),
        ("", None),
    ],
)
def test_texts_of_the_target(text: str, positive: bool | None) -> None:
    assert labels.positives(pa.chunked_array([[text]]), TARGET).to_pylist() == [positive]
