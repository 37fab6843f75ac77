"""From checked rows to what a model takes: packed arrays by kind of feature, missing values marked as the
models expect them.

The same rows are packed as bytes for their event, so that writing an event down costs no Arrow and no names
for a single row.
"""

import json
import operator
import struct
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from boarfish.v1 import task_pb2

from services.common.rows import CATEGORY, CODE, INT64_MIN, NUMERIC, Value

MISSING_CODE = INT64_MIN
MISSING_CATEGORY = ""


class ModelInputs(NamedTuple):
    """Rows as a model takes them; a kind of feature that the task does not have is `None`.

    `numeric` float32 `(N, n)`, missing NaN; `code` int64 `(N, n)`, missing the smallest int64; `category`
    object (texts) `(N, n)`, missing "".
    """

    row_count: int
    numeric: np.ndarray | None
    code: np.ndarray | None
    category: np.ndarray | None

    def by_name(self) -> dict[str, np.ndarray]:
        """The arrays under the names of the model's inputs."""
        named = {"numeric": self.numeric, "code": self.code, "category": self.category}
        return {name: array for name, array in named.items() if array is not None}


def concatenate(parts: Sequence[ModelInputs]) -> ModelInputs:
    """The rows of several requests behind one another."""
    if len(parts) == 1:
        return parts[0]

    def joined(kind: str) -> np.ndarray | None:
        arrays = [getattr(part, kind) for part in parts]
        return None if arrays[0] is None else np.concatenate(arrays)

    return ModelInputs(
        sum(part.row_count for part in parts), joined("numeric"), joined("code"), joined("category")
    )


class InputLayout:
    """Where each feature of a task stands: in checked values, in the model's arrays and in an event's
    packed row.
    """

    def __init__(self, task: task_pb2.Task) -> None:
        kinds = {feature.name: feature.type for feature in task.features}
        self.numeric = tuple(name for name, kind in kinds.items() if kind == NUMERIC)
        self.code = tuple(name for name, kind in kinds.items() if kind == CODE)
        self.category = tuple(name for name, kind in kinds.items() if kind == CATEGORY)
        others = {one.name: one.type for one in task.sensitive if one.name not in kinds}
        columns = [*kinds.items(), *others.items()]
        positions = {name: position for position, (name, _) in enumerate(columns)}
        self._numeric_of = _getter([positions[name] for name in self.numeric])
        self._code_of = _getter([positions[name] for name in self.code])
        self._category_of = _getter([positions[name] for name in self.category])
        self._missing = [_MISSING[kind] for _, kind in columns]
        self._code_struct = struct.Struct(f"<{len(self.code)}q")
        self.packing = RowPacking([(name, int(kind)) for name, kind in columns])

    def fill(self, values: list[Value]) -> list[Value]:
        """Checked values of one row with missing ones marked."""
        if None not in values:
            return values
        return [
            missing if value is None else value for value, missing in zip(values, self._missing, strict=True)
        ]

    def from_rows(self, rows: Sequence[list[Value]]) -> ModelInputs:
        """Model inputs from filled rows."""
        return ModelInputs(
            len(rows),
            np.array([self._numeric_of(row) for row in rows], np.float32) if self.numeric else None,
            self._codes_of(rows) if self.code else None,
            np.array([self._category_of(row) for row in rows], object) if self.category else None,
        )

    def _codes_of(self, rows: Sequence[list[Value]]) -> np.ndarray:
        pack, pick = self._code_struct.pack, self._code_of
        packed = b"".join([pack(*pick(row)) for row in rows])
        return np.frombuffer(packed, "<i8").reshape(len(rows), len(self.code))

    def from_batch(self, batch: pa.RecordBatch) -> ModelInputs:
        """Model inputs from checked Arrow rows."""
        count = batch.num_rows

        def filled(
            names: tuple[str, ...], dtype: Any, convert: Callable[[pa.Array], Any]
        ) -> np.ndarray | None:
            if not names:
                return None
            array = np.empty((count, len(names)), dtype)
            for position, name in enumerate(names):
                array[:, position] = convert(batch.column(name))
            return array

        return ModelInputs(
            count,
            filled(self.numeric, np.float32, lambda column: column.to_numpy(zero_copy_only=False)),
            filled(self.code, np.int64, lambda column: _without_nulls(column, MISSING_CODE)),
            filled(self.category, object, lambda column: _without_nulls(column, MISSING_CATEGORY)),
        )


class RowPacking:
    """Rows as bytes: all numbers of fixed width, then, where there are texts, their JSON list with a
    length before it.
    """

    def __init__(self, columns: Sequence[tuple[str, int]]) -> None:
        self.columns = tuple((name, kind) for name, kind in columns)
        self._fixed = [
            (position, name, kind) for position, (name, kind) in enumerate(columns) if kind != CATEGORY
        ]
        self._texts = [(position, name) for position, (name, kind) in enumerate(columns) if kind == CATEGORY]
        self._struct = struct.Struct(
            "<" + "".join("d" if kind == NUMERIC else "q" for _, _, kind in self._fixed)
        )
        self._fixed_of = _getter([position for position, _, _ in self._fixed])
        self._texts_of = _getter([position for position, _ in self._texts])
        self._dtype = np.dtype([(name, "<f8" if kind == NUMERIC else "<i8") for _, name, kind in self._fixed])

    def pack(self, rows: Sequence[list[Value]]) -> bytes:
        """Filled rows as bytes."""
        fixed = b"".join([self._struct.pack(*self._fixed_of(row)) for row in rows])
        if not self._texts:
            return fixed
        return fixed + json.dumps([self._texts_of(row) for row in rows]).encode()

    def unpack(self, packed: Sequence[tuple[int, bytes]]) -> list[pa.Array]:
        """Arrow columns, in the packing's order, of several packed bodies with their row counts."""
        size = self._dtype.itemsize
        fixed = np.frombuffer(b"".join([body[: size * count] for count, body in packed]), self._dtype)
        arrays: dict[str, pa.Array] = {}
        for _, name, kind in self._fixed:
            values = np.ascontiguousarray(fixed[name])
            missing = np.isnan(values) if kind == NUMERIC else values == MISSING_CODE
            arrays[name] = pa.array(values, pa.float64() if kind == NUMERIC else pa.int64(), mask=missing)
        if self._texts:
            rows = [row for count, body in packed for row in json.loads(body[size * count :])]
            for position, (_, name) in enumerate(self._texts):
                arrays[name] = pa.array([row[position] or None for row in rows], pa.utf8())
        return [arrays[name] for name, _ in self.columns]


class TwoTexts:
    """A column of texts of which there are only two: `no` and `yes`."""

    def __init__(self, no: str, yes: str) -> None:
        words = [np.frombuffer(word.encode(), np.uint8) for word in (no, yes)]
        self._lengths = np.array([len(word) for word in words], np.int32)
        self._characters = np.zeros((2, int(self._lengths.max())), np.uint8)
        for row, word in enumerate(words):
            self._characters[row, : len(word)] = word
        self._used = np.arange(self._characters.shape[1]) < self._lengths[:, None]
        self._even = bool(self._used.all())

    def chosen(self, yes: np.ndarray) -> pa.Array:
        """The column in which `yes`, bool `(N,)`, says which text stands."""
        which = yes.view(np.int8)
        offsets = np.zeros(len(yes) + 1, np.int32)
        np.cumsum(self._lengths[which], out=offsets[1:])
        characters = self._characters[which]
        if not self._even:
            characters = characters[self._used[which]]
        return pa.Array.from_buffers(
            pa.utf8(), len(yes), [None, pa.py_buffer(offsets), pa.py_buffer(characters)]
        )


_MISSING: dict[int, Value] = {NUMERIC: float("nan"), CODE: MISSING_CODE, CATEGORY: MISSING_CATEGORY}


def _getter(positions: Sequence[int]) -> Callable[[Sequence[Value]], tuple[Value, ...]]:
    """Picks several positions of a row as a tuple, whatever their number."""
    if not positions:
        return lambda row: ()
    if len(positions) == 1:
        only = positions[0]
        return lambda row: (row[only],)
    return operator.itemgetter(*positions)


def _without_nulls(column: pa.Array, missing: Value) -> np.ndarray:
    if column.null_count:
        column = pc.fill_null(column, missing)
    values: np.ndarray = column.to_numpy(zero_copy_only=False)
    return values
