"""What single columns of a table mean to a model: the known values of a code or category, numbers about their
mean.
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from models.recipe import Input

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

ARROW_TYPES = {"code": pa.int64(), "category": pa.utf8(), "numeric": pa.float64()}


@dataclass(frozen=True)
class Values:
    """The known values of a code or category input, in order. Place 0 stands for all others and for missing
    ones, value k has place k + 1.
    """

    input: Input
    known: pa.Array

    @classmethod
    def of(cls, input: Input, table: pa.Table) -> Self:
        """What `table` has."""
        return cls(input, _distinct(typed_column(table, input)))

    @property
    def texts(self) -> tuple[str, ...]:
        """The known values as text."""
        return tuple(pc.cast(self.known, pa.utf8()).to_pylist())

    def places(self, table: pa.Table) -> Ints:
        """The place of each row, int64 `(N,)`."""
        found = pc.index_in(typed_column(table, self.input), value_set=self.known)
        return np.asarray(pc.add(pc.fill_null(found, -1), 1).to_numpy(), np.int64)

    def as_json(self) -> dict[str, Any]:
        """As `from_json` reads it."""
        return {"name": self.input.name, "type": self.input.type, "known": self.known.to_pylist()}

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Self:
        """What `as_json` wrote."""
        input = Input(found["name"], found["type"])
        return cls(input, pa.array(found["known"], ARROW_TYPES[input.type]))


@dataclass(frozen=True)
class Number:
    """A numeric input in deviations from its mean; a missing number is an average one."""

    name: str
    mean: float
    deviation: float

    @classmethod
    def of(cls, name: str, table: pa.Table) -> Self:
        """Mean and deviation of the column in `table`."""
        column = _finite(table, name)
        present = column[~np.isnan(column)]
        deviation = float(present.std()) if len(present) else 0.0
        return cls(name, float(present.mean()) if len(present) else 0.0, deviation or 1.0)

    def standardised(self, table: pa.Table) -> Floats:
        """The column of `table`, float64 `(N,)`."""
        return np.nan_to_num((_finite(table, self.name) - self.mean) / self.deviation, nan=0.0)


def typed_column(table: pa.Table, input: Input) -> pa.ChunkedArray:
    """The input's values in its type; an empty text is a missing one."""
    column = pc.cast(table.column(input.name), ARROW_TYPES[input.type])
    if input.type == "category":
        return pc.if_else(pc.equal(column, ""), None, column)
    return column


def _distinct(column: pa.ChunkedArray) -> pa.Array:
    distinct = pc.drop_null(pc.unique(column))
    return distinct.take(pc.sort_indices(distinct))


def _finite(table: pa.Table, name: str) -> Floats:
    """A numeric column, float64 `(N,)`; whatever is no finite number is NaN."""
    values = pc.cast(table.column(name), pa.float64()).to_numpy()
    return np.where(np.isfinite(values), values, np.nan)
