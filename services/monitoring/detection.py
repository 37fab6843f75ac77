"""What needs a person: looks at closed days and completed windows, and opens, changes and resolves alerts.

One alert a cause. Columns whose change began within `SAME_CAUSE_DAYS` of each other share an alert; a fall
of accuracy that overlaps a drift is told in the drift's alert; all subgroups with unequal rates share one.
Each look belongs to a day or window of event time and is done once, in order: its results, the state of the
tests, the alerts and their ledger lines are written in one transaction. Events that arrive late, after their
day was looked at, count in its profile, in windows and in audits, but the look is not repeated.

Severity. Drift: WARNING; CRITICAL when accuracy, by labels or by estimate, surely fell with it by
`quality_fall`.
Quality: WARNING; CRITICAL from twice `quality_fall`. Subgroup: see `services.monitoring.subgroup_watch`.
"""

import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from boarfish.v1 import common_pb2, monitoring_pb2

from services.monitoring import (
    alerts,
    comparison,
    drift_alerts,
    profiles,
    quality_watch,
    subgroup_watch,
    tables,
)
from services.monitoring.consumer import Position, positions
from services.monitoring.drift_watch import SEARCHED_DAYS, DriftWatch
from services.monitoring.profiles import DAY_US, Series
from services.monitoring.references import Reference, References

DAYS_A_STEP = 14
WINDOWS_A_STEP = 4


@dataclass
class WatchState:
    """What has been looked at of one model version, as it stands in the database.

    `subgroups_due`: labels came in since the last look at subgroups, which waits until all other looks are
    done.
    """

    looked_day: int = -1
    label_window: int = -1
    columns: dict[str, Any] = field(default_factory=dict)
    estimate_looks: int = 0
    label_looks: int = 0
    subgroup_looks: int = 0
    subgroups_due: bool = False


class Detection:
    """Looks at every champion. One thread at a time; every write happens under `write_lock`."""

    def __init__(self, engine: sa.Engine, references: References, write_lock: threading.Lock) -> None:
        self._engine = engine
        self._references = references
        self._lock = write_lock
        self._watches: dict[Series, DriftWatch] = {}

    def step(self, deployment: str) -> tuple[bool, list[monitoring_pb2.Alert]]:
        """The next looks of a deployment.

        Whether there may be more to look at, and the alerts that changed.
        """
        with self._engine.connect() as connection:
            position = positions(connection).get(deployment)
        if position is None or not position.champion:
            return False, []
        reference = self._references.get(position.champion)
        if reference is None:
            return False, []
        series = Series(deployment, position.champion, common_pb2.PREDICTION_ROLE_CHAMPION)
        try:
            with self._lock, self._engine.begin() as connection:
                look = _Looks(connection, series, reference, position, self._watches)
                more = look.run()
        except BaseException:
            self._watches.pop(series, None)
            raise
        return more, list(look.changed.values())


def looks_due(connection: sa.Connection, series: Series, reference: Reference, position: Position) -> bool:
    """Whether something of a deployment waits to be looked at; its alerts may still change then."""
    return _Looks(connection, series, reference, position, {}).due()


class _Looks:
    """The looks of one step, inside one transaction."""

    def __init__(
        self,
        connection: sa.Connection,
        series: Series,
        reference: Reference,
        position: Position,
        watches: dict[Series, DriftWatch],
    ) -> None:
        self.changed: dict[str, monitoring_pb2.Alert] = {}
        self._connection = connection
        self._series = series
        self._reference = reference
        self._position = position
        self._watches = watches
        self._window_days = reference.task.watch.window_days

    def run(self) -> bool:
        """Does the looks that are due, at most `DAYS_A_STEP` days; whether more may be due."""
        state, before = self._load()
        closed = self._position.watermark_us // DAY_US
        days = profiles.day_counts(self._connection, self._series, state.looked_day + 1, closed)[:DAYS_A_STEP]
        more = len(days) == DAYS_A_STEP
        if days:
            self._look_at_days(state, [day.day for day in days])
        if self._look_at_labels(state):
            state.subgroups_due = True
            more = more or self._next_label_window(state) is not None
        if state.subgroups_due and not more:
            self._look_at_subgroups(state)
        if state != before:
            self._store(state)
        return more

    def due(self) -> bool:
        """Whether closed days, windows whose labels are complete, or subgroups wait to be looked at."""
        state, _ = self._load()
        closed = self._position.watermark_us // DAY_US
        days = profiles.day_counts(self._connection, self._series, state.looked_day + 1, closed)
        return bool(days) or state.subgroups_due or self._next_label_window(state) is not None

    def _look_at_days(self, state: WatchState, days: Sequence[int]) -> None:
        watch = self._drift_watch(state, days[0])
        found = dict(profiles.read_days(self._connection, self._series, days[0], days[-1] + 1))
        active = alerts.active(self._connection, self._series.deployment, self._series.model_version)
        drifts = [tracked for tracked in active if tracked.alert.kind == monitoring_pb2.ALERT_KIND_DRIFT]
        for day in days:
            looks = watch.look(day, comparison.column_counts(found[day], self._reference.profile))
            drifts = drift_alerts.follow(
                drift_alerts.Day(self._connection, self._series, self._reference, day),
                drifts,
                looks,
                watch,
                self._tell,
            )
            for start in self._windows_closed(state.looked_day, day):
                state.estimate_looks += 1
                self._note_fall(quality_watch.estimated_fall, start, state.estimate_looks)
            state.looked_day = day
        state.columns = watch.state()

    def _windows_closed(self, looked_day: int, day: int) -> Iterator[int]:
        """Starts of the windows that ended after `looked_day` and by the end of `day`, where there were
        looks before.
        """
        if looked_day < 0:
            return
        first, last = (looked_day + 1) // self._window_days, (day + 1) // self._window_days
        for number in range(first, last):
            yield number * self._window_days

    def _next_label_window(self, state: WatchState) -> int | None:
        """Start of the next window whose labels are complete and whose days were looked at.

        None where there is none.
        """
        settled = self._position.label_watermark_us // DAY_US - self._reference.task.watch.label_delay_days
        days = profiles.day_counts(
            self._connection, self._series, state.label_window + 1, state.looked_day + 1
        )
        if not days:
            return None
        start = days[0].day // self._window_days * self._window_days
        end = start + self._window_days
        return None if end > min(settled, state.looked_day + 1) else start

    def _look_at_labels(self, state: WatchState) -> bool:
        """Looks at the windows whose labels are complete, at most `WINDOWS_A_STEP`; whether there was one."""
        looked = False
        for _ in range(WINDOWS_A_STEP):
            start = self._next_label_window(state)
            if start is None:
                break
            looked = True
            state.label_window = start + self._window_days - 1
            state.label_looks += 1
            self._note_fall(quality_watch.realised_fall, start, state.label_looks)
        return looked

    def _look_at_subgroups(self, state: WatchState) -> None:
        """Looks at everything labelled so far, dated by the clock of the labels."""
        state.subgroup_looks += 1
        state.subgroups_due = False
        now = self._position.label_watermark_us // DAY_US
        for alert in subgroup_watch.look(
            self._connection, self._series, self._reference, now, state.subgroup_looks
        ):
            self._tell(alert)

    def _note_fall(self, find: quality_watch.Finder, start: int, look: int) -> None:
        span = profiles.read_span(self._connection, self._series, start, start + self._window_days)
        if span is None:
            return
        fall = find(comparison.quality(span, self._reference), self._reference, start, look)
        for alert in quality_watch.note(
            self._connection, self._series, self._reference, start, fall=fall, span=span
        ):
            self._tell(alert)

    def _tell(self, alert: monitoring_pb2.Alert) -> None:
        self.changed.pop(alert.id, None)
        self.changed[alert.id] = alert

    def _drift_watch(self, state: WatchState, day: int) -> DriftWatch:
        """The watch as memory has it, or made again from the database after a restart."""
        if self._series not in self._watches:
            counts = comparison.column_counts(self._reference.profile, self._reference.profile)
            watch = DriftWatch(self._reference.task.watch, counts, state.columns)
            before = profiles.read_days(self._connection, self._series, day - SEARCHED_DAYS, day)
            for when, profile in before:
                if when <= state.looked_day:
                    watch.remember(when, comparison.column_counts(profile, self._reference.profile))
            self._watches[self._series] = watch
        return self._watches[self._series]

    def _load(self) -> tuple[WatchState, WatchState]:
        table = tables.watch_state
        text = self._connection.execute(
            sa.select(table.c.state).where(
                table.c.deployment == self._series.deployment,
                table.c.model_version == self._series.model_version,
            )
        ).scalar()
        if text is None:
            return WatchState(), WatchState()
        return WatchState(**json.loads(text)), WatchState(**json.loads(text))

    def _store(self, state: WatchState) -> None:
        table = tables.watch_state
        text = json.dumps(state.__dict__)
        where = (
            table.c.deployment == self._series.deployment,
            table.c.model_version == self._series.model_version,
        )
        updated = self._connection.execute(sa.update(table).where(*where).values(state=text))
        if not updated.rowcount:
            connection_values = {
                "deployment": self._series.deployment,
                "model_version": self._series.model_version,
            }
            self._connection.execute(sa.insert(table).values(**connection_values, state=text))
