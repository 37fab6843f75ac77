"""Counting numbers in fixed bins, at a few nanoseconds a number.

A number is first put into one of many equal cells between the outermost edges, which takes a multiplication.
As that is monotone in floating point too, a number whose cell holds no edge lies in the bin of its whole
cell; only the others are searched for among the edges. The counts are exactly those of `np.searchsorted`.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

CELLS = 4096


class FixedBins:
    """Bins between inner `edges` in increasing order: K edges make K + 1 bins, without their upper edges."""

    def __init__(self, edges: Sequence[float]) -> None:
        self.edges = np.asarray(edges, np.float64)
        # Python's floats: where edges lie farther apart than a float holds, numpy would warn.
        span = float(self.edges[-1]) - float(self.edges[0]) if len(self.edges) else 0.0
        self._scale = CELLS / span if span > 0 and np.isfinite(CELLS / span) else 0.0
        if self._scale:
            self._shift = float(self.edges[0])
            of_edges = self._cells(self.edges)
            self._holds_edge = np.zeros(CELLS + 3, bool)
            self._holds_edge[of_edges] = True
            self._bin_of_cell = np.searchsorted(of_edges, np.arange(CELLS + 3), side="right")

    def count(self, numbers: Floats) -> Ints:
        """Numbers in each bin, int64 `(K + 1,)`. `numbers` `(N,)` may hold infinities and no NaN."""
        bins = len(self.edges) + 1
        if not self._scale:
            return np.bincount(np.searchsorted(self.edges, numbers, side="right"), minlength=bins)
        cells = self._cells(numbers)
        by_cell = np.bincount(cells, minlength=CELLS + 3)
        unclear = numbers[self._holds_edge[cells]]
        by_cell[self._holds_edge] = 0
        counts = np.bincount(self._bin_of_cell, by_cell, minlength=bins).astype(np.int64)
        return counts + np.bincount(np.searchsorted(self.edges, unclear, side="right"), minlength=bins)

    def _cells(self, numbers: Floats) -> npt.NDArray[np.int32]:
        """Cell of each number: 0 below the edges, then `CELLS + 1` cells, then what lies above. Monotone."""
        with np.errstate(over="ignore"):
            scaled = numbers - self._shift
            scaled *= self._scale
        scaled += 1
        np.clip(scaled, 0, CELLS + 2, out=scaled)
        return scaled.astype(np.int32)
