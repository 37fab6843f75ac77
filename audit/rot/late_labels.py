"""Labels that come late, or never: how many will have come by when, whether the early ones are like the late,
and a rate that does not take the early ones for all.

Sources: Kaplan and Meier, "Nonparametric estimation from incomplete observations", JASA 1958; Rothman,
"Estimation of confidence limits for the cumulative probability of survival in life table analysis", Journal
of Chronic Diseases 1978; Little, "Survey nonresponse adjustments for estimates of means", International
Statistical Review 1986 (response classes); Manski, "Anatomy of the selection problem", Journal of Human
Resources 1989 (bounds without assumptions).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audit.estimate import CONFIDENCE, Estimate, unknown
from audit.finding import Finding, not_told
from audit.intervals import difference, proportion, wilson, z_of
from audit.rot.quality import FEW, few_warning

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LabelArrival:
    """Share of predictions whose label has come within each `delay` (rising), with its interval, each `(K,)`;
    of predictions too young to say, no more is used than that no label has come yet.
    """

    delay: Floats
    share: Floats
    lower: Floats
    upper: Floats
    count: int

    def by(self, delay: float) -> tuple[float, float, float]:
        """Share, lower and upper bound within this delay; 0, 0 and 1 before the first label."""
        place = int(np.searchsorted(self.delay, delay, side="right")) - 1
        if place < 0:
            return 0.0, 0.0, 1.0
        return float(self.share[place]), float(self.lower[place]), float(self.upper[place])


@dataclass(frozen=True)
class LateRate:
    """A rate of all predictions while some labels are out. `seen`: of those labelled. `by_class`: each class
    of alike predictions counted as often as it occurs, so right where within a class labels come alike.
    `lowest` and `highest`: were every label that is out a miss, or a hit; these assume nothing.
    """

    seen: Estimate
    by_class: Estimate
    lowest: float
    highest: float


def label_arrival(
    age: npt.ArrayLike, delay: npt.ArrayLike, *, confidence: float = CONFIDENCE
) -> LabelArrival:
    """How labels come in: `age` float `(N,)`, time since each prediction, and `delay` float `(N,)`, when its
    label came, NaN where it has not; both in one unit.

    Kaplan and Meier's estimate, which takes young predictions to be like old ones, with Rothman's interval.
    Empty without labels (so at n = 0); at n = 1 or 5 the interval spans most of 0 to 1. Raises `ValueError`
    for a delay beyond the prediction's age or below 0.
    """
    ages, delays = np.asarray(age, float), np.asarray(delay, float)
    labelled = ~np.isnan(delays)
    if len(ages) != len(delays) or not (ages >= np.where(labelled, delays, 0)).all() or (delays < 0).any():
        raise ValueError("each prediction needs an age, and a delay between 0 and it or none")
    watched = np.sort(np.where(labelled, delays, ages))
    times, came = np.unique(delays[labelled], return_counts=True)
    waiting = len(watched) - np.searchsorted(watched, times, side="left")
    out = np.cumprod(1 - came / waiting, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = out**2 * np.cumsum(came / (waiting * (waiting - came)))
        worth = np.where((out > 0) & (out < 1), out * (1 - out) / spread, waiting)
    share = 1 - out
    lower, upper = wilson(share * worth, worth, confidence)
    return LabelArrival(times, share, np.minimum(lower, share), np.maximum(upper, share), len(ages))


def late_rate(
    hit: npt.ArrayLike,
    labelled: npt.ArrayLike,
    classes: npt.ArrayLike,
    class_count: int,
    *,
    confidence: float = CONFIDENCE,
) -> LateRate:
    """The share of hits among all N predictions: `hit` bool `(N,)`, read where `labelled` bool `(N,)`;
    `classes` int `(N,)` from 0 to `class_count - 1`, of predictions whose labels come alike, such as score
    bin crossed with decision.

    The sum over classes of their share of all predictions times their rate of hits; its interval is normal,
    with half a hit added on either side of each class. Unknown by class where one has no label at all: then
    the bounds say what can be said. At n = 0 nothing is known and the bounds are 0 and 1; at n = 1 or 5
    intervals are wide and carry a warning. Raises `ValueError` when lengths differ.
    """
    hits, known, alike = np.asarray(hit, bool), np.asarray(labelled, bool), np.asarray(classes, np.int64)
    if not len(hits) == len(known) == len(alike):
        raise ValueError(f"lengths differ: {len(hits)} hits, {len(known)} flags, {len(alike)} classes")
    count, told, right = len(hits), int(known.sum()), int((hits & known).sum())
    seen = proportion(right, told, confidence, of="labels")
    if not count:
        return LateRate(seen, unknown("no predictions yet", 0, confidence), 0.0, 1.0)
    lowest, highest = right / count, (right + count - told) / count
    rows, labels, of_class = (
        np.bincount(alike[chosen], minlength=class_count) for chosen in (slice(None), known, known & hits)
    )
    silent = int(rows[labels == 0].sum())
    if silent:
        reason = f"{silent:,} of {count:,} predictions are of a kind of which no label has come yet"
        return LateRate(seen, unknown(reason, told, confidence), lowest, highest)
    share, used = rows / count, labels > 0
    smoothed = (of_class[used] + 0.5) / (labels[used] + 1)
    value = float(share[used] @ (of_class[used] / labels[used]))
    variance = float(share[used] ** 2 @ (smoothed * (1 - smoothed) / labels[used]))
    half = z_of(confidence) * float(np.sqrt(variance))
    lower, upper = max(0.0, value - half), min(1.0, value + half)
    by_class = Estimate(value, lower, upper, confidence, told, few_warning(told))
    return LateRate(seen, by_class, lowest, highest)


def selection_by_delay(
    outcome: npt.ArrayLike,
    age: npt.ArrayLike,
    delay: npt.ArrayLike,
    *,
    early: float,
    settled: float,
    confidence: float = CONFIDENCE,
) -> Finding:
    """Whether labels that come early are like those that come late: `outcome` bool `(N,)` (any fact of the
    label, such as being positive, or the model being right), `age` and `delay` as for `label_arrival`.

    It looks at predictions older than `settled` alone, since of younger ones only early labels can have come.
    The effect is the rate of outcomes with a delay of at most `early` less that of later ones, -1 to 1
    (Newcombe's interval); found where it surely differs from 0. With fewer than 30 labels of a kind (so at
    n = 0, 1 and 5) nothing is found. Raises `ValueError` unless `early` lies below `settled`.
    """
    if not early < settled:
        raise ValueError(f"early is {early} and settled {settled}; the first must lie below the second")
    facts, ages, delays = np.asarray(outcome, bool), np.asarray(age, float), np.asarray(delay, float)
    old = (ages >= settled) & (delays <= settled)
    soon, late = old & (delays <= early), old & (delays > early)
    counts = int((facts & soon).sum()), int(soon.sum()), int((facts & late).sum()), int(late.sum())
    advice = "Judge by predictions whose labels have had time to come, or class by class."
    if min(counts[1], counts[3]) < FEW:
        reason = f"{counts[1]:,} early and {counts[3]:,} late labels; needs {FEW} of each"
        return not_told("selection_by_delay", unknown(reason, counts[1] + counts[3], confidence), advice)
    effect = difference(*counts, confidence=confidence)
    found = effect.lower > 0 or effect.upper < 0
    rates = f"{100 * counts[0] / counts[1]:.1f} % of early ones against {100 * counts[2] / counts[3]:.1f} %"
    sentence = (
        f"Labels that come early are not like those that come late: true of {rates}."
        if found
        else f"Early and late labels do not surely differ: true of {rates}."
    )
    return Finding("selection_by_delay", effect, found, sentence, advice)
