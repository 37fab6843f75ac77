"""Is a column's change large enough to matter, and is that sure? And on which day did it begin?

Counts are compared over a trailing window by `audit.drift.distances`. Sure means: the statistic `8 n ln 2
JSD` follows in large samples a chi-square distribution with K - 1 degrees of freedom whose non-centrality is
`8 n ln 2 d^2` where the true distance is d (Grosse and others, "Analysis of symbolic sequences using the
Jensen-Shannon divergence", Physical Review E 65, 2002, section III; Cressie and Read 1984 for the family).
So the hypothesis that the true distance is at most d is tested, and not merely that nothing at all has
changed: with many rows the latter is always rejected.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audit.drift.distances import corrected_distance, jensen_shannon_distance

Counts = npt.NDArray[np.float64]

SCALE = 8 * np.log(2)


@dataclass(frozen=True)
class Change:
    """A column's trailing window beside the reference.

    `distance`: base-2 Jensen-Shannon distance with its bias taken off, 0 same to 1 disjoint; 0 without rows.
    `raw_distance`: the same as observed. `effective_count`: rows of a one-sample comparison that is as
    precise.
    """

    distance: float
    raw_distance: float
    value_count: int
    effective_count: float

    def probability_within(self, distance: float) -> float:
        """Probability of a change that looks as large as this one where the true distance is at most
        `distance`.

        Small: the change is surely larger than `distance`. 1 with too little data to compare.
        """
        from scipy.stats import ncx2

        if self.value_count < 2 or self.effective_count < 1:
            return 1.0
        statistic = SCALE * self.effective_count * self.raw_distance**2
        return float(ncx2.sf(statistic, self.value_count - 1, SCALE * self.effective_count * distance**2))


def compare(window: Counts, reference: Counts) -> Change:
    """Compares two aligned count vectors, `(K,)`."""
    window_count, reference_count = window.sum(), reference.sum()
    if window_count == 0 or reference_count == 0:
        return Change(0.0, 0.0, 0, 0.0)
    effective = window_count * reference_count / (window_count + reference_count)
    value_count = int(((window + reference) > 0).sum())
    return Change(
        corrected_distance(window, reference),
        jensen_shannon_distance(window, reference),
        value_count,
        float(effective),
    )


def began(days: Counts, changed: Counts, reference: Counts) -> int:
    """The day on which a change most likely began: an index into `days`, `(D, K)` counts, oldest first.

    The change point of largest likelihood between the reference's shares and those of `changed`, the counts
    of the window in which the change was noticed (Page 1954, Hinkley 1970); shares are smoothed by half a
    row a value. The last day when nothing speaks for an earlier one.
    """
    before = (reference + 0.5) / (reference + 0.5).sum()
    after = (changed + 0.5) / (changed + 0.5).sum()
    evidence = days @ np.log(after / before)
    since = np.cumsum(evidence[::-1])[::-1]
    best = int(np.argmax(since))
    return best if since[best] > 0 else len(days) - 1
