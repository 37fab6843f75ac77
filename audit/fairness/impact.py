"""Impact ratios of selection rates: New York City Local Law 144 and the four-fifths rule.

Sources: rules of the City of New York, title 6, section 5-301; EEOC Uniform Guidelines, 29 CFR 1607.4 D.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fractions import Fraction

from audit.estimate import Estimate
from audit.intervals import proportion

FOUR_FIFTHS = Fraction(4, 5)


@dataclass(frozen=True)
class Impact:
    """Selection rate of a category with its Wilson interval, and its share of the highest rate of any.

    `ratio` is 1 for the highest rate and NaN for a category without applicants or one that is not rated; then
    `excluded` says why. `flagged`: below four fifths, however few applied: read the interval of `rate`,
    which at n = 1 or 5 spans most of 0 to 1.
    """

    category: str
    applicants: int
    selected: int
    rate: Estimate
    ratio: float
    flagged: bool
    excluded: str = ""


def impact_ratios(
    counts: Mapping[str, tuple[int, int]],
    *,
    smallest_share: float = 0.0,
    unknown: Collection[str] = (),
) -> list[Impact]:
    """Impact ratio of each category: `counts` maps it to applicants and selected.

    Categories named in `unknown` hold people who did not say: they are reported with their number and rate,
    neither rated nor among "all applicants", nor can theirs be the highest rate (section 5-301 asks for their
    number). Raises `ValueError` for an unknown category without counts.

    Rates are not rounded before division. Categories with less than `smallest_share` of all applicants are
    left out of the ratios (section 5-301 allows it below 2 %) and say so. Exactly four fifths passes: it is
    compared in whole numbers. Raises `ValueError` for more selected than applicants.
    """
    if missing := sorted(set(unknown) - set(counts)):
        raise ValueError(f"no counts of {missing[0]}")
    known_counts = {category: row for category, row in counts.items() if category not in unknown}
    total = sum(applicants for applicants, _ in known_counts.values())
    for category, (applicants, selected) in counts.items():
        if not 0 <= selected <= applicants:
            raise ValueError(f"{category}: {selected} selected of {applicants} applicants")
    rated = [row for row in known_counts.values() if row[0] > 0 and row[0] >= smallest_share * total]
    best_of, best = max(rated, key=lambda row: Fraction(row[1], row[0]), default=(0, 0))
    impacts = []
    for category, (applicants, selected) in counts.items():
        rate = proportion(selected, applicants, of="applicants")
        excluded = (
            f"{applicants:,} applicants whose category is unknown: reported and not rated"
            if category in unknown
            else _excluded(applicants, total, smallest_share)
        )
        known = applicants > 0 and best > 0 and not excluded
        ratio = Fraction(selected * best_of, applicants * best) if known else None
        impacts.append(
            Impact(
                category,
                applicants,
                selected,
                rate,
                math.nan if ratio is None else float(ratio),
                ratio is not None and ratio < FOUR_FIFTHS,
                excluded,
            )
        )
    return impacts


def _excluded(applicants: int, total: int, smallest_share: float) -> str:
    if applicants >= smallest_share * total:
        return ""
    return (
        f"{applicants:,} of {total:,} applicants are {100 * applicants / total:.1f} %, "
        f"less than {100 * smallest_share:g} %: left out of the ratios"
    )
