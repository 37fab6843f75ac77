"""Amending records: what people decided about rows, checked and turned into rows of the amendments' table.

The row is found by its id while records are still, so that an amendment speaks of the rows that were there
when it was acknowledged and of no later ones.
"""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from boarfish.errors import FieldViolation, InvalidArgument
from boarfish.v1 import ingestion_pb2, task_pb2

from services.common.columns import NUMERIC, Column
from services.common.datasets import AMENDMENTS, Dataset
from services.common.lake import SEQUENCE, Lake, TableKind
from services.common.rows import canonical_texts
from services.common.task_columns import target_columns

MAX_VIOLATIONS = 100


@dataclass(frozen=True)
class Found:
    """Records that bear one of the ids asked for: their `_sequence` and the place of the id, int64 `(N,)`."""

    record: np.ndarray
    place: np.ndarray

    def __add__(self, later: "Found") -> "Found":
        return Found(np.concatenate([self.record, later.record]), np.concatenate([self.place, later.place]))


class Amending:
    """One request, from its check to the rows that are written."""

    def __init__(self, request: ingestion_pb2.AmendRecordsRequest, task: task_pb2.Task, lake: Lake) -> None:
        """Raises `InvalidArgument` for what cannot be, whatever rows there are."""
        self._request = request
        self._task = task
        self._records = lake.table(TableKind.RECORDS, request.dataset)
        self._amendments = lake.table(TableKind.AMENDMENTS, request.dataset)
        self._ids = pa.array([one.row_id for one in request.amendments], pa.utf8())
        self._labels = _checked_labels(request, task)

    def done_before(self) -> ingestion_pb2.AmendRecordsResponse | None:
        """The answer that was given to the same request id."""
        if not self._amendments.exists():
            return None
        rows = self._amendments.read(
            columns=["after", "label", SEQUENCE], where=pc.field("request_id") == self._request.request_id
        )
        if not rows.num_rows:
            return None
        version = rows["after"][-1].as_py() + rows[SEQUENCE][-1].as_py()
        return _answer(rows["label"], version)

    def find(self, after: int, up_to: int) -> Found:
        """Records with `after < _sequence <= up_to` that bear one of the ids."""
        records, places = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        name = self._task.id_column
        for batch in self._records.scan(after=after, version=up_to, columns=[name, SEQUENCE]):
            texts = canonical_texts(pa.chunked_array([batch.column(0)])).combine_chunks()
            place = pc.index_in(texts, value_set=self._ids)
            hit = pc.is_valid(place)
            records.append(batch.column(1).filter(hit).to_numpy())
            places.append(place.filter(hit).cast(pa.int64()).to_numpy())
        return Found(np.concatenate(records), np.concatenate(places))

    def rows(self, found: Found, dataset: Dataset, newest: int) -> pa.Table:
        """The amendments' rows, in the request's order; `newest` is the last record's `_sequence`.

        Raises `InvalidArgument` for ids that no row bears, or none that is still there.
        """
        history = dataset.history()
        gone = np.isin(found.record, history.deleted(len(history.after)))
        live = Found(found.record[~gone], found.place[~gone])
        if lacking := np.setdiff1d(np.arange(len(self._ids)), live.place).tolist():
            deleted = set(found.place[gone].tolist())
            raise InvalidArgument.of(
                *(self._not_there(place, place in deleted) for place in lacking[:MAX_VIOLATIONS])
            )
        order = np.lexsort((live.record, live.place))
        place, count = pa.array(live.place[order]), len(order)
        return pa.table(
            {
                "record": live.record[order],
                "after": np.full(count, newest, np.int64),
                "row_id": self._ids.take(place),
                "column": pa.repeat(self._task.target.name, count),
                "label": self._labels.take(place),
                "amended_by": pa.repeat(self._request.amended_by, count),
                "reason": pa.repeat(self._request.reason, count),
                "amend_time": pa.repeat(pa.scalar(dt.datetime.now(dt.UTC), pa.timestamp("us", "UTC")), count),
                "request_id": pa.repeat(self._request.request_id, count),
            },
            schema=AMENDMENTS,
        )

    def answer(self, rows: pa.Table, version: int) -> ingestion_pb2.AmendRecordsResponse:
        """What is told of `rows` that were written."""
        return _answer(rows["label"], version)

    def _not_there(self, place: int, deleted: bool) -> FieldViolation:
        row_id, dataset = self._ids[place].as_py(), self._request.dataset
        text = (
            f"the row {row_id} was deleted from {dataset} before"
            if deleted
            else f"no row of {dataset} has {row_id} in its column {self._task.id_column}"
        )
        return FieldViolation(f"amendments[{place}].row_id", text)


def _answer(labels: pa.ChunkedArray, version: int) -> ingestion_pb2.AmendRecordsResponse:
    return ingestion_pb2.AmendRecordsResponse(
        relabelled_count=len(labels) - labels.null_count,
        deleted_count=labels.null_count,
        dataset_version=version,
    )


def _checked_labels(request: ingestion_pb2.AmendRecordsRequest, task: task_pb2.Task) -> pa.Array:
    """The new labels as they are kept, utf8 `(N,)`, null where a row is deleted."""
    if not task.id_column:
        text = f"the task of {request.dataset} names no id_column, so that its rows cannot be told apart"
        raise InvalidArgument.of(FieldViolation("dataset", text))
    problems = [*_twice(request), *_impossible(request, task)]
    if problems:
        raise InvalidArgument.of(*problems[:MAX_VIOLATIONS])
    labels = [one.label if one.HasField("label") else None for one in request.amendments]
    return pa.array(labels, pa.utf8())


def _twice(request: ingestion_pb2.AmendRecordsRequest) -> Iterator[FieldViolation]:
    first: dict[str, int] = {}
    for place, one in enumerate(request.amendments):
        if first.setdefault(one.row_id, place) != place:
            text = f"the row {one.row_id} stands under amendments[{first[one.row_id]}] too; give it once"
            yield FieldViolation(f"amendments[{place}].row_id", text)


def _impossible(request: ingestion_pb2.AmendRecordsRequest, task: task_pb2.Task) -> Iterator[FieldViolation]:
    columns = target_columns(task)
    for place, one in enumerate(request.amendments):
        if one.HasField("label") and (problem := _problem(columns, one.label)):
            yield FieldViolation(f"amendments[{place}].label", problem)


def _problem(columns: list[Column], label: str) -> str | None:
    """Why `label` cannot be the target's value."""
    instead = "; delete the row and put it again as it should be"
    if not columns:
        return f"this task's rows have no label{instead}"
    if len(columns) > 1:
        return f"this task predicts several numbers{instead}"
    [column] = columns
    if column.arrow_type == pa.binary():
        return f"this task's labels are pictures{instead}"
    if column.kind != NUMERIC:
        return column.check(label)[1]
    try:
        return column.check(float(label))[1]
    except ValueError:
        return f"is {label!r}; must be a number"
