"""How each deployment is doing in one glance, and one plain sentence on it."""

import threading

import sqlalchemy as sa
from boarfish.v1 import common_pb2, monitoring_pb2

from services.common.lake import Lake, TableKind
from services.monitoring import alerts, comparison, profiles, sentences, tables
from services.monitoring.consumer import Position, positions
from services.monitoring.detection import looks_due
from services.monitoring.profiles import Series, Total
from services.monitoring.references import Reference, References
from services.monitoring.windows import Windows, clock_us, find_deployment


class Health:
    """Answers GetHealth.

    Safe to use from several threads; rates are worked out again only after they changed.
    """

    def __init__(self, engine: sa.Engine, lake: Lake, references: References, windows: Windows) -> None:
        self._engine = engine
        self._lake = lake
        self._references = references
        self._windows = windows
        self._lock = threading.Lock()
        self._rated: dict[Series, tuple[int, monitoring_pb2.Quality]] = {}

    def report(self, deployment: str) -> monitoring_pb2.GetHealthResponse:
        """The health of one deployment, or of all for an empty name.

        Raises `NotFound` for one that nobody has seen.
        """
        with self._engine.connect() as connection:
            if deployment:
                found = [find_deployment(connection, deployment)]
            else:
                found = [position for position in positions(connection).values() if position.champion]
            return monitoring_pb2.GetHealthResponse(
                deployments=[self._of(connection, position) for position in found]
            )

    def _of(self, connection: sa.Connection, position: Position) -> monitoring_pb2.DeploymentHealth:
        reference = self._references.get(position.champion)
        assert reference is not None
        totals = profiles.all_series(connection, position.name)
        champion = Series(position.name, position.champion, common_pb2.PREDICTION_ROLE_CHAMPION)
        mine = [
            total for series, total in totals.items() if series.role == common_pb2.PREDICTION_ROLE_CHAMPION
        ]
        waiting = _waiting_count(connection, position.name)
        health = monitoring_pb2.DeploymentHealth(
            deployment=position.name,
            task_name=reference.task.name,
            model_version=position.champion,
            prediction_count=sum(total.row_count for total in mine),
            labelled_count=sum(total.labelled_count for total in mine),
            backlog_count=max(0, self._last_sequence(position.name) - position.prediction_sequence) + waiting,
            looks_due=looks_due(connection, champion, reference, position),
            reference_quality=reference.window.quality,
            overall_quality=self._quality(connection, champion, totals[champion], reference),
        )
        health.watermark.FromMicroseconds(clock_us(position))
        open_alerts = alerts.unresolved(connection, position.name)
        health.open_alert_count = len(open_alerts)
        latest = self._latest_window(connection, position, champion, totals[champion], reference)
        if latest is not None:
            health.latest_window.CopyFrom(latest)
        shadow = Series(position.name, position.shadow, common_pb2.PREDICTION_ROLE_SHADOW)
        shadow_reference = self._references.get(position.shadow) if position.shadow else None
        if shadow in totals and shadow_reference is not None:
            health.shadow_model_version = position.shadow
            health.shadow_quality.CopyFrom(
                self._quality(connection, shadow, totals[shadow], shadow_reference)
            )
        health.summary = summary(health, open_alerts, waiting)
        return health

    def _latest_window(
        self,
        connection: sa.Connection,
        position: Position,
        series: Series,
        total: Total,
        reference: Reference,
    ) -> monitoring_pb2.Window | None:
        """The newest window that time has passed."""
        length = reference.task.watch.window_days
        spans = self._windows.grid(
            connection, series, reference, total.last_day - 2 * length, total.last_day + 1
        )
        for span in reversed(spans):
            window = self._windows.window(connection, position, series, reference, span)
            if window.complete:
                return window
        return None

    def _quality(
        self, connection: sa.Connection, series: Series, total: Total, reference: Reference
    ) -> monitoring_pb2.Quality:
        with self._lock:
            kept = self._rated.get(series)
        if kept is None or kept[0] != total.revision:
            profile = profiles.read_total(connection, series)
            assert profile is not None
            kept = (total.revision, comparison.quality(profile, reference))
            with self._lock:
                self._rated[series] = kept
        return kept[1]

    def _last_sequence(self, deployment: str) -> int:
        with self._lock:
            return self._lake.table(TableKind.PREDICTIONS, deployment).last_sequence()


def summary(
    health: monitoring_pb2.DeploymentHealth, open_alerts: list[monitoring_pb2.Alert], waiting: int
) -> str:
    """One or two plain sentences on a deployment."""
    told = []
    if open_alerts:
        worst = max(open_alerts, key=lambda alert: (alert.severity, alert.start_time.ToMicroseconds()))
        count = "One alert is" if len(open_alerts) == 1 else f"{len(open_alerts)} alerts are"
        told.append(f"{count} open; the gravest: {worst.title}.")
    else:
        told.append("Quiet: no input has moved by enough to matter, and no alert is open.")
    accuracy, before = health.overall_quality.accuracy, health.reference_quality.accuracy
    if health.labelled_count:
        told.append(
            f"By labels {sentences.per_cent(accuracy.value)} of the decisions were right so far, beside "
            f"{sentences.per_cent(before.value)} on the reference."
        )
    else:
        told.append("No label has come yet.")
    if waiting:
        told.append(f"{waiting:,} predictions wait for the reference profile of their model version.")
    return " ".join(told)


def _waiting_count(connection: sa.Connection, deployment: str) -> int:
    table = tables.waiting_version
    return int(
        connection.execute(
            sa.select(sa.func.coalesce(sa.func.sum(table.c.row_count), 0)).where(
                table.c.deployment == deployment
            )
        ).scalar_one()
    )
