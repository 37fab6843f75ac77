"""Alerts as they are kept: opened, changed, acknowledged, resolved; each of those is also a line of the
ledger.

An alert's `track` is what detection must remember of it beside what people see. All writing happens inside
the caller's transaction, so that an alert, its ledger line and the state of the tests that raised it are
there together or not.
"""

import json
import uuid
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from boarfish.errors import FailedPrecondition, InvalidArgument, NotFound
from boarfish.v1 import monitoring_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from services.monitoring import ledger, tables
from services.monitoring.profiles import DAY_US, Series

ACTIVE = (monitoring_pb2.ALERT_STATE_OPEN, monitoring_pb2.ALERT_STATE_ACKNOWLEDGED)
ACTOR = "monitoring"


@dataclass
class TrackedAlert:
    """An alert and what detection remembers of it."""

    alert: monitoring_pb2.Alert
    track: dict[str, Any] = field(default_factory=dict)


def day_start(day: int) -> Timestamp:
    """Midnight, UTC, at which a day begins."""
    moment = Timestamp()
    moment.FromMicroseconds(day * DAY_US)
    return moment


def day_of(moment: Timestamp) -> int:
    """The day that holds a moment."""
    return int(moment.ToMicroseconds() // DAY_US)


def active(connection: sa.Connection, deployment: str, model_version: str) -> list[TrackedAlert]:
    """Alerts of a model version that are not resolved, oldest first."""
    table = tables.alert
    rows = connection.execute(
        sa.select(table.c.alert, table.c.track)
        .where(
            table.c.deployment == deployment,
            table.c.model_version == model_version,
            table.c.state.in_(ACTIVE),
        )
        .order_by(table.c.number)
    )
    return [TrackedAlert(monitoring_pb2.Alert.FromString(row.alert), json.loads(row.track)) for row in rows]


def active_of_kind(connection: sa.Connection, deployment: str, kind: int) -> TrackedAlert | None:
    """The newest alert of a kind that is not resolved, whichever model version it names."""
    table = tables.alert
    row = connection.execute(
        sa.select(table.c.alert, table.c.track)
        .where(table.c.deployment == deployment, table.c.kind == kind, table.c.state.in_(ACTIVE))
        .order_by(table.c.number.desc())
    ).first()
    if row is None:
        return None
    return TrackedAlert(monitoring_pb2.Alert.FromString(row.alert), json.loads(row.track))


def overlapping(
    connection: sa.Connection, series: Series, kind: int, start_day: int, end_day: int
) -> list[TrackedAlert]:
    """Alerts of a kind, in any state, whose change touched the days from `start_day` up to and without
    `end_day`.
    """
    table = tables.alert
    rows = connection.execute(
        sa.select(table.c.alert, table.c.track)
        .where(
            table.c.deployment == series.deployment,
            table.c.model_version == series.model_version,
            table.c.kind == kind,
        )
        .order_by(table.c.number)
    )
    found = [TrackedAlert(monitoring_pb2.Alert.FromString(row.alert), json.loads(row.track)) for row in rows]
    return [tracked for tracked in found if touches(tracked.alert, start_day, end_day)]


def open_alert(connection: sa.Connection, tracked: TrackedAlert) -> None:
    """Writes a new alert; gives it its id."""
    alert = tracked.alert
    alert.id = uuid.uuid4().hex
    alert.state = monitoring_pb2.ALERT_STATE_OPEN
    connection.execute(sa.insert(tables.alert).values(id=alert.id, **_columns(tracked)))
    _record(connection, "alert.opened", alert, ACTOR)


def save(connection: sa.Connection, tracked: TrackedAlert) -> None:
    """Writes what has changed of an alert that stays open."""
    table = tables.alert
    connection.execute(sa.update(table).where(table.c.id == tracked.alert.id).values(**_columns(tracked)))


def resolve(connection: sa.Connection, tracked: TrackedAlert, moment: Timestamp) -> None:
    """Closes an alert whose cause is gone since before `moment`."""
    tracked.alert.state = monitoring_pb2.ALERT_STATE_RESOLVED
    tracked.alert.resolve_time.CopyFrom(moment)
    save(connection, tracked)
    _record(connection, "alert.resolved", tracked.alert, ACTOR)


def acknowledge(
    connection: sa.Connection, request: monitoring_pb2.AcknowledgeAlertRequest
) -> tuple[monitoring_pb2.Alert, bool]:
    """Notes who has seen an alert; the alert, and whether this call changed it.

    Raises:
        NotFound: there is no such alert.
        FailedPrecondition: it is resolved, or somebody else has acknowledged it.
        InvalidArgument: the request id was used for another request.
    """
    found = connection.execute(
        sa.select(tables.alert.c.alert, tables.alert.c.track).where(tables.alert.c.id == request.id)
    ).first()
    if found is None:
        raise NotFound(f"there is no alert {request.id!r}: ListAlerts names those that there are")
    tracked = TrackedAlert(monitoring_pb2.Alert.FromString(found.alert), json.loads(found.track))
    content = request.SerializeToString(deterministic=True)
    if request.request_id:
        earlier = connection.execute(
            sa.select(tables.acknowledgement.c.request).where(
                tables.acknowledgement.c.request_id == request.request_id
            )
        ).scalar()
        if earlier is not None:
            if earlier != content:
                raise InvalidArgument.of(ledger.REQUEST_ID_REUSED)
            return tracked.alert, False
    alert = tracked.alert
    if alert.state == monitoring_pb2.ALERT_STATE_RESOLVED:
        raise FailedPrecondition(f"alert {alert.id} is resolved: there is nothing to acknowledge any more")
    if alert.state == monitoring_pb2.ALERT_STATE_ACKNOWLEDGED:
        if (alert.acknowledged_by, alert.acknowledge_note) == (request.acknowledged_by, request.note):
            return alert, False
        raise FailedPrecondition(f"alert {alert.id} is acknowledged already, by {alert.acknowledged_by}")
    alert.state = monitoring_pb2.ALERT_STATE_ACKNOWLEDGED
    alert.acknowledged_by, alert.acknowledge_note = request.acknowledged_by, request.note
    save(connection, tracked)
    if request.request_id:
        connection.execute(
            sa.insert(tables.acknowledgement).values(request_id=request.request_id, request=content)
        )
    _record(connection, "alert.acknowledged", alert, request.acknowledged_by, {"note": request.note})
    return alert, True


def page(
    connection: sa.Connection, deployment: str, state: int, *, before: int, limit: int
) -> list[tuple[int, monitoring_pb2.Alert]]:
    """Numbers and alerts, newest first, with numbers below `before` (0: from the newest)."""
    table = tables.alert
    query = sa.select(table.c.number, table.c.alert).order_by(table.c.number.desc()).limit(limit)
    if before:
        query = query.where(table.c.number < before)
    if deployment:
        query = query.where(table.c.deployment == deployment)
    if state:
        query = query.where(table.c.state == state)
    return [(row.number, monitoring_pb2.Alert.FromString(row.alert)) for row in connection.execute(query)]


def unresolved(connection: sa.Connection, deployment: str = "") -> list[monitoring_pb2.Alert]:
    """Alerts that are not resolved, oldest first; of one deployment or of all."""
    table = tables.alert
    query = sa.select(table.c.alert).where(table.c.state.in_(ACTIVE)).order_by(table.c.number)
    if deployment:
        query = query.where(table.c.deployment == deployment)
    return [monitoring_pb2.Alert.FromString(blob) for blob in connection.scalars(query)]


def all_of(connection: sa.Connection, deployment: str) -> list[monitoring_pb2.Alert]:
    """Every alert of a deployment, oldest first."""
    table = tables.alert
    query = sa.select(table.c.alert).where(table.c.deployment == deployment).order_by(table.c.number)
    return [monitoring_pb2.Alert.FromString(blob) for blob in connection.scalars(query)]


def touches(alert: monitoring_pb2.Alert, start_day: int, end_day: int) -> bool:
    """Whether an alert's change was there on a day from `start_day` up to and without `end_day`."""
    return day_of(alert.start_time) < end_day and alert.last_seen_time.ToMicroseconds() > start_day * DAY_US


def _columns(tracked: TrackedAlert) -> dict[str, Any]:
    alert = tracked.alert
    return {
        "deployment": alert.deployment,
        "model_version": alert.model_version,
        "kind": alert.kind,
        "state": alert.state,
        "alert": alert.SerializeToString(),
        "track": json.dumps(tracked.track),
    }


def _record(
    connection: sa.Connection,
    action: str,
    alert: monitoring_pb2.Alert,
    actor: str,
    more: dict[str, Any] | None = None,
) -> None:
    details = {
        "deployment": alert.deployment,
        "model_version": alert.model_version,
        "kind": monitoring_pb2.AlertKind.Name(alert.kind),
        "title": alert.title,
        "simulations": list(alert.simulations),
        **(more or {}),
    }
    ledger.append(
        connection,
        ledger.Line(f"{action}/{alert.id}", actor, action, f"alerts/{alert.id}", details),
    )
