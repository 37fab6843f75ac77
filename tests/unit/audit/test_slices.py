"""The worst slice: found where it was made, hardly ever where none is, and said in words."""

from typing import Any

import numpy as np
import pytest

from audit.fairness.slices import worst_slice


def people(count: int, rng: np.random.Generator) -> dict[str, Any]:
    """Ages, some missing; race; a town of many values; a text that is sometimes missing."""
    age = rng.uniform(18, 80, count)
    age[rng.random(count) < 0.05] = np.nan
    return {
        "age": age,
        "race": np.array(["A", "B", "C"], object)[rng.integers(0, 3, count)],
        "town": np.array([f"town {i}" for i in range(40)], object)[rng.integers(0, 40, count)],
        "job": np.array(["yes", "no", None], object)[rng.integers(0, 3, count)],
    }


def test_the_slice_that_was_made_is_found_and_named() -> None:
    rng = np.random.default_rng(1)
    who = people(8_000, rng)
    worse = (who["race"] == "B") & (who["age"] < 36)
    wrong = rng.random(8_000) < np.where(worse, 0.45, 0.15)
    found = worst_slice(who, wrong, rng=rng)
    assert found.found
    assert (worse & found.rows).sum() / (worse | found.rows).sum() > 0.8
    assert "race is B" in found.conditions
    assert any(words.startswith("age is below 3") for words in found.conditions)
    assert found.inside.lower < 0.45 < found.inside.upper
    assert found.inside.count + found.outside.count == 4_000
    assert found.sentence.startswith("Where ")
    assert found.difference.value == pytest.approx(found.inside.value - found.outside.value)


def test_where_no_slice_is_worse_hardly_ever_one_is_found() -> None:
    rng = np.random.default_rng(2)
    alarms = 0
    for _ in range(150):
        alarms += worst_slice(people(1_000, rng), rng.random(1_000) < 0.3, rng=rng).found
    assert alarms <= 9


def test_its_interval_is_honest_though_it_was_searched_for() -> None:
    rng = np.random.default_rng(3)
    inside = 0
    for _ in range(150):
        who = people(1_000, rng)
        found = worst_slice(who, rng.normal(5, 1, 1_000), rng=rng)
        inside += found.inside.lower <= 5 <= found.inside.upper
    assert 134 <= inside <= 150


def test_missing_values_are_a_slice_like_any_other() -> None:
    rng = np.random.default_rng(4)
    who = people(6_000, rng)
    by_text = worst_slice(who, np.array([job is None for job in who["job"]], float), rng=rng, depth=1)
    assert by_text.conditions == ("job is missing",)
    by_number = worst_slice(who, np.isnan(who["age"]), rng=rng, depth=1)
    assert by_number.conditions == ("age is missing",)
    assert (by_number.inside.value, by_number.outside.value) == (1.0, 0.0)


def test_conditions_say_ranges_and_what_is_ruled_out() -> None:
    rng = np.random.default_rng(5)
    who = {"age": rng.uniform(0, 100, 8_000), "race": people(8_000, rng)["race"]}
    middle = (who["age"] > 30) & (who["age"] < 60)
    found = worst_slice(who, (middle & (rng.random(8_000) < 0.6)).astype(float), rng=rng, depth=2)
    low, _, high = found.conditions[0].removeprefix("age is ").partition(" to ")
    assert (float(low), float(high)) == pytest.approx((30, 60), abs=3)
    others = worst_slice(who, (who["race"] != "C") * rng.uniform(0.5, 1, 8_000), rng=rng, depth=1)
    assert others.conditions == ("race is not C",)


def test_rare_values_of_a_text_are_taken_together() -> None:
    rng = np.random.default_rng(6)
    town = people(8_000, rng)["town"]
    names, counts = np.unique(town.astype(str), return_counts=True)
    frequent = names[np.argsort(-counts)][:19]
    found = worst_slice({"town": town}, ~np.isin(town.astype(str), frequent), rng=rng, depth=1)
    assert found.conditions == ("town is any other value",)


@pytest.mark.parametrize("count", [0, 1, 5, 199])
def test_too_few_rows_have_no_worst_slice(count: int) -> None:
    rng = np.random.default_rng(7)
    found = worst_slice(people(count, rng), np.ones(count), rng=rng)
    assert (found.found, found.conditions, found.rows.sum()) == (False, (), 0)
    assert found.sentence == f"No slice can be named: there are {count} rows; it needs 200."


def test_losses_that_nothing_separates_have_none_either() -> None:
    rng = np.random.default_rng(8)
    for who in (people(400, rng), {}):
        found = worst_slice(who, np.full(400, 0.5), rng=rng)
        assert found.sentence == "No slice can be named: no attribute separates larger losses from smaller."


def test_a_slice_without_rows_to_judge_it_by_is_not_named() -> None:
    rare = np.arange(20) < 2
    for seed in range(40):
        found = worst_slice({"rare": rare}, rare, rng=np.random.default_rng(seed), minimum=2)
        if "none of the other rows" in found.sentence:
            assert not found.found
            return
    pytest.fail("in 40 draws both rare rows have never fallen into one half")


def test_wrong_input_is_named() -> None:
    rng = np.random.default_rng(9)
    with pytest.raises(ValueError, match="age has 2 values for 3 losses"):
        worst_slice({"age": [1, 2]}, [0.0, 1.0, 0.0], rng=rng)
    with pytest.raises(ValueError, match="finite"):
        worst_slice({}, [np.nan], rng=rng)
    with pytest.raises(ValueError, match="minimum is 1"):
        worst_slice({}, [0.0], rng=rng, minimum=1)
