"""Detectors of feedback loops: what they find where a loop is, and how seldom they imagine one."""

import math

import numpy as np
import pytest

from audit.feedback import loops, simulators
from audit.feedback.correction import advised_exploration, inverse_propensity_mean


def share_found(detect, runs):
    """Share of independent worlds in which something is found."""
    return float(np.mean([detect(np.random.default_rng(seed)).found for seed in range(runs)]))


def narrowing(loop):
    def detect(rng):
        shown = simulators.recommender(items=20, windows=12, rng=rng, loop=loop).counts
        return loops.exposure_concentration(shown, rng=rng)

    return detect


def copying(loop):
    def detect(rng):
        videos = simulators.channel(videos=2000, rng=rng, loop=loop)
        return loops.self_agreement(videos.decision, videos.label, videos.influenced)

    return detect


def following(loop):
    """A share of the data that moves a quarter of the way to the share of decisions, or of nothing."""

    def detect(rng):
        share, decided = np.empty(60), np.empty(60)
        share[0] = 0.3
        for window in range(60):
            decided[window] = np.clip(share[window] + rng.normal(0.02, 0.05), 0, 1)
            if window < 59:
                pull = 0.25 * (decided[window] - share[window]) if loop else 0.0
                share[window + 1] = np.clip(share[window] + pull + rng.normal(0, 0.01), 0, 1)
        return loops.widening_shares(share, decided)

    return detect


@pytest.mark.parametrize("world", [narrowing, copying, following])
def test_a_loop_is_found_and_its_absence_is_seldom_taken_for_one(world):
    assert share_found(world(True), 20) >= 0.9
    assert share_found(world(False), 40) <= 0.1


def test_exploration_keeps_more_items_in_view():
    rng = np.random.default_rng(1)
    without = simulators.recommender(rng=rng).counts[-1]
    explored = simulators.recommender(rng=rng, exploration=0.3).counts[-1]
    assert (explored > 0).sum() > (without > 0).sum()


def test_labels_seen_only_where_the_model_said_yes_are_told():
    rng = np.random.default_rng(2)
    decision = rng.random(600) < 0.5
    told = loops.selective_labels(decision, decision & (rng.random(600) < 0.9))
    assert told.found
    assert "0 % of negative ones" in told.sentence
    assert not loops.selective_labels(decision, rng.random(600) < 0.9).found


def test_an_input_that_moves_with_the_decision_is_told():
    rng = np.random.default_rng(3)
    decision, before = rng.random(500) < 0.5, rng.normal(size=500)
    assert loops.changed_inputs(decision, before, before + 0.5 * decision + rng.normal(size=500) * 0.3).found
    alarms = [
        loops.changed_inputs(decision, before, before + rng.normal(size=500) * 0.3).found for _ in range(100)
    ]
    assert np.mean(alarms) <= 0.1


@pytest.mark.parametrize("count", [0, 1, 5])
def test_with_too_little_data_nothing_is_found(count):
    rng = np.random.default_rng(4)
    some, numbers = np.ones(count, bool), np.ones(count)
    found = [
        loops.exposure_concentration(np.ones((count, 3), int), rng=rng),
        loops.selective_labels(some, some),
        loops.self_agreement(some, some, some),
        loops.widening_shares(numbers, numbers),
        loops.changed_inputs(some, numbers, numbers),
    ]
    for one in found:
        assert not one.found
        assert one.effect.warnings
        assert one.sentence.startswith("Cannot be told yet")


def test_unequal_chances_are_weighted_out():
    """Of 20,000 cases those of high value are seen ten times as often; the plain mean is far off."""
    rng = np.random.default_rng(5)
    value = rng.normal(size=20_000)
    chance = np.where(value > 0, 0.5, 0.05)
    seen = rng.random(20_000) < chance
    found = inverse_propensity_mean(value[seen], chance[seen])
    assert value[seen].mean() > 0.5
    assert found.lower < value.mean() < found.upper
    assert abs(found.value - value.mean()) < 0.06


def test_the_weighted_interval_covers_as_often_as_it_says():
    hits = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        chance = rng.uniform(0.1, 0.9, 800)
        value = rng.normal(size=800) + chance
        seen = rng.random(800) < chance
        found = inverse_propensity_mean(value[seen], chance[seen])
        hits += found.lower <= 0.5 <= found.upper
    assert 178 <= hits <= 200


def test_few_cases_with_large_weights_carry_a_warning():
    assert math.isnan(inverse_propensity_mean([], []).value)
    one = inverse_propensity_mean([2.0], [0.5])
    assert (one.value, math.isnan(one.lower)) == (2.0, True)
    assert "count as" in inverse_propensity_mean(np.ones(5), [1, 1, 1, 1, 0.001]).warnings[0]
    with pytest.raises(ValueError, match="never seen"):
        inverse_propensity_mean([1.0], [0.0])


def test_advised_exploration_follows_from_the_width():
    # 385 cases give 5 points either way at 50 %: 1.96^2 * 0.25 / 0.05^2.
    assert advised_exploration(10_000) == pytest.approx(0.0385)
    assert advised_exploration(100) == 1.0
    with pytest.raises(ValueError, match="half_width"):
        advised_exploration(100, half_width=0)
