"""Rankings by group: how good the lists are that each group of people is shown (NDCG), and how much each
group of items is seen beside how relevant it is (exposure).

Sources: Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR techniques", ACM TOIS 2002; McSherry
and Najork, "Computing information retrieval performance measures efficiently in the presence of tied scores",
ECIR 2008; Singh and Joachims, "Fairness of exposure in rankings", KDD 2018.

A ranking is rows of `query`, `score`, `relevance`, each `(N,)`; those of one query are one list, in the
order of falling score. A place's discount is 1 / log2(1 + rank), 0 beyond the cutoff; equal scores share
theirs.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audit.estimate import CONFIDENCE
from audit.fairness.estimates import Floats, GroupEstimates, Ints, group_means
from audit.intervals import z_of


@dataclass(frozen=True)
class GroupExposure:
    """What G groups of items get over all lists, each `(G,)`. `exposure` and `relevance` are shares that sum
    to 1; `ratio` is the first over the second: 1 is seen as much as it deserves, 0.5 half as much.
    """

    exposure: Floats
    relevance: Floats
    ratio: GroupEstimates


def group_ndcg(
    query: npt.ArrayLike,
    score: npt.ArrayLike,
    relevance: npt.ArrayLike,
    group_of_query: npt.ArrayLike,
    group_count: int,
    *,
    cutoff: int | None = None,
    confidence: float = CONFIDENCE,
) -> GroupEstimates:
    """Mean NDCG of the lists of each group of people, 0 to 1 (the best order): `query` int `(N,)` from 0 to
    Q - 1, `relevance` float `(N,)` of 0 and more, `group_of_query` int `(Q,)` from 0 to `group_count - 1`.

    Gains are relevances as they are. Lists without anything relevant have no best order and are left out.
    Student's t over lists; see `audit.fairness.estimates.group_means` for 0, 1 and 5 of them. Raises
    `ValueError` for a negative relevance or lengths that differ.
    """
    lists, scores, gains = _checked(query, score, relevance)
    groups = np.asarray(group_of_query, np.int64)
    got = np.bincount(lists, gains * _discounts(lists, scores, cutoff), minlength=len(groups))
    best = np.bincount(lists, gains * _discounts(lists, gains, cutoff), minlength=len(groups))
    judged = best > 0
    return group_means(groups[judged], got[judged] / best[judged], group_count, confidence)


def group_exposure(
    query: npt.ArrayLike,
    score: npt.ArrayLike,
    relevance: npt.ArrayLike,
    codes: npt.ArrayLike,
    group_count: int,
    *,
    cutoff: int | None = None,
    confidence: float = CONFIDENCE,
) -> GroupExposure:
    """Exposure beside relevance of each group of items: `codes` int `(N,)` is each row's item's group.

    The ratio's interval is the delta method's over lists (linearised in each list's sums), which are taken to
    be independent; it never goes below 0. NaN where a group has no relevance at all, and without an interval
    for fewer than two lists; with five it is too narrow for heavy tails, and `count` (lists) says how few.
    Raises `ValueError` for a negative relevance or lengths that differ.
    """
    lists, scores, gains = _checked(query, score, relevance)
    groups = np.asarray(codes, np.int64)
    if len(groups) != len(lists):
        raise ValueError(f"lengths differ: {len(lists)} rows, {len(groups)} groups")
    used, lists = np.unique(lists, return_inverse=True)
    cells, shape = lists * group_count + groups, (len(used), group_count)
    size = shape[0] * shape[1]
    seen = np.bincount(cells, _discounts(lists, scores, cutoff), minlength=size).reshape(shape)
    deserved = np.bincount(cells, gains, minlength=size).reshape(shape)
    with np.errstate(invalid="ignore", divide="ignore"):
        exposure, merit = seen.sum(0) / seen.sum(), deserved.sum(0) / deserved.sum()
        ratio = np.where(merit > 0, exposure / merit, np.nan)
        # Of log(ratio): each list's part in the four sums that the ratio is made of.
        part = (
            seen / seen.sum(0)
            - seen.sum(1, keepdims=True) / seen.sum()
            - deserved / deserved.sum(0)
            + deserved.sum(1, keepdims=True) / deserved.sum()
        )
        spread = np.sqrt(len(used) / max(len(used) - 1, 1) * (part**2).sum(0))
    half = np.where((len(used) > 1) & (exposure > 0), z_of(confidence) * spread, np.nan)
    count = (np.bincount(cells, minlength=size).reshape(shape) > 0).sum(0)
    bounds = GroupEstimates(ratio, ratio * np.exp(-half), ratio * np.exp(half), count, confidence)
    return GroupExposure(exposure, merit, bounds)


def _discounts(lists: Ints, by: Floats, cutoff: int | None) -> Floats:
    """Discount of each row's place in its list, ordered by falling `by`; equal ones share the mean."""
    rows = len(lists)
    if not rows:
        return np.zeros(0)
    order = np.lexsort((-by, lists))
    first = np.append(True, np.diff(lists[order]) != 0)
    tie = first | np.append(True, np.diff(by[order]) != 0)
    rank = np.arange(rows) - np.maximum.accumulate(np.where(first, np.arange(rows), 0))
    discount = 1 / np.log2(rank + 2.0)
    if cutoff is not None:
        discount[rank >= cutoff] = 0.0
    starts = np.flatnonzero(tie)
    sizes = np.diff(np.append(starts, rows))
    shared = np.empty(rows)
    shared[order] = np.repeat(np.add.reduceat(discount, starts) / sizes, sizes)
    return shared


def _checked(
    query: npt.ArrayLike, score: npt.ArrayLike, relevance: npt.ArrayLike
) -> tuple[Ints, Floats, Floats]:
    lists, scores, gains = np.asarray(query, np.int64), np.asarray(score, float), np.asarray(relevance, float)
    if not len(lists) == len(scores) == len(gains):
        raise ValueError(f"lengths differ: {len(lists)} queries, {len(scores)} scores, {len(gains)} gains")
    if not (gains >= 0).all():
        raise ValueError("relevance must be 0 or more")
    return lists, scores, gains
