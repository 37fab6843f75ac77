"""A time as a calendar sees it: year, month, day, weekday, ends of months and quarters, seconds elapsed.

All of it is arithmetic of whole numbers, written once and done both by numpy on arrays and by a graph under
construction (`models.export.onnx.Whole`), so that the model and its ONNX file cannot differ. Days to dates:
Hinnant, "chrono-compatible low-level date algorithms", 2013, for the proleptic Gregorian calendar in UTC.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

MISSING_TIME = -(2**63)
CODES = ("month", "day", "weekday", "week", "hour")
"""Parts with few values, weekday 0 for Monday, week 1 beginning on 1 January."""
NUMBERS = (
    "year",
    "day_of_year",
    "month_start",
    "month_end",
    "quarter_start",
    "quarter_end",
    "year_start",
    "year_end",
    "elapsed_s",
)
"""Parts that are numbers; starts and ends are 0 or 1."""

_DAY_US, _HOUR_US, _SECOND_US = 86_400_000_000, 3_600_000_000, 1_000_000
_ERA_YEARS, _ERA_DAYS = 400, 146_097
# Eras added so that every int64 of microseconds is a day after the calendar's first, where division that
# rounds down (numpy's) and division that rounds to zero (ONNX's) are the same.
_ERAS_ADDED = 800
_FIRST_OF_MARCH_0 = 719_468  # days from 0000-03-01 to 1970-01-01


@dataclass(frozen=True)
class Calendar:
    """How the `time` columns of a table are expanded. `origins`: for each, the time in microseconds from
    which `elapsed_s` counts.
    """

    names: tuple[str, ...] = ()
    origins: tuple[int, ...] = ()

    @classmethod
    def of(cls, names: tuple[str, ...], time: npt.NDArray[np.int64]) -> "Calendar":
        """Counts from the earliest of `time`, int64 `(N, n)`; from 1970 where all are missing."""
        present = [column[column != MISSING_TIME] for column in time.T]
        return cls(names, tuple(int(column.min()) if len(column) else 0 for column in present))

    @property
    def number_names(self) -> tuple[str, ...]:
        """Names of the numbers that are made, column by column."""
        return tuple(f"{name}_{part}" for name in self.names for part in NUMBERS)

    @property
    def code_names(self) -> tuple[str, ...]:
        """Names of the codes that are made, column by column."""
        return tuple(f"{name}_{part}" for name in self.names for part in CODES)

    def numbers(self, time: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """The numbers, float32 `(N, n * 9)`, NaN where the time is missing."""
        found = self._expanded(time, NUMBERS).astype(np.float32)
        found[np.repeat(time == MISSING_TIME, len(NUMBERS), axis=1)] = np.nan
        return found

    def codes(self, time: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The codes, int64 `(N, n * 5)`, `MISSING_TIME` where the time is missing."""
        found = self._expanded(time, CODES)
        found[np.repeat(time == MISSING_TIME, len(CODES), axis=1)] = MISSING_TIME
        return found

    def _expanded(self, time: npt.NDArray[np.int64], parts: tuple[str, ...]) -> npt.NDArray[np.int64]:
        filled = np.where(time == MISSING_TIME, 0, time)
        columns = []
        for column, origin in zip(filled.T, self.origins, strict=True):
            found = calendar_parts(column, origin)
            columns += [np.broadcast_to(found[part], column.shape) for part in parts]
        return np.stack(columns, axis=1) if columns else np.empty((len(time), 0), np.int64)


def calendar_parts(time: Any, origin: int) -> dict[str, Any]:
    """Every part of `time`, whole numbers of microseconds since 1970 in UTC, by name.

    `time` is anything with `+ - * // %`.
    """
    moment = time % _DAY_US
    days = (time - moment) // _DAY_US + (_FIRST_OF_MARCH_0 + _ERAS_ADDED * _ERA_DAYS)
    era_day = days % _ERA_DAYS
    era_year = (era_day - era_day // 1460 + era_day // 36_524 - era_day // 146_096) // 365
    march_day = era_day - (era_year * 365 + era_year // 4 - era_year // 100)
    march_month = (march_day * 5 + 2) // 153
    next_year = march_month // 10  # January and February belong to the year that began in March before
    month = march_month + 3 - next_year * 12
    day = march_day - (march_month * 153 + 2) // 5 + 1
    year = era_year + (days // _ERA_DAYS - _ERAS_ADDED) * _ERA_YEARS + next_year
    cycle = (era_year + next_year) % _ERA_YEARS
    leap = _is_zero(cycle % 4, 4) - _is_zero(cycle % 100, 100) + _is_zero(cycle, _ERA_YEARS)
    year_days = leap + 365
    day_of_year = march_day - 305 + (1 - next_year) * year_days
    month_days = (month + month // 8) % 2 + 30 - _is_zero((month - 2) * (month - 2), 101) * (2 - leap)
    month_start, month_end = _is_zero(day - 1, 31), _is_zero(month_days - day, 31)
    return {
        "month": month,
        "day": day,
        "weekday": (days + 2) % 7,
        "week": (day_of_year - 1) // 7 + 1,
        "hour": moment // _HOUR_US,
        "year": year,
        "day_of_year": day_of_year,
        "month_start": month_start,
        "month_end": month_end,
        "quarter_start": month_start * _is_zero((month - 1) % 3, 3),
        "quarter_end": month_end * _is_zero(month % 3, 3),
        "year_start": _is_zero(day_of_year - 1, 366),
        "year_end": _is_zero(year_days - day_of_year, 366),
        "elapsed_s": _elapsed(time, origin),
    }


def _is_zero(number: Any, above: int) -> Any:
    """1 where `number` is 0 and 0 elsewhere, for 0 <= number < above."""
    return 1 - (number + (above - 1)) // above


def _elapsed(time: Any, origin: int) -> Any:
    apart = time - origin
    return (apart - apart % _SECOND_US) // _SECOND_US
