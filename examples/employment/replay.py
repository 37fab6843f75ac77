"""The years 2016 to 2018 as a stream of days: whom the demo predicts, on which day, and when each label
becomes known.

The source gives only a year. The replay spreads a year's rows evenly over its days in file order, and says so
wherever it is shown. One incident is played and named in every event that it touches: for two weeks of
October 2018 an upstream change swaps the two codes of `DIS`, so that people without a disability are sent as
people with one and the other way round. Labels are the true ones throughout and become known `LABEL_DELAY`
after the day of the prediction.
"""

import calendar
import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

DATA = Path(__file__).parent / "data"
LABEL_DELAY = dt.timedelta(days=61)
INCIDENT_NAME = "disability-code-swap"
INCIDENT_COLUMN = "DIS"
INCIDENT_FIRST_DAY = dt.date(2018, 10, 8)
INCIDENT_LAST_DAY = dt.date(2018, 10, 21)


@dataclass(frozen=True)
class Day:
    """The people of one replayed day.

    `people` holds the task's features and sensitive attributes as they are sent; `labels` the true outcome, 0
    or 1, int64 `(N,)`.
    """

    date: dt.date
    people: pa.Table
    labels: np.ndarray
    simulation: str

    @property
    def event_time(self) -> dt.datetime:
        """Noon of the day, UTC."""
        return noon(self.date)

    @property
    def label_time(self) -> dt.datetime:
        """When the labels become known."""
        return noon(self.date + LABEL_DELAY)


def noon(date: dt.date) -> dt.datetime:
    """12:00 UTC of `date`."""
    return dt.datetime.combine(date, dt.time(12), tzinfo=dt.UTC)


def records_2015() -> pa.Table:
    """The 68,785 rows to train on, all columns of the file."""
    return pq.read_table(DATA / "2015.parquet")


def days(*, thin: int = 1) -> Iterator[Day]:
    """The days of 2016 to 2018 in order; with `thin` = 10 every tenth row of the file and no others.

    A year's rows are spread before they are thinned, so that each person keeps their day.
    """
    table = pq.read_table(DATA / "2016_2018.parquet")
    years = table.column("year").to_numpy()
    dates = np.concatenate([_spread(int(year), int((years == year).sum())) for year in np.unique(years)])
    kept = np.arange(0, table.num_rows, thin)
    table, dates = table.take(pa.array(kept)), dates[kept]
    features = table.drop_columns(["id", "year", "employed"])
    labels = table.column("employed").to_numpy().astype(np.int64)
    starts = np.flatnonzero(np.r_[True, dates[1:] != dates[:-1]])
    for start, end in zip(starts, np.r_[starts[1:], len(dates)], strict=True):
        date = dates[start].item()
        people, simulation = features.slice(start, end - start), ""
        if INCIDENT_FIRST_DAY <= date <= INCIDENT_LAST_DAY:
            people, simulation = _swap_codes(people), INCIDENT_NAME
        yield Day(date, people, labels[start:end], simulation)


def _spread(year: int, row_count: int) -> np.ndarray:
    """Dates of `row_count` rows spread evenly over `year`, `datetime64[D]` in increasing order."""
    day_count = 366 if calendar.isleap(year) else 365
    offsets = np.arange(row_count) * day_count // row_count
    return np.datetime64(f"{year}-01-01", "D") + offsets.astype("timedelta64[D]")


def _swap_codes(people: pa.Table) -> pa.Table:
    """`people` with codes 1 and 2 of the incident's column exchanged."""
    position = people.schema.get_field_index(INCIDENT_COLUMN)
    field = people.schema.field(position)
    swapped = pc.subtract(pa.scalar(3, field.type), people.column(position))
    return people.set_column(position, field, swapped)
