"""Rows of a table as arrays by kind of column: numbers, codes and categories, the form in which models take
them.
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

MISSING_CODE = -(2**63)

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class TabularSchema:
    """Names of the inputs by kind, in the task's order, and the target with its two values as text."""

    numeric: tuple[str, ...]
    code: tuple[str, ...]
    category: tuple[str, ...]
    target: str
    positive_value: str
    negative_value: str


@dataclass(frozen=True)
class TabularRows:
    """N rows.

    `numeric` float32 `(N, n)`, NaN missing; `code` int64 `(N, n)`, `MISSING_CODE` missing; `category` object
    `(N, n)` of str, "" missing; `label` float32 `(N,)` of 0 and 1, or `None`.
    """

    numeric: Floats
    code: Ints
    category: npt.NDArray[np.object_]
    label: Floats | None = None

    @classmethod
    def from_arrow(cls, table: pa.Table, schema: TabularSchema) -> Self:
        """Reads the schema's columns; the label is read where the table has the target.

        Raises `KeyError` for a column that is lacking and `ValueError` for a label that is neither of the two
        values.
        """
        if lacking := [
            name
            for name in (*schema.numeric, *schema.code, *schema.category)
            if name not in table.column_names
        ]:
            raise KeyError(f"the table lacks {', '.join(lacking)}")
        count = table.num_rows
        numeric = [_numbers(table.column(name)) for name in schema.numeric]
        code = [_codes(table.column(name)) for name in schema.code]
        category = [_texts(table.column(name)) for name in schema.category]
        label = _label(table.column(schema.target), schema) if schema.target in table.column_names else None
        return cls(
            _columns(numeric, count, np.float32),
            _columns(code, count, np.int64),
            _columns(category, count, object),
            label,
        )

    def take(self, indices: npt.ArrayLike) -> "TabularRows":
        """The rows at `indices`, in their order."""
        chosen = np.asarray(indices)
        label = None if self.label is None else self.label[chosen]
        return TabularRows(self.numeric[chosen], self.code[chosen], self.category[chosen], label)

    def __len__(self) -> int:
        return len(self.numeric)


def _columns(columns: list[npt.NDArray[Any]], count: int, kind: type) -> npt.NDArray[Any]:
    return np.ascontiguousarray(np.stack(columns, axis=1)) if columns else np.empty((count, 0), kind)


def _numbers(column: pa.ChunkedArray) -> Floats:
    with np.errstate(over="ignore"):
        values: Floats = pc.cast(column, pa.float64()).to_numpy().astype(np.float32)
    values[~np.isfinite(values)] = np.nan
    return values


def _codes(column: pa.ChunkedArray) -> Ints:
    values: Ints = pc.fill_null(pc.cast(column, pa.int64()), MISSING_CODE).to_numpy()
    return values


def _texts(column: pa.ChunkedArray) -> npt.NDArray[np.object_]:
    values: npt.NDArray[np.object_] = (
        pc.fill_null(pc.cast(column, pa.utf8()), "").to_numpy(zero_copy_only=False).astype(object)
    )
    return values


def _label(column: pa.ChunkedArray, schema: TabularSchema) -> Floats:
    texts = pc.cast(column, pa.utf8())
    positive = pc.equal(texts, schema.positive_value)
    negative = pc.equal(texts, schema.negative_value)
    known = pc.fill_null(pc.or_(positive, negative), False)
    if not pc.all(known).as_py() and len(texts):
        row = pc.index(known, False).as_py()
        raise ValueError(
            f"{schema.target} is {texts[row].as_py()!r} in row {row}; "
            f"must be {schema.positive_value!r} or {schema.negative_value!r}"
        )
    values: Floats = positive.to_numpy().astype(np.float32)
    return values
