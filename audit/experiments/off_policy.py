"""What another policy would have earned, from logged decisions with the chances at which they were made.

Sources: Horvitz and Thompson 1952 (IPS); Swaminathan and Joachims, NeurIPS 2015 (SNIPS); Dudík, Langford and
Li, "Doubly robust policy evaluation and learning", ICML 2011. Arrays are `(N,)`; `propensity` is the chance
of the logged decision under the policy that made it, above 0 to 1, `target` its chance under the policy that
is asked about, 0 to 1.
"""

import math

import numpy as np
import numpy.typing as npt

from audit.estimate import CONFIDENCE, Estimate, unknown
from audit.intervals import z_of

FEWEST_EFFECTIVE = 30
Floats = npt.NDArray[np.float64]


def ips(
    reward: npt.ArrayLike, propensity: npt.ArrayLike, target: npt.ArrayLike, *, confidence: float = CONFIDENCE
) -> Estimate:
    """Mean of reward weighted by target / propensity: unbiased, and scattered where weights are large."""
    value, weight = _checked(reward, propensity, target)
    return _mean(weight * value, weight, confidence)


def snips(
    reward: npt.ArrayLike, propensity: npt.ArrayLike, target: npt.ArrayLike, *, confidence: float = CONFIDENCE
) -> Estimate:
    """The same with weights that are made to average 1: a little biased, less scattered, and never out of the
    rewards' range. The interval is the delta method's. Unknown where the target would have decided nothing of
    what was logged.
    """
    value, weight = _checked(reward, propensity, target)
    total = float(weight.sum())
    if not total:
        return unknown(
            "the policy asked about would have made none of the logged decisions", len(value), confidence
        )
    mean = float((weight * value).sum()) / total
    if len(value) == 1:
        return Estimate(mean, confidence=confidence, count=1, warnings=_warnings(weight))
    spread = math.sqrt(float((weight**2 * (value - mean) ** 2).sum())) / total
    half = z_of(confidence) * spread
    return Estimate(mean, mean - half, mean + half, confidence, len(value), _warnings(weight))


def doubly_robust(
    reward: npt.ArrayLike,
    propensity: npt.ArrayLike,
    target: npt.ArrayLike,
    predicted: npt.ArrayLike,
    predicted_of_target: npt.ArrayLike,
    *,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """A model of the reward, set right by IPS where it errs: right when either the model or the chances are.

    `predicted` is the model's reward of the logged decision, `predicted_of_target` its mean over what the
    target policy would have decided.
    """
    value, weight = _checked(reward, propensity, target)
    of_logged, of_target = np.asarray(predicted, float), np.asarray(predicted_of_target, float)
    return _mean(of_target + weight * (value - of_logged), weight, confidence)


def _checked(
    reward: npt.ArrayLike, propensity: npt.ArrayLike, target: npt.ArrayLike
) -> tuple[Floats, Floats]:
    """Rewards and weights. Raises `ValueError` for chances that are none."""
    value, chance, wanted = (np.asarray(one, float) for one in (reward, propensity, target))
    if not ((chance > 0) & (chance <= 1)).all():
        raise ValueError("propensity must lie above 0 and up to 1: what was never tried cannot be judged")
    if not ((wanted >= 0) & (wanted <= 1)).all():
        raise ValueError("target must lie between 0 and 1")
    return value, wanted / chance


def _mean(terms: Floats, weight: Floats, confidence: float) -> Estimate:
    count = len(terms)
    if not count:
        return unknown("nothing was logged", 0, confidence)
    mean = float(terms.mean())
    if count == 1:
        return Estimate(mean, confidence=confidence, count=1, warnings=_warnings(weight))
    half = z_of(confidence) * float(terms.std(ddof=1)) / math.sqrt(count)
    return Estimate(mean, mean - half, mean + half, confidence, count, _warnings(weight))


def _warnings(weight: Floats) -> tuple[str, ...]:
    squares = float((weight**2).sum())
    effective = float(weight.sum()) ** 2 / squares if squares else 0.0
    if effective >= FEWEST_EFFECTIVE:
        return ()
    return (f"the {len(weight):,} logged decisions count as {effective:.0f}: a few large weights decide",)
