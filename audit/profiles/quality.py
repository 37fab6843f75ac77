"""What was predicted and what came true, as counts that merge: histograms of scores and a confusion table."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from operator import attrgetter

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass
class QualityProfile:
    """Counts over predictions; score bins are `bin_count` equal parts of [0, 1].

    `score_counts` and `score_sums` speak of all predictions, `labelled_counts` and
    `labelled_positive_counts` of those whose label is known, by score bin. The confusion table sets
    decisions against labels.
    """

    bin_count: int
    score_counts: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    score_sums: Floats = field(default_factory=lambda: np.zeros(0))
    labelled_counts: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    labelled_positive_counts: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    positive_decision_count: int = 0
    true_positives: int = 0
    false_positives: int = 0
    true_negatives: int = 0
    false_negatives: int = 0
    squared_error_sum: float = 0.0

    def __post_init__(self) -> None:
        for name in ("score_counts", "labelled_counts", "labelled_positive_counts"):
            if not len(getattr(self, name)):
                setattr(self, name, np.zeros(self.bin_count, np.int64))
        if not len(self.score_sums):
            self.score_sums = np.zeros(self.bin_count)

    @property
    def row_count(self) -> int:
        """Predictions."""
        return int(self.score_counts.sum())

    @property
    def labelled_count(self) -> int:
        """Predictions whose label is known."""
        return self.true_positives + self.false_positives + self.true_negatives + self.false_negatives

    def merge_all(self, others: Sequence["QualityProfile"]) -> None:
        """Adds other summaries to this one. Raises `ValueError` when the score bins differ."""
        for other in others:
            if other.bin_count != self.bin_count:
                raise ValueError(f"score bins differ: {self.bin_count} and {other.bin_count}")
        parts = [self, *others]
        for name, counts in zip(HISTOGRAMS, zip(*map(_histograms_of, parts), strict=True), strict=True):
            setattr(self, name, np.concatenate(counts).reshape(len(parts), -1).sum(axis=0))
        for name, totals in zip(TOTALS, zip(*map(_totals_of, parts), strict=True), strict=True):
            setattr(self, name, sum(totals))


HISTOGRAMS = ("score_counts", "score_sums", "labelled_counts", "labelled_positive_counts")
TOTALS = tuple(one.name for one in fields(QualityProfile) if one.name not in (*HISTOGRAMS, "bin_count"))
# Merging a thousand profiles asks for a few hundred thousand attributes: `attrgetter` gives several at once.
_histograms_of, _totals_of = attrgetter(*HISTOGRAMS), attrgetter(*TOTALS)


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

    def predictions(self, codes: Ints | None = None, group_count: int = 1) -> list[QualityProfile]:
        """Counts of scores and decisions by group: `codes` `(N,)` from 0, -1 for rows in no group; `None`:
        one group of all.
        """
        keep, codes, cells = self._cells(codes)
        size = group_count * self._bin_count
        counts = np.bincount(cells, minlength=size).reshape(group_count, -1)
        sums = np.bincount(cells, self._score[keep], minlength=size).reshape(group_count, -1)
        positive = np.bincount(codes[self._positive[keep]], minlength=group_count)
        return [
            QualityProfile(
                self._bin_count,
                score_counts=counts[g],
                score_sums=sums[g],
                positive_decision_count=int(positive[g]),
            )
            for g in range(group_count)
        ]

    def labels(self, codes: Ints | None = None, group_count: int = 1, sign: int = 1) -> list[QualityProfile]:
        """Counts of outcomes by group; with `sign` -1 the negative of them, which takes labels out again."""
        assert self._label is not None
        keep, codes, cells = self._cells(codes)
        label, positive = self._label[keep], self._positive[keep]
        size = group_count * self._bin_count
        labelled = sign * np.bincount(cells, minlength=size).reshape(group_count, -1)
        labelled_positive = sign * np.bincount(cells[label], minlength=size).reshape(group_count, -1)
        confusion = sign * np.bincount(codes * 4 + positive * 2 + label, minlength=4 * group_count).reshape(
            -1, 4
        )
        error = sign * np.bincount(codes, (self._score[keep] - label) ** 2, minlength=group_count)
        return [
            QualityProfile(
                self._bin_count,
                labelled_counts=labelled[g],
                labelled_positive_counts=labelled_positive[g],
                true_negatives=int(confusion[g, 0]),
                false_negatives=int(confusion[g, 1]),
                false_positives=int(confusion[g, 2]),
                true_positives=int(confusion[g, 3]),
                squared_error_sum=float(error[g]),
            )
            for g in range(group_count)
        ]

    def _cells(self, codes: Ints | None) -> tuple[slice | Bools, Ints, Ints]:
        """Which rows are in a group, their groups, and their cells: group x score bin."""
        if codes is None:
            return slice(None), np.zeros(len(self._bins), np.int64), self._bins
        if (codes >= 0).all():
            return slice(None), codes, codes * self._bin_count + self._bins
        keep = codes >= 0
        return keep, codes[keep], codes[keep] * self._bin_count + self._bins[keep]
