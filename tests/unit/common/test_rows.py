"""What a row must look like: one verdict for values and for Arrow columns, and words for every bad input."""

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from boarfish.errors import InvalidArgument
from boarfish.v1 import common_pb2, task_pb2
from google.protobuf.struct_pb2 import Struct
from hypothesis import given, settings
from hypothesis import strategies as st

from services.common.rows import CATEGORY, CODE, NUMERIC, Column, RowSchema

INT64 = st.integers(-(2**63), 2**63 - 1)
NEAR = st.integers(-3, 9)


def task() -> task_pb2.Task:
    """A number with bounds, a closed code, an open category, a target and a sensitive attribute."""
    return task_pb2.Task(
        name="work",
        features=[
            task_pb2.Feature(name="age", type=NUMERIC, minimum=0, maximum=120, allow_missing=True),
            task_pb2.Feature(name="school", type=CODE, closed=True, values={"1": "a", "2": "b", "5": "c"}),
            task_pb2.Feature(name="town", type=CATEGORY),
        ],
        target=task_pb2.Target(name="works", positive_value="1", negative_value="0"),
        sensitive=[task_pb2.SensitiveAttribute(name="sex", type=CODE)],
        id_column="id",
    )


RECORDS, PREDICTIONS = RowSchema.for_records(task()), RowSchema.for_predictions(task())
GOOD = {
    "id": [1, 2],
    "age": [3.5, None],
    "school": [5, 1],
    "town": ["x", "y"],
    "works": [1, 0],
    "sex": [1, None],
}


def with_changes(**changes: Any) -> pa.Table:
    return pa.table({name: values for name, values in {**GOOD, **changes}.items() if values is not None})


def structs(*rows: dict[str, Any]) -> common_pb2.RowBatch:
    batch = common_pb2.StructRows()
    for row in rows:
        message = Struct()
        message.update(row)
        batch.rows.append(message)
    return common_pb2.RowBatch(rows=batch)


@st.composite
def columns(draw: st.DrawFn) -> Column:
    kind = draw(st.sampled_from([NUMERIC, CODE, CATEGORY]))
    allowed: frozenset[Any] | None = None
    if kind == CODE and draw(st.booleans()):
        allowed = frozenset(draw(st.lists(st.one_of(NEAR, INT64.filter(lambda n: n > -(2**63))), max_size=5)))
    if kind == CATEGORY and draw(st.booleans()):
        allowed = frozenset(draw(st.lists(st.text(max_size=2), max_size=4)))
    bound = st.one_of(st.none(), st.floats(-10, 10))
    minimum, maximum = (draw(bound), draw(bound)) if kind == NUMERIC else (None, None)
    return Column("c", kind, True, draw(st.booleans()), minimum, maximum, allowed)


@st.composite
def arrays(draw: st.DrawFn, column: Column) -> pa.Array:
    size = draw(st.integers(0, 12))
    some_null = draw(st.booleans())

    def of(strategy: st.SearchStrategy[Any], kind: pa.DataType) -> pa.Array:
        one = st.one_of(st.none(), strategy) if some_null else strategy
        return pa.array(draw(st.lists(one, min_size=size, max_size=size)), kind)

    if column.kind == CATEGORY:
        texts = st.one_of(st.text(max_size=2), st.sampled_from(sorted(column.allowed or {"a"})))
        array = of(texts, draw(st.sampled_from([pa.utf8(), pa.large_utf8(), pa.string_view()])))
    else:
        known = sorted(column.allowed) if column.allowed else [1]
        whole = draw(st.sampled_from([INT64, NEAR, st.sampled_from(known)]))
        array = draw(
            st.sampled_from(
                [
                    lambda: of(whole, pa.int64()),
                    lambda: of(st.integers(-128, 127), pa.int8()),
                    lambda: of(st.integers(0, 2**64 - 1), pa.uint64()),
                    lambda: of(st.integers(0, 9), pa.uint32()),
                    lambda: of(st.floats(), pa.float64()),
                    lambda: of(st.floats(-12, 12), pa.float64()),
                    lambda: of(NEAR.map(float), pa.float64()),
                    lambda: of(st.floats(width=32), pa.float32()),
                    lambda: of(st.floats(width=16).map(np.float16), pa.float16()),
                ]
            )
        )()
    if draw(st.booleans()) and array.type not in (pa.string_view(), pa.float16()) and len(array):
        array = (
            array.dictionary_encode()
            if draw(st.booleans())
            else array.slice(draw(st.integers(0, len(array))))
        )
    return array


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_arrays_get_the_verdict_of_their_values(data: st.DataObject) -> None:
    column = data.draw(columns())
    array = data.draw(arrays(column))
    values = array.to_pylist()
    expected = [column.check(float(one) if isinstance(one, np.floating) else one) for one in values]
    kept, refused = column.check_array(array)
    assert refused.tolist() == [reason is not None for _, reason in expected]
    assert kept.type == {NUMERIC: pa.float64(), CODE: pa.int64(), CATEGORY: pa.utf8()}[column.kind]
    for found, (value, reason) in zip(kept.to_pylist(), expected, strict=True):
        assert found == (None if reason is not None else value)
    if column.takes_whole(array):
        assert not refused.any()
        assert kept.equals(array)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.one_of(st.none(), NEAR.map(float), st.floats(-2, 2), st.just(math.inf)), min_size=1, max_size=8
    )
)
def test_targets_get_one_verdict_from_both_encodings(values: list[float | None]) -> None:
    table = with_changes(**{name: [GOOD[name][0]] * len(values) for name in GOOD})
    position = table.schema.get_field_index("works")
    table = table.set_column(position, "works", pa.array(values, pa.float64()))
    rows = [{**{name: GOOD[name][0] for name in GOOD}, "works": value} for value in values]
    from_arrow, from_structs = RECORDS.check_table(table), RECORDS.decode(structs(*rows))
    assert from_arrow.accepted.tolist() == from_structs.accepted.tolist()
    assert from_arrow.rows.column("works").to_pylist() == from_structs.rows.column("works").to_pylist()


def test_good_rows_are_kept_in_the_schemas_types() -> None:
    checked = RECORDS.check_table(pa.table(GOOD))
    assert checked.rejected == []
    assert checked.row_count == 2
    assert checked.rows.to_pydict() == {**GOOD, "works": ["1", "0"]}
    assert checked.rows.schema.field("works").type == pa.utf8()
    again = RECORDS.check_table(pa.table(checked.rows.to_pydict()).select(list(reversed(GOOD))))
    assert again.rows.schema.names == list(RECORDS.names)


def test_rows_that_are_all_right_are_handed_on_and_bare() -> None:
    table = with_changes(works=["1", "0"], age=[1.0, 2.0], sex=[1, 2]).replace_schema_metadata(
        {"pandas": "{}"}
    )
    checked = RECORDS.check_table(table)
    assert checked.rows.schema.metadata is None
    assert RECORDS.check_table(table.replace_schema_metadata()).rows.equals(checked.rows)


@pytest.mark.parametrize(
    ("column", "values", "words"),
    [
        ("age", [200, 3], "age is 200; must be at most 120"),
        ("age", [-1.5, 3], "age is -1.5; must be at least 0"),
        ("age", [math.inf, 3], "age is infinite; must be a finite number"),
        ("school", [4, 1], "school is 4; must be one of 1, 2, 5"),
        ("school", [None, 1], "school is missing; a value is needed"),
        ("school", [1.5, 1.0], "school is 1.5; must be a whole number"),
        ("school", [math.nan, 1.0], "school is missing; a value is needed"),
        ("town", [None, "x"], "town is missing; a value is needed"),
        ("works", [7, 1], "works is '7'; must be one of 0, 1"),
        ("works", [None, 1], "works is missing; a value is needed"),
        ("id", [None, 1], "id is missing; a value is needed"),
        ("id", [math.nan, 1.0], "id is missing; a value is needed"),
    ],
)
def test_a_bad_value_is_refused_in_words(column: str, values: list[Any], words: str) -> None:
    checked = RECORDS.check_table(with_changes(**{column: values}))
    assert [row.reason for row in checked.rejected] == [words]
    assert (checked.rejected[0].row_index, checked.rejected[0].column) == (0, column)
    assert checked.accepted.tolist() == [1]
    assert checked.rows.num_rows == 1
    rows = [{name: ({**GOOD, column: values})[name][index] for name in GOOD} for index in range(2)]
    assert [row.reason for row in RECORDS.decode(structs(*rows)).rejected] == [words]


def test_missing_numbers_are_kept_where_the_task_says_so() -> None:
    checked = RECORDS.check_table(with_changes(age=[math.nan, None]))
    assert checked.rejected == []
    assert checked.rows.column("age").null_count == 2


def test_codes_beyond_64_bits_are_refused() -> None:
    checked = RECORDS.check_table(with_changes(sex=pa.array([2**63, 1], pa.uint64())))
    assert checked.rejected[0].reason == f"sex is {2**63}; must fit in 64 bits"
    smallest = RECORDS.check_table(with_changes(sex=[-(2**63), 1]))
    assert smallest.rejected[0].reason.endswith("must fit in 64 bits")


@pytest.mark.parametrize(
    ("column", "values", "words"),
    [
        ("school", pa.array([True, False]), "has Arrow type bool; must hold whole numbers"),
        ("school", pa.array(["1", "2"]), "has Arrow type string; must hold whole numbers"),
        ("age", pa.array(["1", "2"]), "must hold numbers"),
        ("age", pa.array([[1.0], [2.0]]), "must hold numbers"),
        ("age", pa.array([{"a": 1}, {"a": 2}]), "must hold numbers"),
        ("town", pa.array([1, 2]), "must hold texts"),
        ("town", pa.array([b"a", b"b"]), "must hold texts"),
        ("town", pa.array([["a"], ["b"]]), "must hold texts"),
        ("id", pa.array([True, False]), "must hold numbers, texts or times"),
        ("id", pa.array([[1], [2]]), "must hold numbers, texts or times"),
        ("id", pa.array([2**64 - 1, 1], pa.uint64()), "does not fit in 64 bits"),
        ("id", pa.array([2**62, 1], pa.timestamp("s")), "time too far away"),
        ("works", pa.array([[1], [0]]), "must hold texts"),
    ],
)
def test_a_column_of_a_wrong_type_is_named(column: str, values: pa.Array, words: str) -> None:
    with pytest.raises(InvalidArgument, match=words) as caught:
        RECORDS.check_table(with_changes(**{column: values}))
    assert [one.field for one in caught.value.violations] == [f"batch.{column}"]


def test_null_typed_and_dictionary_columns_are_read_as_what_they_stand_for() -> None:
    table = with_changes(
        age=pa.nulls(2), sex=pa.nulls(2), town=pa.array(["x", "y"]).dictionary_encode(), works=["1", "0"]
    )
    checked = RECORDS.check_table(table)
    assert checked.rejected == []
    assert [checked.rows.schema.field(name).type for name in ("age", "sex", "town")] == [
        pa.float64(), pa.int64(), pa.utf8(),
    ]  # fmt: skip
    assert RECORDS.check_table(with_changes(school=pa.nulls(2))).rejected_count == 2


def test_unknown_lacking_and_doubled_columns_are_named_at_once() -> None:
    with pytest.raises(InvalidArgument) as caught:
        RECORDS.check_table(with_changes(town=None, age=None, colour=["red", "blue"]))
    assert [one.field for one in caught.value.violations] == ["batch.colour", "batch.town"]
    twice = pa.table([[1], [2]], names=["age", "age"])
    with pytest.raises(InvalidArgument, match="stands twice"):
        RECORDS.check_table(twice)


def test_predictions_need_features_alone_and_drop_the_id() -> None:
    checked = PREDICTIONS.check_table(pa.table({"id": [1], "age": [3], "school": [1], "town": ["x"]}))
    assert checked.rows.to_pydict() == {"age": [3.0], "school": [1], "town": ["x"], "sex": [None]}
    with pytest.raises(InvalidArgument, match="works"):
        PREDICTIONS.check_table(pa.table(GOOD))


def test_chunks_are_put_together() -> None:
    table = pa.concat_tables([with_changes(works=["1", "0"])] * 3)
    assert RECORDS.check_table(table).rows.num_rows == 6
    assert RECORDS.check_table(table.slice(0, 0)).rows.num_rows == 0


def test_reasons_are_bounded_and_all_rows_counted() -> None:
    count = 5000
    one = {name: [values[0]] * count for name, values in GOOD.items()}
    checked = RECORDS.check_table(pa.table({**one, "age": [-1.0] * count}))
    assert (len(checked.rejected), checked.rejected_count, checked.row_count) == (1000, count, count)


def test_structs_of_wrong_shape_are_refused() -> None:
    row = {name: values[0] for name, values in GOOD.items()}
    found = RECORDS.decode(
        structs(
            {**row, "age": [1]},
            {**row, "age": {"a": 1}},
            {**row, "school": True},
            {**row, "town": 4},
            {**row, "colour": "red"},
            {**row, "age": "old"},
            {**row, "id": True},
            row,
        )
    )
    assert found.accepted.tolist() == [7]
    words = [row.reason for row in found.rejected]
    assert "age is a list or an object; must be a single value" in words[0]
    assert words[2] == "school is True; must be a whole number"
    assert words[3] == "town is 4; must be a text"
    assert "colour is not a column of this task" in words[4]
    assert words[5] == "age is 'old'; must be a number"
    assert words[6] == "id is True; must be a number, a text or a time"


def test_ids_from_structs_have_the_type_that_arrow_callers_send() -> None:
    row = {name: values[0] for name, values in GOOD.items()}
    assert RECORDS.decode(structs(row)).rows.schema.field("id").type == pa.int64()
    with pytest.raises(InvalidArgument, match="numbers and texts"):
        RECORDS.decode(structs(row, {**row, "id": "a"}))
