"""Appeals by group: who contests decisions, and whose appeals are upheld.

A group that appeals more, or is upheld more, than everyone else points at decisions that are wrong more often
for it; one that never appeals may not know that it can. The arithmetic is that of `audit.intervals`.

A group with fewer than `FEWEST_APPEALS` appeals is not told apart, since a count of one or two tells of a
person. Where that leaves a single group of an attribute out, the total would give it away, and the next
smallest is left out too: complementary suppression (Willenborg and de Waal, "Elements of Statistical
Disclosure Control", 2001).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from audit.estimate import CONFIDENCE, Estimate, unknown
from audit.intervals import difference, holm, proportion, two_sample_p_value

FEWEST_APPEALS = 10
"""A group with fewer appeals is not shown, and a rate of fewer answers not told."""


@dataclass(frozen=True)
class AppealCounts:
    """Decisions on a set of people, appeals against them, those answered, and those upheld."""

    decisions: int
    appeals: int
    answered: int
    upheld: int

    def __sub__(self, other: "AppealCounts") -> "AppealCounts":
        """Everyone but a group."""
        return AppealCounts(
            self.decisions - other.decisions,
            self.appeals - other.appeals,
            self.answered - other.answered,
            self.upheld - other.upheld,
        )


@dataclass(frozen=True)
class GroupAppeals:
    """A group's appeals, or why they are not told (`suppressed`).

    `appeal_rate` is appeals a decision, `upheld_rate` upheld appeals an answered one, each 0 to 1;
    differences are the group's rate minus everyone else's, -1 to 1, 0 when alike.
    """

    name: str
    counts: AppealCounts
    suppressed: bool
    appeal_rate: Estimate
    upheld_rate: Estimate
    appeal_difference: Estimate
    upheld_difference: Estimate
    sentence: str


def everyone(counts: AppealCounts, *, confidence: float = CONFIDENCE) -> GroupAppeals:
    """Everyone's appeals: both rates with intervals, unknown at 0 decisions or answers."""
    nobody = unknown("everyone is compared with nobody", counts.decisions, confidence)
    return GroupAppeals(
        "everyone",
        counts,
        False,
        proportion(counts.appeals, counts.decisions, confidence, of="decisions"),
        proportion(counts.upheld, counts.answered, confidence, of="answered appeals"),
        nobody,
        nobody,
        _everyone_in_words(counts),
    )


def by_group(
    total: AppealCounts,
    attributes: Sequence[Sequence[tuple[str, AppealCounts]]],
    *,
    minimum_decisions: int,
    confidence: float = CONFIDENCE,
) -> list[GroupAppeals]:
    """Groups of each attribute beside everyone else, in the order given.

    `attributes` has, for each attribute, its groups: a name for people and the group's counts. p-values of
    all groups and both rates are corrected together (Holm); a sentence calls a difference more than chance
    only when its own is below `1 - confidence`. Groups with fewer than `minimum_decisions` decisions or
    `FEWEST_APPEALS` appeals (so at 0, 1 or 5) are suppressed, and their counts are 0.
    """
    marked = [
        (name, counts, hidden)
        for groups in attributes
        for (name, counts), hidden in zip(groups, _suppressed(groups, minimum_decisions), strict=True)
    ]
    surprises = [_surprises(counts, total - counts) for _, counts, hidden in marked if not hidden]
    adjusted = iter(holm(np.ravel(surprises)).reshape(-1, 2).tolist())
    found = []
    for name, counts, hidden in marked:
        if hidden:
            found.append(_too_few(name, confidence))
        else:
            more, upheld_more = (p < 1 - confidence for p in next(adjusted))
            found.append(_rated(name, counts, total - counts, (more, upheld_more), confidence))
    return found


def _suppressed(groups: Sequence[tuple[str, AppealCounts]], minimum_decisions: int) -> list[bool]:
    hidden = [one.decisions < minimum_decisions or one.appeals < FEWEST_APPEALS for _, one in groups]
    if hidden.count(True) == 1:
        rest = [(counts.appeals, place) for place, (_, counts) in enumerate(groups) if not hidden[place]]
        if rest:
            hidden[min(rest)[1]] = True
    return hidden


def _rated(
    name: str, group: AppealCounts, others: AppealCounts, sure: tuple[bool, bool], confidence: float
) -> GroupAppeals:
    told = min(group.answered, others.answered) >= FEWEST_APPEALS
    too_few = unknown(f"fewer than {FEWEST_APPEALS} answered appeals on a side", group.answered, confidence)
    more, upheld_more = sure
    sentences = [
        f"{_share(group.appeals, group.decisions)} of the decisions on people who are {name} were appealed, "
        f"against {_share(others.appeals, others.decisions)} of those on everyone else: {_chance(more)}."
    ]
    if told:
        sentences.append(
            f"Of those answered, {_share(group.upheld, group.answered)} were upheld, against "
            f"{_share(others.upheld, others.answered)}: {_chance(upheld_more)}."
        )
    return GroupAppeals(
        name,
        group,
        False,
        proportion(group.appeals, group.decisions, confidence, of="decisions"),
        proportion(group.upheld, group.answered, confidence) if told else too_few,
        difference(group.appeals, group.decisions, others.appeals, others.decisions, confidence),
        difference(group.upheld, group.answered, others.upheld, others.answered, confidence)
        if told
        else too_few,
        " ".join(sentences),
    )


def _too_few(name: str, confidence: float) -> GroupAppeals:
    reason = "too few people or appeals to be told apart"
    nothing = unknown(reason, 0, confidence)
    sentence = f"People who are {name}: {reason} without telling of single persons."
    return GroupAppeals(name, AppealCounts(0, 0, 0, 0), True, nothing, nothing, nothing, nothing, sentence)


def _surprises(group: AppealCounts, others: AppealCounts) -> tuple[float, float]:
    told = min(group.answered, others.answered) >= FEWEST_APPEALS
    return (
        two_sample_p_value(group.appeals, group.decisions, others.appeals, others.decisions),
        two_sample_p_value(group.upheld, group.answered, others.upheld, others.answered) if told else 1.0,
    )


def _everyone_in_words(counts: AppealCounts) -> str:
    if not counts.appeals:
        return f"None of {counts.decisions:,} decisions was appealed."
    told = f"{counts.appeals:,} of {counts.decisions:,} decisions {_was(counts.appeals)} appealed"
    if not counts.answered:
        return f"{told}; none of these appeals is answered yet."
    return f"{told}. Of {counts.answered:,} answered, {counts.upheld:,} {_was(counts.upheld)} upheld."


def _was(count: int) -> str:
    return "was" if count == 1 else "were"


def _share(count: int, of: int) -> str:
    return f"{100 * count / of:.2g} %" if of else "none"


def _chance(sure: bool) -> str:
    return "more apart than chance explains" if sure else "no more apart than chance explains"
