"""Counts what is new in the lake: predictions into the profiles of their days, labels onto the predictions
they speak of.

Rows are taken by their `_sequence`, a batch at a time. What a batch changes (days, totals, clocks, cursors)
is written in one transaction, so that every row is counted once however often the process is killed. A row
of a model version whose reference has not come yet waits: its version is noted with the place in the table,
and its rows are counted when the reference is there. The label join is symmetric (see
`services.monitoring.labels`).
"""

import datetime as dt
import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa
from boarfish.v1 import common_pb2

from audit.profiles.profile import Profile
from services.common import profiling
from services.common.lake import Lake, LakeTable, TableKind
from services.monitoring import labels, tables
from services.monitoring.profiles import DAY_US, ProfileWriter, Series
from services.monitoring.references import Reference, References

logger = logging.getLogger(__name__)

# An event that claims to lie further ahead does not move the clock: one wrong date must not close all days.
CLOCK_TOLERANCE_US = DAY_US
ROLES = {"CHAMPION": common_pb2.PREDICTION_ROLE_CHAMPION, "SHADOW": common_pb2.PREDICTION_ROLE_SHADOW}
OUTCOME_COLUMNS = ("prediction_id", "model_version", "role", "event_time", "score", "decision", "_sequence")


@dataclass(frozen=True)
class Position:
    """How far a deployment has been read, and its clocks in microseconds since 1970 (-1: nothing seen)."""

    name: str
    prediction_sequence: int = 0
    label_sequence: int = 0
    watermark_us: int = -1
    label_watermark_us: int = -1
    champion: str = ""
    shadow: str = ""


def positions(connection: sa.Connection) -> dict[str, Position]:
    """Every deployment that has been seen, by name."""
    return {
        row.name: Position(*row) for row in connection.execute(sa.select(tables.deployment).order_by("name"))
    }


class Consumer:
    """Counts the events of all deployments. One thread at a time; every write happens under `write_lock`."""

    def __init__(
        self,
        engine: sa.Engine,
        lake: Lake,
        references: References,
        write_lock: threading.Lock,
        *,
        batch_rows: int,
    ) -> None:
        self._engine = engine
        self._lake = lake
        self._references = references
        self._lock = write_lock
        self._batch_rows = batch_rows
        self._writer = ProfileWriter(engine)

    def refresh_references(self) -> None:
        """Takes up references that are new in the lake."""
        with self._lock, self._engine.begin() as connection:
            self._references.refresh(connection)

    def step(self, deployment: str) -> int:
        """Counts the next batch of a deployment: how many rows of the lake it read, 0 when nothing is new."""
        with self._engine.connect() as connection:
            position = positions(connection).get(deployment, Position(deployment))
            waiting = _waiting(connection, deployment)
        batch = _Batch(
            self._lake,
            self._references,
            self._writer,
            position=position,
            waiting=waiting,
            batch_rows=self._batch_rows,
        )
        try:
            batch.count()
            if batch.position == position and batch.waiting == waiting:
                return 0
            with self._lock, self._engine.begin() as connection:
                self._writer.flush(connection)
                _save(connection, batch.position, batch.waiting)
        except BaseException:
            self._writer.forget()
            raise
        self._writer.settle()
        return batch.read_count


class _Batch:
    """One batch of one deployment.

    Reads, joins and counts; `position` and `waiting` are what holds afterwards.
    """

    def __init__(
        self,
        lake: Lake,
        references: References,
        writer: ProfileWriter,
        *,
        position: Position,
        waiting: dict[str, tuple[int, int]],
        batch_rows: int,
    ) -> None:
        self.position = position
        self.waiting = dict(waiting)
        self.read_count = 0
        self._references = references
        self._writer = writer
        self._rows = batch_rows
        self._predictions = lake.table(TableKind.PREDICTIONS, position.name)
        self._labels = lake.table(TableKind.LABELS, position.name)

    def count(self) -> None:
        """Counts late comers, then new predictions, then new labels."""
        if not self._predictions.exists():
            return
        for version in [version for version in self.waiting if self._references.get(version)]:
            self._count_late(version)
        self._count_predictions()
        if self._labels.exists():
            self._count_labels()

    def _count_predictions(self) -> None:
        """The next rows of the predictions table, with the labels that came before them."""
        after = self.position.prediction_sequence
        up_to = min(self._predictions.last_sequence(), after + self._rows)
        if up_to <= after:
            return
        rows = _between(self._predictions, after, up_to)
        self.read_count += rows.num_rows
        versions = pc.value_counts(rows.column("model_version"))
        for found in versions.to_pylist():
            version, count = found["values"], found["counts"]
            if version in self.waiting:
                start, row_count = self.waiting[version]
                self.waiting[version] = (start, row_count + count)
            elif self._references.get(version) is None:
                self.waiting[version] = (after, count)
                logger.warning("a model version waits for its reference", extra={"model_version": version})
        known = rows.filter(
            pc.invert(pc.is_in(rows.column("model_version"), pa.array(list(self.waiting), pa.utf8())))
        )
        self.position = replace(self.position, prediction_sequence=up_to)
        self._add(known)

    def _count_late(self, version: str) -> None:
        """Rows of a version that waited, up to what the others have been read to."""
        after, _ = self.waiting[version]
        up_to = min(self.position.prediction_sequence, after + 4 * self._rows)
        rows = _between(self._predictions, after, up_to, pc.field("model_version") == version)
        self.read_count += max(rows.num_rows, 1)
        if up_to >= self.position.prediction_sequence:
            del self.waiting[version]
        else:
            self.waiting[version] = (up_to, self.waiting[version][1] - rows.num_rows)
        self._add(rows)

    def _add(self, rows: pa.Table) -> None:
        """Counts prediction rows and the labels that are there already."""
        if not rows.num_rows:
            return
        for reference, series, day, part in self._by_day(rows):
            _add_rows(reference, self._writer.day(series, day, Profile.empty(reference.profile.schema)), part)
        for reference, series, part in self._by_series(rows):
            _add_rows(reference, self._writer.total(series, Profile.empty(reference.profile.schema)), part)
        self._advance_clock(rows)
        if self.position.label_sequence:
            around = self._read_labels(rows.column("prediction_id"), up_to=self.position.label_sequence)
            if around.num_rows:
                self._add_labels(labels.changes(rows, labels.verdicts(around, counted_to=-1)))

    def _count_labels(self) -> None:
        """The next rows of the labels table, for the predictions that are counted."""
        after = self.position.label_sequence
        up_to = min(self._labels.last_sequence(), after + self._rows)
        if up_to <= after or not self.position.champion:
            return
        fresh = _between(self._labels, after, up_to, columns=["prediction_id", "event_time", "_sequence"])
        self.read_count += fresh.num_rows
        self.position = replace(
            self.position,
            label_sequence=up_to,
            label_watermark_us=max(self.position.label_watermark_us, _newest_us(fresh)),
        )
        ids = fresh.column("prediction_id")
        around = self._read_labels(ids, up_to=up_to)
        if not around.num_rows:
            return
        columns = [name for name in self._outcome_columns() if name in self._predictions.schema().names]
        rows = labels.read_around(self._predictions, ids, columns, up_to=self.position.prediction_sequence)
        rows = self._without_waiting(rows)
        if rows.num_rows:
            self._add_labels(labels.changes(rows, labels.verdicts(around, counted_to=after)))

    def _read_labels(self, ids: pa.ChunkedArray, *, up_to: int) -> pa.Table:
        table = labels.read_around(self._labels, ids, labels.LABEL_COLUMNS, up_to=up_to)
        champion = self._references.get(self.position.champion)
        assert champion is not None
        values = labels.positives(table.column("value"), champion.task.target)
        if values.null_count:
            logger.warning(
                "labels that are neither value of the target are left out",
                extra={"deployment": self.position.name, "count": values.null_count},
            )
        return table.append_column("positive", values)

    def _outcome_columns(self) -> list[str]:
        champion = self._references.get(self.position.champion)
        assert champion is not None
        return [*OUTCOME_COLUMNS, *(attribute.name for attribute in champion.task.sensitive)]

    def _without_waiting(self, rows: pa.Table) -> pa.Table:
        for version, (after, _) in self.waiting.items():
            uncounted = pc.and_(
                pc.equal(rows.column("model_version"), version), pc.greater(rows.column("_sequence"), after)
            )
            rows = rows.filter(pc.invert(uncounted))
        return rows

    def _add_labels(self, rows: pa.Table) -> None:
        """Counts predictions whose label is new (`before` null) or another than before."""
        if not rows.num_rows:
            return
        for reference, series, day, part in self._by_day(rows):
            _label(reference, self._writer.day(series, day, Profile.empty(reference.profile.schema)), part)
        for reference, series, part in self._by_series(rows):
            _label(reference, self._writer.total(series, Profile.empty(reference.profile.schema)), part)

    def _advance_clock(self, rows: pa.Table) -> None:
        newest: dict[str, str] = {}
        for role in ROLES:
            mine = rows.filter(pc.equal(rows.column("role"), role))
            if mine.num_rows:
                last = pc.index(mine.column("_sequence"), pc.max(mine.column("_sequence"))).as_py()
                newest[role] = mine.column("model_version")[last].as_py()
        watermark = max(self.position.watermark_us, _newest_us(rows))
        self.position = replace(
            self.position,
            watermark_us=watermark,
            champion=newest.get("CHAMPION", self.position.champion),
            shadow=newest.get("SHADOW", self.position.shadow),
        )

    def _by_day(self, rows: pa.Table) -> Iterator[tuple[Reference, Series, int, pa.Table]]:
        for reference, series, part in self._by_series(rows):
            days = _days(part)
            order = np.argsort(days, kind="stable")
            ordered, days = part.take(pa.array(order)).combine_chunks(), days[order]
            starts = np.flatnonzero(np.r_[True, days[1:] != days[:-1]])
            for start, end in zip(starts, [*starts[1:], len(days)], strict=True):
                yield reference, series, int(days[start]), ordered.slice(start, end - start)

    def _by_series(self, rows: pa.Table) -> Iterator[tuple[Reference, Series, pa.Table]]:
        pairs = rows.group_by(["model_version", "role"]).aggregate([])
        for pair in pairs.to_pylist():
            reference = self._references.get(pair["model_version"])
            if reference is None or pair["role"] not in ROLES:
                continue
            mine = pc.and_(
                pc.equal(rows.column("model_version"), pair["model_version"]),
                pc.equal(rows.column("role"), pair["role"]),
            )
            series = Series(self.position.name, pair["model_version"], ROLES[pair["role"]])
            yield reference, series, rows.filter(mine)


def _between(
    table: LakeTable,
    after: int,
    up_to: int,
    also: pc.Expression | None = None,
    columns: list[str] | None = None,
) -> pa.Table:
    return table.read(version=up_to, after=after, columns=columns, where=also)


def _outcome(reference: Reference, rows: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """Scores, float64 `(N,)`, and whether each decision was positive, bool `(N,)`."""
    scores = rows.column("score").to_numpy(zero_copy_only=False)
    positive = pc.equal(rows.column("decision"), reference.task.decision.positive_label)
    return scores, pc.fill_null(positive, False).to_numpy(zero_copy_only=False)


def _add_rows(reference: Reference, profile: Profile, rows: pa.Table) -> None:
    """Adds prediction rows to one profile, with the span of their times and the simulations named."""
    texts = profiling.group_columns(reference.task, rows)
    features = [
        column.name for column in reference.profile.schema.columns if column.name in rows.column_names
    ]
    scores, positive = _outcome(reference, rows)
    columns = {name: rows.column(name) for name in features if name not in texts} | texts
    profile.add_rows(pa.table(columns), scores, positive)
    times = pc.min_max(pc.cast(rows.column("event_time"), pa.int64())).as_py()
    simulations = pc.unique(rows.column("simulation")).to_pylist()
    profile.note(times["min"], times["max"] + 1, [name for name in simulations if name])


def _label(reference: Reference, profile: Profile, rows: pa.Table) -> None:
    """Adds labels to one profile; where a label was another before, takes that one out again first."""
    revised = rows.filter(pc.is_valid(rows.column("before")))
    for part, column, sign in ((revised, "before", -1), (rows, "after", 1)):
        if part.num_rows:
            scores, positive = _outcome(reference, part)
            label = part.column(column).to_numpy(zero_copy_only=False).astype(bool)
            profile.add_labels(
                scores, positive, label, profiling.group_columns(reference.task, part), sign=sign
            )


def _days(rows: pa.Table) -> np.ndarray:
    days: np.ndarray = np.floor_divide(pc.cast(rows.column("event_time"), pa.int64()).to_numpy(), DAY_US)
    return days


def _newest_us(rows: pa.Table) -> int:
    """Newest event time that the clock believes, -1 where there is none."""
    times = pc.cast(rows.column("event_time"), pa.int64()).to_numpy()
    now_us = int(dt.datetime.now(dt.UTC).timestamp() * 1e6)
    believed = times[times <= now_us + CLOCK_TOLERANCE_US]
    return int(believed.max()) if len(believed) else -1


def _waiting(connection: sa.Connection, deployment: str) -> dict[str, tuple[int, int]]:
    table = tables.waiting_version
    rows = connection.execute(sa.select(table).where(table.c.deployment == deployment))
    return {row.model_version: (row.after_sequence, row.row_count) for row in rows}


def _save(connection: sa.Connection, position: Position, waiting: dict[str, tuple[int, int]]) -> None:
    table = tables.deployment
    values = {name: getattr(position, name) for name in Position.__dataclass_fields__}
    updated = connection.execute(sa.update(table).where(table.c.name == position.name).values(**values))
    if not updated.rowcount:
        connection.execute(sa.insert(table).values(**values))
    connection.execute(
        sa.delete(tables.waiting_version).where(tables.waiting_version.c.deployment == position.name)
    )
    for version, (after, row_count) in waiting.items():
        connection.execute(
            sa.insert(tables.waiting_version).values(
                deployment=position.name, model_version=version, after_sequence=after, row_count=row_count
            )
        )
