"""Summaries of one column that merge: associative and commutative, at a size that does not grow with rows.

Counts are exact in whatever order parts were merged; sums are exact to rounding. Quantiles come from a KLL
sketch (Karnin, Lang and Liberty, "Optimal quantile approximation in streams", 2016) of Apache DataSketches;
its answers are within about 1.3 % of rank.

A column of categories keeps at most `MAX_VALUES` values: those with the smallest hashes, as in bottom-k
sampling (Cohen and Kaplan, "Summarizing data using bottom-k sketches", 2007). What is kept therefore depends
on the values that came and not on their order, and every count that is kept is exact.
"""

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Protocol, Self

import datasketches
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from audit.profiles.bins import FixedBins
from audit.profiles.schema import ColumnKind, ColumnSchema

KLL_K = 200
MAX_VALUES = 10_000


class ColumnProfile(Protocol):
    """What both kinds share."""

    count: int
    missing_count: int

    def add(self, values: pa.Array) -> None:
        """Counts a batch."""

    def merge_all(self, others: Sequence[Self]) -> None:
        """Adds other summaries of the same column to this one."""


class NumericColumn:
    """Counts in fixed bins, extremes, sums and a quantile sketch. NaN and null are missing."""

    def __init__(self, schema: ColumnSchema) -> None:
        self._bins = FixedBins(schema.bin_edges)
        self.edges = self._bins.edges
        self.count = 0
        self.missing_count = 0
        self.bin_counts: npt.NDArray[np.int64] = np.zeros(len(self.edges) + 1, np.int64)
        self.sketch = datasketches.kll_floats_sketch(KLL_K)
        self.minimum, self.maximum = np.inf, -np.inf
        self.sum = 0.0
        self.sum_of_squares = 0.0

    def add(self, values: pa.Array) -> None:
        """Counts a batch of numbers."""
        numbers = pc.cast(values, pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        missing = np.isnan(numbers)
        present = numbers[~missing] if missing.any() else numbers
        self.missing_count += len(numbers) - len(present)
        if not len(present):
            return
        self.count += len(present)
        self.bin_counts += self._bins.count(present)
        self.sketch.update(present.astype(np.float32))
        self.minimum = min(self.minimum, float(present.min()))
        self.maximum = max(self.maximum, float(present.max()))
        self.sum += float(present.sum())
        # Not `present @ present`: a dot product wakes BLAS's threads, which costs more than it saves here.
        self.sum_of_squares += float(np.square(present).sum())

    def merge_all(self, others: Sequence["NumericColumn"]) -> None:
        """Adds other summaries of the same column to this one."""
        for other in others:
            if other.count:
                self.sketch.merge(other.sketch)
        self.count += sum(other.count for other in others)
        self.missing_count += sum(other.missing_count for other in others)
        parts = [self.bin_counts, *(other.bin_counts for other in others)]
        self.bin_counts = np.concatenate(parts).reshape(len(parts), -1).sum(axis=0)
        self.minimum = min(self.minimum, *(other.minimum for other in others))
        self.maximum = max(self.maximum, *(other.maximum for other in others))
        self.sum += sum(other.sum for other in others)
        self.sum_of_squares += sum(other.sum_of_squares for other in others)

    @property
    def mean(self) -> float:
        """Mean of the values present; NaN when there is none."""
        return self.sum / self.count if self.count else float("nan")

    def quantile(self, q: float) -> float:
        """The `q`-quantile, 0 <= q <= 1; NaN when there is no value."""
        return float(self.sketch.get_quantile(q)) if self.count else float("nan")


class CategoryColumn:
    """How often each value came, by its text. Past `MAX_VALUES` distinct values the rest is `other_count`."""

    def __init__(self, schema: ColumnSchema) -> None:
        del schema
        self.count = 0
        self.missing_count = 0
        self.value_counts: dict[str, int] = {}
        self.other_count = 0

    def add(self, values: pa.Array) -> None:
        """Counts a batch of codes or texts."""
        present = values.drop_null() if values.null_count else values
        self.missing_count += len(values) - len(present)
        self.count += len(present)
        if pa.types.is_integer(present.type) and len(present):
            self._add(_count_codes(present.to_numpy(zero_copy_only=False)))
        elif len(present):
            counted = pc.value_counts(present)
            texts = map(str, counted.field(0).to_pylist())
            self._add(zip(texts, counted.field(1).to_pylist(), strict=True))

    def merge_all(self, others: Sequence["CategoryColumn"]) -> None:
        """Adds other summaries of the same column to this one."""
        by_values: dict[tuple[str, ...], list[Iterable[int]]] = {}
        for other in others:
            self.count += other.count
            self.missing_count += other.missing_count
            self.other_count += other.other_count
            by_values.setdefault(tuple(other.value_counts), []).append(other.value_counts.values())
        for values, counts in by_values.items():
            self._add(zip(values, map(sum, zip(*counts, strict=True)), strict=True))

    def _add(self, counts: Iterable[tuple[str, int]]) -> None:
        known = self.value_counts
        for value, count in counts:
            known[value] = known.get(value, 0) + count
        if len(known) > MAX_VALUES:
            kept = sorted(known, key=_hash)[:MAX_VALUES]
            self.value_counts = {value: known[value] for value in kept}
            self.other_count += sum(known.values()) - sum(self.value_counts.values())


def empty_column(schema: ColumnSchema) -> NumericColumn | CategoryColumn:
    """A summary of no rows."""
    return NumericColumn(schema) if schema.kind == ColumnKind.NUMERIC else CategoryColumn(schema)


def _count_codes(codes: npt.NDArray[np.integer]) -> Iterable[tuple[str, int]]:
    smallest, largest = int(codes.min()), int(codes.max())
    if largest - smallest < 4 * MAX_VALUES:
        counts = np.bincount(codes.astype(np.int64) - smallest)
        values = np.flatnonzero(counts)
        return zip(map(str, (values + smallest).tolist()), counts[values].tolist(), strict=True)
    values, counts = np.unique(codes, return_counts=True)
    return zip(map(str, values.tolist()), counts.tolist(), strict=True)


def _hash(value: str) -> bytes:
    return blake2b(value.encode("utf-8", "surrogatepass"), digest_size=8).digest()
