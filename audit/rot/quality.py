"""How good a set of predictions is, from the counts of a profile: realised from labels, estimated without
them.

Sources: Newcombe, Statistics in Medicine 2006 (the interval of an AUC); those of `audit.rot.calibration` and
`audit.rot.estimated`.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from audit.estimate import CONFIDENCE, Estimate, unknown
from audit.intervals import auc_bounds, proportion, z_of
from audit.profiles.quality import QualityProfile
from audit.rot.calibration import calibration_error, mean_scores
from audit.rot.estimated import estimated_accuracy

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
        calibration_error=calibration_error(profile, confidence),
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

    Unknown unless both outcomes have been seen. The interval is that of `audit.intervals.auc_bounds`, which
    spans most of 0 to 1 for 2 or 5 people.
    """
    positives = profile.labelled_positive_counts.astype(float)
    negatives = profile.labelled_counts - positives
    p, n = positives.sum(), negatives.sum()
    if p <= 0 or n <= 0:
        return unknown("both outcomes must have been seen", int(p + n), confidence)
    below = np.cumsum(negatives) - negatives
    value = float((positives @ (below + negatives / 2)) / (p * n))
    lower, upper = auc_bounds(value, p, n, confidence)
    return Estimate(value, lower, upper, confidence, int(p + n))


def brier(profile: QualityProfile, confidence: float = CONFIDENCE) -> Estimate:
    """Mean squared gap between score and outcome: 0 perfect, 0.25 for always saying one half. Unknown at n
    = 0.

    The mean is exact; its interval takes the spread of squared gaps from the bins' mean scores.
    """
    n = profile.labelled_count
    if n <= 0:
        return unknown("no people with a known outcome yet", 0, confidence)
    value = profile.squared_error_sum / n
    score = mean_scores(profile)
    positives = profile.labelled_positive_counts
    negatives = profile.labelled_counts - positives
    fourth = float(positives @ (1 - score) ** 4 + negatives @ score**4) / n
    half = z_of(confidence) * math.sqrt(max(fourth - value**2, 0.0) / n)
    return Estimate(value, max(0.0, value - half), value + half, confidence, n)


def people(count: int) -> str:
    """`1 person`, `8 people`, `1,234 people`."""
    return "1 person" if count == 1 else f"{count:,} people"


def few_warning(count: int) -> tuple[str, ...]:
    """The warning that a rate of this many people carries; none from `FEW` up."""
    return () if count >= FEW else (f"only {people(count)}: too few to say",)


def _with_warning(estimate: Estimate) -> Estimate:
    return replace(estimate, warnings=few_warning(estimate.count)) if estimate.known else estimate
