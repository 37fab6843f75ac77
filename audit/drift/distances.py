"""How far two sets of counts lie apart, and how surprising that is. Counts are aligned vectors `(K,)`.

Sources: Lin, "Divergence measures based on the Shannon entropy", IEEE Transactions on Information Theory
1991; Grosse and others, "Analysis of symbolic sequences using the Jensen-Shannon divergence", Physical
Review E 2002 (its bias); Siddiqi, "Credit Risk Scorecards", 2006 (population stability index).
"""

import math

import numpy as np
import numpy.typing as npt

RARE = 5.0
"""Cells expected below this are pooled before a chi-squared test (Cochran 1954)."""


def jensen_shannon_distance(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """Square root of the base-2 Jensen-Shannon divergence: 0 the same shares, 1 nothing in common.

    NaN when a side has no rows. With few rows it is biased upwards: see `corrected_distance`.
    """
    p, q = np.asarray(first, float), np.asarray(second, float)
    if p.sum() <= 0 or q.sum() <= 0:
        return math.nan
    return math.sqrt(_divergence(p / p.sum(), q / q.sum()))


def corrected_distance(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """The distance with its small-sample bias taken off the divergence; 0 when the bias explains all of it.

    Under no change the divergence is about `(K - 1) / (8 ln 2) (1/n + 1/m)` for K values in use, n and m
    rows. At n = 1 or 5 this is larger than the divergence almost always, so the answer is 0.
    """
    p, q = np.asarray(first, float), np.asarray(second, float)
    if p.sum() <= 0 or q.sum() <= 0:
        return math.nan
    used = int(((p + q) > 0).sum())
    bias = (used - 1) / (8 * math.log(2)) * (1 / p.sum() + 1 / q.sum())
    return math.sqrt(max(0.0, _divergence(p / p.sum(), q / q.sum()) - bias))


def population_stability_index(window: npt.ArrayLike, reference: npt.ArrayLike) -> float:
    """Sum of (share - share) ln(share / share), half a row added to each cell: 0 the same; by custom .1 is
    some, .25 much.

    NaN when a side has no rows.
    """
    p, q = np.asarray(window, float), np.asarray(reference, float)
    if p.sum() <= 0 or q.sum() <= 0:
        return math.nan
    p, q = (p + 0.5) / (p + 0.5).sum(), (q + 0.5) / (q + 0.5).sum()
    return float(np.sum((p - q) * np.log(p / q)))


def p_value(window: npt.ArrayLike, reference: npt.ArrayLike) -> float:
    """Chi-squared test that both sides have the same shares, rare cells pooled; the reference counts as a
    sample too.

    1 when there is nothing to test: a side without rows, or one cell after pooling. It is valid for one
    look; for looking again and again see `audit.drift.sequential`.
    """
    from scipy.stats import chi2

    p, q = np.asarray(window, float), np.asarray(reference, float)
    n, m = p.sum(), q.sum()
    if n <= 0 or m <= 0:
        return 1.0
    expected = (p + q) * min(n, m) / (n + m)
    rare = expected < RARE
    p = np.append(p[~rare], p[rare].sum())
    q = np.append(q[~rare], q[rare].sum())
    used = (p + q) > 0
    p, q = p[used], q[used]
    if len(p) < 2:
        return 1.0
    statistic = np.sum((p * math.sqrt(m / n) - q * math.sqrt(n / m)) ** 2 / (p + q))
    return float(chi2.sf(statistic, len(p) - 1))


def _divergence(p: npt.NDArray[np.float64], q: npt.NDArray[np.float64]) -> float:
    middle = (p + q) / 2
    total = 0.0
    for shares in (p, q):
        present = shares > 0
        total += 0.5 * float(np.sum(shares[present] * np.log2(shares[present] / middle[present])))
    return min(max(total, 0.0), 1.0)
