"""What can be set right: means over cases that were seen with unequal chances, and how much to explore.

Source: Horvitz and Thompson, JASA 1952; Hájek 1971 (the ratio form, less scattered); Swaminathan and
Joachims, "The self-normalized estimator for counterfactual learning", NeurIPS 2015.
"""

import math

import numpy as np
import numpy.typing as npt

from audit.estimate import CONFIDENCE, Estimate, unknown
from audit.experiments.off_policy import snips
from audit.intervals import z_of


def inverse_propensity_mean(
    values: npt.ArrayLike, propensity: npt.ArrayLike, *, confidence: float = CONFIDENCE
) -> Estimate:
    """Mean over everyone, from the `values` float `(N,)` of those who were seen, each with the chance
    `propensity`, above 0 to 1, at which it was.

    Weights 1 / propensity, normalised. Unknown at n = 0; a warning when the effective number (Kish: the
    square of the weights' sum over the sum of their squares) is below 30, as it is at n = 1 and 5. Raises
    `ValueError` for a chance of 0 or above 1: what can never be seen cannot be corrected for.
    """
    x, chance = np.asarray(values, float), np.asarray(propensity, float)
    if len(chance) and not ((chance > 0) & (chance <= 1)).all():
        raise ValueError(
            "propensity must lie above 0 and up to 1; cases that are never seen cannot be weighted"
        )
    if not len(x):
        return unknown("nothing was seen", 0, confidence)
    return snips(x, chance, np.ones(len(x)), confidence=confidence)


def advised_exploration(
    cases: int, *, half_width: float = 0.05, base_rate: float = 0.5, confidence: float = CONFIDENCE
) -> float:
    """Share of `cases` to decide at random, so that their rate is known to `half_width` (0 to 0.5) either
    way; 1 when even all are too few. `base_rate` is about where the rate lies; 0.5 is the most careful guess.

    Raises `ValueError` for fewer than 1 case or a half-width that is not above 0.
    """
    if cases < 1 or not 0 < half_width < 1:
        raise ValueError("needs a case at least, and a half_width between 0 and 1")
    needed = z_of(confidence) ** 2 * base_rate * (1 - base_rate) / half_width**2
    return min(1.0, math.ceil(needed) / cases)
