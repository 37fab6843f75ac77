"""Distances, their bias, one-look p-values, and the sequential test's state and guards."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.spatial.distance import jensenshannon
from scipy.stats import chi2_contingency

from audit.drift.distances import (
    corrected_distance,
    jensen_shannon_distance,
    p_value,
    population_stability_index,
)
from audit.drift.sequential import SequentialTest

COUNTS = arrays.arrays(np.int64, 6, elements=st.integers(0, 500)).filter(lambda counts: counts.sum() > 0)


@given(COUNTS, COUNTS)
def test_the_distance_is_scipy_s_in_base_2_and_symmetric(first: np.ndarray, second: np.ndarray) -> None:
    found = jensen_shannon_distance(first, second)
    # Beside equal shares rounding leaves a square root of 1e-16.
    assert found == pytest.approx(np.nan_to_num(jensenshannon(first, second, base=2)), abs=1e-7)
    assert found == pytest.approx(jensen_shannon_distance(second, first), abs=1e-7)
    assert 0 <= corrected_distance(first, second) <= found <= 1


def test_equal_shares_are_0_and_disjoint_ones_1() -> None:
    assert jensen_shannon_distance([10, 30], [1, 3]) == pytest.approx(0, abs=1e-7)
    assert jensen_shannon_distance([10, 0], [0, 7]) == 1
    assert population_stability_index([10, 30], [10, 30]) == 0


@pytest.mark.parametrize(
    "distance", [jensen_shannon_distance, corrected_distance, population_stability_index]
)
def test_without_rows_a_distance_is_unknown(distance: object) -> None:
    assert math.isnan(distance([0, 0], [3, 4]))  # type: ignore[operator]
    assert math.isnan(distance([3, 4], [0, 0]))  # type: ignore[operator]


def test_the_correction_takes_sampling_out_on_average() -> None:
    rng = np.random.default_rng(1)
    shares = rng.dirichlet(np.ones(25))
    reference = rng.multinomial(13_757, shares)
    windows = rng.multinomial(1_335, shares, 400)
    raw = np.mean([jensen_shannon_distance(window, reference) for window in windows])
    corrected = np.mean([corrected_distance(window, reference) for window in windows])
    assert raw > 0.06
    assert corrected < 0.02


@pytest.mark.parametrize("rows", [1, 5])
def test_one_row_or_five_of_the_same_shares_lie_nothing_apart(rows: int) -> None:
    rng = np.random.default_rng(2)
    shares = np.full(10, 0.1)
    windows = rng.multinomial(rows, shares, 200)
    assert np.mean([corrected_distance(window, 1000 * shares) > 0.5 for window in windows]) < 0.8
    assert all(p_value(window, 1000 * shares) > 0.001 for window in windows)


def test_psi_by_hand() -> None:
    p, q = np.array([60.5, 40.5]) / 101, np.array([50.5, 50.5]) / 101
    assert population_stability_index([60, 40], [50, 50]) == pytest.approx(((p - q) * np.log(p / q)).sum())


def test_the_p_value_is_the_chi_squared_test_of_two_samples() -> None:
    window, reference = [30, 50, 20], [400, 400, 200]
    expected = chi2_contingency([window, reference], correction=False).pvalue
    assert p_value(window, reference) == pytest.approx(expected)


def test_p_values_are_uniform_enough_with_rare_values_among_them() -> None:
    rng = np.random.default_rng(3)
    shares = np.array([0.5, 0.3, 0.15, *[0.01] * 5])
    found = [p_value(rng.multinomial(60, shares), rng.multinomial(600, shares)) for _ in range(2_000)]
    assert np.mean(np.array(found) < 0.05) == pytest.approx(0.05, abs=0.02)


@pytest.mark.parametrize(("window", "reference"), [([0, 0], [5, 5]), ([5, 5], [0, 0]), ([1, 0], [9, 0])])
def test_where_there_is_nothing_to_test_p_is_1(window: list[int], reference: list[int]) -> None:
    assert p_value(window, reference) == 1


def test_the_sequential_test_goes_on_from_its_state_as_json_holds_it() -> None:
    rng = np.random.default_rng(4)
    reference = rng.multinomial(1_000, [0.2, 0.3, 0.5])
    days = [rng.multinomial(50, [0.3, 0.2, 0.5]) for _ in range(60)]
    straight, resumed = SequentialTest(reference), SequentialTest.resume(reference, None)
    for day in days:
        expected = straight.update(day)
        assert resumed.update(day) == pytest.approx(expected, rel=1e-9)
        resumed = SequentialTest.resume(reference, json.loads(json.dumps(resumed.state())))
    assert resumed.likely_start == straight.likely_start > 0


def test_its_state_stays_small() -> None:
    rng = np.random.default_rng(5)
    test = SequentialTest([50, 50])
    for _ in range(2_000):
        test.update(rng.multinomial(10, [0.5, 0.5]))
    assert len(test.state()["starts"]) <= 45


def test_before_any_day_and_after_empty_ones_there_is_no_evidence() -> None:
    test = SequentialTest([50, 50])
    assert test.e_value == 1
    for _ in range(10):
        assert test.update([0, 0]) == pytest.approx(1)
    assert test.likely_start == 0


@pytest.mark.parametrize("rows", [1, 5])
def test_one_row_or_five_prove_nothing(rows: int) -> None:
    assert SequentialTest([500, 500]).update([rows, 0]) < 5


def test_evidence_that_no_float_holds_is_cut_off_and_its_logarithm_is_not() -> None:
    test = SequentialTest([10_000, 10])
    for _ in range(30):
        test.update([0, 500])
    assert math.isfinite(test.e_value)
    assert test.log_e_value > 1_000
    assert test.likely_start == 1


def test_dependent_rows_count_for_less() -> None:
    rng = np.random.default_rng(6)
    plain, careful = SequentialTest([500, 500]), SequentialTest([500, 500], design_effect=2.0)
    for _ in range(40):
        day = rng.multinomial(50, [0.4, 0.6])
        plain.update(day)
        careful.update(day)
    assert 0 < careful.log_e_value < plain.log_e_value
    again = SequentialTest.resume([500, 500], careful.state(), design_effect=2.0)
    assert again.update([20, 30]) == pytest.approx(careful.update([20, 30]))


def test_days_that_do_not_fit_the_reference_are_refused() -> None:
    with pytest.raises(ValueError, match="3 values; the reference has 2"):
        SequentialTest([1, 1]).update([1, 1, 1])
    with pytest.raises(ValueError, match="at least 1"):
        SequentialTest([1, 1], design_effect=0.5)
