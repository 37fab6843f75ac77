"""The bias audit table: selection rates and impact ratios by attribute and crossing.

As New York City's Local Law 144 asks for it: rules of the City of New York, title 6, section 5-301. A ratio
is a category's selection rate over the highest rate; rates are not rounded before division. A category below
2 % of all people may be left out of the ratios and says so. People of no known category are counted and not
rated.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby

from audit.fairness.impact import Impact, impact_ratios
from audit.reports.documents.evidence import FOOTER, Evidence, GroupEvidence, rate_text
from audit.reports.layout import Cell, Interval, Mark, Page, Section, Table, Text
from audit.rot.quality import FEW

SMALLEST_SHARE = 0.02


@dataclass(frozen=True)
class SelectionTable:
    """One table: by what people are divided, its categories, and how many fall in none of them."""

    title: str
    impacts: tuple[Impact, ...]
    unknown_count: int


def selection_table(
    title: str,
    counts: Mapping[str, tuple[int, int]],
    *,
    unknown_count: int = 0,
    smallest_share: float = SMALLEST_SHARE,
) -> SelectionTable:
    """The table of `counts`: by category, applicants and selected. Of no applicants no ratio is given; of one
    or five the interval of the rate spans most of 0 to 1.

    Raises `ValueError` for more selected than applicants.
    """
    return SelectionTable(title, tuple(impact_ratios(counts, smallest_share=smallest_share)), unknown_count)


def tables_of(evidence: Evidence) -> tuple[SelectionTable, ...]:
    """A table for each attribute and each crossing that the suite counts."""

    def divided_by(group: GroupEvidence) -> tuple[str, ...]:
        return tuple(sorted(group.attributes))

    ordered = sorted(evidence.groups, key=lambda group: (len(group.attributes), divided_by(group)))
    names = {one.name: one.description or one.name for one in evidence.sensitive}
    tables = []
    for attributes, found in groupby(ordered, key=divided_by):
        counts = {group.display_name: (group.applicants, group.selected) for group in found}
        unknown = max(0, evidence.decision_count - sum(applicants for applicants, _ in counts.values()))
        title = " and ".join(names.get(name, name) for name in attributes)
        tables.append(selection_table(title, counts, unknown_count=unknown))
    return tuple(tables)


def bias_audit(evidence: Evidence) -> Page:
    """The audit of a deployment's decisions over the period, and what the law asks of people besides."""
    tables = tables_of(evidence)
    nobody = Text("The task names no sensitive attribute: there is nothing to compare.", warning=True)
    return Page(
        f"Bias audit: {evidence.task}",
        (
            Text(f"{evidence.decision_count:,} decisions of {evidence.deployment}, {evidence.period}."),
            Text(f"“Selected” means a positive decision. {evidence.positive_decision_means}"),
            Text(
                "An impact ratio is the selection rate over the highest of any category. Below 0.80 is "
                f"marked (four fifths, 29 CFR 1607.4 D) where {FEW} people or more applied."
            ),
        ),
        (
            *(map(selection_section, tables) if tables else [Section("Selection rates", (nobody,))]),
            Section(
                "What people must add",
                (
                    evidence.ask(
                        "Who audited independently, and when?",
                        ("Where do the data of this audit come from?", evidence.source),
                        "When was the tool first used, and where is this summary published?",
                    ),
                ),
            ),
        ),
        FOOTER,
    )


def selection_section(table: SelectionTable) -> Section:
    """A table as people read it: ratios with three digits, marked below four fifths.

    A category of 0, 1 or 5 applicants is never marked: it is said to be too few.
    """
    rows: tuple[tuple[Cell, ...], ...] = tuple(_row(one) for one in table.impacts)
    columns = (
        "Category",
        "Applicants",
        "Selected",
        "Selection rate, 95 % interval",
        "0 to 100 %",
        "Impact ratio",
    )
    drawn = Table(f"Selection by {table.title}.", columns, rows, frozenset((1, 2)))
    notes = [Text(f"{one.category}: {one.excluded}.") for one in table.impacts if one.excluded]
    notes += [
        Text(f"{one.category}: {one.applicants:,} applicants are too few to say.")
        for one in table.impacts
        if one.applicants < FEW and not one.excluded
    ]
    if table.unknown_count:
        notes.append(Text(f"{table.unknown_count:,} people are of no known category: not rated."))
    return Section(f"By {table.title}", (drawn, *notes))


def _row(one: Impact) -> tuple[Cell, ...]:
    ratio: Cell = "not rated" if math.isnan(one.ratio) else f"{one.ratio:.3f}"
    if one.flagged and one.applicants >= FEW:
        ratio = Mark(f"{one.ratio:.3f}")
    rate = rate_text("selection_rate", one.rate)
    interval = Interval(one.rate.value, one.rate.lower, one.rate.upper) if one.rate.known else ""
    return (one.category, f"{one.applicants:,}", f"{one.selected:,}", rate, interval, ratio)
