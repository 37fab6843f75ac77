"""How far apart the best and the worst group are: one number for a page or a gate, with an interval that
allows for having picked the two.

Sources of the definitions: Hardt, Price and Srebro, "Equality of opportunity in supervised learning", NeurIPS
2016; Agarwal and others, "A reductions approach to fair classification", ICML 2018. Values are those of
fairlearn's `demographic_parity_difference` and `equalized_odds_difference`.
"""

from dataclasses import replace

from audit.estimate import CONFIDENCE, Estimate, unknown
from audit.fairness.rates import GroupRates, Interval
from audit.intervals import wilson

MINIMUM = 30


def spread(
    rates: GroupRates,
    rate: str,
    *,
    minimum: int = MINIMUM,
    confidence: float = CONFIDENCE,
    interval: Interval = wilson,
) -> Estimate:
    """Highest less lowest rate of any group, 0 (all alike) to 1: of `selection_rate` the demographic parity
    difference, of `true_positive_rate` that of equal opportunity.

    Each of G groups gets an interval that misses at most 1 in G times as often, so all hold together; the
    true spread then lies between the highest lower less the lowest upper bound, and the highest upper less
    the lowest lower one. Groups of fewer than `minimum` people that count are left out, and a warning says
    how many; unknown when fewer than two are left (so where all have 0, 1 or 5 people). Raises `KeyError` for
    a rate that is not in `audit.fairness.rates.RATES`.
    """
    hits, people = rates.hits_and_people(rate)
    enough = (people >= minimum) & (people > 0)
    rated = int(enough.sum())
    small = int(((people > 0) & ~enough).sum())
    left_out = (f"left out for fewer than {minimum} people: {small} of the groups",) if small else ()
    if rated < 2:
        few = f"a spread needs two groups of {minimum} people that count; there are {rated}"
        return unknown(few, int(people.sum()), confidence)
    k, n = hits[enough], people[enough]
    lower, upper = interval(k, n, 1 - (1 - confidence) / rated)
    shares = k / n
    return Estimate(
        float(shares.max() - shares.min()),
        max(0.0, float(lower.max() - upper.min())),
        float(upper.max() - lower.min()),
        confidence,
        int(n.sum()),
        left_out,
    )


def equalized_odds_difference(
    rates: GroupRates, *, minimum: int = MINIMUM, confidence: float = CONFIDENCE
) -> Estimate:
    """The larger spread of the true positive and the false positive rate, 0 to 1: 0 where decisions depend on
    the outcome alone.

    Each spread's interval misses half as often as asked, so both hold together. Unknown where either is.
    """
    each = 1 - (1 - confidence) / 2
    both = [
        spread(rates, rate, minimum=minimum, confidence=each)
        for rate in ("true_positive_rate", "false_positive_rate")
    ]
    for one in both:
        if not one.known:
            return replace(one, confidence=confidence)
    return Estimate(
        max(one.value for one in both),
        max(one.lower for one in both),
        max(one.upper for one in both),
        confidence,
        sum(one.count for one in both),
        tuple(dict.fromkeys(warning for one in both for warning in one.warnings)),
    )
