"""The spread between groups: fairlearn's values, intervals that allow for picking, small groups left out."""

import numpy as np
import pytest
from fairlearn.metrics import demographic_parity_difference
from fairlearn.metrics import equalized_odds_difference as fairlearn_s

from audit.fairness.rates import GroupRates, group_rates
from audit.fairness.spread import equalized_odds_difference, spread


def people(seed: int, count: int, *, unfair: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Codes of 6 groups, decisions, labels; decisions on the last group are more often positive."""
    rng = np.random.default_rng(seed)
    codes, label = rng.integers(0, 6, count), rng.random(count) < 0.5
    chance = np.where(label, 0.6, 0.3) + unfair * (codes == 5)
    return codes, rng.random(count) < chance, label


def test_values_are_fairlearn_s() -> None:
    codes, positive, label = people(1, 3_000, unfair=0.2)
    rates = group_rates(codes, positive, label, 6)
    arguments = {"y_true": label, "y_pred": positive, "sensitive_features": codes}
    found = spread(rates, "selection_rate")
    assert found.value == pytest.approx(demographic_parity_difference(**arguments), abs=1e-12)
    assert found.lower > 0.05
    odds = equalized_odds_difference(rates)
    assert odds.value == pytest.approx(fairlearn_s(**arguments), abs=1e-12)
    assert odds.lower > 0


def test_groups_that_are_alike_are_hardly_ever_said_to_differ_though_the_two_were_picked() -> None:
    alarms, odds = 0, 0
    for seed in range(300):
        rates = group_rates(*people(seed, 900, unfair=0.0), 6)
        alarms += spread(rates, "selection_rate").lower > 0
        odds += equalized_odds_difference(rates).lower > 0
    assert alarms <= 15
    assert odds <= 15


def test_its_interval_covers_a_true_spread() -> None:
    inside = 0
    for seed in range(200):
        found = spread(group_rates(*people(seed, 900, unfair=0.2), 6), "selection_rate")
        inside += found.lower <= 0.2 <= found.upper
    assert inside >= 190


def counts(*sizes: int) -> GroupRates:
    codes = np.repeat(np.arange(len(sizes)), sizes)
    return group_rates(codes, codes % 2 == 0, np.ones(len(codes), bool), len(sizes))


def test_small_groups_are_left_out_and_said_to_be() -> None:
    found = spread(counts(100, 100, 5, 1, 0), "selection_rate")
    assert (found.value, found.count) == (1.0, 200)
    assert found.warnings == ("left out for fewer than 30 people: 2 of the groups",)


@pytest.mark.parametrize("size", [0, 1, 5])
def test_nobody_one_and_five_people_have_no_spread(size: int) -> None:
    found = spread(counts(size, size, 100), "accuracy")
    assert found.warnings == ("a spread needs two groups of 30 people that count; there are 1",)
    assert not found.known
    assert not equalized_odds_difference(counts(size, size)).known
    assert not spread(counts(), "accuracy").known
    with pytest.raises(KeyError):
        spread(counts(3), "beauty")
