"""What was predicted and what came true, as counts that merge: histograms of scores and a confusion table.

All counts of one set of people lie in one vector of int64 and all sums in one of float64, so that many groups
are a matrix (`audit.profiles.subgroups`) and merging is one addition.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Self

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

HISTOGRAMS = ("score_counts", "labelled_counts", "labelled_positive_counts")
TOTALS = (
    "positive_decision_count",
    "true_negatives",
    "false_negatives",
    "false_positives",
    "true_positives",
)


@lru_cache
def places(bin_count: int) -> dict[str, slice]:
    """Where each of `HISTOGRAMS` and `TOTALS` lies in a vector of counts."""
    ends = [bin_count * i for i in range(len(HISTOGRAMS) + 1)]
    found = {name: slice(ends[i], ends[i + 1]) for i, name in enumerate(HISTOGRAMS)}
    return found | {name: slice(ends[-1] + i, ends[-1] + i + 1) for i, name in enumerate(TOTALS)}


def sizes(bin_count: int) -> tuple[int, int]:
    """Lengths of the vectors of counts and of sums."""
    return len(HISTOGRAMS) * bin_count + len(TOTALS), bin_count + 1


class QualityProfile:
    """Counts over predictions; score bins are `bin_count` equal parts of [0, 1].

    `score_counts` int64 and `score_sums` float64, both `(bins,)`, speak of all predictions,
    `labelled_counts` and `labelled_positive_counts` of those whose label is known. The confusion table sets
    decisions against labels. What is left out of the arguments is 0. Raises `ValueError` for a histogram of
    another number of bins.
    """

    __slots__ = ("bin_count", "counts", "sums")

    def __init__(
        self,
        bin_count: int,
        score_counts: npt.ArrayLike = (),
        score_sums: npt.ArrayLike = (),
        labelled_counts: npt.ArrayLike = (),
        labelled_positive_counts: npt.ArrayLike = (),
        *,
        positive_decision_count: int = 0,
        true_positives: int = 0,
        false_positives: int = 0,
        true_negatives: int = 0,
        false_negatives: int = 0,
        squared_error_sum: float = 0.0,
    ) -> None:
        count_size, sum_size = sizes(bin_count)
        self.bin_count = bin_count
        self.counts: Ints = np.zeros(count_size, np.int64)
        self.sums: Floats = np.zeros(sum_size)
        histograms = (score_counts, labelled_counts, labelled_positive_counts)
        for name, histogram in zip(HISTOGRAMS, histograms, strict=True):
            if np.size(histogram):
                self.counts[places(bin_count)[name]] = histogram
        totals = (positive_decision_count, true_negatives, false_negatives, false_positives, true_positives)
        self.counts[-len(TOTALS) :] = totals
        if np.size(score_sums):
            self.sums[:-1] = score_sums
        self.sums[-1] = squared_error_sum

    @classmethod
    def of(cls, bin_count: int, counts: Ints, sums: Floats) -> Self:
        """The vectors as they are, not copied: writing to them writes here."""
        made = cls.__new__(cls)
        made.bin_count, made.counts, made.sums = bin_count, counts, sums
        return made

    @property
    def score_counts(self) -> Ints:
        """Predictions by score bin, `(bins,)`."""
        return self.counts[: self.bin_count]

    @property
    def score_sums(self) -> Floats:
        """Sum of scores by score bin, `(bins,)`."""
        return self.sums[: self.bin_count]

    @property
    def labelled_counts(self) -> Ints:
        """Predictions whose label is known by score bin, `(bins,)`."""
        return self.counts[self.bin_count : 2 * self.bin_count]

    @property
    def labelled_positive_counts(self) -> Ints:
        """Predictions whose label is positive by score bin, `(bins,)`."""
        return self.counts[2 * self.bin_count : 3 * self.bin_count]

    @property
    def positive_decision_count(self) -> int:
        """Predictions that were decided positively, labelled or not."""
        return int(self.counts[-5])

    @property
    def true_negatives(self) -> int:
        """Decided negatively, and rightly."""
        return int(self.counts[-4])

    @property
    def false_negatives(self) -> int:
        """Decided negatively, and wrongly."""
        return int(self.counts[-3])

    @property
    def false_positives(self) -> int:
        """Decided positively, and wrongly."""
        return int(self.counts[-2])

    @property
    def true_positives(self) -> int:
        """Decided positively, and rightly."""
        return int(self.counts[-1])

    @property
    def squared_error_sum(self) -> float:
        """Sum of (score - label)^2 over labelled predictions."""
        return float(self.sums[-1])

    @property
    def row_count(self) -> int:
        """Predictions."""
        return int(self.score_counts.sum())

    @property
    def labelled_count(self) -> int:
        """Predictions whose label is known."""
        return int(self.counts[-4:].sum())

    def merge_all(self, others: Sequence["QualityProfile"]) -> None:
        """Adds other summaries to this one. Raises `ValueError` when the score bins differ; then nothing is
        added.
        """
        for other in others:
            if other.bin_count != self.bin_count:
                raise ValueError(f"score bins differ: {self.bin_count} and {other.bin_count}")
        for other in others:
            self.counts += other.counts
            self.sums += other.sums

    def without(self, other: "QualityProfile") -> "QualityProfile":
        """Everyone here who is not among `other`, a part of this. Raises `ValueError` when bins differ."""
        if other.bin_count != self.bin_count:
            raise ValueError(f"score bins differ: {self.bin_count} and {other.bin_count}")
        return QualityProfile.of(self.bin_count, self.counts - other.counts, self.sums - other.sums)


def score_bins(score: Floats, bin_count: int) -> Ints:
    """Bin of each score `(N,)`, 0 to `bin_count - 1`."""
    return np.clip((np.asarray(score) * bin_count).astype(np.int64), 0, bin_count - 1)


class QualityCounter:
    """Counts a batch once and hands out the counts of any grouping of its rows, without a pass over rows
    for each group.
    """

    def __init__(self, bin_count: int, score: Floats, positive: Bools, label: Bools | None = None) -> None:
        self._bin_count = bin_count
        self._score = np.asarray(score, np.float64)
        self._positive = np.asarray(positive, bool)
        self._bins = score_bins(self._score, bin_count)
        self._label = None if label is None else np.asarray(label, bool)

    def predictions(self, codes: Ints | None = None, group_count: int = 1) -> tuple[Ints, Floats]:
        """Counts `(G, ...)` and sums `(G, ...)` of scores and decisions by group, laid out as a
        `QualityProfile` has them: `codes` `(N,)` from 0, -1 for rows in no group; `None`: one group of all.
        """
        keep, codes, cells = self._cells(codes)
        counts, sums = self._empty(group_count)
        bins, size = self._bin_count, group_count * self._bin_count
        counts[:, :bins] = np.bincount(cells, minlength=size).reshape(group_count, -1)
        sums[:, :bins] = np.bincount(cells, self._score[keep], minlength=size).reshape(group_count, -1)
        counts[:, -5] = np.bincount(codes[self._positive[keep]], minlength=group_count)
        return counts, sums

    def labels(self, codes: Ints | None = None, group_count: int = 1, sign: int = 1) -> tuple[Ints, Floats]:
        """Counts and sums of outcomes by group; with `sign` -1 the negative of them, which takes labels out
        again. Raises `ValueError` for a batch without labels.
        """
        if self._label is None:
            raise ValueError("the batch has no labels")
        keep, codes, cells = self._cells(codes)
        label, positive = self._label[keep], self._positive[keep]
        counts, sums = self._empty(group_count)
        bins, size = self._bin_count, group_count * self._bin_count
        counts[:, bins : 2 * bins] = np.bincount(cells, minlength=size).reshape(group_count, -1)
        counts[:, 2 * bins : 3 * bins] = np.bincount(cells[label], minlength=size).reshape(group_count, -1)
        confusion = np.bincount(codes * 4 + positive * 2 + label, minlength=4 * group_count)
        counts[:, -4:] = confusion.reshape(-1, 4)
        sums[:, -1] = np.bincount(codes, (self._score[keep] - label) ** 2, minlength=group_count)
        return sign * counts, sign * sums

    def _empty(self, group_count: int) -> tuple[Ints, Floats]:
        count_size, sum_size = sizes(self._bin_count)
        return np.zeros((group_count, count_size), np.int64), np.zeros((group_count, sum_size))

    def _cells(self, codes: Ints | None) -> tuple[slice | Bools, Ints, Ints]:
        """Which rows are in a group, their groups, and their cells: group x score bin."""
        if codes is None:
            return slice(None), np.zeros(len(self._bins), np.int64), self._bins
        if (codes >= 0).all():
            return slice(None), codes, codes * self._bin_count + self._bins
        keep = codes >= 0
        return keep, codes[keep], codes[keep] * self._bin_count + self._bins[keep]
