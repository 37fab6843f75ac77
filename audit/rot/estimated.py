"""Quality without labels: every rate of the confusion matrix and the AUC that scores lead one to expect, once
they are made honest by what scores of labelled rows came to.

It assumes that inputs may have moved but that a score still means what it meant (with the importance-weighted
map: that a row still means what it meant). A change in that it cannot see; see `audit.rot.shift`.

Sources: NannyML's confidence-based performance estimation (CBPE); Białek and others, "Estimating model
performance under covariate shift without labels", 2024 (its importance-weighted form); the delta method for
the intervals of ratios.
"""

import math

import numpy as np
import numpy.typing as npt

from audit.estimate import CONFIDENCE, Estimate, unknown
from audit.intervals import z_of
from audit.profiles.quality import QualityProfile
from audit.rot.calibration import Calibration, calibration_of, mean_scores

Floats = npt.NDArray[np.float64]

ESTIMATED_RATES = (
    "accuracy",
    "true_positive_rate",
    "false_positive_rate",
    "false_negative_rate",
    "true_negative_rate",
    "positive_predictive_value",
    "negative_predictive_value",
    "base_rate",
)
FEW = 30


def estimated_accuracy(
    profile: QualityProfile,
    reference: QualityProfile | None,
    *,
    threshold: float = 0.5,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """Accuracy expected of a profile's predictions when their scores mean what those of the labelled
    `reference` came to. Unknown without predictions or without a labelled reference.
    """
    if reference is None or reference.labelled_count <= 0:
        if profile.row_count <= 0:
            return unknown("no predictions yet", 0, confidence)
        return unknown("the reference has no labels to calibrate by", profile.row_count, confidence)
    calibration = calibration_of(reference)
    return estimated_rates(profile, calibration, threshold=threshold, confidence=confidence)["accuracy"]


def estimated_rates(
    profile: QualityProfile,
    calibration: Calibration,
    *,
    threshold: float = 0.5,
    confidence: float = CONFIDENCE,
) -> dict[str, Estimate]:
    """Each of `ESTIMATED_RATES`, with the interval that the realised rate of these very predictions falls
    into: it holds the luck of their outcomes and the sampling error of the calibration.

    A score bin counts as decided positively when its mean score reaches `threshold`. A rate is unknown where
    not one person is expected to count for it, so at n = 0 and most at n = 1; below 30 people expected to
    count, or 30 labelled rows behind the calibration, it carries a warning. Raises `ValueError` when the
    score bins differ.
    """
    _check_bins(profile, calibration)
    decided = (mean_scores(profile) >= threshold).astype(float)
    return {
        name: _estimated(profile, calibration, _parts(name, decided), confidence) for name in ESTIMATED_RATES
    }


def estimated_auc(
    profile: QualityProfile, calibration: Calibration, *, confidence: float = CONFIDENCE
) -> Estimate:
    """Area under the ROC curve that is expected, ties within a bin counted half; with the same interval.

    Unknown where a kind of outcome is hardly expected once, so at n = 0 and 1; at n = 5 it carries a warning.
    Raises `ValueError` when the score bins differ.
    """
    _check_bins(profile, calibration)
    rows = profile.score_counts.astype(float)
    positives, negatives = rows * calibration.chance, rows * (1 - calibration.chance)
    p, n = float(positives.sum()), float(negatives.sum())
    count = profile.row_count
    if min(p, n) < 1:
        return unknown("both outcomes must be expected at least once", count, confidence)
    below = np.cumsum(negatives) - negatives / 2
    above = p - np.cumsum(positives) + positives / 2
    value = float(positives @ below) / (p * n)
    # What one more positive outcome in a bin, in place of a negative one, does to the area.
    slope = (below - above) / (p * n) - value * (1 / p - 1 / n)
    half = z_of(confidence) * math.sqrt(float(slope**2 @ _outcome_variance(rows, calibration)))
    warnings = _warnings(min(p, n), calibration)
    return Estimate(value, max(0.0, value - half), min(1.0, value + half), confidence, count, warnings)


Parts = tuple[Floats, Floats, Floats, Floats]
"""What a row of each bin adds to a rate's numerator and denominator if its outcome is positive, then if it is
negative.
"""


def _parts(rate: str, decided: Floats) -> Parts:
    one, none, refused = np.ones_like(decided), np.zeros_like(decided), 1 - decided
    return {
        "accuracy": (decided, one, refused, one),
        "true_positive_rate": (decided, one, none, none),
        "false_positive_rate": (none, none, decided, one),
        "false_negative_rate": (refused, one, none, none),
        "true_negative_rate": (none, none, refused, one),
        "positive_predictive_value": (decided, decided, none, decided),
        "negative_predictive_value": (none, refused, refused, refused),
        "base_rate": (one, one, none, one),
    }[rate]


def _estimated(
    profile: QualityProfile, calibration: Calibration, parts: Parts, confidence: float
) -> Estimate:
    hit, counted, hit_else, counted_else = parts
    rows, chance = profile.score_counts.astype(float), calibration.chance
    of = float(rows @ (chance * counted + (1 - chance) * counted_else))
    if of < 1 - 1e-9:
        reason = "not one person is expected to count for it" if profile.row_count else "no predictions yet"
        return unknown(reason, profile.row_count, confidence)
    value = float(rows @ (chance * hit + (1 - chance) * hit_else)) / of
    slope = (hit - hit_else - value * (counted - counted_else)) / of
    half = z_of(confidence) * math.sqrt(float(slope**2 @ _outcome_variance(rows, calibration)))
    lower, upper = max(0.0, value - half), min(1.0, value + half)
    return Estimate(value, lower, upper, confidence, profile.row_count, _warnings(of, calibration))


def _outcome_variance(rows: Floats, calibration: Calibration) -> Floats:
    """Of the number of positive outcomes by bin: their luck, and what the calibration does not know."""
    return rows * calibration.chance * (1 - calibration.chance) + rows**2 * calibration.variance


def _warnings(expected: float, calibration: Calibration) -> tuple[str, ...]:
    few = []
    if expected < FEW:
        few.append(f"only about {expected:.0f} people are expected to count: too few to say")
    if calibration.labelled_count < FEW:
        few.append(f"the scores' meaning rests on {calibration.labelled_count:.0f} labelled rows")
    return tuple(few)


def _check_bins(profile: QualityProfile, calibration: Calibration) -> None:
    if profile.bin_count != len(calibration.chance):
        raise ValueError(f"score bins differ: {profile.bin_count} and {len(calibration.chance)}")
