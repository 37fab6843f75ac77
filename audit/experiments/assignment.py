"""Whether traffic was split as it was meant to be: a sample-ratio mismatch undoes every comparison.

Source: Lindon and Malek, "Anytime-valid inference for multinomial count data", NeurIPS 2022: the Bayes factor
of a Dirichlet prior around the planned shares is a martingale, so its inverse may be looked at daily.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

PRIOR_STRENGTH = 100.0
LEVEL = 0.001
"""P-value under which a mismatch is said. It is small because a mismatch means a defect, and looks are many.
"""


@dataclass(frozen=True)
class SplitCheck:
    """`p_value` holds at every look at once; `mismatch` when it is under 0.001; `sentence` in plain words."""

    p_value: float
    mismatch: bool
    sentence: str


def check_split(counts: Mapping[str, int], shares: Mapping[str, float]) -> SplitCheck:
    """Compares how many went to each arm with the planned `shares`, above 0, that sum to 1.

    At n = 0, 1 or 5 no split is far enough from any plan: the p-value is 1 or near it. Raises `ValueError`
    when arms differ or shares are no shares.
    """
    if set(counts) != set(shares):
        raise ValueError(
            f"counts are of {sorted(counts)}, shares of {sorted(shares)}; must be of the same arms"
        )
    if any(share <= 0 for share in shares.values()) or not math.isclose(
        sum(shares.values()), 1, abs_tol=1e-9
    ):
        raise ValueError("shares must be above 0 and sum to 1")
    if any(count < 0 for count in counts.values()):
        raise ValueError("counts must not be below 0")
    total = sum(counts.values())
    factor = math.lgamma(PRIOR_STRENGTH) - math.lgamma(PRIOR_STRENGTH + total)
    for arm, count in counts.items():
        prior = PRIOR_STRENGTH * shares[arm]
        factor += math.lgamma(prior + count) - math.lgamma(prior) - count * math.log(shares[arm])
    p_value = math.exp(min(0.0, -factor))
    mismatch = p_value < LEVEL
    found = (
        ", ".join(f"{arm} {100 * count / total:.1f} %" for arm, count in counts.items())
        if total
        else "nobody"
    )
    planned = ", ".join(f"{arm} {100 * share:.1f} %" for arm, share in shares.items())
    sentence = (
        f"The split is not as planned ({found}; planned {planned}): find the defect before anything else."
        if mismatch
        else f"The split is as planned so far ({found}; planned {planned})."
    )
    return SplitCheck(p_value, mismatch, sentence)
