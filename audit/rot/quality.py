"""How good a set of predictions is, from the counts of a profile: realised from labels, estimated without
them.

Sources: Hanley and McNeil, "The meaning and use of the area under a ROC curve", Radiology 1982; Naeini and
others, "Obtaining well calibrated probabilities using Bayesian binning", AAAI 2015 (calibration error);
NannyML's confidence-based performance estimation (CBPE) for accuracy without labels; Barlow and others 1972
for isotonic regression.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from audit.estimate import CONFIDENCE, Estimate, unknown
from audit.intervals import proportion, z_of
from audit.profiles.quality import QualityProfile

Floats = npt.NDArray[np.float64]

FEW = 30
"""A rate of fewer people than this carries a warning."""


@dataclass(frozen=True)
class Quality:
    """Rates of a set of predictions; each estimate knows its own count and warnings."""

    row_count: int
    labelled_count: int
    accuracy: Estimate
    auc: Estimate
    brier: Estimate
    calibration_error: Estimate
    estimated_accuracy: Estimate
    selection_rate: Estimate
    true_positive_rate: Estimate
    false_positive_rate: Estimate
    false_negative_rate: Estimate
    positive_predictive_value: Estimate
    base_rate: Estimate


def quality(
    profile: QualityProfile,
    reference: QualityProfile | None = None,
    *,
    threshold: float = 0.5,
    confidence: float = CONFIDENCE,
) -> Quality:
    """All rates of a profile. Without a labelled `reference` the estimated accuracy is unknown.

    With no labels every realised rate is unknown; below `FEW` people a rate carries a warning that names
    how few they are.
    """
    tp, fp, tn, fn = (
        profile.true_positives,
        profile.false_positives,
        profile.true_negatives,
        profile.false_negatives,
    )
    labelled = profile.labelled_count

    def rate(hits: int, of: int) -> Estimate:
        return _with_warning(proportion(hits, of, confidence, of="people with a known outcome"))

    return Quality(
        row_count=profile.row_count,
        labelled_count=labelled,
        accuracy=rate(tp + tn, labelled),
        auc=auc(profile, confidence),
        brier=brier(profile, confidence),
        calibration_error=calibration_error(profile),
        estimated_accuracy=estimated_accuracy(profile, reference, threshold=threshold, confidence=confidence),
        selection_rate=_with_warning(
            proportion(profile.positive_decision_count, profile.row_count, confidence, of="people")
        ),
        true_positive_rate=rate(tp, tp + fn),
        false_positive_rate=rate(fp, fp + tn),
        false_negative_rate=rate(fn, tp + fn),
        positive_predictive_value=rate(tp, tp + fp),
        base_rate=rate(tp + fn, labelled),
    )


def auc(profile: QualityProfile, confidence: float = CONFIDENCE) -> Estimate:
    """Area under the ROC curve from score bins, ties within a bin counted half: 0.5 is chance, 1 perfect.

    Unknown unless both outcomes have been seen. The interval is Hanley and McNeil's.
    """
    positives = profile.labelled_positive_counts.astype(float)
    negatives = profile.labelled_counts - positives
    p, n = positives.sum(), negatives.sum()
    if p <= 0 or n <= 0:
        return unknown("both outcomes must have been seen", int(p + n), confidence)
    below = np.cumsum(negatives) - negatives
    value = float((positives @ (below + negatives / 2)) / (p * n))
    q1, q2 = value / (2 - value), 2 * value**2 / (1 + value)
    variance = (value * (1 - value) + (p - 1) * (q1 - value**2) + (n - 1) * (q2 - value**2)) / (p * n)
    half = z_of(confidence) * math.sqrt(max(variance, 0.0))
    return Estimate(value, max(0.0, value - half), min(1.0, value + half), confidence, int(p + n))


def brier(profile: QualityProfile, confidence: float = CONFIDENCE) -> Estimate:
    """Mean squared gap between score and outcome: 0 perfect, 0.25 for always saying one half. Unknown at n
    = 0.

    The mean is exact; its interval takes the spread of squared gaps from the bins' mean scores.
    """
    n = profile.labelled_count
    if n <= 0:
        return unknown("no people with a known outcome yet", 0, confidence)
    value = profile.squared_error_sum / n
    score = _mean_scores(profile)
    positives = profile.labelled_positive_counts
    negatives = profile.labelled_counts - positives
    fourth = float(positives @ (1 - score) ** 4 + negatives @ score**4) / n
    half = z_of(confidence) * math.sqrt(max(fourth - value**2, 0.0) / n)
    return Estimate(value, max(0.0, value - half), value + half, confidence, n)


def calibration_error(profile: QualityProfile) -> Estimate:
    """Mean absolute gap between mean score and share of positive outcomes over score bins: 0 perfect. No
    interval.

    With few people a bin it is biased upwards; below 10 people a bin in use it carries a warning.
    """
    n = profile.labelled_count
    if n <= 0:
        return unknown("no people with a known outcome yet")
    used = profile.labelled_counts > 0
    counts = profile.labelled_counts[used]
    gap = np.abs(_mean_scores(profile)[used] - profile.labelled_positive_counts[used] / counts)
    warnings = (
        () if n >= 10 * used.sum() else ("few people in each score bin: the error looks larger than it is",)
    )
    return Estimate(float(counts @ gap) / n, count=n, warnings=warnings)


def estimated_accuracy(
    profile: QualityProfile,
    reference: QualityProfile | None,
    *,
    threshold: float = 0.5,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """Accuracy expected from scores alone, made honest by what scores of the reference came to (CBPE).

    It assumes that inputs may have moved but that a score still means what it meant on the reference; a
    change in that it cannot see. Unknown without predictions or without a labelled reference. The interval
    holds both the luck of outcomes and the reference's own sampling error.
    """
    n = profile.row_count
    if n <= 0:
        return unknown("no predictions yet", 0, confidence)
    if reference is None or reference.labelled_count <= 0:
        return unknown("the reference has no labels to calibrate by", n, confidence)
    chance, variance = _calibration(reference)
    centre = _mean_scores(profile)
    right = np.where(centre >= threshold, chance, 1 - chance)
    share = profile.score_counts / n
    value = float(share @ right)
    spread = float(share @ (right * (1 - right))) / n + float(share**2 @ variance)
    half = z_of(confidence) * math.sqrt(spread)
    return Estimate(value, max(0.0, value - half), min(1.0, value + half), confidence, n)


def _calibration(reference: QualityProfile) -> tuple[Floats, Floats]:
    """Chance of a positive outcome by score bin, made monotone, and its sampling variance."""
    from sklearn.isotonic import isotonic_regression

    counts = reference.labelled_counts.astype(float)
    bins = len(counts)
    prior = (np.arange(bins) + 0.5) / bins
    smoothed = (reference.labelled_positive_counts + prior) / (counts + 1)
    chance = np.clip(isotonic_regression(smoothed, sample_weight=counts + 1), 0.0, 1.0)
    return chance, chance * (1 - chance) / (counts + 1)


def _mean_scores(profile: QualityProfile) -> Floats:
    bins = profile.bin_count
    middle = (np.arange(bins) + 0.5) / bins
    counts = profile.score_counts
    return np.where(counts > 0, profile.score_sums / np.maximum(counts, 1), middle)


def people(count: int) -> str:
    """`1 person`, `8 people`, `1,234 people`."""
    return "1 person" if count == 1 else f"{count:,} people"


def few_warning(count: int) -> tuple[str, ...]:
    """The warning that a rate of this many people carries; none from `FEW` up."""
    return () if count >= FEW else (f"only {people(count)}: too few to say",)


def _with_warning(estimate: Estimate) -> Estimate:
    return replace(estimate, warnings=few_warning(estimate.count)) if estimate.known else estimate
