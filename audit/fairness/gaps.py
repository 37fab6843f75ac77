"""Each group against everyone else: differences and ratios with intervals, corrected for how many were
looked at.

A group with fewer than a minimum of labelled people is not rated, and is told how many people would settle
it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from audit.estimate import CONFIDENCE, Estimate
from audit.fairness.groups import Names, display_name
from audit.fairness.sample_size import SETTLED_GAP, rows_needed
from audit.intervals import difference, holm, ratio, two_sample_p_value
from audit.profiles.profile import Profile
from audit.profiles.quality import QualityProfile
from audit.profiles.subgroups import Group
from audit.rot.quality import Quality, few_warning, people, quality

GAP_RATES = ("false_positive_rate", "false_negative_rate", "selection_rate", "accuracy")


@dataclass(frozen=True)
class OutcomeWords:
    """How sentences call people by what came true: "people who were employed"."""

    positive: str = "whose outcome was positive"
    negative: str = "whose outcome was negative"

    def phrase(self, rate: str) -> str:
        """The beginning of a sentence on a rate of `GAP_RATES`."""
        return {
            "false_positive_rate": f"Of people {self.negative}, the model decided positively for",
            "false_negative_rate": f"Of people {self.positive}, the model missed",
            "selection_rate": "The model decided positively for",
            "accuracy": "The model was right for",
        }[rate]


DEFAULT_WORDS = OutcomeWords()


@dataclass(frozen=True)
class Gap:
    """One rate of a group against everyone else's. `difference` is group minus everyone else, `ratio` group
    over everyone else.
    """

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
    words: OutcomeWords = DEFAULT_WORDS,
) -> list[SubgroupQuality]:
    """Every group and crossing of a profile, single attributes first, larger groups first.

    p-values of all rated groups and rates are corrected together (Holm), apart for single attributes and
    crossings. A gap of fewer than `audit.rot.quality.FEW` people on a side carries a warning. Too little
    data: a group of 0, 1 or 5 labelled people is suppressed like any below `minimum_group_size`; without
    scored rows the list is empty.
    """
    if profile.quality is None:
        return []
    found = []
    ordered = sorted(profile.subgroups.items(), key=lambda item: (-item[1].row_count, item[0]))
    for group, counts in ordered:
        rated = quality(counts, threshold=threshold, confidence=confidence)
        name = display_name(group, names)
        few = counts.labelled_count < minimum_group_size
        gaps = () if few else _gaps(name, counts, profile.quality.without(counts), confidence, words)
        note = _too_few(counts.labelled_count, minimum_group_size, profile.quality) if few else ""
        found.append(SubgroupQuality(group, name, rated, few, note, gaps))
    alone = [one for one in found if len(one.group) == 1]
    crossed = [one for one in found if len(one.group) > 1]
    return [*_corrected(alone, confidence), *_corrected(crossed, confidence)]


def _gaps(
    name: str, group: QualityProfile, rest: QualityProfile, confidence: float, words: OutcomeWords
) -> tuple[Gap, ...]:
    gaps = []
    for rate in GAP_RATES:
        (k1, n1), (k2, n2) = _hits(group, rate), _hits(rest, rate)
        if n1 <= 0 or n2 <= 0:
            continue
        few = few_warning(min(n1, n2))
        apart = replace(difference(k1, n1, k2, n2, confidence), warnings=few)
        sentence = (
            f"{words.phrase(rate)} {100 * k1 / n1:.1f} % among people who are {name} "
            f"against {100 * k2 / n2:.1f} % among everyone else "
            f"({100 * apart.value:+.1f} points, {100 * confidence:g} % interval "
            f"{100 * apart.lower:+.1f} to {100 * apart.upper:+.1f})."
        )
        surprise = two_sample_p_value(k1, n1, k2, n2)
        over = ratio(k1, n1, k2, n2, confidence)
        over = replace(over, warnings=(*over.warnings, *few))
        gaps.append(Gap(rate, apart, over, surprise, surprise, False, sentence))
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


def _hits(counts: QualityProfile, rate: str) -> tuple[int, int]:
    tp, fp, tn, fn = (
        counts.true_positives,
        counts.false_positives,
        counts.true_negatives,
        counts.false_negatives,
    )
    return {
        "false_positive_rate": (fp, fp + tn),
        "false_negative_rate": (fn, tp + fn),
        "selection_rate": (counts.positive_decision_count, counts.row_count),
        "accuracy": (tp + tn, counts.labelled_count),
    }[rate]


def _too_few(count: int, minimum: int, everyone: QualityProfile) -> str:
    hits, labelled = _hits(everyone, "accuracy")
    share = hits / labelled if labelled else 0.5
    needed = max(minimum, rows_needed(share) or 0)
    return (
        f"{people(count)} with a known outcome: too few to rate. About {needed:,} would show whether "
        f"accuracy differs by {100 * SETTLED_GAP:.0f} points."
    )
