"""Impact ratios of selection rates: New York City Local Law 144 and the four-fifths rule.

Sources: rules of the City of New York, title 6, section 5-301; EEOC Uniform Guidelines, 29 CFR 1607.4 D.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from audit.estimate import Estimate
from audit.intervals import proportion

FOUR_FIFTHS = 0.8


@dataclass(frozen=True)
class Impact:
    """Selection rate of a category with its Wilson interval, and its share of the highest rate of any
    category.

    `ratio` is NaN for a category without applicants, and `None`-free: 1 for the highest. `flagged`: below
    four fifths.
    """

    category: str
    applicants: int
    selected: int
    rate: Estimate
    ratio: float
    flagged: bool


def impact_ratios(counts: Mapping[str, tuple[int, int]], *, smallest_share: float = 0.0) -> list[Impact]:
    """Impact ratio of each category: `counts` maps it to applicants and selected. Rates are not rounded
    before division.

    Categories with less than `smallest_share` of all applicants set no highest rate (the rules let them be
    left out with a written reason). Exactly four fifths passes: it is compared in whole numbers. Raises
    `ValueError` for more selected than applicants.
    """
    total = sum(applicants for applicants, _ in counts.values())
    for category, (applicants, selected) in counts.items():
        if not 0 <= selected <= applicants:
            raise ValueError(f"{category}: {selected} selected of {applicants} applicants")
    rated = {c: v for c, v in counts.items() if v[0] > 0 and v[0] >= smallest_share * total}
    best = max(rated.values(), key=lambda v: v[1] / v[0], default=(0, 0))
    impacts = []
    for category, (applicants, selected) in counts.items():
        rate = proportion(selected, applicants, of="applicants")
        known = applicants > 0 and best[1] > 0
        ratio = (selected / applicants) / (best[1] / best[0]) if known else float("nan")
        flagged = known and 5 * selected * best[0] < 4 * applicants * best[1]
        impacts.append(Impact(category, applicants, selected, rate, ratio, flagged))
    return impacts
