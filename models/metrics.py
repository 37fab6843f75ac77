"""How good scores are, each with an interval. `label` is 0 or 1 and `score` from 0 to 1, both `(N,)`.

With too little data the value is NaN and a warning says what is lacking. Sources: DeLong and others,
"Comparing the areas under two or more correlated ROC curves", Biometrics 1988, in the rank form of Sun and Xu
2014; Wilson 1927.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

CONFIDENCE = 0.95
Z = 1.959963984540054


@dataclass(frozen=True)
class Estimate:
    """`value` with an interval of coverage `confidence`, from `count` rows; NaN where there is too little
    data.
    """

    value: float
    lower: float = math.nan
    upper: float = math.nan
    confidence: float = CONFIDENCE
    count: int = 0
    warnings: tuple[str, ...] = ()


def unknown(reason: str, count: int) -> Estimate:
    """No number, and why."""
    return Estimate(math.nan, count=count, warnings=(reason,))


def mean_estimate(values: npt.ArrayLike, *, low: float = -math.inf, high: float = math.inf) -> Estimate:
    """Mean with its normal interval, kept within `low` and `high`. Unknown at n = 0, no interval at n = 1."""
    x = np.asarray(values, float)
    if not len(x):
        return unknown("no rows", 0)
    mean = float(x.mean())
    if len(x) == 1:
        return Estimate(mean, count=1, warnings=("a single row: no interval",))
    half = Z * float(x.std(ddof=1)) / math.sqrt(len(x))
    return Estimate(mean, max(low, mean - half), min(high, mean + half), count=len(x))


def auc(label: npt.ArrayLike, score: npt.ArrayLike) -> Estimate:
    """Area under the ROC curve with DeLong's interval: 0.5 is chance, 1 perfect. Unknown unless both classes
    are there.
    """
    from scipy.stats import rankdata

    y, s = np.asarray(label) > 0.5, np.asarray(score, float)
    positives, negatives = int(y.sum()), int((~y).sum())
    if not positives or not negatives:
        return unknown("both classes must be there", len(y))
    ranks = rankdata(s)
    value = (ranks[y].sum() - positives * (positives + 1) / 2) / (positives * negatives)
    if positives == 1 or negatives == 1:
        return Estimate(float(value), count=len(y), warnings=("a single row of one class: no interval",))
    above = (ranks[y] - rankdata(s[y])) / negatives
    below = 1 - (ranks[~y] - rankdata(s[~y])) / positives
    half = Z * math.sqrt(above.var(ddof=1) / positives + below.var(ddof=1) / negatives)
    return Estimate(float(value), float(max(0.0, value - half)), float(min(1.0, value + half)), count=len(y))


def accuracy(label: npt.ArrayLike, score: npt.ArrayLike, threshold: float = 0.5) -> Estimate:
    """Share of right decisions at `threshold`, with Wilson's interval. Unknown at n = 0."""
    from scipy.stats import binomtest

    right = (np.asarray(score) >= threshold) == (np.asarray(label) > 0.5)
    if not len(right):
        return unknown("no rows", 0)
    interval = binomtest(int(right.sum()), len(right)).proportion_ci(CONFIDENCE, method="wilson")
    return Estimate(float(right.mean()), float(interval.low), float(interval.high), count=len(right))


def brier(label: npt.ArrayLike, score: npt.ArrayLike) -> Estimate:
    """Mean squared gap of score and label: 0 perfect, 0.25 for always one half."""
    return mean_estimate((np.asarray(score, float) - np.asarray(label, float)) ** 2, low=0.0, high=1.0)


def log_loss(label: npt.ArrayLike, score: npt.ArrayLike) -> Estimate:
    """Mean negative log likelihood in nats: 0 perfect, 0.693 for always one half. Scores are kept 1e-7 from 0
    and 1.
    """
    y, s = np.asarray(label, float), np.clip(np.asarray(score, float), 1e-7, 1 - 1e-7)
    return mean_estimate(-(y * np.log(s) + (1 - y) * np.log1p(-s)), low=0.0)
