"""From looks at columns to alerts for people: grouping by cause, evidence, what followed, and when it is
over.

An alert is dated in event time: it starts on the day on which the change most likely began, is noticed at
the end of the day whose look found it, and is resolved once none of its columns has been seen off for
`window_days`. Its evidence is that of the worst trailing window of its first weeks, so that an alert that is
over still shows what happened. Simulations count as its cause when they were playing as the change began;
one that comes later, while the alert is still open, does not.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from boarfish.v1 import monitoring_pb2

from audit.profiles.profile import Profile
from services.monitoring import alerts, comparison, profiles, sentences
from services.monitoring.alerts import TrackedAlert, day_of, day_start
from services.monitoring.drift_watch import ColumnLook, DriftWatch
from services.monitoring.profiles import Series
from services.monitoring.references import Reference

SAME_CAUSE_DAYS = 14
# Evidence is taken afresh when a column lies this much further off than in the evidence so far.
WORSE_BY = 0.02
# Evidence and what followed are brought up to date until the change is so many windows old.
FOLLOWED_WINDOWS = 8
DESCRIBED_COLUMNS = 4


@dataclass(frozen=True)
class Day:
    """The closed day that is looked at."""

    connection: sa.Connection
    series: Series
    reference: Reference
    day: int

    @property
    def window_days(self) -> int:
        """Length of the trailing window."""
        return self.reference.task.watch.window_days

    def trailing(self) -> Profile | None:
        """The trailing window, merged."""
        return profiles.read_span(self.connection, self.series, self.day - self.window_days + 1, self.day + 1)


def follow(
    context: Day,
    active: Sequence[TrackedAlert],
    looks: Sequence[ColumnLook],
    watch: DriftWatch,
    tell: Callable[[monitoring_pb2.Alert], None],
) -> list[TrackedAlert]:
    """Takes one day's looks into the alerts: opens, updates and resolves; those that are still active."""
    found = list(active)
    for look in looks:
        if look.moved_on >= 0:
            _assign(context, found, look)
    by_column = {look.column: look for look in looks}
    remaining = []
    for tracked in found:
        if _update(context, tracked, by_column):
            tell(tracked.alert)
        if _is_over(context, tracked):
            alerts.resolve(context.connection, tracked, day_start(context.day + 1))
            tell(tracked.alert)
        else:
            remaining.append(tracked)
    watched = {column for tracked in remaining for column in tracked.track["columns"]}
    for tracked in found:
        for column in set(tracked.track["columns"]) - watched:
            watch.release(column)
    return remaining


def describe(reference: Reference, tracked: TrackedAlert) -> None:
    """Writes an alert's title, description, severity and suggested action from its evidence and track."""
    alert, track, task = tracked.alert, tracked.track, reference.task
    simulations = list(alert.simulations)
    alert.title = sentences.drift_title(alert.evidence, simulations)
    start, noticed = day_of(alert.start_time), day_of(alert.detect_time) - 1
    told = [
        f"{drift.sentence} (distance {drift.jensen_shannon_distance:.2f})."
        for drift in alert.evidence[:DESCRIBED_COLUMNS]
    ]
    rest = [drift.column for drift in alert.evidence[DESCRIBED_COLUMNS:]]
    if rest:
        told.append(f"{sentences.listed(rest)} moved too.")
    told.append(
        f"It began about {sentences.date(start)} and was noticed with the day of {sentences.date(noticed)}."
    )
    told.extend(track.get("followed", []))
    told.extend(fall["sentence"] for fall in track.get("falls", {}).values())
    if simulated := sentences.simulation_sentence(simulations):
        told.append(simulated)
    alert.description = " ".join(told)
    columns = sentences.listed(list(alert.columns[:DESCRIBED_COLUMNS]))
    alert.suggested_action = (
        f"Ask whoever delivers {columns} what changed about {sentences.date(start)}. If the coding or a "
        f"source changed, mend it "
        "there and predict the people concerned again; if the people changed, train again with them among "
        "the rows."
    )
    surely_fell = any(fall["size"] >= task.watch.quality_fall for fall in track.get("falls", {}).values())
    alert.severity = (
        monitoring_pb2.ALERT_SEVERITY_CRITICAL if surely_fell else monitoring_pb2.ALERT_SEVERITY_WARNING
    )


def _assign(context: Day, found: list[TrackedAlert], look: ColumnLook) -> None:
    """Gives a column that has moved to the alert of the same cause, or to a new one."""
    entry = {"base": look.base, "peak": 0.0, "last_seen": context.day, "e_value": look.e_value}
    for tracked in found:
        if look.column in tracked.track["columns"]:
            # What comes now is another change: it must not stand as evidence of the earlier one.
            tracked.track["columns"][look.column]["closed"] = True
    for tracked in found:
        start = day_of(tracked.alert.start_time)
        if look.column not in tracked.track["columns"] and abs(start - look.moved_on) <= SAME_CAUSE_DAYS:
            tracked.track["columns"][look.column] = entry
            if look.moved_on < start:
                tracked.alert.start_time.CopyFrom(day_start(look.moved_on))
            return
    alert = monitoring_pb2.Alert(
        deployment=context.series.deployment,
        model_version=context.series.model_version,
        kind=monitoring_pb2.ALERT_KIND_DRIFT,
        start_time=day_start(look.moved_on),
        detect_time=day_start(context.day + 1),
        last_seen_time=day_start(context.day + 1),
    )
    found.append(TrackedAlert(alert, {"columns": {look.column: entry}, "followed_day": -1}))


def _update(context: Day, tracked: TrackedAlert, looks: dict[str, ColumnLook]) -> bool:
    """Takes a day into one alert; whether anything that people see has changed."""
    track, matters = tracked.track, context.reference.task.watch.drift_distance
    old = context.day >= day_of(tracked.alert.start_time) + FOLLOWED_WINDOWS * context.window_days
    seen = False
    worse = []
    for column, entry in track["columns"].items():
        look = looks[column]
        distance = look.change.distance
        if distance < entry["base"] + matters:
            continue
        seen = True
        entry["last_seen"] = context.day
        entry["e_value"] = max(entry["e_value"], min(look.e_value, 1e300))
        if (
            not old
            and not entry.get("closed")
            and (distance >= entry["peak"] + WORSE_BY or not entry["peak"])
        ):
            entry["peak"] = distance
            worse.append(column)
    if not seen:
        return False
    tracked.alert.last_seen_time.CopyFrom(day_start(context.day + 1))
    due = track["followed_day"] < 0 or (
        not old and context.day >= track["followed_day"] + context.window_days
    )
    if worse or due:
        _take_evidence(context, tracked, worse)
    if due:
        track["followed"] = _what_followed(context, tracked)
        track["followed_day"] = context.day
    if worse or due:
        describe(context.reference, tracked)
    if tracked.alert.id:
        alerts.save(context.connection, tracked)
    else:
        alerts.open_alert(context.connection, tracked)
    return bool(worse or due)


def _take_evidence(context: Day, tracked: TrackedAlert, columns: Sequence[str]) -> None:
    alert, entries = tracked.alert, tracked.track["columns"]
    trailing = context.trailing()
    if trailing is None:
        return
    kept = {drift.column: drift for drift in alert.evidence}
    for drift in comparison.column_drifts(trailing, context.reference):
        if drift.column in columns:
            drift.drifting = True
            drift.e_value = entries[drift.column]["e_value"]
            drift.jensen_shannon_distance = entries[drift.column]["peak"]
            drift.sentence = sentences.column_sentence(context.reference.task, drift.column, drift.shares)
            kept[drift.column] = drift
    ordered = sorted(kept.values(), key=lambda drift: -entries[drift.column]["peak"])
    evidence = [monitoring_pb2.ColumnDrift.FromString(drift.SerializeToString()) for drift in ordered]
    del alert.evidence[:]
    alert.evidence.extend(evidence)
    del alert.columns[:]
    alert.columns.extend(drift.column for drift in evidence)
    start = day_of(alert.start_time)
    playing = profiles.simulations_between(
        context.connection, context.series, start - 1, min(start + context.window_days, context.day + 1)
    )
    del alert.simulations[:]
    alert.simulations.extend(playing)


def _what_followed(context: Day, tracked: TrackedAlert) -> list[str]:
    """Sentences on estimated accuracy, decisions and subgroups over the days of the change."""
    start = day_of(tracked.alert.start_time)
    span = profiles.read_span(context.connection, context.series, start, context.day + 1)
    if span is None:
        return []
    reference = context.reference.window
    quality = comparison.quality(span, context.reference)
    told = []
    if not math.isnan(quality.estimated_accuracy.value):
        told.append(
            f"Accuracy over these days is estimated at {sentences.estimate(quality.estimated_accuracy)}, "
            f"without labels; it was "
            f"{sentences.estimate(reference.quality.accuracy)} on the reference."
        )
    before, after = reference.quality.selection_rate.value, quality.selection_rate.value
    if not math.isnan(before) and not math.isnan(after):
        decision = context.reference.task.decision.positive_label
        told.append(
            f"Decisions of '{decision}' went from {sentences.per_cent(before)} to "
            f"{sentences.per_cent(after)}."
        )
    told.extend(_group_that_changed_most(context, span))
    return told


def _group_that_changed_most(context: Day, span: Profile) -> list[str]:
    reference = {_key(group): group for group in context.reference.window.subgroups if not group.suppressed}
    most: tuple[float, Any, Any] | None = None
    for group in comparison.subgroups(span, context.reference):
        beside = reference.get(_key(group))
        if beside is None or group.quality.row_count < context.reference.task.watch.minimum_group_size:
            continue
        size = abs(group.quality.selection_rate.value - beside.quality.selection_rate.value)
        if not math.isnan(size) and (most is None or size > most[0]):
            most = (size, group, beside)
    if most is None:
        return []
    _, group, beside = most
    return [
        f"It changed most for the group {group.display_name}: from "
        f"{sentences.per_cent(beside.quality.selection_rate.value)} to "
        f"{sentences.per_cent(group.quality.selection_rate.value)}."
    ]


def _key(group: monitoring_pb2.SubgroupQuality) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(group.group.items()))


def _is_over(context: Day, tracked: TrackedAlert) -> bool:
    last_seen = max(entry["last_seen"] for entry in tracked.track["columns"].values())
    return bool(tracked.alert.id) and context.day - last_seen >= context.window_days
