"""The report of an audit, laid out for people as a page that stands on its own."""

from typing import Any

from audit.reports.layout import Block, Items, Mark, Page, Section, Table, Text
from audit.reports.page import estimate_text, page_html, quality_table, share_text
from audit.reports.report_page import groups_sections

DAY = 10  # letters of an RFC 3339 text


def render(report: dict[str, Any]) -> str:
    """The report as one HTML page that needs nothing else. All texts are escaped."""
    return page_html(page(report))


def page(report: dict[str, Any]) -> Page:
    """What `report.build` gives, findings first, then what they rest on."""
    audit, task = report["audit"], report["task"]
    first, last = audit["period"]["start_time"][:DAY], audit["period"]["end_time"][:DAY]
    asked = f" for {audit['requested_by']}" if audit["requested_by"] else ""
    introduction: list[Block] = [
        Text(
            f"{task['display_name'] or task['name']}, {first} to {last} (the last day excluded). "
            f"Model version {audit['model_version'][:12]}. Made {audit['create_time'][:DAY]}{asked}."
        ),
        Text(f"What it is for: {task['action']}"),
        Text(f"What a positive decision means: {task['positive_decision_means']}"),
    ]
    if report["simulations"]:
        played = ", ".join(report["simulations"])
        introduction.append(Text(f"Simulated incidents were played in this period: {played}.", warning=True))
    sections = [
        Section("Findings", (Items(tuple(report["findings"]), numbered=True),)),
        _quality(report),
        _alerts(report),
        _inputs(report),
        _windows(report),
        *groups_sections(report["quality"], report["subgroups"], report["groups_not_rated"]),
        *_open_questions(task),
        Section("Known limits of the data", (Text(task["known_limits"]),)),
    ]
    footer = f"Boarfish audit {audit['id']}. The SHA-256 of its JSON stands in the ledger."
    return Page(f"Audit of {audit['deployment']}", tuple(introduction), tuple(sections), footer)


def _quality(report: dict[str, Any]) -> Section:
    found, simplest = report["quality"], report["baseline"]
    rated = {"This period": found, "Reference": report["reference_quality"]}
    if report["shadow"]:
        rated[f"Shadow {report['shadow']['model_version'][:12]}"] = report["shadow"]["quality"]
    known = f"{int(found['labelled_count']):,} of {int(found['row_count']):,} decisions have a label."
    told = f"The accuracy of a simple rule, {simplest['rule']}, is {share_text(simplest['accuracy'])}."
    return Section("Quality", (quality_table(f"{known} Intervals cover 95 %.", rated), Text(told)))


def _alerts(report: dict[str, Any]) -> Section:
    raised = tuple(
        Section(alert["title"], (Text(alert["description"]), Text(alert["suggested_action"])))
        for alert in report["alerts"]
    )
    return Section("Alerts", () if raised else (Text("There was none."),), raised)


def _inputs(report: dict[str, Any]) -> Section:
    farthest = sorted(report["columns"], key=lambda column: -(column["jensen_shannon_distance"] or 0.0))
    rows = tuple(
        (
            column["column"],
            _three_digits(column["jensen_shannon_distance"]),
            share_text(column["missing_share"]),
            Mark(f"moved: {column['sentence']}") if column["drifting"] else "",
        )
        for column in farthest
    )
    caption = (
        "Distance is base-2 Jensen-Shannon, 0 same to 1 disjoint; "
        f"from {report['method']['drift_distance']} it matters."
    )
    table = Table(caption, ("Input", "Distance", "Missing", "What changed"), rows, frozenset((1, 2)))
    return Section("Inputs over the whole period", (table,))


def _windows(report: dict[str, Any]) -> Section:
    rows = tuple(
        (
            window["period"]["start_time"][:DAY],
            f"{int(window['quality']['row_count']):,}",
            estimate_text(window["quality"]["accuracy"]),
            estimate_text(window["quality"]["estimated_accuracy"]),
            ", ".join(window["drifting"]) + (" (simulated)" if window["simulations"] else ""),
        )
        for window in report["windows"]
    )
    caption = f"Each window of {report['method']['window_days']} days, and the inputs that moved in it."
    columns = ("From", "Decisions", "Accuracy", "Estimated", "Moved")
    blocks: list[Block] = [Table(caption, columns, rows, frozenset((1,)))]
    if report["gaps_in_data"]:
        spans = (f"{gap['start_time'][:DAY]} to {gap['end_time'][:DAY]}" for gap in report["gaps_in_data"])
        blocks.append(Text(f"Nothing was predicted in these spans: {', '.join(spans)}."))
    return Section("Windows", tuple(blocks))


def _open_questions(task: dict[str, Any]) -> list[Section]:
    if not task["open_questions"]:
        return []
    return [Section("Questions that nobody has answered", (Items(tuple(task["open_questions"])),))]


def _three_digits(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"
