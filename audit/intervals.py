"""Intervals for proportions, their differences and ratios. Plain functions, vectorised over counts.

Sources: Wilson, "Probable inference, the law of succession, and statistical inference", JASA 1927.
Newcombe, "Interval estimation for the difference between independent proportions", Statistics in Medicine
1998 (method 10). Katz and others, "Obtaining confidence intervals for the risk ratio", Biometrics 1978.
Clopper and Pearson, "The use of confidence or fiducial limits", Biometrika 1934. Zou and Donner,
"Construction of confidence limits about effect measures", Statistics in Medicine 2008. Newcombe, "Confidence
intervals for an effect size measure based on the Mann-Whitney statistic, part 2", Statistics in Medicine 2006
(method 5). Koopman, "Confidence intervals for the ratio of two binomial proportions", Biometrics 1984.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from audit.estimate import CONFIDENCE, Estimate, unknown

Counts = npt.ArrayLike
WIDEST = 30.0
"""Logarithm of the largest ratio that is looked at."""


def z_of(confidence: float) -> float:
    """Two-sided standard normal quantile: 1.96 for 0.95. Raises `ValueError` outside (0, 1)."""
    from scipy.special import ndtri

    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}; must be between 0 and 1")
    return float(ndtri(0.5 + confidence / 2))


def wilson(successes: Counts, trials: Counts, confidence: float = CONFIDENCE) -> tuple[Any, Any]:
    """Wilson score interval of `successes / trials`, arrays or scalars of one shape; NaN where `trials` is 0.

    At n = 1 it spans most of [0, 1]; it never leaves it.
    """
    k, n = np.asarray(successes, float), np.asarray(trials, float)
    z2 = z_of(confidence) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        p = k / n
        centre = (p + z2 / (2 * n)) / (1 + z2 / n)
        half = np.sqrt(z2 * (p * (1 - p) / n + z2 / (4 * n * n))) / (1 + z2 / n)
        lower = np.where(k == 0, 0.0, np.clip(centre - half, 0, 1))
        upper = np.where(k == n, 1.0, np.clip(centre + half, 0, 1))
    lower, upper = np.where(n > 0, lower, np.nan), np.where(n > 0, upper, np.nan)
    return (lower, upper) if lower.ndim else (float(lower), float(upper))


def clopper_pearson(successes: Counts, trials: Counts, confidence: float = CONFIDENCE) -> tuple[Any, Any]:
    """Exact interval of `successes / trials`, arrays or scalars of one shape; NaN where `trials` is 0.

    It covers at least as often as it says, however few there are, and is wider than Wilson's for that: after
    0 of 1 it reaches 0.975 at 95 %, after 0 of 5 0.522.
    """
    from scipy.special import betaincinv

    k, n = np.asarray(successes, float), np.asarray(trials, float)
    z_of(confidence)  # Refuses a confidence outside (0, 1).
    tail = (1 - confidence) / 2
    # Shapes are kept above 0 where a bound is 0, 1 or NaN by definition.
    lower = np.where(k > 0, betaincinv(np.maximum(k, 1), np.maximum(n - k, 0) + 1, tail), 0.0)
    upper = np.where(k < n, betaincinv(k + 1, np.maximum(n - k, 1), 1 - tail), 1.0)
    lower, upper = np.where(n > 0, lower, np.nan), np.where(n > 0, upper, np.nan)
    return (lower, upper) if lower.ndim else (float(lower), float(upper))


def proportion(
    successes: float, trials: float, confidence: float = CONFIDENCE, *, of: str = "observations"
) -> Estimate:
    """`successes / trials` with its Wilson interval; unknown at n = 0."""
    if trials <= 0:
        return unknown(f"no {of} yet", 0, confidence)
    lower, upper = wilson(successes, trials, confidence)
    return Estimate(successes / trials, lower, upper, confidence, int(trials))


def difference(k1: float, n1: float, k2: float, n2: float, confidence: float = CONFIDENCE) -> Estimate:
    """`k1 / n1 - k2 / n2` with Newcombe's interval of Wilson bounds; unknown when a side is empty. -1 to 1,
    0 no difference.
    """
    if n1 <= 0 or n2 <= 0:
        return unknown("one side has no observations yet", int(n1 + n2), confidence)
    p1, p2 = k1 / n1, k2 / n2
    first, second = wilson(k1, n1, confidence), wilson(k2, n2, confidence)
    lower, upper = difference_bounds((p1, *first), (p2, *second))
    return Estimate(p1 - p2, float(lower), float(upper), confidence, int(n1 + n2))


def difference_bounds(
    first: tuple[Counts, Counts, Counts], second: tuple[Counts, Counts, Counts]
) -> tuple[Any, Any]:
    """Interval of `first - second`, two independent estimates, each given as value, lower and upper bound
    (Zou and Donner): Newcombe's where those are Wilson's. Arrays of one shape or scalars; NaN where one is.
    """
    v1, l1, u1 = (np.asarray(one, float) for one in first)
    v2, l2, u2 = (np.asarray(one, float) for one in second)
    return v1 - v2 - np.hypot(v1 - l1, u2 - v2), v1 - v2 + np.hypot(u1 - v1, v2 - l2)


def auc_bounds(
    value: Counts, positives: Counts, negatives: Counts, confidence: float = CONFIDENCE
) -> tuple[Any, Any]:
    """Interval of an area under the ROC curve from that many positives and negatives, arrays of one shape or
    scalars; NaN where a side is empty.

    It solves for the areas whose standard error reaches the observed one, so that a perfect 1 from one
    positive and one negative still reaches down to 0.21 at 95 %.
    """
    seen, m, n = np.asarray(value, float), np.asarray(positives, float), np.asarray(negatives, float)
    z, half = z_of(confidence), (m + n) / 2 - 1

    def reach(area: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        inside = 1 + half * ((1 - area) / (2 - area) + area / (1 + area))
        variance = area * (1 - area) * inside / (m * n)
        return np.asarray(z * np.sqrt(np.maximum(variance, 0.0)))

    with np.errstate(invalid="ignore", divide="ignore"):
        low, high = [np.zeros_like(seen), seen.copy()], [seen.copy(), np.ones_like(seen)]
        for _ in range(50):
            middle = (low[0] + low[1]) / 2
            within = seen - middle <= reach(middle)
            low = [np.where(within, low[0], middle), np.where(within, middle, low[1])]
            middle = (high[0] + high[1]) / 2
            within = middle - seen <= reach(middle)
            high = [np.where(within, middle, high[0]), np.where(within, high[1], middle)]
    known = (m > 0) & (n > 0)
    lower, upper = np.where(known, low[1], np.nan), np.where(known, high[0], np.nan)
    return (lower, upper) if lower.ndim else (float(lower), float(upper))


def ratio(k1: float, n1: float, k2: float, n2: float, confidence: float = CONFIDENCE) -> Estimate:
    """`(k1 / n1) / (k2 / n2)` with the log interval of Katz; 1 is no difference.

    Where that has no width, as the first has no success or both have nothing else, it is Koopman's score
    interval: 1 of 1 against 1 of 1 is 1, anything from 0.2 to 4.8. Unknown when a side is empty or the second
    has no success.
    """
    count = int(n1 + n2)
    if n1 <= 0 or n2 <= 0 or k2 <= 0:
        reason = "a ratio needs observations on both sides and a success on the second"
        return unknown(reason, count, confidence)
    value = (k1 / n1) / (k2 / n2)
    if k1 <= 0 or (k1 == n1 and k2 == n2):
        return Estimate(value, *koopman(k1, n1, k2, n2, confidence), confidence, count)
    spread = z_of(confidence) * math.sqrt(1 / k1 - 1 / n1 + 1 / k2 - 1 / n2)
    return Estimate(value, value * math.exp(-spread), value * math.exp(spread), confidence, count)


def koopman(
    k1: float, n1: float, k2: float, n2: float, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Score interval of `(k1 / n1) / (k2 / n2)`: all ratios that a chi-squared test does not contradict. It
    needs `k2` above 0, and has a width whatever else the counts are.
    """
    largest = z_of(confidence) ** 2

    def contradicted(log_ratio: float) -> bool:
        over = math.exp(log_ratio)
        # The likeliest second rate, were the first `over` times as large.
        total, middle = (n1 + n2) * over, over * (n1 + k2) + k1 + n2
        second = 2 * (k1 + k2) / (middle + math.sqrt(max(middle**2 - 4 * total * (k1 + k2), 0.0)))
        first = over * second
        squares = 0.0
        for hits, of, rate in ((k1, n1, first), (k2, n2, second)):
            scatter, apart = of * rate * (1 - rate), (hits - of * rate) ** 2
            if apart > 1e-18 * of:
                squares += apart / scatter if scatter > 0 else math.inf
        return squares > largest

    value = (k1 / n1) / (k2 / n2)
    start, reach = math.log(value) if value > 0 else -WIDEST, WIDEST
    lower = math.exp(_edge(contradicted, start, -reach)) if value > 0 else 0.0
    return lower, math.exp(_edge(contradicted, start, reach))


def two_sample_p_value(k1: float, n1: float, k2: float, n2: float) -> float:
    """Two-sided p-value of equal proportions: Fisher's exact test where a cell is expected below 5, else
    the pooled z-test.

    1 when a side is empty.
    """
    from scipy.special import ndtr
    from scipy.stats import fisher_exact

    if n1 <= 0 or n2 <= 0:
        return 1.0
    pooled = (k1 + k2) / (n1 + n2)
    if min(n1, n2) * min(pooled, 1 - pooled) < 5:
        return float(fisher_exact([[k1, n1 - k1], [k2, n2 - k2]])[1])
    z = (k1 / n1 - k2 / n2) / math.sqrt(pooled * (1 - pooled) * (1 / n1 + 1 / n2))
    return float(2 * ndtr(-abs(z)))


def _edge(beyond: Callable[[float], bool], inside: float, outside: float) -> float:
    """Where going from `inside` to `outside` is too far for the first time."""
    for _ in range(50):
        middle = (inside + outside) / 2
        inside, outside = (inside, middle) if beyond(middle) else (middle, outside)
    return inside


def holm(p_values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Holm's adjusted p-values `(N,)`: the chance of any false finding among N looks is held. Source: Holm
    1979.
    """
    p = np.asarray(p_values, float)
    order = np.argsort(p)
    stepped = np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p))))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def benjamini_hochberg(p_values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Adjusted p-values `(N,)`: of what is found below q, a share of at most q is expected to be false (for
    independent or positively dependent looks). Never above Holm's. Source: Benjamini and Hochberg 1995.
    """
    p = np.asarray(p_values, float)
    order = np.argsort(p)[::-1]
    ranks = len(p) - np.arange(len(p))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.minimum.accumulate(p[order] * len(p) / ranks), 1.0)
    return adjusted
