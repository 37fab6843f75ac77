"""Rows on their way: what a row may hold, and messages of a bounded size."""

import base64
import datetime as dt
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from boarfish import rows
from boarfish.client import amend_request
from boarfish.errors import InvalidArgument
from boarfish.rows import arrow_batch, records_requests, row_batch, row_batches, table_batches, table_parts
from hypothesis import given, settings
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (b"\x00\xff", base64.b64encode(b"\x00\xff").decode()),
        (dt.datetime(2018, 3, 1, 12), "2018-03-01T12:00:00+00:00"),
        (dt.date(2018, 3, 1), "2018-03-01"),
        (np.float32(0.5), 0.5),
        (np.array([1.5, 2.0]), [1.5, 2.0]),
        ((1, np.int64(2)), [1.0, 2.0]),
        ("x", "x"),
        (None, None),
    ],
)
def test_values_are_sent_as_json_holds_them(value: Any, sent: Any) -> None:
    batch = row_batch([{"c": value}])
    assert batch.rows.rows[0]["c"] == sent


def test_what_cannot_be_sent_is_named() -> None:
    with pytest.raises(InvalidArgument, match=r"rows\[1\].*cannot be sent"):
        row_batch([{"c": 1}, {"c": object()}])


def test_objects_are_cut_by_number_and_by_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "MAX_ROWS", 3)
    monkeypatch.setattr(rows, "MESSAGE_BYTES", 100)
    sizes = [1, 1, 1, 1, 200, 1, 1]
    batches = [*row_batches({"c": "x" * size} for size in sizes)]
    assert [len(batch.rows.rows) for batch in batches] == [3, 2, 2]
    assert len([*row_batches([])]) == 1  # the service says that there are no rows


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 300), max_size=12), st.integers(50, 400))
def test_tables_are_cut_by_bytes_and_keep_every_row(sizes: list[int], limit: int) -> None:
    table = pa.table({"c": pa.array([bytes(size) for size in sizes], pa.binary())})
    before, rows.MESSAGE_BYTES = rows.MESSAGE_BYTES, limit
    try:
        parts = [*table_parts(table)]
    finally:
        rows.MESSAGE_BYTES = before
    assert [len(one.as_py()) for part in parts for one in part.column(0)] == sizes
    assert all(part.nbytes <= limit or part.num_rows == 1 for part in parts)


def test_tables_are_sent_as_arrow_streams_without_dictionaries() -> None:
    table = pa.table({"a": pa.array(["x", "y", "x"]).dictionary_encode(), "b": [[1.0], None, []]})
    [batch] = table_batches(table)
    read = pa.ipc.open_stream(batch.arrow_ipc).read_all()
    assert read.to_pydict() == {"a": ["x", "y", "x"], "b": [[1.0], None, []]}
    assert read.schema.field("a").type == pa.utf8()
    sliced = arrow_batch(table.to_batches()[0].select(["b"]).slice(2))
    assert len(sliced.arrow_ipc) <= len(batch.arrow_ipc)


def test_the_same_batches_under_the_same_key_have_the_same_request_ids() -> None:
    def ids(key: str) -> list[str]:
        return [one.request_id for one in records_requests("d", [row_batch([{"c": 1}])] * 2, key)]

    assert ids("a.csv") == ids("a.csv")
    assert len({*ids("a.csv"), *ids("b.csv")}) == 4
    assert ids("") != ids("")


def test_amendments_have_canonical_labels() -> None:
    request = amend_request("d", {"a": 1.0, "b": True, "c": None, "d": 0.5, "e": ""}, "Ada", "why")
    found = [(one.row_id, one.label, one.delete) for one in request.amendments]
    assert found == [
        ("a", "1", False),
        ("b", "true", False),
        ("c", "", True),
        ("d", "0.5", False),
        ("e", "", False),
    ]
    assert request.amendments[4].HasField("label")
