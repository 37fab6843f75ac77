"""Rates of the confusion matrix by group, straight from rows: one count over all rows, then arithmetic on a
few cells.

Values equal fairlearn's `MetricFrame` where both define them. Source of the definitions: Fawcett, "An
introduction to ROC analysis", 2006.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from audit.estimate import CONFIDENCE
from audit.fairness.estimates import Floats, GroupEstimates, Ints
from audit.intervals import wilson

Interval = Callable[[npt.ArrayLike, npt.ArrayLike, float], tuple[Floats, Floats]]
"""Bounds of a proportion from successes, trials and confidence: `audit.intervals.wilson` or
`clopper_pearson`.
"""

RATES = (
    "selection_rate",
    "accuracy",
    "true_positive_rate",
    "false_positive_rate",
    "false_negative_rate",
    "true_negative_rate",
    "positive_predictive_value",
    "negative_predictive_value",
    "false_discovery_rate",
    "false_omission_rate",
    "base_rate",
)


@dataclass(frozen=True)
class GroupRates:
    """Confusion counts of G groups, each `(G,)` int64."""

    true_positives: Ints
    false_positives: Ints
    true_negatives: Ints
    false_negatives: Ints

    @property
    def count(self) -> Ints:
        """People by group."""
        return self.true_positives + self.false_positives + self.true_negatives + self.false_negatives

    def hits_and_people(self, rate: str) -> tuple[Ints, Ints]:
        """Numerator and denominator of a rate by group, each `(G,)`. Raises `KeyError` for a rate that is
        not in `RATES`.
        """
        tp, fp, tn, fn = self.true_positives, self.false_positives, self.true_negatives, self.false_negatives
        return {
            "selection_rate": (tp + fp, self.count),
            "accuracy": (tp + tn, self.count),
            "true_positive_rate": (tp, tp + fn),
            "false_positive_rate": (fp, fp + tn),
            "false_negative_rate": (fn, tp + fn),
            "true_negative_rate": (tn, fp + tn),
            "positive_predictive_value": (tp, tp + fp),
            "negative_predictive_value": (tn, tn + fn),
            "false_discovery_rate": (fp, tp + fp),
            "false_omission_rate": (fn, tn + fn),
            "base_rate": (tp + fn, self.count),
        }[rate]

    def rate(self, rate: str, confidence: float = CONFIDENCE) -> tuple[Floats, Floats, Floats]:
        """Value, lower and upper Wilson bound by group, each `(G,)`; NaN for a group without people that
        count.
        """
        hits, people = self.hits_and_people(rate)
        with np.errstate(invalid="ignore", divide="ignore"):
            value = hits / people
        lower, upper = wilson(hits, people, confidence)
        return value, lower, upper

    def estimates(
        self, rate: str, confidence: float = CONFIDENCE, *, interval: Interval = wilson
    ) -> GroupEstimates:
        """The same with the people that count; `interval` may be exact. At n = 1 or 5 the bounds span most of
        0 to 1.
        """
        hits, people = self.hits_and_people(rate)
        with np.errstate(invalid="ignore", divide="ignore"):
            value = hits / people
        return GroupEstimates(value, *interval(hits, people, confidence), people, confidence)


def group_rates(
    codes: npt.ArrayLike, positive: npt.ArrayLike, label: npt.ArrayLike, group_count: int
) -> GroupRates:
    """Counts rows by group: `codes` int `(N,)` from 0 to `group_count - 1`, `positive` and `label` bool
    `(N,)`.

    Groups without rows count 0. Raises `ValueError` when the lengths differ.
    """
    group = np.asarray(codes)
    decided, outcome = np.asarray(positive, bool), np.asarray(label, bool)
    if not len(group) == len(decided) == len(outcome):
        raise ValueError(
            f"lengths differ: {len(group)} groups, {len(decided)} decisions, {len(outcome)} labels"
        )
    cells = 4 * group.astype(np.int64) + 2 * decided.view(np.int8) + outcome.view(np.int8)
    counts = np.bincount(cells, minlength=4 * group_count).reshape(group_count, 4)
    return GroupRates(counts[:, 3], counts[:, 2], counts[:, 0], counts[:, 1])


def crossed_rates(
    attributes: Mapping[str, tuple[npt.ArrayLike, int]], positive: npt.ArrayLike, label: npt.ArrayLike
) -> dict[tuple[str, ...], GroupRates]:
    """Counts for every attribute alone and every crossing of two, by the attributes' names.

    `attributes` maps a name to codes `(N,)` and their number of groups. Group `i` of the first and `j` of the
    second of a crossing are its group `i * groups of the second + j`.
    """
    return {
        names: group_rates(codes, positive, label, count)
        for names, (codes, count) in crossings(attributes).items()
    }


def crossings(attributes: Mapping[str, tuple[npt.ArrayLike, int]]) -> dict[tuple[str, ...], tuple[Ints, int]]:
    """Codes `(N,)` and number of groups of every attribute alone and every crossing of two, for any measure
    by group, in the layout of `crossed_rates`.
    """
    alone = {name: (np.asarray(codes, np.int64), count) for name, (codes, count) in attributes.items()}
    found: dict[tuple[str, ...], tuple[Ints, int]] = {(name,): coded for name, coded in alone.items()}
    for (first, (left, left_count)), (second, (right, right_count)) in combinations(alone.items(), 2):
        found[first, second] = left * right_count + right, left_count * right_count
    return found
