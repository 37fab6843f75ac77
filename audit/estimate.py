"""A number with what is known of its precision; what every statistic of the library returns."""

import math
from dataclasses import dataclass

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """`value` with an interval `lower` to `upper` of coverage `confidence`, from `count` observations.

    `value` is NaN when there is too little data to give one, the bounds are NaN when there is no interval,
    and `warnings` say why a number must be read with care.
    """

    value: float
    lower: float = math.nan
    upper: float = math.nan
    confidence: float = CONFIDENCE
    count: int = 0
    warnings: tuple[str, ...] = ()

    @property
    def known(self) -> bool:
        """Whether there is a number."""
        return not math.isnan(self.value)


def unknown(reason: str, count: int = 0, confidence: float = CONFIDENCE) -> Estimate:
    """No number, and why."""
    return Estimate(math.nan, confidence=confidence, count=count, warnings=(reason,))
