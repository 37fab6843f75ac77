"""What a row must look like, in one place: a task's columns and the checks that each value passes.

Ingestion checks records with it, inference checks what is to be predicted. Bulk rows are checked as Arrow
columns; a few JSON-like rows value by value. Both give the same verdict in the same words, because a bad
Arrow value gets its reason from the check of single values.
"""

import functools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from boarfish.errors import FieldViolation, InvalidArgument
from boarfish.v1 import common_pb2, task_pb2
from google.protobuf import struct_pb2
from google.protobuf.struct_pb2 import Struct

from services.common.arrow_ipc import read_arrow, row_bytes
from services.common.columns import (
    CATEGORY,
    CODE,
    INT64_MIN,
    NUMERIC,
    Column,
    Value,
    column_error,
)
from services.common.rich_columns import RichColumn, SeriesColumn
from services.common.task_columns import free_names, prediction_columns, record_columns, target_columns

__all__ = [
    "CATEGORY",
    "CODE",
    "INT64_MIN",
    "NUMERIC",
    "CheckedRows",
    "Column",
    "RowSchema",
    "Value",
    "canonical_text",
]
MAX_REASONS = 1000
MAX_ROW_BYTES = 48 * 1024 * 1024


@dataclass(frozen=True)
class CheckedRows:
    """A batch after its check.

    `rows` holds the accepted rows in the schema's types; `accepted` their positions as sent, int64;
    `rejected` every refused row with its first offending column and the reason.
    """

    rows: pa.RecordBatch
    accepted: np.ndarray
    rejected: list[common_pb2.RejectedRow]
    rejected_count: int

    @property
    def row_count(self) -> int:
        """Rows as sent."""
        return len(self.accepted) + self.rejected_count


@dataclass(frozen=True)
class _Layout:
    """Where the columns of a batch stand, found once for batches that look alike.

    `positions` of the schema's columns in the batch, -1 for one that is absent; `order` as the batch's own
    columns when it has all of them and nothing but their values can differ from what is kept, else `None`.
    """

    schema: pa.Schema
    positions: tuple[int, ...]
    order: list[int] | None


class RowSchema:
    """The columns of a kind of rows, in order."""

    def __init__(self, columns: Iterable[Column], ignored: Iterable[str] = ()) -> None:
        self.columns = tuple(columns)
        self.names = tuple(column.name for column in self.columns)
        self._position = {name: position for position, name in enumerate(self.names)}
        self._ignored = frozenset(ignored)
        self._absent: list[Value] = [None] * len(self.columns)
        self._layout: _Layout | None = None

    @classmethod
    def for_records(cls, task: task_pb2.Task) -> "RowSchema":
        """Rows of a dataset: id, time, features, target and sensitive attributes.

        Targets that are classes are kept as their canonical text.
        """
        targets = target_columns(task)
        columns = record_columns(task)
        if targets and targets[0].arrow_type == pa.utf8():
            return _TargetAsText(columns, targets[0])
        return cls(columns)

    @classmethod
    def for_predictions(cls, task: task_pb2.Task) -> "RowSchema":
        """Rows to predict: features, and sensitive attributes where the caller has them.

        Id, time and the column that the split goes by are taken and left out.
        """
        columns = prediction_columns(task)
        return cls(columns, set(free_names(task)) - {column.name for column in columns})

    def decode(self, batch: common_pb2.RowBatch) -> CheckedRows:
        """Checks a batch.

        Raises `InvalidArgument` for what is wrong with it as a whole: not Arrow, an unknown or lacking
        column.
        """
        if batch.WhichOneof("encoding") == "arrow_ipc":
            checked = self.check_table(read_arrow(batch.arrow_ipc, "batch.arrow_ipc"))
        else:
            checked = self._check_structs(batch.rows.rows)
        return _without_large_rows(checked) if self._has_large else checked

    @functools.cached_property
    def _has_large(self) -> bool:
        """Whether single values may be large."""
        return any(isinstance(column, RichColumn) for column in self.columns)

    def check_struct(self, row: Struct) -> tuple[list[Value], list[tuple[str, str]]]:
        """Values of one JSON-like row in the order of `columns`, and column and reason of each that is
        refused.
        """
        values = self._absent.copy()
        problems: list[tuple[str, str]] = []
        for name, field in row.fields.items():
            position = self._position.get(name)
            if position is None:
                if name not in self._ignored:
                    problems.append((name, self._unknown()))
                continue
            kind = field.WhichOneof("kind")
            if kind == "number_value":
                values[position] = field.number_value
            elif kind == "string_value":
                values[position] = field.string_value
            elif kind == "bool_value":
                values[position] = field.bool_value
            elif kind == "list_value" and isinstance(self.columns[position], SeriesColumn):
                values[position] = [_plain(one) for one in field.list_value.values]
            elif kind in ("struct_value", "list_value"):
                problems.append((name, "is a list or an object; must be a single value"))
        for position, column in enumerate(self.columns):
            values[position], reason = column.check(values[position])
            if reason is not None:
                problems.append((column.name, reason))
        return values, problems

    def check_table(self, table: pa.Table) -> CheckedRows:
        """Checks rows that came as Arrow."""
        layout = self._layout
        if layout is None or not table.schema.equals(layout.schema, check_metadata=True):
            layout = self._layout = self._lay_out(table.schema)
        batch = _as_batch(table)
        arrays = batch.columns
        columns: list[pa.Array] = []
        refused_by: list[tuple[Column, pa.Array, np.ndarray]] = []
        as_sent = layout.order is not None
        for column, position in zip(self.columns, layout.positions, strict=True):
            if position < 0:
                columns.append(pa.nulls(batch.num_rows, column.arrow_type))
                continue
            array = arrays[position]
            if not column.takes_whole(array):
                as_sent = False
                sent, (array, refused) = array, column.check_array(array)
                if refused.any():
                    refused_by.append((column, sent, refused))
            columns.append(array)
        rows = (
            batch.select(layout.order)
            if as_sent
            else pa.RecordBatch.from_arrays(columns, names=list(self.names))
        )
        if not refused_by:
            return CheckedRows(rows, np.arange(batch.num_rows), [], 0)
        bad = np.logical_or.reduce([refused for _, _, refused in refused_by])
        accepted = np.flatnonzero(~bad)
        count = batch.num_rows - len(accepted)
        return CheckedRows(rows.take(pa.array(accepted)), accepted, _rejections(refused_by, bad), count)

    def _lay_out(self, schema: pa.Schema) -> _Layout:
        self._check_names(schema.names)
        positions = tuple(schema.get_field_index(name) for name in self.names)
        plain = schema.metadata is None and all(field.nullable and field.metadata is None for field in schema)
        return _Layout(
            schema, positions, list(positions) if plain and min(positions, default=0) >= 0 else None
        )

    def _check_structs(self, rows: Sequence[Struct]) -> CheckedRows:
        kept: list[list[Value]] = []
        accepted: list[int] = []
        rejected: list[common_pb2.RejectedRow] = []
        rejected_count = 0
        for index, row in enumerate(rows):
            values, problems = self.check_struct(row)
            if not problems:
                kept.append(values)
                accepted.append(index)
                continue
            rejected_count += 1
            if rejected_count <= MAX_REASONS:
                name, reason = problems[0]
                rejected.append(
                    common_pb2.RejectedRow(row_index=index, column=name, reason=f"{name} {reason}")
                )
        return CheckedRows(self.to_batch(kept), np.array(accepted, np.int64), rejected, rejected_count)

    def to_batch(self, rows: Sequence[Sequence[Value]]) -> pa.RecordBatch:
        """Rows of checked values (`check_struct`) as one record batch.

        Raises `InvalidArgument` when a column that is kept as it comes holds texts beside numbers.
        """
        arrays = [
            _free_values(column.name, [row[position] for row in rows])
            if column.kind is None
            else pa.array([row[position] for row in rows], column.arrow_type)
            for position, column in enumerate(self.columns)
        ]
        return pa.RecordBatch.from_arrays(arrays, names=list(self.names))

    def _check_names(self, names: Sequence[str]) -> None:
        if len(set(names)) != len(names):
            twice = sorted({name for name in names if list(names).count(name) > 1})
            raise column_error(twice[0], "stands twice in the batch; each column must stand once")
        problems = [
            FieldViolation(f"batch.{name}", self._unknown())
            for name in names
            if name not in self._position and name not in self._ignored
        ]
        problems += [
            FieldViolation(f"batch.{column.name}", "is missing from the batch; the task needs this column")
            for column in self.columns
            if column.required and column.name not in names
        ]
        if problems:
            raise InvalidArgument.of(*problems)

    def _unknown(self) -> str:
        return f"is not a column of this task; it has {', '.join(self.names)}"


class _TargetAsText(RowSchema):
    """Records whose target may come as number, boolean or text and is kept as its canonical text."""

    def __init__(self, columns: Iterable[Column], target: Column) -> None:
        super().__init__(columns)
        self._target = target

    def check_struct(self, row: Struct) -> tuple[list[Value], list[tuple[str, str]]]:
        if self._target.name in row.fields:
            field = row.fields[self._target.name]
            kind = field.WhichOneof("kind")
            if kind in ("number_value", "bool_value"):
                copy = Struct()
                copy.CopyFrom(row)
                copy[self._target.name] = canonical_text(getattr(field, kind))
                row = copy
        return super().check_struct(row)

    def check_table(self, table: pa.Table) -> CheckedRows:
        position = table.schema.get_field_index(self._target.name)
        if position >= 0 and table.schema.types[position] != pa.utf8():
            table = table.set_column(position, self._target.name, canonical_texts(table.column(position)))
        return super().check_table(table)


def canonical_text(value: Value) -> str:
    """A label's text: 1, 1.0 and "1" are "1"; true is "true"."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and math.isfinite(value) and value.is_integer():
        return str(int(value))
    return str(value)


def canonical_texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column of labels as utf8: whole floats lose their point, booleans become "true" and "false"."""
    if pa.types.is_dictionary(column.type):
        column = pc.cast(column, column.type.value_type)
    if pa.types.is_floating(column.type):
        values = column.cast(pa.float64())
        whole = pc.and_(pc.equal(pc.floor(values), values), pc.less(pc.abs(values), 2.0**63))
        whole = pc.fill_null(whole, False)
        numbers = pc.if_else(whole, values, 0.0).cast(pa.int64())
        texts = pc.if_else(whole, numbers.cast(pa.utf8()), values.cast(pa.utf8()))
        return pc.if_else(pc.is_nan(values), pa.scalar(None, pa.utf8()), texts)
    try:
        return column.cast(pa.utf8())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return column


def _as_batch(table: pa.Table) -> pa.RecordBatch:
    batches = table.to_batches()
    if len(batches) > 1:
        batches = table.combine_chunks().to_batches()
    if len(batches) == 1:
        return batches[0]
    # A chunk that cannot be put together, or no chunk at all.
    arrays = [
        pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
        for column in table.columns
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=table.schema)


def _free_values(name: str, values: Sequence[Value]) -> pa.Array:
    """Values of a column that is kept as it comes; whole numbers become int64, as Arrow callers send them."""
    if all(isinstance(value, float) and value.is_integer() and abs(value) < 2**63 for value in values):
        values = [int(value) for value in values if isinstance(value, float)]
    try:
        array = pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise column_error(name, "holds numbers and texts; must hold one or the other") from error
    return array.cast(pa.utf8()) if pa.types.is_null(array.type) else array


def _plain(value: struct_pb2.Value) -> Any:
    kind = value.WhichOneof("kind")
    return None if kind in (None, "null_value") else getattr(value, kind)


def _without_large_rows(checked: CheckedRows) -> CheckedRows:
    """Refuses rows that could not be sent back in one message."""
    sizes = row_bytes(checked.rows)
    fits = sizes <= MAX_ROW_BYTES
    if fits.all():
        return checked
    large = [
        common_pb2.RejectedRow(
            row_index=int(checked.accepted[index]),
            reason=f"the row has {sizes[index]:,} bytes; it must have at most {MAX_ROW_BYTES:,}",
        )
        for index in np.flatnonzero(~fits)[:MAX_REASONS]
    ]
    rejected = sorted([*checked.rejected, *large], key=lambda row: row.row_index)[:MAX_REASONS]
    count = checked.rejected_count + int(np.count_nonzero(~fits))
    return CheckedRows(checked.rows.filter(pa.array(fits)), checked.accepted[fits], rejected, count)


def _rejections(
    refused_by: Sequence[tuple[Column, pa.Array, np.ndarray]], bad: np.ndarray
) -> list[common_pb2.RejectedRow]:
    """The first refused rows with their first offending column, in row order."""
    found: list[common_pb2.RejectedRow] = []
    for index in np.flatnonzero(bad)[:MAX_REASONS].tolist():
        column, sent, _ = next(one for one in refused_by if one[2][index])
        reason = f"{column.name} {column.reason(sent[index])}"
        found.append(common_pb2.RejectedRow(row_index=index, column=column.name, reason=reason))
    return found
