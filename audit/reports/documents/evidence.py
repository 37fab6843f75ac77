"""What the suite knows of a deployment when a document is written, and how questions find their answers."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from audit.estimate import Estimate
from audit.reports.layout import Answer, Cell, Items, Questions, Section, Table, Text
from audit.reports.page import NAMES, words

SHARED_RATES = ("accuracy", "false_positive_rate", "false_negative_rate", "selection_rate")
FOOTER = (
    "Written by Boarfish from the task file, the model version's held-out rows and what the deployment has "
    "predicted. A question is answered in the task file, in its own words, under ethics_checklist."
)


@dataclass(frozen=True)
class Column:
    """A column of the data: how it is read and what it means."""

    name: str
    kind: str
    description: str = ""


@dataclass(frozen=True)
class GroupEvidence:
    """A group of people or a crossing of groups (`attributes`: by column), and how decisions went for it.

    `selected` of `applicants` had a positive decision. `note` says why it is not rated; its rates are not
    shown then. `findings` are sentences on what surely differs from everyone else.
    """

    attributes: Mapping[str, str]
    display_name: str
    applicants: int
    selected: int
    rates: Mapping[str, Estimate]
    note: str = ""
    findings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Evidence:
    """Everything that documents draw on. Texts may be empty and rates unknown: then a document says so.

    `quality` is of the period's decisions, `reference_quality` of rows that were held out when the model was
    made. `answers` are by question: what was answered, and by whom.
    """

    deployment: str
    model_version: str
    made: str
    task: str
    kind: str
    action: str
    positive_decision_means: str
    outcome_measure: str
    target: Column
    features: tuple[Column, ...]
    sensitive: tuple[Column, ...]
    decision: str
    split: str
    motivation: str
    composition: str
    collection: str
    known_limits: str
    source: str
    licence: str
    period: str
    decision_count: int
    labelled_count: int
    reference_count: int
    quality: Mapping[str, Estimate]
    reference_quality: Mapping[str, Estimate]
    baseline: str
    groups: tuple[GroupEvidence, ...] = ()
    findings: tuple[str, ...] = ()
    alerts: tuple[str, ...] = ()
    watch: tuple[str, ...] = ()
    answers: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def ask(self, *questions: str | tuple[str, str]) -> Questions:
        """Questions with the answers that people gave; in a pair what the suite knows stands second."""
        pairs = ((one, "") if isinstance(one, str) else one for one in questions)
        return Questions(tuple(self._answered(question, known) for question, known in pairs))

    def _answered(self, question: str, known: str) -> Answer:
        found = {_plain(asked): answer for asked, answer in self.answers.items()}
        answer, answered_by = found.get(_plain(question), ("", ""))
        return Answer(question, answer, answered_by, known)


def rate_text(name: str, found: Estimate) -> str:
    """A rate with its interval, as people read it; what is unknown says why."""
    warnings = "; ".join(found.warnings)
    if not found.known:
        return f"unknown: {warnings}" if warnings else "unknown"
    scale, digits, unit = (1, 3, "") if name in NAMES else (100, 1, " %")
    told = f"{scale * found.value:.{digits}f}{unit}"
    if math.isfinite(found.lower) and math.isfinite(found.upper):
        told += f" ({scale * found.lower:.{digits}f}{unit} to {scale * found.upper:.{digits}f}{unit})"
    return f"{told}; {warnings}" if warnings else told


def quality_table(evidence: Evidence) -> Table:
    """Every rate of the period beside that of held-out rows."""
    rows = tuple(
        (
            words(name),
            rate_text(name, found),
            rate_text(name, evidence.reference_quality[name]) if name in evidence.reference_quality else "",
        )
        for name, found in evidence.quality.items()
    )
    caption = (
        f"{evidence.labelled_count:,} of {evidence.decision_count:,} decisions have a label; "
        f"{evidence.reference_count:,} rows were held out. Intervals cover 95 %."
    )
    return Table(caption, ("Rate", f"Decisions, {evidence.period}", "Held-out rows"), rows)


def groups_section(evidence: Evidence, title: str) -> Section:
    """Error rates by group and what surely differs; says so where no attribute is named."""
    if not evidence.groups:
        nobody = "The task names no sensitive attribute: nothing is known of how groups of people fare."
        return Section(title, (Text(nobody, warning=True),))
    rated = [one for one in evidence.groups if not one.note]
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (one.display_name, f"{one.applicants:,}", *(_rate_of(one, name) for name in SHARED_RATES))
        for one in rated
    )
    columns = ("Group", "People", *(words(name) for name in SHARED_RATES))
    table = Table("Rates by group, with 95 % intervals.", columns, rows, frozenset((1,)))
    found = tuple(sentence for one in rated for sentence in one.findings)
    different = Items(found) if found else Text("No group's rates surely differ from everyone else's.")
    few = Items(tuple(f"{one.display_name}: {one.note}" for one in evidence.groups if one.note))
    return Section(title, (table, different, *((few,) if few.items else ())))


def columns_table(caption: str, columns: Sequence[Column]) -> Table:
    """What each column means."""
    rows = tuple((one.name, one.kind, one.description) for one in columns)
    return Table(caption, ("Column", "Kind", "Meaning"), rows)


def said(text: str) -> Text:
    """A text of the task file; one that is lacking is set apart."""
    return Text(text) if text else Text("The task file says nothing of it.", warning=True)


def _rate_of(group: GroupEvidence, name: str) -> str:
    return rate_text(name, group.rates[name]) if name in group.rates else "unknown"


def _plain(question: str) -> str:
    return " ".join(question.casefold().split()).rstrip("?. ")
