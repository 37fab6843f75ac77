"""How well scores tell people apart, and whether they mean what they say, by group: AUC and calibration.

Sources: Newcombe, Statistics in Medicine 2006 (the interval of an AUC); Kleinberg, Mullainathan and Raghavan,
"Inherent trade-offs in the fair determination of risk scores", ITCS 2017 (calibration within groups, which no
model has together with equal error rates unless base rates are equal).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audit.estimate import CONFIDENCE
from audit.fairness.estimates import Floats, GroupEstimates, Ints
from audit.intervals import auc_bounds, wilson


@dataclass(frozen=True)
class GroupCalibration:
    """What scores of each group came to, all `(G,)`. `gap` is mean score minus share of positive outcomes:
    above 0 the group's scores are too high. `curve` has the same by score bin, `(G, bins)`.
    """

    mean_score: Floats
    share: Floats
    gap: GroupEstimates
    curve: "GroupCurve"


@dataclass(frozen=True)
class GroupCurve:
    """Mean score and share of positive outcomes by group and score bin with Wilson's interval, and people,
    each `(G, bins)`; NaN in a bin that nobody fell into.
    """

    mean_score: Floats
    share: Floats
    lower: Floats
    upper: Floats
    count: Ints


def group_auc(
    codes: npt.ArrayLike,
    score: npt.ArrayLike,
    label: npt.ArrayLike,
    group_count: int,
    confidence: float = CONFIDENCE,
) -> GroupEstimates:
    """Area under the ROC curve within each group, ties counted half: the chance that of two of its people the
    one with the positive outcome has the higher score; 0.5 is chance, 1 perfect.

    `codes` int `(N,)` from 0 to `group_count - 1`, `score` float and `label` bool `(N,)`. NaN for a group
    that lacks an outcome, so always at n = 0 and 1; at n = 5 the interval spans most of 0 to 1. Raises
    `ValueError` when lengths differ.
    """
    group, scores, outcome = _checked(codes, score, label)
    ranks = _ranks_within(group, scores)
    count = np.bincount(group, minlength=group_count)
    positives = np.bincount(group[outcome], minlength=group_count)
    negatives = count - positives
    of_positives = np.bincount(group[outcome], ranks[outcome], minlength=group_count)
    with np.errstate(invalid="ignore", divide="ignore"):
        value = (of_positives - positives * (positives + 1) / 2) / (positives * negatives)
    lower, upper = auc_bounds(value, positives, negatives, confidence)
    return GroupEstimates(value, lower, upper, count, confidence)


def group_calibration(
    codes: npt.ArrayLike,
    score: npt.ArrayLike,
    label: npt.ArrayLike,
    group_count: int,
    *,
    bins: int = 10,
    confidence: float = CONFIDENCE,
) -> GroupCalibration:
    """Mean score beside the share of positive outcomes, by group and by equal bins of the score in [0, 1].

    The gap's interval takes the scores as given and Wilson's interval of the share; as people of different
    scores scatter less than a share does, it covers more often than it says. NaN at n = 0; at n = 1 or 5 it
    spans most of the possible. Raises `ValueError` when lengths differ or a score lies outside [0, 1].
    """
    group, scores, outcome = _checked(codes, score, label)
    if len(scores) and not ((scores >= 0) & (scores <= 1)).all():
        raise ValueError("scores must lie between 0 and 1")
    count = np.bincount(group, minlength=group_count)
    hits = np.bincount(group[outcome], minlength=group_count)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean, share = np.bincount(group, scores, minlength=group_count) / count, hits / count
    lower, upper = wilson(hits, count, confidence)
    gap = GroupEstimates(mean - share, mean - upper, mean - lower, count, confidence)
    cells = group * bins + np.minimum((scores * bins).astype(np.int64), bins - 1)
    return GroupCalibration(mean, share, gap, _curve(cells, scores, outcome, (group_count, bins), confidence))


def _curve(
    cells: Ints,
    scores: Floats,
    outcome: npt.NDArray[np.bool_],
    shape: tuple[int, int],
    confidence: float,
) -> GroupCurve:
    size = shape[0] * shape[1]
    count = np.bincount(cells, minlength=size)
    hits = np.bincount(cells[outcome], minlength=size)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean, share = np.bincount(cells, scores, minlength=size) / count, hits / count
    lower, upper = wilson(hits, count, confidence)
    return GroupCurve(
        mean.reshape(shape),
        share.reshape(shape),
        lower.reshape(shape),
        upper.reshape(shape),
        count.reshape(shape),
    )


def _ranks_within(group: Ints, scores: Floats) -> Floats:
    """Rank of each score among its group's, from 1; equal scores share the mean of their ranks."""
    order = np.lexsort((scores, group))
    sorted_group, sorted_scores = group[order], scores[order]
    new_group = np.append(True, sorted_group[1:] != sorted_group[:-1]) if len(group) else np.zeros(0, bool)
    new_tie = new_group | np.append(True, sorted_scores[1:] != sorted_scores[:-1])[: len(group)]
    starts = np.flatnonzero(new_tie)
    sizes = np.diff(np.append(starts, len(group)))
    group_start = np.maximum.accumulate(np.where(new_group, np.arange(len(group)), 0))
    middle = np.repeat(starts + (sizes + 1) / 2, sizes) - group_start
    ranks = np.empty(len(group))
    ranks[order] = middle
    return ranks


def _checked(
    codes: npt.ArrayLike, score: npt.ArrayLike, label: npt.ArrayLike
) -> tuple[Ints, Floats, npt.NDArray[np.bool_]]:
    group, scores, outcome = np.asarray(codes, np.int64), np.asarray(score, float), np.asarray(label, bool)
    if not len(group) == len(scores) == len(outcome):
        raise ValueError(f"lengths differ: {len(group)} groups, {len(scores)} scores, {len(outcome)} labels")
    return group, scores, outcome
