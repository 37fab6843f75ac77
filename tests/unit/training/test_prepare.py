"""Rows held out as the task says, and refused when nothing can be learnt from them."""

import pyarrow as pa
import pytest
from boarfish import errors
from boarfish.v1 import task_pb2

from services.training.plan import planned_models
from services.training.prepare import prepare
from services.training.problem import problem_of
from tests.integration.training.running_training import people, small_task


def split(method, column=""):
    return task_pb2.Split(method=method, validation_share=0.25, seed=1, column=column)


def test_inputs_stand_in_the_order_of_the_task():
    problem = problem_of(small_task())
    assert [(one.name, one.type) for one in problem.inputs] == [
        ("age", "numeric"),
        ("school", "code"),
        ("town", "category"),
    ]
    assert (problem.kind, problem.metric, problem.target.names) == ("binary", "auc", ("works",))


def test_at_random_a_share_is_held_out_and_no_row_is_lost():
    prepared = prepare(people(400), small_task())
    assert (prepared.train.num_rows, prepared.valid.num_rows) == (300, 100)
    both = prepared.train.column("id").to_pylist() + prepared.valid.column("id").to_pylist()
    assert sorted(both) == list(range(400))


def test_by_time_the_latest_are_held_out():
    rows = people(400)
    prepared = prepare(rows, small_task(split=split(task_pb2.SPLIT_METHOD_TIME, "id")))
    assert min(prepared.valid.column("id").to_pylist()) >= 299


def test_by_group_no_group_is_on_both_sides():
    prepared = prepare(people(400), small_task(split=split(task_pb2.SPLIT_METHOD_GROUP, "town")))
    held_out = set(prepared.valid.column("town").to_pylist())
    assert held_out
    assert held_out.isdisjoint(prepared.train.column("town").to_pylist())


def test_by_column_the_marked_are_held_out():
    rows = people(400)
    marked = pa.array([index % 4 == 0 for index in range(400)]).cast(pa.int64())
    rows = rows.set_column(0, "id", marked)
    prepared = prepare(rows, small_task(split=split(task_pb2.SPLIT_METHOD_COLUMN, "id")))
    assert set(prepared.valid.column("id").to_pylist()) == {1}
    assert prepared.valid.num_rows == 100


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
