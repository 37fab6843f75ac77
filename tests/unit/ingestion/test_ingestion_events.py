"""What a prediction event must look like."""

import datetime as dt
import math
from typing import Any

import pyarrow as pa
import pytest
from boarfish.errors import InvalidArgument

from services.ingestion.events import COLUMNS, check_events

NOW = dt.datetime(2018, 3, 1, tzinfo=dt.UTC)
GOOD: dict[str, list[Any]] = {
    "prediction_id": ["a", "a"],
    "model_version": ["v", "w"],
    "role": ["CHAMPION", "SHADOW"],
    "event_time": [NOW, NOW],
    "logged_time": [NOW, NOW],
    "score": [0.0, 1.0],
    "decision": ["yes", "no"],
    "latency_us": [0, 17],
    "simulation": ["", ""],
}


def events(**changes: Any) -> pa.Table:
    return pa.table({name: values for name, values in {**GOOD, **changes}.items() if values is not None})


def test_events_are_kept_in_the_lakes_types() -> None:
    given = events(
        AGEP=pa.array([1, 2], pa.uint8()),
        share=pa.array([1, 2], pa.float32()),
        town=pa.array(["x", None]).dictionary_encode(),
        flag=[True, False],
        unknown=pa.nulls(2),
        latency_us=pa.array([1, 2], pa.int32()),
        event_time=pa.array([NOW, NOW], pa.timestamp("ms")),
    )
    checked = check_events(given)
    assert "unknown" not in checked.column_names
    kinds = {name: checked.schema.field(name).type for name in checked.column_names}
    assert {name: kinds[name] for name in COLUMNS} == COLUMNS
    assert [kinds[name] for name in ("AGEP", "share", "town", "flag")] == [
        pa.int64(), pa.float64(), pa.utf8(), pa.bool_(),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("column", "values", "words"),
    [
        *((name, None, "is missing") for name in COLUMNS),
        ("score", [0.5, 1.5], "between 0 and 1"),
        ("score", [0.5, math.nan], "between 0 and 1"),
        ("score", [0.5, -math.inf], "between 0 and 1"),
        ("score", [None, 0.5], "has missing values"),
        ("score", ["x", "y"], "must be double"),
        ("role", ["CHAMPION", "KING"], "must be CHAMPION or SHADOW"),
        ("latency_us", [-1, 5], "must not be negative"),
        ("event_time", pa.array([2**62, 0], pa.timestamp("us", "UTC")), "years 1 to 9999"),
        ("event_time", pa.array([2**62, 0], pa.timestamp("s")), "has type timestamp"),
        ("event_time", [[NOW], [NOW]], "has type list"),
        ("prediction_id", ["", "b"], "1 to 128 characters"),
        ("prediction_id", ["x" * 129, "b"], "1 to 128 characters"),
        ("simulation", ["x" * 201, "b"], "0 to 200 characters"),
        ("AGEP", [[1], [2]], "has type list"),
        ("AGEP", [{"a": 1}, {"a": 2}], "has type struct"),
        ("AGEP", [b"a", b"b"], "has type binary"),
        ("AGEP", pa.array([2**64 - 1, 1], pa.uint64()), "does not fit"),
        ("_sequence", [1, 2], "the lake's own"),
        ("Role", ["CHAMPION", "SHADOW"], "names a column twice"),
    ],
)
def test_a_bad_column_is_named(column: str, values: Any, words: str) -> None:
    with pytest.raises(InvalidArgument, match=words) as caught:
        check_events(events(**{column: values}))
    assert caught.value.violations[0].field in (f"arrow_ipc.{column}", "arrow_ipc")
