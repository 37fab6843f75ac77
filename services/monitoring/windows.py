"""Windows as they are asked for: spans of days merged, rated and compared with the reference.

Windows lie on a fixed grid: `window_days` long, counted from 1970-01-01. A window costs as much as its days,
however many rows they had, and is worked out once: it is kept, with the sum of its days' revisions, in
memory and, once time has passed its end, in the database. A window is worked out again after one of its days
has changed (late events, labels).
"""

import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

import sqlalchemy as sa
from boarfish.errors import NotFound
from boarfish.v1 import common_pb2, monitoring_pb2, profile_pb2

from audit.profiles.profile import Profile
from services.common import pages, profiling
from services.monitoring import comparison, profiles, tables
from services.monitoring.consumer import Position, positions
from services.monitoring.profiles import DAY_US, DayCount, Series
from services.monitoring.references import Reference, References

KEPT_WINDOWS = 4096
EVERYTHING = (0, 2**31 - 1)


@dataclass(frozen=True)
class Span:
    """Days from `start` up to and without `end` that are shown as one, and the days of it that have rows."""

    start: int
    end: int
    days: Sequence[DayCount]

    @property
    def revision(self) -> int:
        """Grows whenever one of the days changes."""
        return sum(day.revision for day in self.days)


class Windows:
    """Answers questions about windows. Safe to use from several threads."""

    def __init__(self, engine: sa.Engine, references: References, write_lock: threading.Lock) -> None:
        self._engine = engine
        self._references = references
        self._write_lock = write_lock
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[Series, int, int], tuple[int, bool, monitoring_pb2.Window]] = (
            OrderedDict()
        )

    def query(self, request: monitoring_pb2.QueryProfilesRequest) -> monitoring_pb2.QueryProfilesResponse:
        """One page of windows, oldest first, and the reference.

        A period's first and last day count whole, and a window that reaches out of the period is given
        whole. Raises `NotFound` for an unknown deployment or model version.
        """
        with self._engine.connect() as connection:
            position = find_deployment(connection, request.deployment)
            series = find_series(connection, position, request.model_version)
            reference = self._references.get(series.model_version)
            assert reference is not None
            period = request.period if request.HasField("period") else None
            spans, following = self._spans(connection, series, reference, request, period)
            windows = [self.window(connection, position, series, reference, span) for span in spans]
            response = monitoring_pb2.QueryProfilesResponse(
                windows=[self._part_of(connection, series, window, request.parts) for window in windows],
                reference=_stripped(reference.window, request.parts),
                next_page_token=pages.next_token(request, following),
            )
        if monitoring_pb2.WINDOW_PART_PROFILE in request.parts:
            response.reference.profile.CopyFrom(profiling.to_proto(reference.profile))
        return response

    def window(
        self, connection: sa.Connection, position: Position, series: Series, reference: Reference, span: Span
    ) -> monitoring_pb2.Window:
        """One span rated and compared, without its profile. The message is shared: it must not be changed."""
        key = (series, span.start, span.end)
        complete = clock_us(position) >= span.end * DAY_US
        with self._lock:
            kept = self._kept.get(key)
        if kept is None:
            kept = self._stored(connection, key)
        if kept is None or kept[:2] != (span.revision, complete):
            profile = self.merged(connection, series, span)
            window = comparison.window(profile, reference)
            window.deployment, window.model_version, window.role = series
            window.period.start_time.FromMicroseconds(span.start * DAY_US)
            window.period.end_time.FromMicroseconds(span.end * DAY_US)
            window.complete = complete
            kept = (span.revision, complete, window)
            if complete and span.end - span.start == reference.task.watch.window_days:
                self._store(key, span.revision, profile, window)
        with self._lock:
            self._kept[key] = kept
            self._kept.move_to_end(key)
            while len(self._kept) > KEPT_WINDOWS:
                self._kept.popitem(last=False)
        return kept[2]

    def merged(self, connection: sa.Connection, series: Series, span: Span) -> Profile:
        """The profile of a span that has rows.

        The total where it covers everything, merged windows where they are kept.
        """
        total = profiles.all_series(connection, series.deployment)[series]
        if span.start <= total.first_day and total.last_day < span.end:
            found = profiles.read_total(connection, series)
            assert found is not None
            return found
        table = tables.window_profile
        kept = {
            (row.start_day, row.end_day): (row.revision, row.profile)
            for row in connection.execute(
                sa.select(table.c.start_day, table.c.end_day, table.c.revision, table.c.profile).where(
                    table.c.deployment == series.deployment,
                    table.c.model_version == series.model_version,
                    table.c.role == series.role,
                    table.c.start_day >= span.start,
                    table.c.end_day <= span.end,
                )
            )
        }
        parts: list[Profile] = []
        covered: set[int] = set()
        revisions = {day.day: day.revision for day in span.days}
        for (start, end), (revision, blob) in kept.items():
            mine = [day for day in range(start, end) if day in revisions]
            if sum(revisions[day] for day in mine) == revision and not covered.intersection(mine):
                parts.append(profiling.from_proto(profile_pb2.Profile.FromString(blob)))
                covered.update(mine)
        left = [day for day in revisions if day not in covered]
        for _, run in groupby(enumerate(left), lambda pair: pair[1] - pair[0]):
            days = [day for _, day in run]
            parts.extend(
                profile for _, profile in profiles.read_days(connection, series, days[0], days[-1] + 1)
            )
        merged = profiles.merged(parts)
        assert merged is not None
        return merged

    def grid(
        self, connection: sa.Connection, series: Series, reference: Reference, start_day: int, end_day: int
    ) -> list[Span]:
        """Windows of the grid that touch the days from `start_day` up to and without `end_day` and have
        rows, in order.
        """
        length = reference.task.watch.window_days
        first, last = start_day // length * length, -(-end_day // length) * length
        days = profiles.day_counts(connection, series, first, last)
        return [
            Span(number * length, (number + 1) * length, list(found))
            for number, found in groupby(days, lambda day: day.day // length)
        ]

    def warm(self, deployment: str, limit: int) -> bool:
        """Works out windows that are not kept, at most `limit`; whether there was any."""
        with self._engine.connect() as connection:
            position = positions(connection).get(deployment)
            if position is None or not position.champion:
                return False
            reference = self._references.get(position.champion)
            assert reference is not None
            series = Series(deployment, position.champion, common_pb2.PREDICTION_ROLE_CHAMPION)
            spans = self.grid(connection, series, reference, *EVERYTHING)
            stale = [span for span in spans if self._is_stale(series, span)]
            for span in stale[:limit]:
                self.window(connection, position, series, reference, span)
        return bool(stale)

    def _is_stale(self, series: Series, span: Span) -> bool:
        with self._lock:
            kept = self._kept.get((series, span.start, span.end))
        return kept is None or kept[0] != span.revision

    def _spans(
        self,
        connection: sa.Connection,
        series: Series,
        reference: Reference,
        request: monitoring_pb2.QueryProfilesRequest,
        period: common_pb2.Period | None,
    ) -> tuple[list[Span], int | None]:
        start, end = days_of(period)
        if request.merge:
            found = profiles.day_counts(connection, series, start, end)
            if not found:
                return [], None
            return [Span(max(start, found[0].day), min(end, found[-1].day + 1), found)], None
        first = max(start, pages.position_of(request, request.page_token) or 0)
        spans = self.grid(connection, series, reference, first, end)
        size = pages.page_size(request.page_size)
        return spans[:size], spans[size].start if len(spans) > size else None

    def _part_of(
        self, connection: sa.Connection, series: Series, window: monitoring_pb2.Window, parts: Iterable[int]
    ) -> monitoring_pb2.Window:
        part = _stripped(window, parts)
        if monitoring_pb2.WINDOW_PART_PROFILE in parts:
            start = window.period.start_time.ToMicroseconds() // DAY_US
            end = window.period.end_time.ToMicroseconds() // DAY_US
            days = profiles.day_counts(connection, series, start, end)
            part.profile.CopyFrom(profiling.to_proto(self.merged(connection, series, Span(start, end, days))))
        return part

    def _stored(
        self, connection: sa.Connection, key: tuple[Series, int, int]
    ) -> tuple[int, bool, monitoring_pb2.Window] | None:
        series, start, end = key
        table = tables.window_profile
        row = connection.execute(
            sa.select(table.c.revision, table.c.window).where(
                table.c.deployment == series.deployment,
                table.c.model_version == series.model_version,
                table.c.role == series.role,
                table.c.start_day == start,
                table.c.end_day == end,
            )
        ).first()
        return None if row is None else (row.revision, True, monitoring_pb2.Window.FromString(row.window))

    def _store(
        self, key: tuple[Series, int, int], revision: int, profile: Profile, window: monitoring_pb2.Window
    ) -> None:
        series, start, end = key
        table = tables.window_profile
        where = (
            table.c.deployment == series.deployment,
            table.c.model_version == series.model_version,
            table.c.role == series.role,
            table.c.start_day == start,
            table.c.end_day == end,
        )
        values = {
            "revision": revision,
            "profile": profiling.to_proto(profile).SerializeToString(),
            "window": window.SerializeToString(),
        }
        with self._write_lock, self._engine.begin() as connection:
            updated = connection.execute(sa.update(table).where(*where).values(**values))
            if not updated.rowcount:
                connection.execute(
                    sa.insert(table).values(**series._asdict(), start_day=start, end_day=end, **values)
                )


def clock_us(position: Position) -> int:
    """The newest event time of a deployment, of predictions and labels, in microseconds since 1970."""
    return max(position.watermark_us, position.label_watermark_us)


def days_of(period: common_pb2.Period | None) -> tuple[int, int]:
    """First day, and the day after the last, that a period touches."""
    if period is None:
        return EVERYTHING
    start, end = period.start_time.ToMicroseconds(), period.end_time.ToMicroseconds()
    return max(0, start // DAY_US), max(0, -(-end // DAY_US))


def find_deployment(connection: sa.Connection, name: str) -> Position:
    """Where a deployment stands. Raises `NotFound`, naming those that there are."""
    found = positions(connection)
    if name not in found or not found[name].champion:
        known = [position.name for position in found.values() if position.champion]
        there_are = (
            f"those that have been seen: {', '.join(known)}" if known else "no prediction has been seen yet"
        )
        raise NotFound(f"monitoring knows no deployment {name!r}; {there_are}")
    return found[name]


def find_series(connection: sa.Connection, position: Position, model_version: str) -> Series:
    """The predictions of a model version, as champion where it has been that; of the present champion by
    default.

    Raises:
        NotFound: the version has predicted nothing in this deployment; names those that have.
    """
    if not model_version:
        return Series(position.name, position.champion, common_pb2.PREDICTION_ROLE_CHAMPION)
    found = sorted(profiles.all_series(connection, position.name), key=lambda series: series.role)
    for series in found:
        if series.model_version == model_version:
            return series
    known = ", ".join(sorted({series.model_version for series in found}))
    raise NotFound(
        f"model version {model_version!r} has predicted nothing in {position.name}; those that have: {known}"
    )


def _stripped(window: monitoring_pb2.Window, parts: Iterable[int]) -> monitoring_pb2.Window:
    part = monitoring_pb2.Window()
    part.CopyFrom(window)
    if monitoring_pb2.WINDOW_PART_DRIFT not in parts:
        part.ClearField("drifts")
    if monitoring_pb2.WINDOW_PART_SUBGROUPS not in parts:
        part.ClearField("subgroups")
    return part
