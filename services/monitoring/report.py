"""The report of an audit: everything that it looked at as JSON, and the same as a page that stands on its
own.

What goes in is gathered here; how it is laid out for people stands in `report_page`.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from boarfish.v1 import monitoring_pb2
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from services.monitoring.findings import Facts, baseline

REPORT_VERSION = 1


def build(audit: monitoring_pb2.Audit, facts: Facts) -> dict[str, Any]:
    """The report as JSON values; what is not known (NaN) is null.

    `drift` has a row a window and column; `shares` of columns stand in `columns`, for the whole period.
    """
    task = facts.reference.task
    whole = _plain(facts.window)
    made: dict[str, Any] = {
        "report_version": REPORT_VERSION,
        "audit": {
            "id": audit.id,
            "deployment": audit.deployment,
            "model_version": audit.model_version,
            "period": _plain(audit.period),
            "create_time": audit.create_time.ToJsonString(),
            "requested_by": audit.requested_by,
        },
        "task": {
            "name": task.name,
            "display_name": task.display_name,
            "action": task.purpose.action,
            "positive_decision_means": task.purpose.positive_decision_means,
            "outcome_measure": task.purpose.outcome_measure,
            "known_limits": task.datasheet.known_limits,
            "open_questions": [item.question for item in task.ethics_checklist if not item.answer],
        },
        "findings": list(audit.findings),
        "simulations": sorted({name for window in facts.windows for name in window.simulations}),
        "quality": whole["quality"],
        "reference_quality": _plain(facts.reference.window.quality),
        "baseline": {
            "rule": "always the more common answer",
            "accuracy": _number(baseline(facts.window.quality)),
        },
        "columns": whole.get("drifts", []),
        "windows": [_window(window) for window in facts.windows],
        "alerts": [_plain(alert) for alert in facts.alerts],
        "subgroups": [group for group in whole.get("subgroups", []) if not group.get("suppressed")],
        "groups_not_rated": [group for group in whole.get("subgroups", []) if group.get("suppressed")],
        "shadow": None
        if facts.shadow is None
        else {"model_version": facts.shadow.model_version, "quality": _plain(facts.shadow.quality)},
        "gaps_in_data": gaps_in_days(facts.windows, task.watch.window_days),
        "method": {
            "window_days": task.watch.window_days,
            "drift_distance": task.watch.drift_distance,
            "quality_fall": task.watch.quality_fall,
            "false_alarm_rate": task.watch.false_alarm_rate,
            "minimum_group_size": task.watch.minimum_group_size,
            "label_delay_days": task.watch.label_delay_days,
        },
    }
    return made


def gaps_in_days(windows: Sequence[monitoring_pb2.Window], window_days: int) -> list[dict[str, str]]:
    """Spans of whole windows between the first and the last in which nothing was predicted, start and end as
    RFC 3339.
    """
    gaps = []
    length = window_days * 86_400
    for before, after in pairwise(windows):
        if after.period.start_time.seconds - before.period.start_time.seconds > length:
            gaps.append(
                {
                    "start_time": before.period.end_time.ToJsonString(),
                    "end_time": after.period.start_time.ToJsonString(),
                }
            )
    return gaps


def _window(window: monitoring_pb2.Window) -> dict[str, Any]:
    return {
        "period": _plain(window.period),
        "complete": window.complete,
        "simulations": list(window.simulations),
        "quality": _plain(window.quality),
        "distances": {drift.column: drift.jensen_shannon_distance for drift in window.drifts},
        "drifting": [drift.column for drift in window.drifts if drift.drifting],
    }


def _plain(message: Message) -> Any:
    found = MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return _clean(found)


def _clean(value: Any) -> Any:
    """JSON values with null in place of what is not a finite number."""
    if isinstance(value, dict):
        return {name: _clean(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_clean(item) for item in value]
    if value in ("NaN", "Infinity", "-Infinity"):
        return None
    return _number(value) if isinstance(value, float) else value


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
