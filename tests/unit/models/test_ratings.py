"""Ratings are read as they are meant: ids, whom an input describes, ranges, and what cannot be used."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.data.columns import Values
from models.data.ratings import Rated, RatingSchema, Scale
from models.progress import TrainingFailed
from models.recipe import Input, Target
from tests.unit.models.ratings_table import PROBLEM, ratings


def test_unknown_and_missing_values_have_place_0() -> None:
    film = Values.of(Input("film", "category"), pa.table({"film": ["b", "a", None, "", "a"]}))
    assert film.texts == ("a", "b")
    assert film.places(pa.table({"film": ["b", "zz", None, "", "a"]})).tolist() == [2, 0, 0, 0, 1]
    code = Values.of(Input("user", "code"), pa.table({"user": [7, -5, None, 7]}))
    assert code.places(pa.table({"user": [-5, 7, 8, None]})).tolist() == [1, 2, 0, 0]


@pytest.mark.parametrize("kind", ["code", "category"])
def test_values_survive_json(kind: str) -> None:
    table = pa.table({"x": [3, 1, 2] if kind == "code" else ["ö", "a", "z"]})
    values = Values.of(Input("x", kind), table)
    again = Values.from_json(values.as_json())
    assert again.texts == values.texts
    assert again.places(table).tolist() == values.places(table).tolist()


def test_inputs_describe_whom_they_do_not_differ_for() -> None:
    schema = RatingSchema.of(PROBLEM, ratings())
    assert [one.name for one in schema.of_user] == ["age"]
    assert [one.name for one in schema.of_item] == ["genre"]


def test_an_input_that_describes_neither_is_named() -> None:
    table = ratings().append_column("hour", pa.array(np.arange(3000) % 24.0))
    problem = replace(PROBLEM, inputs=(*PROBLEM.inputs, Input("hour", "numeric")))
    with pytest.raises(TrainingFailed, match="hour differs among the rows of one user and of one item"):
        RatingSchema.of(problem, table)


def test_the_first_two_inputs_must_be_ids() -> None:
    with pytest.raises(TrainingFailed, match="the user as the first feature and the item as the second"):
        RatingSchema.of(replace(PROBLEM, inputs=PROBLEM.inputs[2:]), ratings())


def test_rows_without_a_rating_are_left_out_and_named() -> None:
    table = ratings(100)
    given = table["rating"].to_pylist()
    given[3], given[10], given[20] = None, float("nan"), 9.0
    table = table.set_column(4, "rating", pa.array(given)).append_column("id", pa.array(range(100, 200)))
    rated = Rated.of(table, replace(PROBLEM, id_column="id"), "training")
    assert rated.table.num_rows == len(rated.rating) == 97
    assert np.flatnonzero(~rated.kept).tolist() == [3, 10, 20]
    assert rated.warnings == (
        "3 of 100 training rows have no rating within its range (first: id 103, id 110, id 120); "
        "they are left out.",
    )


def test_too_many_rows_without_a_rating_fail_the_job() -> None:
    with pytest.raises(TrainingFailed, match="of 100 training rows have no rating within its range"):
        Rated.of(
            ratings(100), replace(PROBLEM, target=Target(("rating",), minimum=4.0, maximum=5.0)), "training"
        )
    with pytest.raises(TrainingFailed, match="no training rows"):
        Rated.of(ratings(100).slice(0, 0), PROBLEM, "training")


@given(st.floats(0, 1e6), st.booleans())
def test_a_scale_gives_back_what_was_learnt(rating: float, logarithmic: bool) -> None:
    scale = Scale(logarithmic=logarithmic)
    assert scale.unit(scale.learnt(np.array([rating])))[0] == pytest.approx(rating, rel=1e-9, abs=1e-9)


def test_a_scale_reaches_beyond_its_range_and_stays_within() -> None:
    scale = Scale(1.0, 5.0)
    assert scale.bounds == pytest.approx((0.8, 5.2))
    assert scale.unit(np.array([0.8, 3.0, 5.2])).tolist() == [1.0, 3.0, 5.0]
    assert Scale(1.0, None).bounds == (None, None)
