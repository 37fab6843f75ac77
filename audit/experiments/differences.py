"""Differences of two arms with intervals that hold at every look at once, however often one looks.

Source: Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, "Time-uniform central limit theory and asymptotic
confidence sequences", Annals of Statistics 2024, theorem 2.2: the normal mixture, tuned for the count at
which it is to be tightest.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audit.estimate import CONFIDENCE, Estimate, unknown

FEWEST = 30
TIGHTEST_AT = 1000


@dataclass(frozen=True)
class Arm:
    """What was measured in an arm: `count` values with their `mean` and `variance` (of the values, n - 1)."""

    count: int
    mean: float
    variance: float

    @classmethod
    def of(cls, values: npt.ArrayLike) -> "Arm":
        """The arm of `values`, float or bool `(N,)`; NaN mean of none, variance 0 of one."""
        x = np.asarray(values, float)
        if not len(x):
            return cls(0, math.nan, 0.0)
        return cls(len(x), float(x.mean()), float(x.var(ddof=1)) if len(x) > 1 else 0.0)

    def __add__(self, other: "Arm") -> "Arm":
        """Both arms' values together (Chan, Golub and LeVeque 1983)."""
        if not self.count or not other.count:
            return other if not self.count else self
        count = self.count + other.count
        apart = other.mean - self.mean
        mean = self.mean + apart * other.count / count
        squares = self.variance * (self.count - 1) + other.variance * (other.count - 1)
        squares += apart**2 * self.count * other.count / count
        return Arm(count, mean, squares / (count - 1))


def difference_of_means(
    challenger: Arm, champion: Arm, *, confidence: float = CONFIDENCE, tightest_at: int = TIGHTEST_AT
) -> Estimate:
    """Mean of the challenger less that of the champion, with an interval that holds at all looks at once.

    `tightest_at` is the number of values of both arms together at which the interval is to be as narrow as
    can be. With fewer than 30 values in an arm there is no interval, and a warning; unknown when one is empty
    (n = 0, 1, 5).
    """
    count = challenger.count + champion.count
    if not challenger.count or not champion.count:
        return unknown("an arm has no values yet", count, confidence)
    value = challenger.mean - champion.mean
    fewest = min(challenger.count, champion.count)
    if fewest < FEWEST:
        warning = f"an arm has {fewest} values; an interval needs {FEWEST}"
        return Estimate(value, confidence=confidence, count=count, warnings=(warning,))
    # The difference is a mean over both arms' values, each weighted by 1 / P(its arm).
    share = challenger.count / count
    variance = challenger.variance / share + champion.variance / (1 - share)
    half = math.sqrt(variance) * mixture_width(count, 1 - confidence, tightest_at)
    return Estimate(value, value - half, value + half, confidence, count)


def paired_difference(
    differences: Arm, *, confidence: float = CONFIDENCE, tightest_at: int = TIGHTEST_AT
) -> Estimate:
    """Mean of differences on the same inputs (a shadow against the champion), with an interval that holds at
    all looks.

    As `difference_of_means` with fewer than 30; unknown at n = 0.
    """
    if not differences.count:
        return unknown("nothing was compared yet", 0, confidence)
    if differences.count < FEWEST:
        warning = f"{differences.count} comparisons; an interval needs {FEWEST}"
        return Estimate(differences.mean, confidence=confidence, count=differences.count, warnings=(warning,))
    half = math.sqrt(differences.variance) * mixture_width(differences.count, 1 - confidence, tightest_at)
    mean = differences.mean
    return Estimate(mean, mean - half, mean + half, confidence, differences.count)


def mixture_width(count: int, alpha: float, tightest_at: int) -> float:
    """Half width of the sequence at `count` values of variance 1 (theorem 2.2, with rho of equation 10)."""
    rho2 = (-2 * math.log(alpha) + math.log(-2 * math.log(alpha) + 1)) / tightest_at
    grown = count * rho2 + 1
    return math.sqrt(2 * grown / (count**2 * rho2) * math.log(math.sqrt(grown) / alpha))
