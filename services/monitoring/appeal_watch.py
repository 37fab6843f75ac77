"""Looks after appeals: are answers owed since too long, and has a corrected label reached the lake?

Overdue appeals of a deployment share one alert, which is dated by the clock on the wall and not by that of
events: a deadline is a promise to a person. It is updated when one joins or leaves, and resolved when none is
left. A corrected label counts as delivered when the lake holds a label of source HUMAN with its value.

Severity: WARNING; CRITICAL once an answer is owed since `CRITICAL_DAYS`.
"""

import datetime as dt
import threading
from collections.abc import Iterable

import sqlalchemy as sa
from boarfish.v1 import monitoring_pb2 as pb
from google.protobuf.timestamp_pb2 import Timestamp

from services.monitoring import alerts, appeals, sentences, tables
from services.monitoring.alerts import ACTOR, TrackedAlert
from services.monitoring.contested import ContestedPredictions
from services.monitoring.profiles import DAY_US

CRITICAL_DAYS = 14
NAMED = 5


class AppealWatch:
    """Looks at all appeals at once. One thread at a time; every write happens under `write_lock`."""

    def __init__(
        self, engine: sa.Engine, predictions: ContestedPredictions, write_lock: threading.Lock
    ) -> None:
        self._engine = engine
        self._predictions = predictions
        self._lock = write_lock
        self._read: dict[str, tuple[int, list[str]]] = {}

    def look(self) -> list[pb.Alert]:
        """One look; the alerts that changed."""
        self._note_labels()
        now = dt.datetime.now(dt.UTC)
        with self._engine.connect() as connection:
            overdue = _overdue(connection, now)
            warned = _warned(connection)
        changed = []
        for deployment in sorted(overdue.keys() | warned):
            with self._lock, self._engine.begin() as connection:
                # An answer may have come since the look.
                mine = _overdue(connection, now).get(deployment, [])
                changed += _tell(connection, deployment, mine, now)
        return changed

    def _note_labels(self) -> None:
        """Marks corrected labels that the lake holds; reads only where labels have come since."""
        with self._engine.connect() as connection:
            waiting = _undelivered(connection)
        for deployment, mine in waiting.items():
            ids = [appeal.prediction_id for appeal in mine]
            looked_at = (self._predictions.label_count(deployment), ids)
            if self._read.get(deployment) == looked_at:
                continue
            labels = self._predictions.labels(deployment, ids)
            there = {
                (label["prediction_id"], label["value"]) for label in labels if label["source"] == "HUMAN"
            }
            for appeal in mine:
                if (appeal.prediction_id, appeal.corrected_label) in there:
                    self._deliver(appeal)
            self._read[deployment] = looked_at

    def _deliver(self, appeal: pb.Appeal) -> None:
        appeal.label_time.FromDatetime(dt.datetime.now(dt.UTC))
        with self._lock, self._engine.begin() as connection:
            appeals.save(connection, appeal)
            details = {"corrected_label": appeal.corrected_label}
            appeals.record(connection, "appeal.corrected", appeal, ACTOR, details)


def _overdue(connection: sa.Connection, now: dt.datetime) -> dict[str, list[pb.Appeal]]:
    """Open appeals that are past their due time, by deployment, the longest overdue first."""
    table = tables.appeal
    query = sa.select(table.c.appeal).where(
        table.c.state.in_(appeals.OPEN), table.c.due_us < int(now.timestamp() * 1e6)
    )
    return _by_deployment(connection.scalars(query.order_by(table.c.due_us)))


def _undelivered(connection: sa.Connection) -> dict[str, list[pb.Appeal]]:
    table = tables.appeal
    query = sa.select(table.c.appeal).where(table.c.delivered.is_(False)).order_by(table.c.number)
    return _by_deployment(connection.scalars(query))


def _by_deployment(blobs: Iterable[bytes]) -> dict[str, list[pb.Appeal]]:
    found: dict[str, list[pb.Appeal]] = {}
    for blob in blobs:
        appeal = pb.Appeal.FromString(blob)
        found.setdefault(appeal.deployment, []).append(appeal)
    return found


def _warned(connection: sa.Connection) -> set[str]:
    """Deployments with an alert on appeals that is not resolved."""
    table = tables.alert
    query = sa.select(table.c.deployment).where(
        table.c.kind == pb.ALERT_KIND_APPEAL, table.c.state.in_(alerts.ACTIVE)
    )
    return set(connection.scalars(query))


def _tell(
    connection: sa.Connection, deployment: str, overdue: list[pb.Appeal], now: dt.datetime
) -> list[pb.Alert]:
    moment = Timestamp()
    moment.FromDatetime(now)
    tracked = alerts.active_of_kind(connection, deployment, pb.ALERT_KIND_APPEAL)
    if not overdue:
        if tracked is None:
            return []
        alerts.resolve(connection, tracked, moment)
        return [tracked.alert]
    late_days = (now - overdue[0].due_time.ToDatetime(dt.UTC)).days
    track = {"appeals": [appeal.id for appeal in overdue], "critical": late_days >= CRITICAL_DAYS}
    if tracked is not None and tracked.track == track:
        return []
    if tracked is None:
        alert = pb.Alert(
            deployment=deployment,
            model_version=overdue[0].model_version,
            kind=pb.ALERT_KIND_APPEAL,
            start_time=overdue[0].due_time,
            detect_time=moment,
            suggested_action=(
                "Open the appeals desk, take the appeals that are due first and answer them. If there are "
                "too few reviewers who did not build the model, name more."
            ),
        )
        tracked = TrackedAlert(alert)
    tracked.track = track
    tracked.alert.last_seen_time.CopyFrom(moment)
    _describe(tracked.alert, overdue, late_days)
    if tracked.alert.id:
        alerts.save(connection, tracked)
    else:
        alerts.open_alert(connection, tracked)
    return [tracked.alert]


def _describe(alert: pb.Alert, overdue: list[pb.Appeal], late_days: int) -> None:
    count = len(overdue)
    wait = "One appeal waits" if count == 1 else f"{count:,} appeals wait"
    alert.title = f"{wait} past the time in which an answer was promised"
    first = sentences.date(overdue[0].due_time.ToMicroseconds() // DAY_US)
    named = [f"{appeal.id[:8]} (prediction {appeal.prediction_id})" for appeal in overdue[:NAMED]]
    more = f", and {count - NAMED:,} more" if count > NAMED else ""
    alert.description = (
        f"People contest decisions on them and have no answer yet. The first was due on {first}. "
        f"Due first: {', '.join(named)}{more}."
    )
    alert.severity = pb.ALERT_SEVERITY_CRITICAL if late_days >= CRITICAL_DAYS else pb.ALERT_SEVERITY_WARNING
