"""Any measure by group, each group against everyone else: differences and ratios with intervals, corrected
for how many were looked at; groups that are too small are not rated and told how many people would settle it.

It works from rows, for a notebook; `audit.fairness.gaps` does the same from profiles, for a service.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audit.estimate import CONFIDENCE
from audit.fairness.estimates import Floats, GroupEstimates, Ints
from audit.fairness.rates import GroupRates, Interval
from audit.fairness.sample_size import SETTLED_GAP, rows_needed
from audit.intervals import difference_bounds, holm, ratio, two_sample_p_value, wilson, z_of

Measure = Callable[[Ints, int], GroupEstimates]
"""A measure by group of codes `(N,)` from 0 and the number of groups, the rows being its own."""

Correction = Callable[[npt.ArrayLike], Floats]
"""Adjusted p-values: `audit.intervals.holm` or `benjamini_hochberg`."""

MINIMUM = 30


@dataclass(frozen=True)
class GroupGaps:
    """Each of G groups against everyone else. `difference` is group minus everyone else, 0 no difference;
    `ratio` group over everyone else, 1 no difference, for rates alone.

    A suppressed group has no difference, no ratio and a p-value of 1; `rows_needed` says for each group of a
    rate how many people would show a difference of `SETTLED_GAP` (`None`: no number, the others are too few).
    """

    group: GroupEstimates
    rest: GroupEstimates
    difference: GroupEstimates
    ratio: GroupEstimates | None
    p_value: Floats
    adjusted_p_value: Floats
    suppressed: npt.NDArray[np.bool_]
    rows_needed: tuple[int | None, ...]

    @property
    def significant(self) -> npt.NDArray[np.bool_]:
        """Which groups surely differ, after correction, bool `(G,)`."""
        return np.asarray(self.adjusted_p_value < 1 - self.group.confidence)


def rate_gaps(
    rates: GroupRates,
    rate: str,
    *,
    minimum: int = MINIMUM,
    confidence: float = CONFIDENCE,
    correct: Correction = holm,
    interval: Interval = wilson,
) -> GroupGaps:
    """A rate of `audit.fairness.rates.RATES` by group against everyone else, who are the sum of all groups
    less this one: Newcombe's differences, Katz's ratios, Fisher's or the pooled z-test's p-values.

    A group of fewer than `minimum` people that count (or with nobody else) is suppressed: so are n = 0, 1 and
    5 by default. Raises `KeyError` for a rate that is not in `RATES`.
    """
    hits, people = rates.hits_and_people(rate)
    other_hits, others = hits.sum() - hits, people.sum() - people
    group, rest = (
        GroupEstimates(_share(k, n), *interval(k, n, confidence), n, confidence)
        for k, n in ((hits, people), (other_hits, others))
    )
    suppressed = (people < minimum) | (others <= 0)
    counts = list(zip(*(one.tolist() for one in (hits, people, other_hits, others)), strict=True))
    over = [ratio(k1, n1, k2, n2, confidence) for k1, n1, k2, n2 in counts]
    ratios = GroupEstimates(
        _hidden(suppressed, np.array([one.value for one in over])),
        _hidden(suppressed, np.array([one.lower for one in over])),
        _hidden(suppressed, np.array([one.upper for one in over])),
        people + others,
        confidence,
    )
    # What is not rated was not looked at: it costs the others nothing.
    p_value = np.where(suppressed, 1.0, [two_sample_p_value(k1, n1, k2, n2) for k1, n1, k2, n2 in counts])
    needed = tuple(
        rows_needed(k / n, SETTLED_GAP, others=n, confidence=confidence) if n else None
        for _, _, k, n in counts
    )
    adjusted = _adjusted(p_value, suppressed, correct)
    return GroupGaps(
        group, rest, _difference(group, rest, suppressed), ratios, p_value, adjusted, suppressed, needed
    )


def measure_gaps(
    measure: Measure,
    codes: npt.ArrayLike,
    group_count: int,
    *,
    minimum: int = MINIMUM,
    correct: Correction = holm,
) -> GroupGaps:
    """Any measure (AUC, calibration, errors) of each group against the same measure of everyone else, who are
    measured anew for each group: `measure_gaps(lambda groups, n: group_auc(groups, score, label, n), ...)`.

    The difference's interval is made of both sides' (Zou and Donner), and its p-value is that at which it
    would just leave 0 out, were it normal. Groups of fewer than `minimum` people, and those without an
    interval, are suppressed: so are n = 0, 1 and 5 by default.
    """
    groups = np.asarray(codes, np.int64)
    group = measure(groups, group_count)
    others = [measure((groups == one).astype(np.int64), 2) for one in range(group_count)]
    value, lower, upper = (
        np.array([getattr(one, name)[0] for one in others]) for name in ("value", "lower", "upper")
    )
    count = np.array([one.count[0] for one in others], np.int64)
    rest = GroupEstimates(value, lower, upper, count, group.confidence)
    bounded = np.isfinite(group.lower + group.upper + lower + upper)
    suppressed = (group.count < minimum) | ~bounded
    difference = _difference(group, rest, suppressed)
    p_value = _p_value(difference)
    adjusted, needed = _adjusted(p_value, suppressed, correct), (None,) * group_count
    return GroupGaps(group, rest, difference, None, p_value, adjusted, suppressed, needed)


def _difference(
    group: GroupEstimates, rest: GroupEstimates, suppressed: npt.NDArray[np.bool_]
) -> GroupEstimates:
    low, high = difference_bounds(
        (group.value, group.lower, group.upper), (rest.value, rest.lower, rest.upper)
    )
    return GroupEstimates(
        _hidden(suppressed, group.value - rest.value),
        _hidden(suppressed, low),
        _hidden(suppressed, high),
        group.count + rest.count,
        group.confidence,
    )


def _adjusted(p_value: Floats, suppressed: npt.NDArray[np.bool_], correct: Correction) -> Floats:
    adjusted = np.ones(len(p_value))
    adjusted[~suppressed] = correct(p_value[~suppressed])
    return adjusted


def _p_value(apart: GroupEstimates) -> Floats:
    """Of a difference, from how far its interval reaches towards 0; 1 where there is none."""
    from scipy.special import ndtr

    reach = np.where(apart.value > 0, apart.value - apart.lower, apart.upper - apart.value)
    with np.errstate(invalid="ignore", divide="ignore"):
        z = np.where(reach > 0, z_of(apart.confidence) * np.abs(apart.value) / reach, 0.0)
    return np.asarray(2 * ndtr(-z))


def _share(hits: Ints, people: Ints) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(hits / people)


def _hidden(suppressed: npt.NDArray[np.bool_], values: Floats) -> Floats:
    return np.where(suppressed, np.nan, values)
