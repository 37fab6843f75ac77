"""Small made-up tables with every kind of column, for the tests of models."""

import numpy as np

from models.data.tabular import MISSING_CODE, TabularRows, TabularSchema

SCHEMA = TabularSchema(("age", "hours"), ("school", "zone"), ("sector",), "employed", "1", "0")
SECTORS = np.array(["public", "private", "own", ""], object)


def table(count: int = 600, seed: int = 0) -> TabularRows:
    """Rows with missing values in every column; the label follows age and school with some noise."""
    random = np.random.default_rng(seed)
    numeric = random.normal(40, 12, (count, 2)).astype(np.float32)
    code = np.stack([random.integers(1, 9, count), random.integers(-3, 4, count)], 1).astype(np.int64)
    category = SECTORS[random.integers(0, 4, (count, 1))]
    chance = (numeric[:, 0] - 40) / 12 + (code[:, 0] - 4) / 2 + (category[:, 0] == "own")
    label = (chance + random.normal(0, 1, count) > 0).astype(np.float32)
    numeric[random.random((count, 2)) < 0.1] = np.nan
    code[random.random((count, 2)) < 0.1] = MISSING_CODE
    return TabularRows(numeric, code, category, label)


def strange(rows: TabularRows) -> TabularRows:
    """The rows with values that no training row had: far and near codes, a new text, huge numbers."""
    numeric, code, category = rows.numeric.copy(), rows.code.copy(), rows.category.copy()
    numeric[::5, 0], numeric[1::5] = 1e30, np.nan
    code[::4, 0], code[1::4, 1], code[2::4, 1], code[3::7, 0] = 99, -(2**62), 2**62, 0
    code[4::7] = MISSING_CODE
    category[::3] = "someone else"
    return TabularRows(numeric, code, category)
