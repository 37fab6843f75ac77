"""The report of a profile beside its reference, laid out for people."""

from collections.abc import Mapping, Sequence
from typing import Any

from audit.reports.layout import Bars, Block, Cell, Interval, Items, Mark, Page, Section, Table, Text
from audit.reports.page import estimate_text, page_html, quality_table, share_text, words

DRAWN_RATES = ("false_negative_rate", "false_positive_rate", "selection_rate")


def render_html(report: Mapping[str, Any]) -> str:
    """`report` is what `build_report` gives, also after JSON. All its texts are escaped."""
    return page_html(report_page(report))


def report_page(report: Mapping[str, Any]) -> Page:
    """Findings first, then what they rest on."""
    period = report["period"]
    when = f", {period['start_time'][:10]} to {period['end_time'][:10]}" if period["start_time"] else ""
    counts = f"{report['row_count']:,} rows beside {report['reference_row_count']:,} of the reference{when}."
    introduction: list[Block] = [
        Text(counts),
        Items(tuple(f"{name}: {value}" for name, value in report["identity"].items())),
    ]
    if report["simulations"]:
        played = ", ".join(report["simulations"])
        introduction.append(Text(f"Simulated incidents were played in this period: {played}.", warning=True))
    settings = (f"{words(name)}: {value}" for name, value in report["thresholds"].items())
    methods = (f"{words(name)}: {method}" for name, method in report["methods"].items())
    sections = [
        Section("Findings", (Items(tuple(report["findings"]), numbered=True),)),
        *_quality(report),
        _inputs(report),
        *groups_sections(report["quality"], report["subgroups"], report["groups_not_rated"]),
        Section("Methods and thresholds", (Items(tuple(methods)), Items(tuple(settings)))),
    ]
    footer = f"Boarfish audit library, report version {report['report_version']}."
    return Page(report["title"], tuple(introduction), tuple(sections), footer)


def groups_sections(
    everyone: Mapping[str, Any] | None,
    rated: Sequence[Mapping[str, Any]],
    not_rated: Sequence[Mapping[str, Any]],
) -> list[Section]:
    """Error rates by group, drawn beside everyone's; who is not rated, and why. None without groups."""
    if not rated and not not_rated:
        return []
    tables = tuple(_group_table(everyone, rated, rate) for rate in DRAWN_RATES if rated)
    notes = Items(tuple(f"{group['display_name']}: {group['note']}" for group in not_rated))
    few = (Section("Too few to say", (notes,)),) if not_rated else ()
    return [Section("Groups of people", tables, few)]


def _group_table(everyone: Mapping[str, Any] | None, rated: Sequence[Mapping[str, Any]], rate: str) -> Table:
    def row(group: Mapping[str, Any]) -> tuple[Cell, ...]:
        found = group["quality"][rate]
        gaps = [gap for gap in group["gaps"] if gap["rate"] == rate and gap["significant"]]
        told = "; ".join(f"{100 * gap['difference']['value']:+.1f} points" for gap in gaps)
        beside = None if everyone is None else everyone[rate]["value"]
        drawn = Interval(found["value"], found["lower"], found["upper"], beside)
        return (group["display_name"], estimate_text(found), drawn, Mark(told) if told else "")

    caption = f"{words(rate)} by group, with its 95 % interval; the upright line is everyone together."
    columns = ("Group", "Rate", "0 to 100 %", "Surely different from everyone else")
    return Table(caption, columns, tuple(row(group) for group in rated))


def _quality(report: Mapping[str, Any]) -> list[Section]:
    found = report["quality"]
    if not found:
        return []
    known = f"{found['labelled_count']:,} of {found['row_count']:,} decisions have a label."
    rated = {"Now": found, "Reference": report["reference_quality"]}
    return [Section("Quality", (quality_table(f"{known} Intervals cover 95 %.", rated),))]


def _inputs(report: Mapping[str, Any]) -> Section:
    rows = tuple(
        (
            column["column"],
            "unknown" if column["distance"] is None else f"{column['distance']:.3f}",
            share_text(column["missing_share"]),
            Mark("moved") if column["moved"] else "",
        )
        for column in report["columns"]
    )
    caption = (
        "Distance is 0 for the same shares and 1 for nothing in common; "
        f"from {report['thresholds']['drift_distance']} it matters."
    )
    table = Table(caption, ("Input", "Distance", "Missing", "Verdict"), rows, frozenset((1, 2)))
    moved = tuple(_moved(column) for column in report["columns"] if column["moved"])
    return Section("Inputs", (table,), moved)


def _moved(column: Mapping[str, Any]) -> Section:
    rows = tuple(
        (
            share["value"],
            share_text(share["window"]),
            share_text(share["reference"]),
            Bars(share["window"], share["reference"]),
        )
        for share in column["shares"]
    )
    caption = "Shares of each value; now in blue above, the reference in orange below."
    table = Table(caption, ("Value", "Now", "Reference", "0 to 100 %"), rows, frozenset((1, 2)))
    return Section(f"{column['column']}: what moved", (table,))
