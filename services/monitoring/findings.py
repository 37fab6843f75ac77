"""What an audit found, in plain sentences, the most important first.

Order: what is grave now (open critical alerts), unequal errors, whether the model is worth having (beside
its reference and beside the simplest rule), changes of the inputs, the shadow on the same people, and last
what cannot be said for want of people or labels. Every sentence carries its figures; a finding that is
reassuring is said too.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from boarfish.v1 import common_pb2, monitoring_pb2

from services.monitoring import sentences, subgroup_watch
from services.monitoring.references import Reference

TOLD_GROUPS = 3
# Differences in accuracy below this are not worth a sentence of their own.
SAME_ACCURACY = 0.005


@dataclass(frozen=True)
class Facts:
    """What an audit has in hand."""

    reference: Reference
    window: monitoring_pb2.Window
    windows: Sequence[monitoring_pb2.Window]
    alerts: Sequence[monitoring_pb2.Alert]
    shadow: monitoring_pb2.Window | None


def findings(facts: Facts) -> list[str]:
    """All findings of an audit, most important first."""
    return [
        *_grave(facts),
        *_groups(facts),
        *_quality(facts),
        *_drifts(facts),
        *_shadow(facts),
        *_unknown(facts),
    ]


def baseline(quality: monitoring_pb2.Quality) -> float:
    """Accuracy of always giving the more common answer to the people of a window, from their labels.

    NaN without.
    """
    return max(quality.base_rate.value, 1 - quality.base_rate.value)


def _grave(facts: Facts) -> list[str]:
    return [
        _alert_sentence(alert)
        for alert in facts.alerts
        if alert.severity == monitoring_pb2.ALERT_SEVERITY_CRITICAL
        and alert.kind != monitoring_pb2.ALERT_KIND_SUBGROUP
    ]


def _drifts(facts: Facts) -> list[str]:
    told = [
        _alert_sentence(alert)
        for alert in facts.alerts
        if alert.severity != monitoring_pb2.ALERT_SEVERITY_CRITICAL
        and alert.kind != monitoring_pb2.ALERT_KIND_SUBGROUP
    ]
    if not any(alert.kind == monitoring_pb2.ALERT_KIND_DRIFT for alert in facts.alerts):
        told.append("No input moved by enough to matter.")
    return told


def _alert_sentence(alert: monitoring_pb2.Alert) -> str:
    start = sentences.date(alert.start_time.ToMicroseconds() // 86_400_000_000)
    if alert.state == monitoring_pb2.ALERT_STATE_RESOLVED:
        until = f" until {sentences.date((alert.last_seen_time.ToMicroseconds() - 1) // 86_400_000_000)}"
    else:
        until = ", and it goes on"
    return f"{alert.title}. From about {start}{until}."


def _groups(facts: Facts) -> list[str]:
    level = facts.reference.task.watch.false_alarm_rate
    gaps = subgroup_watch.gaps(list(facts.window.subgroups), level, least=0.0, ratio=1.0)
    plain = [gap for gap in gaps if gap.size >= facts.reference.task.watch.quality_fall]
    if not plain:
        rated = sum(not group.suppressed for group in facts.window.subgroups)
        if not rated:
            return []
        return [
            f"Of {rated} groups rated, none has a false positive or false negative rate that is surely and "
            f"plainly worse."
        ]
    told = [gap.sentence.rstrip(".") + "." for gap in plain[:TOLD_GROUPS]]
    left = len(plain) - TOLD_GROUPS
    if left > 0:
        told.append(
            f"{left} more error rate{'s' if left > 1 else ''} of groups {'are' if left > 1 else 'is'} "
            f"surely worse; the report lists them."
        )
    return told


def _quality(facts: Facts) -> list[str]:
    quality, before = facts.window.quality, facts.reference.window.quality
    told = []
    accuracy = quality.accuracy.value
    if math.isnan(accuracy):
        if not math.isnan(quality.estimated_accuracy.value):
            told.append(
                f"No labels yet: accuracy is estimated at {sentences.estimate(quality.estimated_accuracy)}."
            )
        return told
    difference = accuracy - before.accuracy.value
    beside = (
        "as on"
        if abs(difference) < SAME_ACCURACY
        else f"{sentences.points(difference)} {'above' if difference > 0 else 'below'}"
    )
    told.append(
        f"{sentences.estimate(quality.accuracy)} of {quality.labelled_count:,} labelled decisions were "
        f"right, {beside} the reference "
        f"({sentences.estimate(before.accuracy)})."
    )
    simple = baseline(quality)
    if not math.isnan(simple):
        better = quality.accuracy.lower > simple
        verdict = "the model is worth having" if better else "the model is not shown to be better than that"
        told.append(
            f"Always giving the more common answer would be right for {100 * simple:.1f} % of the same "
            f"people: {verdict}."
        )
    return told


def _shadow(facts: Facts) -> list[str]:
    if facts.shadow is None:
        return []
    mine, other = facts.window.quality.accuracy, facts.shadow.quality.accuracy
    name = f"The shadow {facts.shadow.model_version[:12]}"
    if math.isnan(mine.value) or math.isnan(other.value):
        return [f"{name} cannot be compared yet: labels are lacking."]
    low, high = _difference(other, mine)
    size = other.value - mine.value
    span = f"{100 * low:+.1f} to {100 * high:+.1f}"
    if low <= 0 <= high:
        verdict = f"is as often right as the model that answers ({100 * size:+.1f} points, {span})"
    else:
        word = "more" if size > 0 else "less"
        verdict = f"is {word} often right than the model that answers, by {sentences.points(size)} ({span})"
    same = (
        "the same people"
        if facts.shadow.quality.labelled_count == facts.window.quality.labelled_count
        else "nearly the same people"
    )
    return [f"{name} {verdict}, on {same}."]


def _unknown(facts: Facts) -> list[str]:
    told = []
    suppressed = [group for group in facts.window.subgroups if group.suppressed and len(group.group) == 1]
    if suppressed:
        names = sentences.listed([group.display_name for group in suppressed])
        told.append(f"Too few labelled people to rate: {names}. That says nothing of how they fare.")
    rows, labelled = facts.window.quality.row_count, facts.window.quality.labelled_count
    if labelled < rows:
        told.append(
            f"{rows - labelled:,} of {rows:,} decisions have no label yet; rates by labels are silent about "
            f"them."
        )
    return told


def _difference(first: common_pb2.Estimate, second: common_pb2.Estimate) -> tuple[float, float]:
    """Interval of `first - second` from their own (Newcombe 1998, method 10, which treats them as
    independent).
    """
    size = first.value - second.value
    low = size - math.hypot(first.value - first.lower, second.upper - second.value)
    high = size + math.hypot(first.upper - first.value, second.value - second.lower)
    return low, high
