"""Who is new is answered from what describes them, where that tells something."""

import numpy as np
import pyarrow as pa
import pytest

from models.cold_start import ColdStart
from models.recipe import Input

AGE, TOWN = Input("age", "numeric"), Input("town", "category")


def people(count: int, seed: int = 0) -> tuple[pa.Table, np.ndarray]:
    """One row each, and two factors: the first follows age, the second town."""
    random = np.random.default_rng(seed)
    age, town = random.uniform(20, 70, count), random.integers(0, 3, count)
    factors = np.stack([(age - 45) / 25, np.array([-1.0, 0.0, 2.0])[town]], 1)
    table = pa.table({"age": age, "town": np.array(["a", "b", "c"])[town].tolist()})
    return table, factors + random.normal(0, 0.05, factors.shape)


def test_what_describes_moves_the_average_to_the_truth() -> None:
    table, factors = people(400)
    cold = ColdStart.fit((AGE, TOWN), table, np.arange(1, 401), factors)
    new, truth = people(100, seed=1)
    told = factors.mean(0) + cold.moves(new)
    assert np.abs(told - truth).max() < 0.3
    assert np.abs(factors.mean(0) - truth).max() > 1.0


def test_what_tells_nothing_moves_nothing() -> None:
    table, _ = people(400)
    noise = np.random.default_rng(5).normal(0, 1, (400, 4))
    cold = ColdStart.fit((AGE, TOWN), table, np.arange(1, 401), noise)
    assert np.abs(cold.moves(table)).max() < 0.25


def test_missing_and_unknown_values_leave_the_average() -> None:
    table, factors = people(400)
    cold = ColdStart.fit((AGE, TOWN), table, np.arange(1, 401), factors)
    new = pa.table({"age": [None, float("nan"), float("inf")], "town": [None, "nowhere", ""]})
    assert cold.moves(new) == pytest.approx(0.0)


def test_nothing_describes_and_too_few_known() -> None:
    table, factors = people(2)
    assert not ColdStart.fit((), table, np.array([1, 2]), factors)
    assert not ColdStart.fit((AGE,), table, np.array([1, 2]), factors)


def test_a_column_that_never_changes_does_no_harm() -> None:
    table, factors = people(50)
    constant = pa.table({"age": [30.0] * 50, "town": ["a"] * 50})
    cold = ColdStart.fit((AGE, TOWN), constant, np.arange(1, 51), factors)
    assert cold.moves(table) == pytest.approx(0.0, abs=1e-6)


def test_it_survives_json() -> None:
    table, factors = people(60)
    cold = ColdStart.fit((AGE, TOWN), table, np.arange(1, 61), factors)
    again = ColdStart.from_json(cold.as_json())
    assert np.array_equal(again.moves(table), cold.moves(table))
    assert again.inputs == cold.inputs == (AGE, TOWN)
