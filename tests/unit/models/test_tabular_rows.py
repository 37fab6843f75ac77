import numpy as np
import pyarrow as pa
import pytest

from models.data.tabular import MISSING_CODE, TabularRows, TabularSchema
from models.progress import TrainingFailed

SCHEMA = TabularSchema(("age",), ("school",), ("sector",), "employed", "1", "0")


def table(**changed: object) -> pa.Table:
    columns = {"age": [1.5, None], "school": [3, None], "sector": ["own", None], "employed": [1, 0]}
    return pa.table({**columns, **changed})


def test_missing_values_have_their_marks() -> None:
    rows = TabularRows.from_arrow(table(), SCHEMA)
    assert rows.numeric.dtype == np.float32
    assert rows.numeric[0, 0] == 1.5
    assert np.isnan(rows.numeric[1, 0])
    assert rows.code.tolist() == [[3], [MISSING_CODE]]
    assert rows.category.tolist() == [["own"], [""]]
    assert rows.label is not None
    assert rows.label.tolist() == [1, 0]
    assert len(rows) == 2


def test_infinity_counts_as_missing() -> None:
    assert np.isnan(TabularRows.from_arrow(table(age=[np.inf, 1e39]), SCHEMA).numeric).all()


def test_without_a_target_there_is_no_label() -> None:
    rows = TabularRows.from_arrow(table().drop_columns(["employed"]), SCHEMA)
    assert rows.label is None
    assert rows.take([1]).label is None


def test_a_table_of_no_rows_keeps_its_columns() -> None:
    rows = TabularRows.from_arrow(table().slice(0, 0), SCHEMA)
    assert (rows.numeric.shape, rows.code.shape, rows.category.shape) == ((0, 1), (0, 1), (0, 1))


def test_take_keeps_the_order_asked_for() -> None:
    assert TabularRows.from_arrow(table(), SCHEMA).take([1, 0, 1]).code[:, 0].tolist() == [
        MISSING_CODE,
        3,
        MISSING_CODE,
    ]


def test_what_is_lacking_or_wrong_is_named() -> None:
    with pytest.raises(KeyError, match="lacks age, sector"):
        TabularRows.from_arrow(table().drop_columns(["age", "sector"]), SCHEMA)
    with pytest.raises(TrainingFailed, match="employed must be one of 0, 1: it is 2 at row 1"):
        TabularRows.from_arrow(table(employed=[1, 2]), SCHEMA)
    with pytest.raises(TrainingFailed, match="it is None at row 0"):
        TabularRows.from_arrow(table(employed=[None, 0]), SCHEMA)
