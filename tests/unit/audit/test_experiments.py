"""Comparisons in use: intervals that hold at every look, splits as planned, and other policies' worth."""

import math

import numpy as np
import pytest

from audit.experiments.assignment import check_split
from audit.experiments.differences import Arm, difference_of_means, paired_difference
from audit.experiments.off_policy import doubly_robust, ips, snips


def test_arms_add_up_to_the_arm_of_all_values():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=70), rng.normal(3, 2, size=31)
    both, added = Arm.of(np.r_[x, y]), Arm.of(x) + Arm.of(y)
    assert added.count == 101
    assert added.mean == pytest.approx(both.mean)
    assert added.variance == pytest.approx(both.variance)
    assert Arm.of([]) + Arm.of(x) == Arm.of(x)


def test_looking_daily_on_equal_arms_is_wrong_as_seldom_as_stated():
    """300 experiments of 40 looks: a difference is ever said in at most about 5 % of them, and a fixed
    interval in more.
    """
    rng = np.random.default_rng(1)
    ever, ever_fixed = 0, 0
    for _ in range(300):
        arms = [Arm.of([]), Arm.of([])]
        said = said_fixed = False
        for _ in range(40):
            arms = [arm + Arm.of(rng.random(50) < 0.3) for arm in arms]
            found = difference_of_means(*arms)
            said |= found.lower > 0 or found.upper < 0
            half = 1.96 * math.sqrt(sum(arm.variance / arm.count for arm in arms))
            said_fixed |= abs(found.value) > half
        ever += said
        ever_fixed += said_fixed
    assert ever / 300 <= 0.05
    assert ever_fixed / 300 > 0.15


def test_a_real_difference_is_found_in_time():
    rng = np.random.default_rng(2)
    found = difference_of_means(Arm.of(rng.random(3000) < 0.36), Arm.of(rng.random(3000) < 0.30))
    assert found.lower > 0


def test_a_shadow_is_compared_on_the_same_inputs():
    rng = np.random.default_rng(3)
    found = paired_difference(Arm.of(rng.normal(0.1, 0.5, 2000)))
    assert found.lower > 0
    assert found.value == pytest.approx(0.1, abs=0.04)


@pytest.mark.parametrize("count", [0, 1, 5])
def test_with_few_values_there_is_no_interval(count):
    few = Arm.of(np.ones(count))
    for found in (difference_of_means(few, Arm.of(np.ones(100))), paired_difference(few)):
        assert math.isnan(found.lower)
        assert found.warnings


def test_a_split_that_is_off_is_told_and_a_fair_one_is_not():
    assert check_split({"a": 5200, "b": 4600}, {"a": 0.5, "b": 0.5}).mismatch
    assert not check_split({"a": 5050, "b": 4950}, {"a": 0.5, "b": 0.5}).mismatch
    assert check_split({"a": 0, "b": 0}, {"a": 0.9, "b": 0.1}).p_value == 1.0
    with pytest.raises(ValueError, match="same arms"):
        check_split({"a": 1}, {"a": 0.5, "b": 0.5})
    with pytest.raises(ValueError, match="sum to 1"):
        check_split({"a": 1, "b": 1}, {"a": 0.5, "b": 0.6})


def test_a_fair_split_looked_at_daily_is_hardly_ever_called_off():
    rng = np.random.default_rng(4)
    called = 0
    for _ in range(500):
        a = np.cumsum(rng.binomial(100, 0.5, 60))
        totals = 100 * np.arange(1, 61)
        called += any(
            check_split({"a": int(x), "b": int(n - x)}, {"a": 0.5, "b": 0.5}).mismatch
            for x, n in zip(a, totals, strict=True)
        )
    assert called / 500 <= 0.005


def logged(count, seed):
    """Two actions; action 1 pays 0.7 and 0 pays 0.3; the logging policy takes 1 with chance 0.2."""
    rng = np.random.default_rng(seed)
    action = rng.random(count) < 0.2
    reward = (rng.random(count) < np.where(action, 0.7, 0.3)).astype(float)
    return action, reward, np.where(action, 0.2, 0.8)


def test_another_policys_worth_is_estimated_by_all_three():
    """The policy that always takes action 1 earns 0.7, though it was taken in a fifth of the cases."""
    action, reward, chance = logged(20_000, 5)
    target = action.astype(float)
    guess = np.where(action, 0.6, 0.4)
    for found in (
        ips(reward, chance, target),
        snips(reward, chance, target),
        doubly_robust(reward, chance, target, guess, np.full(20_000, 0.6)),
    ):
        assert found.lower < 0.7 < found.upper
        assert found.value == pytest.approx(0.7, abs=0.03)


def test_their_intervals_cover_as_often_as_they_say():
    hits = np.zeros(2)
    for seed in range(200):
        action, reward, chance = logged(1500, seed)
        for place, estimate in enumerate((ips, snips)):
            found = estimate(reward, chance, action.astype(float))
            hits[place] += found.lower <= 0.7 <= found.upper
    assert (hits >= 180).all()


def test_what_was_never_tried_is_refused_and_few_are_warned_of():
    with pytest.raises(ValueError, match="never tried"):
        ips([1.0], [0.0], [1.0])
    assert math.isnan(ips([], [], []).value)
    assert math.isnan(snips([1.0], [0.5], [1.0]).lower)
    assert math.isnan(snips([1.0, 0.0], [0.5, 0.5], [0.0, 0.0]).value)
    assert "count as" in ips(np.ones(5), np.full(5, 0.5), np.ones(5)).warnings[0]
