"""Kinds of bias that show in counts: representation, historical, measurement, amplification.

Groups are texts `(N,)`; each check compares one group with all others, so that a caller looks at each group
and corrects for how many it looked at (`audit.intervals.holm`). A group or its rest of fewer than 30 is not
judged.
"""

import math

import numpy as np
import numpy.typing as npt

from audit.estimate import CONFIDENCE, Estimate, unknown
from audit.finding import Finding, not_told
from audit.intervals import difference, wilson, z_of

FEW = 30
NOTICED = 0.05
"""A difference of rates that matters, in points of 1."""
SCARCE = 0.8
"""A group's share of the data below this part of its share of the population is too small (the four-fifths
idea).
"""


def representation(
    group: npt.ArrayLike, one: str, population_share: float, *, confidence: float = CONFIDENCE
) -> Finding:
    """Whether `one` is rarer in the data than in the population that the model will meet.

    The effect is the ratio of the shares: 1 as in the population, 0.5 half as many as there should be; its
    interval is Wilson's of the share in the data. Found when the whole interval lies below 0.8. Raises
    `ValueError` for a population share outside (0, 1].
    """
    if not 0 < population_share <= 1:
        raise ValueError("population_share must lie above 0 and up to 1")
    values = np.asarray(group, object)
    count, there = len(values), int((values == one).sum())
    advice = f"Collect more rows of {one}, or say in the datasheet that the model is not for them."
    if count < FEW:
        return not_told("representation", unknown(f"{count} rows; needs {FEW}", count, confidence), advice)
    lower, upper = wilson(there, count, confidence)
    share = there / count
    effect = Estimate(
        share / population_share, lower / population_share, upper / population_share, confidence, count
    )
    found = effect.upper < SCARCE
    shares = f"{100 * share:.1f} % of the rows and {100 * population_share:.1f} % of the population"
    sentence = (
        f"{one} is underrepresented: {shares}."
        if found
        else f"{one} is not surely underrepresented: {shares}."
    )
    return Finding("representation", effect, found, sentence, advice)


def historical(
    label: npt.ArrayLike, group: npt.ArrayLike, one: str, *, confidence: float = CONFIDENCE
) -> Finding:
    """Whether the past that the labels record treated `one` differently: `label` bool `(N,)`.

    The effect is the share of positive labels in the group less that of everyone else (Newcombe's interval),
    -1 to 1. Found when it surely lies 5 points or more from 0. A difference is a fact of the data, not yet a
    wrong: a perfect model would repeat it.
    """
    positive, inside = np.asarray(label, bool), np.asarray(group, object) == one
    counts = _counts(positive, inside)
    advice = "Ask what made the past so, and whether a decision should carry it on."
    return _compared("historical", counts, (one, "labels are positive"), advice, confidence)


def measurement(
    measured: npt.ArrayLike,
    true: npt.ArrayLike,
    group: npt.ArrayLike,
    one: str,
    *,
    confidence: float = CONFIDENCE,
) -> Finding:
    """Whether what is recorded errs more often for `one`: `measured` and `true` bool `(N,)`, on rows whose
    truth was found out by better means (an audit, a second test).

    The effect is the share of wrong records in the group less that of everyone else, -1 to 1; found when it
    surely lies 5 points or more from 0.
    """
    wrong = np.asarray(measured, bool) != np.asarray(true, bool)
    counts = _counts(wrong, np.asarray(group, object) == one)
    advice = "Measure the group by the better means, or train on a target that errs alike for all."
    return _compared("measurement", counts, (one, "records are wrong"), advice, confidence)


def amplification(
    label: npt.ArrayLike,
    decision: npt.ArrayLike,
    group: npt.ArrayLike,
    one: str,
    *,
    confidence: float = CONFIDENCE,
) -> Finding:
    """Whether decisions are more unequal than the labels of the same rows: both bool `(N,)`.

    With the gap being the group's positive share less everyone else's, the effect is the gap of decisions
    less that of labels, in the direction of the latter: above 0 the model widens the difference, below 0 it
    narrows it. The interval is that of a difference of paired means. Source: Zhao and others, "Men also like
    shopping", EMNLP 2017.
    """
    actual, decided = np.asarray(label, bool), np.asarray(decision, bool)
    inside = np.asarray(group, object) == one
    advice = "Look at the threshold, at what the training weighs, and at proxies of the group."
    few = _too_few(inside, confidence)
    if few is not None:
        return not_told("amplification", few, advice)
    moved = decided.astype(float) - actual
    label_gap = float(actual[inside].mean() - actual[~inside].mean())
    sign = math.copysign(1.0, label_gap)
    widened = sign * float(moved[inside].mean() - moved[~inside].mean())
    spread = moved[inside].var(ddof=1) / inside.sum() + moved[~inside].var(ddof=1) / (~inside).sum()
    half = z_of(confidence) * math.sqrt(float(spread))
    effect = Estimate(widened, widened - half, widened + half, confidence, len(actual))
    found = effect.lower > 0
    gaps = (
        f"{one} is {100 * label_gap:+.1f} points from everyone else in the labels and "
        f"{100 * (label_gap + sign * widened):+.1f} in the decisions"
    )
    sentence = f"The model widens a difference: {gaps}." if found else f"No surely wider difference: {gaps}."
    return Finding("amplification", effect, found, sentence, advice)


def _counts(event: npt.NDArray[np.bool_], inside: npt.NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Events and rows of the group, events and rows of the rest."""
    rest = ~inside
    return int((event & inside).sum()), int(inside.sum()), int((event & rest).sum()), int(rest.sum())


def _too_few(inside: npt.NDArray[np.bool_], confidence: float) -> Estimate | None:
    smallest = min(int(inside.sum()), int((~inside).sum()))
    if smallest >= FEW:
        return None
    return unknown(f"the group or its rest has {smallest} rows; needs {FEW}", len(inside), confidence)


def _compared(
    name: str, counts: tuple[int, int, int, int], words: tuple[str, str], advice: str, confidence: float
) -> Finding:
    events, rows, other_events, others = counts
    one, event = words
    if min(rows, others) < FEW:
        reason = f"the group or its rest has {min(rows, others)} rows; needs {FEW}"
        return not_told(name, unknown(reason, rows + others, confidence), advice)
    effect = difference(events, rows, other_events, others, confidence)
    found = effect.lower > NOTICED or effect.upper < -NOTICED
    shares = f"{100 * events / rows:.1f} % for {one}, {100 * other_events / others:.1f} % for everyone else"
    verdict = "A difference" if found else "No sure difference"
    return Finding(name, effect, found, f"{verdict} in how often {event}: {shares}.", advice)
