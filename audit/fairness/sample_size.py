"""How many people would settle a question that too few leave open."""

import math

from audit.estimate import CONFIDENCE
from audit.intervals import z_of

SETTLED_GAP = 0.10
POWER = 0.80


def rows_needed(
    share: float,
    gap: float = SETTLED_GAP,
    *,
    others: int | None = None,
    confidence: float = CONFIDENCE,
    power: float = POWER,
) -> int | None:
    """People of a group needed to see its rate lie `gap` away from the `share` of `others` people, at this
    power; `others` `None`: so many that their share is known.

    n = (z_confidence + z_power)^2 p (1 - p) / gap^2 for a known share, and what makes the variances of both
    sides add up to the same otherwise. `None` where no number would do, as the others are too few. A share
    outside [0.05, 0.95] counts as the nearer end, where the normal approximation still holds. Raises
    `ValueError` for a gap outside (0, 1] or a power outside (0.5, 1). Source: Fleiss, "Statistical Methods
    for Rates and Proportions", 1981, chapter 3.
    """
    if not 0 < gap <= 1:
        raise ValueError(f"gap is {gap}; must lie above 0 and up to 1")
    if not 0.5 < power < 1:
        raise ValueError(f"power is {power}; must be between 0.5 and 1")
    share = min(max(share, 0.05), 0.95)
    variance = share * (1 - share)
    left = gap**2 / (z_of(confidence) + z_of(2 * power - 1)) ** 2
    if others is not None:
        left -= variance / others if others > 0 else left
    return math.ceil(variance / left) if left > 0 else None
