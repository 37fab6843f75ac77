"""Looks once at each closed day: which columns have moved, since when, and which are back.

A column moves when its distance over the trailing window (`window_days`) is at least `drift_distance` and it
is sure that the true distance is at least that, over the trailing window or, where days are thin, over the
trailing four windows. Sure means a probability below `false_alarm_rate` shared over the columns and the
looks of a year, so that at most that many false alarms a year are to be expected of all columns together. A
column that has moved already moves a second time when it comes to lie `drift_distance` further off than the
level at which it had settled.

Each column's sequential test runs along; its e-value says how strong the evidence is that anything has
changed at all. It does not decide, since with many rows it speaks up for changes that matter to no one.

Pure: no clock, no database. Its state is a few numbers a column and goes into the database as JSON; the
counts of the last days are read back from the profiles of those days.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from boarfish.v1 import task_pb2

from audit.drift.sequential import SequentialTest
from services.monitoring.drift_statistics import Change, Counts, began, compare

LOOKS_A_YEAR = 365
THIN_WINDOWS = 4
# Days that are searched for the beginning of a change.
SEARCHED_DAYS = 60
# A level counts as settled after this many looks, and its last `window_days` looks are left out of it.
SETTLING_LOOKS = 21
KEPT_LEVELS = 35


@dataclass
class ColumnState:
    """What is remembered of a column: its sequential test, its latest distances, whether an alert speaks of
    it.

    `fresh_from`: the day from which on rows may be evidence; those before belong to an alert that is over.
    """

    test: dict[str, Any] | None = None
    fresh_from: int = 0
    levels: list[float] = field(default_factory=list)
    alerted: bool = False


@dataclass(frozen=True)
class ColumnLook:
    """A column on one closed day.

    `moved_on`: the day on which a new change began, -1 where none was noticed. `base`: the distance at which
    the column lay before that change; 0 where it was as the reference.
    """

    column: str
    change: Change
    e_value: float
    moved_on: int = -1
    base: float = 0.0


class DriftWatch:
    """The looks at one model version's days, in order."""

    def __init__(
        self, watch: task_pb2.Watch, reference: Mapping[str, Counts], state: Mapping[str, Any] | None = None
    ):
        self._watch = watch
        self._reference = dict(reference)
        self._states = {name: ColumnState(**(state or {}).get(name, {})) for name in self._reference}
        self._days: deque[tuple[int, Mapping[str, Counts]]] = deque(maxlen=SEARCHED_DAYS)
        self._enough = watch.false_alarm_rate / (max(1, len(self._reference)) * LOOKS_A_YEAR)

    def state(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {name: dict(vars(state)) for name, state in self._states.items()}

    def remember(self, day: int, counts: Mapping[str, Counts]) -> None:
        """Takes up a day that was looked at before the process started."""
        self._days.append((day, counts))

    def look(self, day: int, counts: Mapping[str, Counts]) -> list[ColumnLook]:
        """Looks at the next closed day: one look a column of the reference."""
        self._days.append((day, counts))
        return [self._look(day, name) for name in self._reference]

    def release(self, column: str) -> None:
        """An alert no longer speaks of `column`.

        It may move afresh, and its evidence starts with the next day.
        """
        self._states[column] = ColumnState(fresh_from=self._days[-1][0] + 1)

    def _look(self, day: int, column: str) -> ColumnLook:
        state, reference = self._states[column], self._reference[column]
        test = SequentialTest.resume(reference, state.test)
        test.update(self._days[-1][1][column])
        state.test = test.state()
        window = self._trailing(day, column, self._watch.window_days)
        change = compare(window, reference)
        base = self._settled(state) if state.alerted else 0.0
        matters = base + self._watch.drift_distance
        moved_on = -1
        if change.distance >= matters and self._sure(day, column, change, base):
            moved_on = self._began(day, column, window, settled=bool(base))
            state.alerted = True
            state.levels = []
        state.levels = [*state.levels, round(change.distance, 4)][-KEPT_LEVELS:]
        return ColumnLook(column, change, test.e_value, moved_on, base)

    def _sure(self, day: int, column: str, change: Change, base: float) -> bool:
        at_least = base + self._watch.drift_distance
        if change.probability_within(at_least) < self._enough:
            return True
        if base:
            return False
        thin = self._trailing(day, column, THIN_WINDOWS * self._watch.window_days)
        return compare(thin, self._reference[column]).probability_within(at_least) < self._enough

    def _settled(self, state: ColumnState) -> float:
        """The level that an alerted column has come to; beyond any distance while it has not settled."""
        if len(state.levels) < SETTLING_LOOKS:
            return 1.0
        return float(np.median(state.levels[: -self._watch.window_days]))

    def _trailing(self, day: int, column: str, length: int) -> Counts:
        start = max(day - length + 1, self._states[column].fresh_from)
        found = [counts[column] for when, counts in self._days if when >= start]
        total: Counts = np.sum(found, axis=0)
        return total

    def _began(self, day: int, column: str, window: Counts, *, settled: bool) -> int:
        """The day on which the change began; for a column that had settled, beside its level before."""
        days = [(when, counts[column]) for when, counts in self._days]
        before = self._reference[column]
        if settled:
            before = np.sum(
                [counts for when, counts in days if when <= day - 2 * self._watch.window_days], axis=0
            )
        return days[began(np.stack([counts for _, counts in days]), window, before)][0]
