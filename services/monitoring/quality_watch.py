"""Looks once at each completed window: has accuracy, by labels or by estimate, surely fallen by enough to
matter?

A fall matters from `quality_fall` below the reference, and is sure when the interval of the difference lies
below 0 at a level that pays for looking again and again: look k spends `false_alarm_rate / 2 * 6 / (pi^2
k^2)`, which sums to half the rate over all looks, one half for labels and one for estimates (alpha spending;
Lan and DeMets 1983). A fall that overlaps a drift alert is told there; otherwise it opens an alert of its
own, or goes on in the one that is open.
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass

import sqlalchemy as sa
from boarfish.v1 import common_pb2, monitoring_pb2

from audit.profiles.profile import Profile
from services.monitoring import alerts, drift_alerts, sentences
from services.monitoring.alerts import TrackedAlert, day_start
from services.monitoring.profiles import Series
from services.monitoring.references import Reference

BY_LABELS, BY_ESTIMATE = "labels", "estimate"


@dataclass(frozen=True)
class Fall:
    """A window whose accuracy has surely fallen.

    By how much (points of 1), by labels or estimate, and one sentence.
    """

    size: float
    source: str
    sentence: str


Finder = Callable[[monitoring_pb2.Quality, Reference, int, int], Fall | None]


def realised_fall(
    quality: monitoring_pb2.Quality, reference: Reference, start_day: int, look: int
) -> Fall | None:
    """The fall of accuracy by labels in the window that starts on `start_day`, at look number `look` (from
    1).
    """
    size = _sure_fall(quality.accuracy, reference, look)
    if size is None:
        return None
    return Fall(
        size,
        BY_LABELS,
        f"In the {reference.task.watch.window_days} days from {sentences.date(start_day)} accuracy by "
        f"labels was "
        f"{sentences.estimate(quality.accuracy)}, {sentences.points(size)} below the reference.",
    )


def estimated_fall(
    quality: monitoring_pb2.Quality, reference: Reference, start_day: int, look: int
) -> Fall | None:
    """The same by estimate, before labels have come."""
    size = _sure_fall(quality.estimated_accuracy, reference, look)
    if size is None:
        return None
    return Fall(
        size,
        BY_ESTIMATE,
        f"In the {reference.task.watch.window_days} days from {sentences.date(start_day)} accuracy is "
        f"estimated at {sentences.estimate(quality.estimated_accuracy)}, {sentences.points(size)} below the "
        "reference; labels are still to come.",
    )


def note(
    connection: sa.Connection,
    series: Series,
    reference: Reference,
    start_day: int,
    *,
    fall: Fall | None,
    span: Profile,
) -> list[monitoring_pb2.Alert]:
    """Takes what a look found into the alerts; those that changed."""
    window_days = reference.task.watch.window_days
    end_day = start_day + window_days
    if fall is None:
        return _recover(connection, series, window_days, end_day)
    overlapping = alerts.overlapping(connection, series, monitoring_pb2.ALERT_KIND_DRIFT, start_day, end_day)
    if overlapping:
        tracked = max(overlapping, key=lambda found: found.alert.start_time.ToMicroseconds())
        falls = tracked.track.setdefault("falls", {})
        if fall.source in falls and falls[fall.source]["size"] >= fall.size:
            return []
        falls[fall.source] = asdict(fall)
        drift_alerts.describe(reference, tracked)
        alerts.save(connection, tracked)
        return [tracked.alert]
    return [_tell(connection, series, reference, start_day, fall=fall, simulations=sorted(span.simulations))]


def _tell(
    connection: sa.Connection,
    series: Series,
    reference: Reference,
    start_day: int,
    *,
    fall: Fall,
    simulations: list[str],
) -> monitoring_pb2.Alert:
    end_day = start_day + reference.task.watch.window_days
    active = alerts.active(connection, series.deployment, series.model_version)
    tracked = next((found for found in active if found.alert.kind == monitoring_pb2.ALERT_KIND_QUALITY), None)
    if tracked is None:
        alert = monitoring_pb2.Alert(
            deployment=series.deployment,
            model_version=series.model_version,
            kind=monitoring_pb2.ALERT_KIND_QUALITY,
            start_time=day_start(start_day),
            detect_time=day_start(end_day),
            simulations=simulations,
            suggested_action=(
                "Look at which people this window's wrong decisions were about (page of subgroup errors), "
                "and whether an input is "
                "measured otherwise than before. If the world has changed, train again with newer labels."
            ),
        )
        tracked = TrackedAlert(alert, {"worst": 0.0, "sentences": {}})
    alert, track = tracked.alert, tracked.track
    alert.last_seen_time.CopyFrom(day_start(end_day))
    track["last_seen"] = max(end_day, track.get("last_seen", 0))
    if fall.size > track["worst"] or fall.source not in track["sentences"]:
        track["worst"] = max(track["worst"], fall.size)
        track["sentences"][fall.source] = fall.sentence
        how = "estimated to be " if set(track["sentences"]) == {BY_ESTIMATE} else ""
        suffix = sentences.SIMULATED if alert.simulations else ""
        alert.title = f"Accuracy is {how}{sentences.points(track['worst'])} below the reference{suffix}"
        simulated = sentences.simulation_sentence(list(alert.simulations))
        alert.description = " ".join([*track["sentences"].values(), *([simulated] if simulated else [])])
        critical = track["worst"] >= 2 * reference.task.watch.quality_fall
        alert.severity = (
            monitoring_pb2.ALERT_SEVERITY_CRITICAL if critical else monitoring_pb2.ALERT_SEVERITY_WARNING
        )
    if alert.id:
        alerts.save(connection, tracked)
    else:
        alerts.open_alert(connection, tracked)
    return alert


def _recover(
    connection: sa.Connection, series: Series, window_days: int, end_day: int
) -> list[monitoring_pb2.Alert]:
    """Resolves a quality alert whose fall has not been seen for a whole window."""
    resolved = []
    for tracked in alerts.active(connection, series.deployment, series.model_version):
        if tracked.alert.kind != monitoring_pb2.ALERT_KIND_QUALITY:
            continue
        if end_day - tracked.track["last_seen"] > window_days:
            alerts.resolve(connection, tracked, day_start(end_day))
            resolved.append(tracked.alert)
    return resolved


def _sure_fall(value: common_pb2.Estimate, reference: Reference, look: int) -> float | None:
    """How far `value` surely lies below the reference's accuracy; None where that is little or not sure."""
    from scipy.stats import norm

    before = reference.window.quality.accuracy
    watch = reference.task.watch
    if any(
        math.isnan(number) for number in (value.value, value.lower, value.upper, before.value, before.lower)
    ):
        return None
    size = before.value - value.value
    spent = watch.false_alarm_rate / 2 * 6 / (math.pi**2 * max(1, look) ** 2)
    error = math.hypot(_standard_error(value), _standard_error(before))
    if size < watch.quality_fall or size <= float(norm.isf(spent)) * error:
        return None
    return size


def _standard_error(value: common_pb2.Estimate) -> float:
    from scipy.stats import norm

    return float((value.upper - value.lower) / (2 * norm.isf((1 - value.confidence) / 2)))
