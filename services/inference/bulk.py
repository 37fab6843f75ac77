"""Rows in bulk the short way: whole Arrow columns of numbers, checked and laid out for the model at once.

Most callers send what the task asks for: every column there, numbers only, nothing missing. Such a request
is read, checked and turned into the model's arrays by a handful of calls, whatever its number of columns,
and its own bytes become its event. Everything else (texts, missing values, several batches, anything wrong)
takes the way of `services.common.rows`, which has the words for what it refuses; both accept the same rows.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from services.common.rows import CODE, INT64_MIN, NUMERIC, Column, RowSchema
from services.inference.events import EventRows, sent_rows
from services.inference.inputs import InputLayout, ModelInputs

KNOWN_SCHEMAS = 16
MAX_CODE_TABLE = 65_536


class BulkRows:
    """The short way of one deployment."""

    def __init__(self, schema: RowSchema, layout: InputLayout) -> None:
        self._columns = {column.name: column for column in schema.columns}
        self._layout = layout
        self._plans: list[tuple[pa.Schema, _Plan | None]] = []

    def read(self, data: bytes) -> tuple[ModelInputs, list[EventRows]] | None:
        """The rows of an Arrow IPC stream as model inputs and as the body of their event; `None` when they
        must take the long way.
        """
        if self._layout.category:
            return None
        try:
            with pa.ipc.RecordBatchStreamReader(pa.py_buffer(data)) as reader:
                plan = self._plan(reader.schema)
                if plan is None:
                    return None
                batch = reader.read_next_batch()
                batch.validate()
                inputs = plan.inputs(batch)
                if inputs is None or _has_more(reader):
                    return None
        except (pa.ArrowException, OSError, ValueError, StopIteration, MemoryError):
            return None
        event = sent_rows(data, batch.num_rows)
        return None if event is None else (inputs, [event])

    def _plan(self, schema: pa.Schema) -> "_Plan | None":
        for known, plan in self._plans:
            if known.equals(schema):
                return plan
        plan = _plan(schema, self._columns, self._layout)
        self._plans = [*self._plans[-KNOWN_SCHEMAS + 1 :], (schema, plan)]
        return plan


def _has_more(reader: Any) -> bool:
    try:
        reader.read_next_batch()
    except StopIteration:
        return False
    return True


def _plan(schema: pa.Schema, columns: dict[str, Column], layout: InputLayout) -> "_Plan | None":
    names: list[str] = schema.names
    features = (*layout.numeric, *layout.code)
    if len(set(names)) < len(names) or not set(features) <= set(names) <= columns.keys():
        return None
    numeric = [*layout.numeric]
    codes = [*layout.code]
    for name in names:
        kind = columns[name].kind
        if kind == NUMERIC and name not in numeric:
            numeric.append(name)
        elif kind == CODE and name not in codes:
            codes.append(name)
        elif kind not in (NUMERIC, CODE):
            return None
        arrow = schema.field(name).type
        whole = pa.types.is_signed_integer(arrow) or (
            pa.types.is_unsigned_integer(arrow) and not pa.types.is_uint64(arrow)
        )
        if not whole and not (kind == NUMERIC and pa.types.is_floating(arrow)):
            return None
    known = [_codes_of(columns[name]) for name in codes]
    if any(one is None for one in known):
        return None
    tables = [one for one in known if one is not None]
    return _Plan(
        numeric=_Block([schema.get_field_index(name) for name in numeric], len(layout.numeric)),
        codes=_Block([schema.get_field_index(name) for name in codes], len(layout.code)),
        bounds=(
            np.array([_or(columns[name].minimum, -np.inf) for name in numeric]),
            np.array([_or(columns[name].maximum, np.inf) for name in numeric]),
        ),
        tables=tables,
    )


def _or(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value


def _codes_of(column: Column) -> tuple[int, np.ndarray] | None:
    """The lowest allowed code and a table of which follow it, ended by `False`; for a column that allows
    all, the lowest int64 and `True` for all but that. `None` when they spread too wide for a table.
    """
    if column.allowed is None:
        return INT64_MIN, np.array([False, True])
    if not column.allowed:
        return None
    lowest, highest = min(column.allowed), max(column.allowed)
    if highest - lowest >= MAX_CODE_TABLE:
        return None
    table = np.zeros(highest - lowest + 2, bool)
    table[[code - lowest for code in column.allowed]] = True
    return lowest, table


class _Block:
    """Columns of one kind at `positions` of a batch; the first `given` are the model's."""

    def __init__(self, positions: Sequence[int], given: int) -> None:
        self.positions = list(positions)
        self.given = given

    def read(self, batch: pa.RecordBatch, dtype: Any) -> np.ndarray:
        """`(N, columns)`, rows behind one another."""
        found: np.ndarray = batch.select(self.positions).to_tensor().to_numpy()
        return found.astype(dtype, copy=False)


class _Plan:
    """How batches of one Arrow schema become model inputs."""

    def __init__(
        self,
        *,
        numeric: _Block,
        codes: _Block,
        bounds: tuple[np.ndarray, np.ndarray],
        tables: Sequence[tuple[int, np.ndarray]],
    ) -> None:
        self._numeric = numeric
        self._codes = codes
        self._minimum, self._maximum = bounds
        sizes = [len(table) for _, table in tables]
        self._lowest = np.array([lowest % 2**64 for lowest, _ in tables], np.uint64)
        self._last = np.array([size - 1 for size in sizes], np.uint64)
        self._start = np.array(np.cumsum([0, *sizes[:-1]]), np.uint64)
        self._allowed = np.concatenate([table for _, table in tables]) if tables else np.zeros(0, bool)

    def inputs(self, batch: pa.RecordBatch) -> ModelInputs | None:
        """Model inputs, or `None` when there are no rows or a value is not allowed. Raises `ArrowTypeError`
        when one is missing.
        """
        if not batch.num_rows:
            return None
        numeric = codes = None
        if self._numeric.positions:
            values = self._numeric.read(batch, np.float64)
            # A comparison with NaN is false; infinity is beyond every bound but its own.
            if not ((values >= self._minimum) & (values <= self._maximum) & np.isfinite(values)).all():
                return None
            if self._numeric.given:
                numeric = np.ascontiguousarray(values[:, : self._numeric.given], np.float32)
        if self._codes.positions:
            found = self._codes.read(batch, np.int64)
            places = found.view(np.uint64) - self._lowest
            np.minimum(places, self._last, out=places)
            places += self._start
            if not self._allowed[places.view(np.int64)].all():
                return None
            if self._codes.given:
                codes = np.ascontiguousarray(found[:, : self._codes.given])
        return ModelInputs(batch.num_rows, numeric, codes, None)
