"""What a profile counts: names, kinds and fixed bins of columns, chosen once on the reference rows.

Two profiles can be merged when their schemas are equal, so bins are never chosen again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

DEFAULT_BINS = 20
DEFAULT_SCORE_BINS = 50


class ColumnKind(StrEnum):
    """How a column is summarised."""

    NUMERIC = "numeric"
    CATEGORY = "category"


@dataclass(frozen=True)
class ColumnSchema:
    """One column. `bin_edges`: inner edges of a numeric column in increasing order; K edges make K + 1
    bins.
    """

    name: str
    kind: ColumnKind
    bin_edges: tuple[float, ...] = ()


@dataclass(frozen=True)
class ProfileSchema:
    """The columns in order, the number of equal score bins over [0, 1], and the names of sensitive
    attributes in order.
    """

    columns: tuple[ColumnSchema, ...]
    score_bin_count: int = DEFAULT_SCORE_BINS
    sensitive: tuple[str, ...] = ()

    @classmethod
    def fit(
        cls,
        table: pa.Table,
        *,
        numeric: Sequence[str] = (),
        categorical: Sequence[str] = (),
        sensitive: Sequence[str] = (),
        bin_count: int = DEFAULT_BINS,
        score_bin_count: int = DEFAULT_SCORE_BINS,
    ) -> Self:
        """Chooses bins so that each holds about the same share of `table`'s rows.

        Columns keep the table's order. A numeric column without values, or with one value, gets the edges
        that it has distinct quantiles for: none or one. Raises `KeyError` for a column that is not in the
        table.
        """
        for name in [*numeric, *categorical]:
            if name not in table.column_names:
                raise KeyError(f"{name} is not a column of the reference rows")
        columns = [
            ColumnSchema(name, ColumnKind.NUMERIC, _edges(table.column(name), bin_count))
            if name in numeric
            else ColumnSchema(name, ColumnKind.CATEGORY)
            for name in table.column_names
            if name in numeric or name in categorical
        ]
        return cls(tuple(columns), score_bin_count, tuple(sensitive))


def _edges(column: pa.ChunkedArray, bin_count: int) -> tuple[float, ...]:
    values = pc.drop_null(column).cast(pa.float64()).to_numpy()
    values = values[np.isfinite(values)]
    if not len(values):
        return ()
    return tuple(float(edge) for edge in np.unique(np.quantile(values, np.arange(1, bin_count) / bin_count)))
