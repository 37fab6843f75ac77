"""Documents on a deployment, written when they are asked for from what monitoring knows at that moment.

What is known is gathered here as `Evidence`; what each document says stands in `audit.reports.documents`.
"""

import datetime as dt
import math
from collections.abc import Mapping

from boarfish.v1 import common_pb2, task_pb2
from boarfish.v1 import monitoring_pb2 as pb
from google.protobuf.json_format import ParseDict

from audit.estimate import Estimate
from audit.reports.documents import DOCUMENTS
from audit.reports.documents.evidence import Column, Evidence, GroupEvidence
from audit.reports.documents.hugging_face import hugging_face_card
from audit.reports.documents.model_card_toolkit import toolkit_card
from audit.reports.layout import as_json
from audit.reports.page import page_html
from services.monitoring.audits import Audits
from services.monitoring.comparison import RATES
from services.monitoring.findings import Facts, baseline, findings
from services.monitoring.windows import EVERYTHING

SPLITS = {
    task_pb2.SPLIT_METHOD_RANDOM: "rows at random",
    task_pb2.SPLIT_METHOD_TIME: "the latest rows",
    task_pb2.SPLIT_METHOD_GROUP: "whole groups of rows",
    task_pb2.SPLIT_METHOD_COLUMN: "rows that a column marks",
}


def write(audits: Audits, request: pb.WriteDocumentRequest) -> pb.Document:
    """A document on everything that the deployment has predicted so far.

    Raises:
        NotFound: nobody has seen the deployment.
        FailedPrecondition: it has predicted nothing yet.
    """
    _, facts = audits.facts(request.deployment, *EVERYTHING)
    evidence = evidence_of(request.deployment, facts, dt.datetime.now(dt.UTC).date())
    kind = pb.DocumentKind.Name(request.kind).removeprefix("DOCUMENT_KIND_").lower()
    page = DOCUMENTS[kind](evidence)
    made = pb.Document(title=page.title, html=page_html(page), open_questions=page.open_questions)
    ParseDict(as_json(page), made.content)
    if request.kind == pb.DOCUMENT_KIND_MODEL_CARD:
        made.markdown = hugging_face_card(evidence)
        ParseDict(toolkit_card(evidence), made.model_card_toolkit)
    return made


def evidence_of(deployment: str, facts: Facts, today: dt.date) -> Evidence:
    """What documents draw on, of a deployment's facts."""
    task, window = facts.reference.task, facts.window
    sheet = task.datasheet
    return Evidence(
        deployment=deployment,
        model_version=facts.reference.model_version,
        made=today.isoformat(),
        task=task.display_name or task.name,
        kind=_words(task_pb2.TaskKind.Name(task.kind), "TASK_KIND_"),
        action=_line(task.purpose.action),
        positive_decision_means=_line(task.purpose.positive_decision_means),
        outcome_measure=_line(task.purpose.outcome_measure),
        target=Column(task.target.name, "target", _line(task.target.description)),
        features=tuple(map(_column, task.features)),
        sensitive=tuple(map(_column, task.sensitive)),
        decision=(
            f"From a score of {task.decision.threshold:g} up the decision is "
            f"“{task.decision.positive_label}”, below it “{task.decision.negative_label}”."
        ),
        split=f"{SPLITS[task.split.method]}, {100 * task.split.validation_share:g} %",
        motivation=_line(sheet.motivation),
        composition=_line(sheet.composition),
        collection=_line(sheet.collection),
        known_limits=_line(sheet.known_limits),
        source=_line(sheet.source),
        licence=_line(sheet.licence),
        period=_period(window),
        decision_count=window.quality.row_count,
        labelled_count=window.quality.labelled_count,
        reference_count=facts.reference.window.quality.row_count,
        quality=_rates(window.quality),
        reference_quality=_rates(facts.reference.window.quality),
        baseline=_baseline(window.quality),
        groups=tuple(map(_group, window.subgroups)),
        findings=tuple(findings(facts)),
        alerts=tuple(alert.title for alert in facts.alerts),
        watch=_watch(task.watch),
        answers={one.question: (one.answer, one.answered_by) for one in task.ethics_checklist},
    )


def _column(column: task_pb2.Feature | task_pb2.SensitiveAttribute) -> Column:
    kind = _words(task_pb2.FeatureType.Name(column.type), "FEATURE_TYPE_").lower()
    return Column(column.name, kind, _line(column.description))


def _group(group: pb.SubgroupQuality) -> GroupEvidence:
    selected = group.quality.selection_rate
    return GroupEvidence(
        attributes=dict(group.group),
        display_name=group.display_name,
        applicants=selected.count,
        selected=round(selected.value * selected.count) if selected.count else 0,
        rates=_rates(group.quality),
        note=group.note if group.suppressed else "",
        findings=tuple(gap.sentence for gap in group.gaps if gap.significant),
    )


def _rates(quality: pb.Quality) -> Mapping[str, Estimate]:
    found: dict[str, common_pb2.Estimate] = {name: getattr(quality, name) for name in RATES}
    return {
        name: Estimate(one.value, one.lower, one.upper, one.confidence, one.count, tuple(one.warnings))
        for name, one in found.items()
    }


def _baseline(quality: pb.Quality) -> str:
    share = baseline(quality)
    if math.isnan(share):
        return "No label has come yet: what a simple rule would get right is unknown."
    return f"Always giving the more common answer would be right for {100 * share:.1f} %."


def _watch(watch: task_pb2.Watch) -> tuple[str, ...]:
    return (
        f"Compared every {watch.window_days} days with the rows that were held out.",
        f"An input matters from a Jensen-Shannon distance of {watch.drift_distance:g} on.",
        f"A fall of accuracy matters from {100 * watch.quality_fall:g} points on.",
        f"At most {100 * watch.false_alarm_rate:g} % false alarms are accepted, however often one looks.",
        f"A group of fewer than {watch.minimum_group_size} labelled people is not rated.",
    )


def _period(window: pb.Window) -> str:
    first, last = (
        moment.ToDatetime().date() for moment in (window.period.start_time, window.period.end_time)
    )
    return f"{first} to {last}"


def _words(name: str, prefix: str) -> str:
    return name.removeprefix(prefix).replace("_", " ").capitalize()


def _line(text: str) -> str:
    return " ".join(text.split())
