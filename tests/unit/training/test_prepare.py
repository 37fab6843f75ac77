"""Rows held out as the task says, and refused when nothing can be learnt from them."""

import pyarrow as pa
import pytest
from boarfish import errors
from boarfish.v1 import task_pb2

from services.training.plan import planned_models
from services.training.prepare import prepare, tabular_schema
from tests.integration.training.running_training import people, small_task


def split(method, column=""):
    return task_pb2.Split(method=method, validation_share=0.25, seed=1, column=column)


def test_inputs_stand_in_the_order_of_the_task():
    schema = tabular_schema(small_task())
    assert (schema.numeric, schema.code, schema.category) == (("age",), ("school",), ("town",))
    assert schema.target == "works"


def test_at_random_a_share_is_held_out_and_the_table_goes_with_it():
    prepared = prepare(people(400), small_task())
    assert (len(prepared.train), len(prepared.valid)) == (300, 100)
    assert prepared.valid_table.column("school").to_pylist() == prepared.valid.code[:, 0].tolist()
    assert prepared.valid_table.column("works").to_pylist() == [
        "1" if label else "0" for label in prepared.valid.label
    ]


def test_by_time_the_latest_are_held_out():
    rows = people(400)
    prepared = prepare(rows, small_task(split=split(task_pb2.SPLIT_METHOD_TIME, "id")))
    assert min(prepared.valid_table.column("id").to_pylist()) >= 299


def test_by_group_no_group_is_on_both_sides():
    prepared = prepare(people(400), small_task(split=split(task_pb2.SPLIT_METHOD_GROUP, "town")))
    held_out = set(prepared.valid_table.column("town").to_pylist())
    assert held_out
    assert held_out.isdisjoint(prepared.train.category[:, 0])


def test_by_column_the_marked_are_held_out():
    rows = people(400)
    marked = pa.array([index % 4 == 0 for index in range(400)]).cast(pa.int64())
    rows = rows.set_column(0, "id", marked)
    prepared = prepare(rows, small_task(split=split(task_pb2.SPLIT_METHOD_COLUMN, "id")))
    assert set(prepared.valid_table.column("id").to_pylist()) == {1}
    assert len(prepared.valid) == 100


def test_one_class_alone_is_refused_with_what_to_do():
    rows = people(40)
    rows = rows.set_column(4, "works", pa.array(["1"] * 40))
    with pytest.raises(errors.FailedPrecondition, match="always 1"):
        prepare(rows, small_task())


def test_a_plan_has_shares_and_every_setting_in_words():
    net, trees = planned_models(small_task(epochs=2, iterations=10))
    assert (net.name, trees.name) == ("tabular_net", "gradient_boosting")
    assert 0 < net.fit_share < 1
    assert net.parameters["hidden_sizes"] == "16, 8"
    assert net.parameters["weight_decay"] == "0"
    assert trees.parameters["leaf_count"] == "8"
    assert trees.parameters["seed"] == "3"
