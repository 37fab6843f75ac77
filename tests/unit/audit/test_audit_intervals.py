"""Intervals against published examples, and what they say of 0, 1 and 5 people."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, false_discovery_control, fisher_exact, norm

from audit.intervals import (
    auc_bounds,
    benjamini_hochberg,
    clopper_pearson,
    difference,
    difference_bounds,
    holm,
    koopman,
    proportion,
    ratio,
    two_sample_p_value,
    wilson,
    z_of,
)


def test_wilson_as_newcombe_published_it() -> None:
    assert np.round(wilson(81, 263), 4).tolist() == [0.2553, 0.3662]
    assert np.round(wilson(15, 148), 4).tolist() == [0.0624, 0.1605]
    assert np.round(wilson(0, 20), 4).tolist() == [0.0, 0.1611]
    assert np.round(wilson(1, 29), 4).tolist() == [0.0061, 0.1718]


@given(st.integers(1, 500), st.floats(0.5, 0.999), st.data())
def test_wilson_is_scipy_s(trials: int, confidence: float, data: st.DataObject) -> None:
    successes = data.draw(st.integers(0, trials))
    expected = binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    assert wilson(successes, trials, confidence) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_takes_arrays_and_leaves_empty_ones_unknown() -> None:
    lower, upper = wilson(np.array([3, 0, 0]), np.array([8, 5, 0]))
    assert np.round(lower[:2], 3).tolist() == [0.137, 0.0]
    assert np.round(upper[:2], 3).tolist() == [0.694, 0.434]
    assert np.isnan([lower[2], upper[2]]).all()


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ((56, 70, 48, 80), (0.2, 0.0524, 0.3339)),
        ((9, 10, 3, 10), (0.6, 0.1705, 0.8090)),
        ((5, 56, 0, 29), (0.0893, -0.0381, 0.1926)),
        ((10, 10, 0, 10), (1.0, 0.6075, 1.0)),
    ],
)
def test_differences_as_newcombe_published_them(
    counts: tuple[int, int, int, int], expected: tuple[float, float, float]
) -> None:
    found = difference(*counts)
    assert (round(found.value, 4), round(found.lower, 4), round(found.upper, 4)) == expected
    assert found.count == counts[1] + counts[3]


def test_a_difference_of_one_person_against_many_claims_nothing() -> None:
    found = difference(1, 1, 500, 1000)
    assert found.lower < 0 < found.upper
    assert not difference(0, 0, 5, 10).known


def test_the_ratio_s_interval_is_katz_s() -> None:
    found = ratio(10, 100, 5, 100)
    spread = 1.959964 * math.sqrt(1 / 10 - 1 / 100 + 1 / 5 - 1 / 100)
    assert found.value == pytest.approx(2.0)
    assert (found.lower, found.upper) == pytest.approx((2 * math.exp(-spread), 2 * math.exp(spread)))


@pytest.mark.parametrize("counts", [(1, 0, 1, 2), (1, 2, 0, 5), (0, 0, 0, 0)])
def test_a_ratio_without_both_sides_is_unknown_and_says_why(counts: tuple[int, int, int, int]) -> None:
    found = ratio(*counts)
    assert not found.known
    assert "ratio needs" in found.warnings[0]


def test_koopman_as_he_published_it() -> None:
    assert np.round(koopman(36, 40, 16, 80), 3).tolist() == [2.940, 7.152]


@pytest.mark.parametrize("counts", [(0, 5, 2, 5), (0, 1, 1, 1), (1, 1, 1, 1), (5, 5, 5, 5)])
def test_a_ratio_of_none_or_of_all_still_has_a_wide_interval(counts: tuple[int, int, int, int]) -> None:
    found = ratio(*counts)
    assert found.lower <= found.value <= found.upper
    assert found.upper - found.lower > 1
    assert (found.lower == 0) == (counts[0] == 0)


def test_koopman_turned_round_is_the_other_ratio_s() -> None:
    lower, upper = koopman(7, 20, 11, 30)
    assert koopman(11, 30, 7, 20) == pytest.approx((1 / upper, 1 / lower))


@pytest.mark.parametrize(("first", "second"), [(0.02, 0.3), (0.9, 0.9), (0.5, 0.2)])
def test_koopman_covers_at_every_outcome_weighed_by_its_chance(first: float, second: float) -> None:
    inside = told = 0.0
    for k1, chance in enumerate(binomtest_weights(15, first)):
        for k2, other in enumerate(binomtest_weights(15, second)):
            if k2 and chance * other > 1e-6:
                lower, upper = koopman(k1, 15, k2, 15)
                told += chance * other
                inside += chance * other * (lower <= first / second <= upper)
    assert 0.93 < inside / told < 0.99


def test_no_one_is_no_proportion_and_one_person_spans_most_of_it() -> None:
    nobody, one, five = proportion(0, 0, of="people"), proportion(1, 1), proportion(0, 5)
    assert (nobody.known, nobody.warnings) == (False, ("no people yet",))
    assert one.upper - one.lower > 0.75
    assert five.upper > 0.4


def test_p_values_are_fisher_s_for_few_and_the_z_test_s_for_many() -> None:
    assert two_sample_p_value(3, 8, 10, 500) == pytest.approx(fisher_exact([[3, 5], [10, 490]])[1])
    pooled = 250 / 1000
    z = (0.3 - 0.2) / math.sqrt(pooled * (1 - pooled) * (2 / 500))
    assert two_sample_p_value(150, 500, 100, 500) == pytest.approx(2 * norm.sf(z))
    assert two_sample_p_value(0, 0, 3, 5) == 1.0


def test_holm_steps_down() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]).tolist() == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_never_makes_a_finding_surer_and_keeps_the_order(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    assert (adjusted >= np.array(p_values)).all()
    assert (adjusted <= 1).all()
    assert (np.diff(adjusted[np.argsort(p_values, kind="stable")]) >= 0).all()


@pytest.mark.parametrize("confidence", [0, 1, 1.5])
def test_a_confidence_outside_0_and_1_is_refused(confidence: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        z_of(confidence)


@given(st.integers(1, 500), st.floats(0.5, 0.999), st.data())
def test_clopper_pearson_is_scipy_s_and_holds_wilson_s_value(
    trials: int, confidence: float, data: st.DataObject
) -> None:
    successes = data.draw(st.integers(0, trials))
    expected = binomtest(successes, trials).proportion_ci(confidence, method="exact")
    found = clopper_pearson(successes, trials, confidence)
    assert found == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_clopper_pearson_covers_however_few_there_are() -> None:
    for trials in (1, 5, 20):
        for rate in np.linspace(0.01, 0.99, 25):
            hits = np.arange(trials + 1)
            lower, upper = clopper_pearson(hits, np.full(trials + 1, trials))
            chance = binomtest_weights(trials, float(rate))
            assert chance[(lower <= rate) & (rate <= upper)].sum() >= 0.95


def binomtest_weights(trials: int, rate: float) -> np.ndarray:
    return np.array([math.comb(trials, k) * rate**k * (1 - rate) ** (trials - k) for k in range(trials + 1)])


def test_nobody_has_no_exact_interval_and_no_confidence_is_refused() -> None:
    assert np.isnan(clopper_pearson(0, 0)).all()
    assert clopper_pearson(0, 1) == (0.0, pytest.approx(0.975))
    assert clopper_pearson(0, 5)[1] == pytest.approx(0.5218, abs=1e-4)
    with pytest.raises(ValueError, match="confidence"):
        clopper_pearson(1, 2, 1.0)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_benjamini_hochberg_is_scipy_s_and_never_above_holm_s(p_values: list[float]) -> None:
    found = benjamini_hochberg(p_values)
    assert found == pytest.approx(false_discovery_control(p_values, method="bh"))
    assert (found <= holm(p_values) + 1e-12).all()


def test_looking_at_nothing_needs_no_correction() -> None:
    assert benjamini_hochberg([]).tolist() == []
    assert benjamini_hochberg([0.03]).tolist() == [0.03]


def test_an_auc_s_interval_covers_and_stays_inside_zero_and_one() -> None:
    rng = np.random.default_rng(1)
    truth = norm.cdf(2 / math.sqrt(2))
    inside = {5: 0, 40: 0}
    for size in inside:
        for _ in range(400):
            high, low = rng.normal(2, 1, size), rng.normal(0, 1, size)
            seen = (high[:, None] > low).mean()
            lower, upper = auc_bounds(seen, size, size)
            assert 0 <= lower <= seen <= upper <= 1
            inside[size] += lower <= truth <= upper
    assert all(370 <= hits <= 400 for hits in inside.values()), inside


def test_a_perfect_auc_of_two_people_claims_little() -> None:
    lower, upper = auc_bounds(1.0, 1, 1)
    assert (round(lower, 3), upper) == (0.207, 1.0)
    assert np.isnan(auc_bounds(0.5, 0, 3)).all()
    mirrored = auc_bounds(np.array([0.3, 0.7]), np.array([9, 9]), np.array([9, 9]))
    assert mirrored[0][0] == pytest.approx(1 - mirrored[1][1])


def test_difference_bounds_of_wilson_s_intervals_are_newcombe_s() -> None:
    expected = difference(56, 70, 48, 80)
    found = difference_bounds((56 / 70, *wilson(56, 70)), (48 / 80, *wilson(48, 80)))
    assert tuple(map(float, found)) == pytest.approx((expected.lower, expected.upper))
