"""The profiles that are kept: one a day, deployment, model version and role, their total, and a cache of
merged spans.

A day's profile is the truth; totals are kept along with it so that a question about everything costs one
read. Spans of days (the windows that are shown) are merged when they are asked for and kept with the sum of
their days' revisions: a span is merged again only after one of its days has changed. Nothing here reads the
lake.
"""

from collections import OrderedDict
from collections.abc import Iterable
from typing import NamedTuple

import sqlalchemy as sa
from boarfish.v1 import common_pb2, profile_pb2

from audit.profiles.profile import Profile, merge_all
from services.common import profiling
from services.monitoring import tables

DAY_US = 86_400_000_000
KEPT_DAYS = 256


class Series(NamedTuple):
    """Whose days: the predictions of one model version in one role."""

    deployment: str
    model_version: str
    role: common_pb2.PredictionRole.ValueType


class Total(NamedTuple):
    """What a series comes to, without its profile. Days are included at both ends."""

    first_day: int
    last_day: int
    row_count: int
    labelled_count: int
    revision: int


class DayCount(NamedTuple):
    """One day of a series, without its profile."""

    day: int
    revision: int
    row_count: int
    labelled_count: int


class ProfileWriter:
    """The days that the consumer is working on. One thread at a time.

    Days are read from the database once, changed in memory and written by `flush` inside the caller's
    transaction; after a failed transaction `forget` drops what memory has beyond the database.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._days: OrderedDict[tuple[Series, int], tuple[Profile, int]] = OrderedDict()
        self._totals: dict[Series, tuple[Profile, Total]] = {}
        self._changed_days: set[tuple[Series, int]] = set()
        self._changed_totals: set[Series] = set()

    def day(self, series: Series, day: int, empty: Profile) -> Profile:
        """The profile of one day, to be changed in place; `empty` where the day is new."""
        key = (series, day)
        self._changed_days.add(key)
        if key not in self._days:
            row = self._read(tables.day_profile, series, tables.day_profile.c.day == day)
            self._days[key] = (_decode(row.profile), row.revision) if row else (empty, 0)
        self._days.move_to_end(key)
        return self._days[key][0]

    def total(self, series: Series, empty: Profile) -> Profile:
        """The profile of all days, to be changed in place."""
        self._changed_totals.add(series)
        if series not in self._totals:
            row = self._read(tables.total_profile, series)
            self._totals[series] = (
                (
                    _decode(row.profile),
                    Total(row.first_day, row.last_day, row.row_count, row.labelled_count, row.revision),
                )
                if row
                else (empty, Total(2**31 - 1, -1, 0, 0, 0))
            )
        return self._totals[series][0]

    def flush(self, connection: sa.Connection) -> None:
        """Writes what was changed."""
        spans: dict[Series, set[int]] = {}
        for series, day in self._changed_days:
            spans.setdefault(series, set()).add(day)
        for series, days in spans.items():
            for day in days:
                self._write_day(connection, series, day)
        for series in self._changed_totals:
            self._write_total(connection, series, spans.get(series, set()))

    def settle(self) -> None:
        """Called once what `flush` wrote is committed."""
        self._changed_days.clear()
        self._changed_totals.clear()
        while len(self._days) > KEPT_DAYS:
            self._days.popitem(last=False)

    def forget(self) -> None:
        """Drops everything held in memory."""
        self._days.clear()
        self._totals.clear()
        self._changed_days.clear()
        self._changed_totals.clear()

    def _write_day(self, connection: sa.Connection, series: Series, day: int) -> None:
        profile, revision = self._days[series, day]
        self._days[series, day] = (profile, revision + 1)
        values = {
            "revision": revision + 1,
            "row_count": profile.row_count,
            "labelled_count": labelled_count(profile),
            "profile": _encode(profile),
        }
        table = tables.day_profile
        if revision:
            connection.execute(
                sa.update(table).where(*_is(table, series), table.c.day == day).values(**values)
            )
        else:
            connection.execute(sa.insert(table).values(**series._asdict(), day=day, **values))

    def _write_total(self, connection: sa.Connection, series: Series, days: set[int]) -> None:
        profile, before = self._totals[series]
        total = Total(
            min({before.first_day, *days}),
            max({before.last_day, *days}),
            profile.row_count,
            labelled_count(profile),
            before.revision + 1,
        )
        self._totals[series] = (profile, total)
        table = tables.total_profile
        values = {**total._asdict(), "profile": _encode(profile)}
        if before.revision:
            connection.execute(sa.update(table).where(*_is(table, series)).values(**values))
        else:
            connection.execute(sa.insert(table).values(**series._asdict(), **values))

    def _read(
        self, table: sa.Table, series: Series, *where: sa.ColumnElement[bool]
    ) -> sa.Row[tuple[object, ...]] | None:
        with self._engine.connect() as connection:
            return connection.execute(sa.select(table).where(*_is(table, series), *where)).first()


def all_series(connection: sa.Connection, deployment: str) -> dict[Series, Total]:
    """What there is of a deployment."""
    table = tables.total_profile
    rows = connection.execute(
        sa.select(
            table.c.model_version,
            table.c.role,
            table.c.first_day,
            table.c.last_day,
            table.c.row_count,
            table.c.labelled_count,
            table.c.revision,
        ).where(table.c.deployment == deployment)
    )
    return {Series(deployment, row.model_version, row.role): Total(*row[2:]) for row in rows}


def read_total(connection: sa.Connection, series: Series) -> Profile | None:
    """Everything of a series, merged; None where there is nothing."""
    table = tables.total_profile
    blob = connection.execute(sa.select(table.c.profile).where(*_is(table, series))).scalar()
    return _decode(blob) if blob else None


def day_counts(connection: sa.Connection, series: Series, start_day: int, end_day: int) -> list[DayCount]:
    """Days from `start_day` up to and without `end_day` that have rows, in order."""
    table = tables.day_profile
    rows = connection.execute(
        sa.select(table.c.day, table.c.revision, table.c.row_count, table.c.labelled_count)
        .where(*_is(table, series), table.c.day >= start_day, table.c.day < end_day)
        .order_by(table.c.day)
    )
    return [DayCount(*row) for row in rows]


def read_days(
    connection: sa.Connection, series: Series, start_day: int, end_day: int
) -> list[tuple[int, Profile]]:
    """Day and profile from `start_day` up to and without `end_day`, in order."""
    table = tables.day_profile
    rows = connection.execute(
        sa.select(table.c.day, table.c.profile)
        .where(*_is(table, series), table.c.day >= start_day, table.c.day < end_day)
        .order_by(table.c.day)
    )
    return [(row.day, _decode(row.profile)) for row in rows]


def read_span(connection: sa.Connection, series: Series, start_day: int, end_day: int) -> Profile | None:
    """The days of a span merged; None where none has rows."""
    found = [profile for _, profile in read_days(connection, series, start_day, end_day)]
    return merged(found)


def simulations_between(connection: sa.Connection, series: Series, start_day: int, end_day: int) -> list[str]:
    """Simulated incidents that were playing on the days of a span, sorted."""
    found = read_days(connection, series, start_day, end_day)
    return sorted({name for _, profile in found for name in profile.simulations})


def merged(profiles: Iterable[Profile]) -> Profile | None:
    """All of `profiles` merged; None of none."""
    found = list(profiles)
    return merge_all(found) if found else None


def labelled_count(profile: Profile) -> int:
    """Predictions of a profile whose label is known."""
    return profile.quality.labelled_count if profile.quality is not None else 0


def _is(table: sa.Table, series: Series) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        table.c.deployment == series.deployment,
        table.c.model_version == series.model_version,
        table.c.role == series.role,
    )


def _encode(profile: Profile) -> bytes:
    return profiling.to_proto(profile).SerializeToString()


def _decode(blob: bytes) -> Profile:
    return profiling.from_proto(profile_pb2.Profile.FromString(blob))
