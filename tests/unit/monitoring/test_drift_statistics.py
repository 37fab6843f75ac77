"""Distances, their bias, the test that a distance is exceeded, and the day on which a change began."""

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from services.monitoring.drift_statistics import began, compare

REFERENCE = np.array([1100.0, 8900.0])


def test_equal_shares_lie_nothing_apart() -> None:
    change = compare(REFERENCE * 0.1, REFERENCE)
    assert change.distance == 0.0
    assert change.raw_distance == pytest.approx(0.0, abs=1e-8)


def test_disjoint_counts_lie_one_apart() -> None:
    assert compare(np.array([50.0, 0.0]), np.array([0.0, 50.0])).raw_distance == pytest.approx(1.0)


def test_the_raw_distance_is_scipy_s() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        window, reference = rng.integers(0, 50, 7).astype(float), rng.integers(0, 500, 7).astype(float)
        expected = jensenshannon(window / window.sum(), reference / reference.sum(), base=2)
        assert compare(window, reference).raw_distance == pytest.approx(expected)


def test_without_rows_nothing_is_claimed() -> None:
    change = compare(np.zeros(2), REFERENCE)
    assert (change.distance, change.probability_within(0.1)) == (0.0, 1.0)


def test_sampling_alone_has_about_no_distance_on_average() -> None:
    rng = np.random.default_rng(2)
    shares = np.full(25, 1 / 25)
    squares = [
        change.raw_distance**2 - 24 / (8 * np.log(2) * change.effective_count)
        for change in (
            compare(rng.multinomial(1300, shares).astype(float), rng.multinomial(13000, shares).astype(float))
            for _ in range(300)
        )
    ]
    assert abs(float(np.mean(squares))) < 2e-4


def test_a_change_beyond_the_limit_is_sure_and_one_within_it_is_not() -> None:
    swapped, slight = np.array([1186.0, 147.0]), np.array([180.0, 1153.0])
    assert compare(swapped, REFERENCE).probability_within(0.1) < 1e-12
    assert compare(slight, REFERENCE).probability_within(0.1) > 0.5


def test_false_alarms_of_the_limit_are_as_rare_as_it_says() -> None:
    rng = np.random.default_rng(3)
    reference = np.full(10, 1000.0)
    low = [
        compare(rng.multinomial(1300, reference / 10_000).astype(float), reference).probability_within(0.05)
        < 0.01
        for _ in range(500)
    ]
    assert np.mean(low) <= 0.01


def test_the_beginning_of_a_change_is_found_to_the_day() -> None:
    rng = np.random.default_rng(4)
    before = rng.multinomial(190, [0.11, 0.89], 30)
    after = rng.multinomial(190, [0.89, 0.11], 5)
    days = np.vstack([before, after]).astype(float)
    assert began(days, days[-7:].sum(axis=0), REFERENCE) == 30


def test_a_slow_change_is_found_to_about_the_week() -> None:
    rng = np.random.default_rng(5)
    days = np.vstack([rng.multinomial(190, [0.11, 0.89], 40), rng.multinomial(190, [0.2, 0.8], 20)]).astype(
        float
    )
    assert abs(began(days, days[-7:].sum(axis=0), REFERENCE) - 40) <= 7


def test_where_nothing_speaks_for_a_change_it_is_the_last_day() -> None:
    days = np.tile(np.array([[11.0, 89.0]]), (5, 1))
    assert began(days, np.array([60.0, 40.0]), REFERENCE) == 4
