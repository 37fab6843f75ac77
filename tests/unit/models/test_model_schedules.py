import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.schedules import (
    SCHEDULES,
    constant,
    cosine,
    cyclical_momentum,
    flat_cosine,
    group_rates,
    one_cycle,
    warm_restarts,
)

positions = st.floats(0, 1)


def test_the_rate_goes_up_to_its_peak_and_down_to_nothing() -> None:
    assert one_cycle(0, 1.0) == pytest.approx(1 / 25)
    assert one_cycle(0.25, 1.0) == pytest.approx(1.0)
    assert one_cycle(1, 1.0) == pytest.approx(1e-5)
    rates = [one_cycle(step / 100, 1.0) for step in range(101)]
    assert rates[:26] == sorted(rates[:26])
    assert rates[25:] == sorted(rates[25:], reverse=True)


def test_momentum_mirrors_the_rate() -> None:
    assert [round(cyclical_momentum(at), 6) for at in (0, 0.25, 1)] == [0.95, 0.85, 0.95]


def test_half_a_cosine() -> None:
    assert [cosine(2, 4, at) for at in (0, 0.5, 1)] == pytest.approx([2, 3, 4])


def test_flat_then_down() -> None:
    assert [flat_cosine(at, 1.0) for at in (0, 0.5, 0.75, 0.875, 1)] == pytest.approx(
        [1, 1, 1, 0.5, 0], abs=1e-4
    )
    assert constant(0.3, 2.0) == 2.0


def test_each_warm_restart_is_twice_as_long_as_the_one_before() -> None:
    starts = [0, 1 / 7, 3 / 7]
    assert [warm_restarts(at, 1.0) for at in starts] == pytest.approx([1, 1, 1])
    assert [warm_restarts(at - 1e-9, 1.0) for at in (1 / 7, 3 / 7, 1)] == pytest.approx([0, 0, 0], abs=1e-6)
    assert warm_restarts(5 / 7, 1.0) == pytest.approx(0.5)


@given(positions, st.floats(1e-6, 10), st.sampled_from(sorted(SCHEDULES)))
def test_no_schedule_leaves_zero_to_peak(position: float, peak: float, name: str) -> None:
    schedule = SCHEDULES[name]
    assert 0 <= schedule.rate(position, peak) <= peak * (1 + 1e-9)
    if schedule.momentum is not None:
        assert 0.85 - 1e-9 <= schedule.momentum(position) <= 0.95 + 1e-9


@given(st.floats(1e-5, 1), st.floats(1, 1000), st.integers(1, 8))
def test_groups_rates_rise_in_equal_ratios_to_the_peak(peak: float, division: float, count: int) -> None:
    rates = group_rates(peak, division, count)
    assert rates[-1] == pytest.approx(peak)
    assert count == 1 or rates[0] == pytest.approx(peak / division)
    ratios = [after / before for before, after in pairwise(rates)]
    assert all(math.isclose(ratio, ratios[0], rel_tol=1e-6) for ratio in ratios)
