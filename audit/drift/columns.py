"""Every column of a profile beside the reference's: aligned counts, how far apart, how surprising.

The values of a column of categories are the reference's and those seen now; numbers are compared by bin.
Missing values count as a value of their own, so a column that goes missing has moved.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from audit.drift.distances import (
    corrected_distance,
    jensen_shannon_distance,
    p_value,
    population_stability_index,
)
from audit.profiles.column import CategoryColumn, NumericColumn
from audit.profiles.profile import Profile

Counts = npt.NDArray[np.int64]

MISSING, OTHER = "missing", "any other value"


@dataclass(frozen=True)
class ColumnComparison:
    """One column now and in the reference; `values`, `window` and `reference` are aligned, missing last.

    `distance`: base-2 Jensen-Shannon distance with its sampling bias taken off, 0 same to 1 disjoint;
    `raw_distance` with it. `p_value` is that of one look. Without rows on a side distances and the index are
    NaN and `p_value` is 1; with 1 or 5 rows the distance is about 0 unless values are new.
    """

    column: str
    values: tuple[str, ...]
    window: Counts
    reference: Counts
    distance: float
    raw_distance: float
    population_stability_index: float
    p_value: float

    @property
    def missing_share(self) -> float:
        """Share of rows without a value; NaN without rows."""
        rows = int(self.window.sum())
        return int(self.window[-1]) / rows if rows else float("nan")


def compare_columns(window: Profile, reference: Profile) -> list[ColumnComparison]:
    """All columns in the schema's order. Raises `ValueError` when the schemas differ."""
    if window.schema != reference.schema:
        raise ValueError("profiles of different schemas cannot be compared: their columns or bins differ")
    found = []
    for schema, now, before in zip(window.schema.columns, window.columns, reference.columns, strict=True):
        if isinstance(now, NumericColumn) and isinstance(before, NumericColumn):
            values, counts = bin_names(schema.bin_edges), (now.bin_counts, before.bin_counts)
        else:
            assert isinstance(now, CategoryColumn)
            assert isinstance(before, CategoryColumn)
            known = sorted({*before.value_counts, *now.value_counts}, key=_order)
            values = [*known, OTHER]
            counts = _value_counts(now, known), _value_counts(before, known)
        after, base = np.append(counts[0], now.missing_count), np.append(counts[1], before.missing_count)
        found.append(
            ColumnComparison(
                schema.name,
                (*values, MISSING),
                after,
                base,
                corrected_distance(after, base),
                jensen_shannon_distance(after, base),
                population_stability_index(after, base),
                p_value(after, base),
            )
        )
    return found


def bin_names(edges: tuple[float, ...]) -> list[str]:
    """What bins are called, lowest first: `below 18`, `18 to 65` (65 excluded), `65 and more`."""
    if not edges:
        return ["any number"]
    inner = [f"{low:g} to {high:g}" for low, high in pairwise(edges)]
    return [f"below {edges[0]:g}", *inner, f"{edges[-1]:g} and more"]


def _value_counts(column: CategoryColumn, known: list[str]) -> Counts:
    return np.array([*(column.value_counts.get(value, 0) for value in known), column.other_count], np.int64)


def _order(value: str) -> tuple[float, str]:
    """Codes by their number, then texts by the alphabet."""
    return (float(value), value) if value.lstrip("-").isdecimal() else (float("inf"), value)
