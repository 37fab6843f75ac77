"""Each group against everyone else: differences and ratios with intervals, corrected for how many were looked at.

A group with fewer than a minimum of labelled people is not rated, and is told how many people would settle it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from audit.estimate import CONFIDENCE, Estimate
from audit.fairness.groups import Names, display_name
from audit.intervals import difference, holm, ratio, two_sample_p_value, z_of
from audit.profiles.profile import Group, Profile
from audit.profiles.quality import QualityProfile
from audit.rot.quality import Quality, quality

GAP_RATES = ("false_positive_rate", "false_negative_rate", "selection_rate", "accuracy")
SETTLED_GAP = 0.10
POWER = 0.80

_PHRASES = {
    "false_positive_rate": "Of people whose outcome was negative, the model decided positively for",
    "false_negative_rate": "Of people whose outcome was positive, the model missed",
    "selection_rate": "The model decided positively for",
    "accuracy": "The model was right for",
}


@dataclass(frozen=True)
class Gap:
    """One rate of a group against everyone else's. `difference` is group minus everyone else, `ratio` group over everyone else."""

    rate: str
    difference: Estimate
    ratio: Estimate
    p_value: float
    adjusted_p_value: float
    significant: bool
    sentence: str


@dataclass(frozen=True)
class SubgroupQuality:
    """A group or crossing: its rates, or why it is not rated (`suppressed`, `note`), and its gaps."""

    group: Group
    display_name: str
    quality: Quality
    suppressed: bool
    note: str
    gaps: tuple[Gap, ...]


def subgroup_quality(
    profile: Profile,
    minimum_group_size: int,
    names: Names,
    *,
    threshold: float = 0.5,
    confidence: float = CONFIDENCE,
) -> list[SubgroupQuality]:
    """Every group and crossing of a profile, single attributes first, larger groups first. Empty without scored rows.

    p-values of all rated groups and rates are corrected together (Holm), apart for single attributes and crossings.
    """
    if profile.quality is None:
        return []
    found = []
    for group, counts in sorted(profile.subgroups.items(), key=lambda item: (len(item[0]), -item[1].row_count, item[0])):
        rated = quality(counts, threshold=threshold, confidence=confidence)
        name = display_name(group, names)
        few = counts.labelled_count < minimum_group_size
        gaps = () if few else _gaps(name, counts, _rest(profile.quality, counts), confidence)
        note = _too_few(counts.labelled_count, minimum_group_size, profile.quality) if few else ""
        found.append(SubgroupQuality(group, name, rated, few, note, gaps))
    return [one for size in (1, 2) for one in _corrected([one for one in found if len(one.group) == size], confidence)]


def people_that_settle(share: float, gap: float = SETTLED_GAP, confidence: float = CONFIDENCE, power: float = POWER) -> int:
    """People of a small group needed to see a `gap` from a rate of `share` known among many others, at this power.

    Source: the one-sample normal approximation (Fleiss, "Statistical Methods for Rates and Proportions", chapter 3).
    """
    share = min(max(share, 0.05), 0.95)
    return math.ceil((z_of(confidence) + z_of(2 * power - 1)) ** 2 * share * (1 - share) / gap**2)


def _gaps(name: str, group: QualityProfile, rest: QualityProfile, confidence: float) -> tuple[Gap, ...]:
    gaps = []
    for rate in GAP_RATES:
        (k1, n1), (k2, n2) = _hits(group, rate), _hits(rest, rate)
        if n1 <= 0 or n2 <= 0:
            continue
        apart = difference(k1, n1, k2, n2, confidence)
        sentence = (
            f"{_PHRASES[rate]} {100 * k1 / n1:.1f} % among people who are {name} against {100 * k2 / n2:.1f} % among everyone else "
            f"({100 * apart.value:+.1f} points, {confidence:.0%} interval {100 * apart.lower:+.1f} to {100 * apart.upper:+.1f})."
        )
        surprise = two_sample_p_value(k1, n1, k2, n2)
        gaps.append(Gap(rate, apart, ratio(k1, n1, k2, n2, confidence), surprise, surprise, False, sentence))
    return tuple(gaps)


def _corrected(groups: Sequence[SubgroupQuality], confidence: float) -> list[SubgroupQuality]:
    gaps = [gap for one in groups for gap in one.gaps]
    adjusted = iter(holm([gap.p_value for gap in gaps]).tolist()) if gaps else iter(())
    corrected = []
    for one in groups:
        own = [(gap, next(adjusted)) for gap in one.gaps]
        renewed = tuple(replace(gap, adjusted_p_value=p, significant=p < 1 - confidence) for gap, p in own)
        corrected.append(replace(one, gaps=renewed))
    return corrected


def _rest(everyone: QualityProfile, group: QualityProfile) -> QualityProfile:
    return QualityProfile(
        everyone.bin_count,
        score_counts=everyone.score_counts - group.score_counts,
        score_sums=everyone.score_sums - group.score_sums,
        labelled_counts=everyone.labelled_counts - group.labelled_counts,
        labelled_positive_counts=everyone.labelled_positive_counts - group.labelled_positive_counts,
        positive_decision_count=everyone.positive_decision_count - group.positive_decision_count,
        true_positives=everyone.true_positives - group.true_positives,
        false_positives=everyone.false_positives - group.false_positives,
        true_negatives=everyone.true_negatives - group.true_negatives,
        false_negatives=everyone.false_negatives - group.false_negatives,
        squared_error_sum=everyone.squared_error_sum - group.squared_error_sum,
    )


def _hits(counts: QualityProfile, rate: str) -> tuple[int, int]:
    tp, fp, tn, fn = counts.true_positives, counts.false_positives, counts.true_negatives, counts.false_negatives
    return {
        "false_positive_rate": (fp, fp + tn),
        "false_negative_rate": (fn, tp + fn),
        "selection_rate": (counts.positive_decision_count, counts.row_count),
        "accuracy": (tp + tn, counts.labelled_count),
    }[rate]


def _too_few(count: int, minimum: int, everyone: QualityProfile) -> str:
    hits, people = _hits(everyone, "accuracy")
    share = hits / people if people else 0.5
    needed = max(minimum, people_that_settle(share))
    people_text = "1 person" if count == 1 else f"{count:,} people"
    return (
        f"{people_text} with a known outcome: too few to rate. About {needed:,} would show whether accuracy differs by "
        f"{100 * SETTLED_GAP:.0f} points."
    )
