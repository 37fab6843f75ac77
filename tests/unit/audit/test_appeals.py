"""Appeals by group: rates, what chance explains, and what is not told for the sake of single persons."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.recourse.appeals import FEWEST_APPEALS, AppealCounts, by_group, everyone


def told(groups: dict[str, AppealCounts], minimum: int = 30):
    total = AppealCounts(
        *(sum(getattr(one, name) for one in groups.values()) for name in vars(next(iter(groups.values()))))
    )
    return {one.name: one for one in by_group(total, [[*groups.items()]], minimum_decisions=minimum)}


def test_a_group_that_appeals_and_is_upheld_more_is_told_apart():
    found = told({"women": AppealCounts(2000, 200, 150, 90), "men": AppealCounts(2000, 80, 60, 12)})
    women = found["women"]
    assert women.appeal_rate.value == pytest.approx(0.1)
    assert women.appeal_difference.value == pytest.approx(0.06)
    assert women.appeal_difference.lower > 0
    assert women.upheld_rate.value == pytest.approx(0.6)
    assert women.upheld_difference.value == pytest.approx(0.4)
    assert women.sentence.count("more apart than chance explains") == 2
    assert "no more" not in women.sentence


def test_what_chance_explains_is_said_so():
    found = told({"women": AppealCounts(2000, 100, 80, 20), "men": AppealCounts(2000, 104, 82, 22)})
    assert found["women"].sentence.count("no more apart than chance explains") == 2


@pytest.mark.parametrize("count", [0, 1, 5])
def test_few_appeals_are_not_told_and_neither_is_what_would_give_them_away(count):
    found = told(
        {
            "Asian": AppealCounts(500, count, count, count),
            "Black": AppealCounts(800, 20, 20, 5),
            "White": AppealCounts(3000, 90, 80, 9),
        }
    )
    assert {name: one.suppressed for name, one in found.items()} == {
        "Asian": True,
        "Black": True,
        "White": False,
    }
    assert found["Asian"].counts == AppealCounts(0, 0, 0, 0)
    assert math.isnan(found["Black"].appeal_rate.value)
    assert "single persons" in found["Asian"].sentence


@pytest.mark.parametrize("count", [0, 1, 5])
def test_few_decisions_are_not_rated(count):
    found = told({"few": AppealCounts(count, count, 0, 0), "many": AppealCounts(900, 90, 0, 0)})
    assert all(one.suppressed for one in found.values())


def test_upheld_rates_wait_for_answers():
    found = told({"women": AppealCounts(900, 40, 3, 3), "men": AppealCounts(900, 45, 20, 2)})
    assert math.isnan(found["women"].upheld_rate.value)
    assert str(FEWEST_APPEALS) in found["women"].upheld_rate.warnings[0]
    assert "upheld" not in found["women"].sentence


def test_everyone_is_told_from_the_first_appeal_on():
    assert everyone(AppealCounts(0, 0, 0, 0)).sentence == "None of 0 decisions was appealed."
    assert math.isnan(everyone(AppealCounts(0, 0, 0, 0)).appeal_rate.value)
    first = everyone(AppealCounts(100, 1, 0, 0)).sentence
    assert first == "1 of 100 decisions was appealed; none of these appeals is answered yet."
    whole = everyone(AppealCounts(1000, 10, 8, 2))
    assert whole.sentence == "10 of 1,000 decisions were appealed. Of 8 answered, 2 were upheld."
    assert whole.upheld_rate.value == 0.25


def test_alike_groups_are_told_apart_in_at_most_one_of_twenty_years():
    rng = np.random.default_rng(3)
    alarms = 0
    for _ in range(400):
        appeals = rng.binomial(2000, 0.05, 6)
        groups = {
            f"group {place}": AppealCounts(2000, int(count), int(count), int(rng.binomial(count, 0.3)))
            for place, count in enumerate(appeals)
        }
        alarms += any(": more apart" in one.sentence for one in told(groups).values())
    # 400 runs at 5 % give at most 33 with a probability of 0.999.
    assert alarms <= 33


counts = st.tuples(st.integers(0, 500), st.integers(0, 60), st.integers(0, 60), st.integers(0, 60)).map(
    lambda four: AppealCounts(four[0] + four[1], four[1], min(four[1:3]), min(four[1:]))
)


@given(st.lists(counts, min_size=1, max_size=6))
def test_no_single_group_can_be_worked_out_from_the_others(groups):
    found = told({f"group {place}": one for place, one in enumerate(groups)})
    hidden = [one for one in found.values() if one.suppressed]
    assert len(hidden) != 1 or len(groups) == 1
    for one in found.values():
        if not one.suppressed:
            assert one.counts.appeals >= FEWEST_APPEALS
            assert 0 <= one.appeal_rate.lower <= one.appeal_rate.value <= one.appeal_rate.upper <= 1
