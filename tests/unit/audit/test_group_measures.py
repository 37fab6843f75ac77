"""AUC, calibration, errors and rankings by group: coverage, symmetry, and what 0, 1 and 5 people allow."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from audit.fairness.comparison import measure_gaps, rate_gaps
from audit.fairness.errors import group_errors
from audit.fairness.estimates import GroupEstimates, group_means
from audit.fairness.rankings import group_exposure, group_ndcg
from audit.fairness.rates import group_rates
from audit.fairness.scores import group_auc, group_calibration
from audit.intervals import benjamini_hochberg, clopper_pearson, difference, holm, ratio

FEW = np.repeat([1, 2], [1, 5])
"""Codes of three groups: of nobody, of one person, of five."""


def spans(found: GroupEstimates) -> list[float]:
    return (found.upper - found.lower).tolist()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 6), st.booleans()), max_size=60))
def test_auc_of_each_group_is_that_of_its_rows_alone(rows: list[tuple[int, int, bool]]) -> None:
    codes = np.array([row[0] for row in rows], np.int64)
    score, label = np.array([row[1] for row in rows], float), np.array([row[2] for row in rows], bool)
    found = group_auc(codes, score, label, 4)
    for group in range(4):
        own = codes == group
        both = len(set(label[own].tolist())) == 2
        expected = roc_auc_score(label[own], score[own]) if both else np.nan
        assert found.value[group] == pytest.approx(expected, nan_ok=True)
        assert np.isnan(found.lower[group]) != both


def test_auc_of_few_people_claims_little() -> None:
    found = group_auc(FEW, np.array([0.9, 0.1, 0.2, 0.3, 0.8, 0.9]), np.array([1, 0, 0, 0, 1, 1]), 3)
    assert np.isnan(found.value[:2]).all()
    assert (found.value[2], found.upper[2], found.lower[2] < 0.5) == (1.0, 1.0, True)
    assert not found.estimate(0).known
    assert found.estimate(2).warnings == ("only 5 people: too few to say",)


def test_calibration_by_group_finds_whose_scores_are_too_high() -> None:
    rng = np.random.default_rng(1)
    codes, score = rng.integers(0, 3, 6_000), rng.random(6_000)
    label = rng.random(6_000) < np.where(codes == 2, 0.8 * score, score)
    found = group_calibration(codes, score, label, 3)
    assert (found.gap.lower[:2] < 0).all()
    assert (found.gap.upper[:2] > 0).all()
    assert found.gap.lower[2] > 0.05
    assert found.gap.value == pytest.approx(found.mean_score - found.share)
    assert found.curve.count.sum() == 6_000
    top = found.curve.share[:, -1]
    assert top[2] == label[(codes == 2) & (score >= 0.9)].mean()
    assert found.curve.lower[2, -1] < top[2] < found.curve.upper[2, -1]


def test_calibration_s_interval_covers() -> None:
    rng = np.random.default_rng(2)
    inside = 0
    for _ in range(200):
        codes, score = np.repeat(np.arange(10), 50), rng.beta(1, 3, 500)
        found = group_calibration(codes, score, rng.random(500) < score, 10).gap
        inside += ((found.lower <= 0) & (found.upper >= 0)).sum()
    assert 1_900 <= inside <= 2_000


def test_calibration_of_few_people_claims_little_and_scores_are_checked() -> None:
    found = group_calibration(FEW, np.full(6, 0.99), np.ones(6, bool), 3)
    assert np.isnan(found.gap.value[0])
    assert spans(found.gap)[1] > 0.7
    assert spans(found.gap)[2] > 0.4
    with pytest.raises(ValueError, match="between 0 and 1"):
        group_calibration([0], [1.2], [True], 1)
    with pytest.raises(ValueError, match="lengths differ"):
        group_auc([0, 1], [0.2], [True], 2)


def test_means_cover_and_do_not_lose_digits_of_large_numbers() -> None:
    rng = np.random.default_rng(3)
    inside = np.zeros(2, np.int64)
    for _ in range(400):
        found = group_means(np.repeat([0, 1], [6, 60]), 1e9 + rng.normal(0, 1e-3, 66), 2)
        inside += (found.lower <= 1e9) & (found.upper >= 1e9)
    assert (inside >= 370).all()
    assert (inside <= 395).all()


def test_errors_of_few_people_have_no_interval_or_a_wide_one() -> None:
    predicted, true = np.array([1.0, 0, 1, 2, 3, 5]), np.zeros(6)
    found = group_errors(FEW, predicted, true, 3)
    for one in (found.mean_error, found.mean_absolute_error, found.root_mean_squared_error):
        assert np.isnan(one.value[0])
        assert one.value[1] == 1
        assert np.isnan(one.lower[:2]).all()
        assert spans(one)[2] > 1.5
    same = group_errors([0] * 5, [2.0] * 5, [1.0] * 5, 1)
    assert np.isnan(same.mean_error.lower[0])
    assert (same.mean_error.value[0], same.root_mean_squared_error.value[0]) == (1.0, 1.0)
    with pytest.raises(ValueError, match="lengths differ"):
        group_errors([0], [1.0, 2.0], [1.0], 1)


def test_a_list_in_the_best_order_is_one_and_lists_of_nothing_relevant_are_left_out() -> None:
    query, relevance = np.repeat([0, 1, 2], 3), np.array([3.0, 2, 0, 0, 0, 0, 1, 0, 0])
    score = np.array([0.9, 0.5, 0.1, 0.3, 0.2, 0.1, 0.1, 0.9, 0.5])
    found = group_ndcg(query, score, relevance, [0, 0, 1], 2)
    assert found.value == pytest.approx([1.0, 1 / np.log2(4)])
    assert found.count.tolist() == [1, 1]
    assert np.isnan(found.lower).all()
    nothing = group_ndcg([], [], [], [], 2)
    assert np.isnan(nothing.value).all()
    with pytest.raises(ValueError, match="0 or more"):
        group_ndcg([0], [0.1], [-1.0], [0], 1)


def ranking(lists: int, rng: np.random.Generator, unfair: float) -> tuple[np.ndarray, ...]:
    """Lists of 8 items, half of each group, equally relevant; those of group 1 score lower by `unfair`."""
    query, codes = np.repeat(np.arange(lists), 8), np.tile([0, 1], 4 * lists)
    relevance = rng.random(8 * lists)
    return query, relevance + rng.normal(0, 0.3, 8 * lists) - unfair * codes, relevance, codes


def test_exposure_is_what_each_group_deserves_or_not() -> None:
    rng = np.random.default_rng(4)
    inside = 0
    for _ in range(200):
        fair = group_exposure(*ranking(60, rng, 0.0), 2).ratio
        inside += (fair.lower[0] <= 1) & (fair.upper[0] >= 1)
    assert 180 <= inside <= 199
    unfair = group_exposure(*ranking(200, rng, 0.5), 2)
    assert unfair.ratio.upper[1] < 0.9
    assert unfair.ratio.lower[0] > 1.1
    assert unfair.exposure.sum() == pytest.approx(1)
    assert unfair.relevance.sum() == pytest.approx(1)


def test_exposure_beyond_a_cutoff_is_none() -> None:
    found = group_exposure([0, 0, 0], [3.0, 2.0, 1.0], [1.0, 1.0, 1.0], [0, 1, 1], 3, cutoff=1)
    assert found.exposure.tolist() == [1.0, 0.0, 0.0]
    assert found.ratio.value[:2] == pytest.approx([3.0, 0.0])
    assert np.isnan(found.ratio.value[2])
    assert np.isnan(found.ratio.lower).all()
    assert np.isnan(group_exposure([], [], [], [], 2).ratio.value).all()


def counted(seed: int, unfair: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    codes, label = rng.integers(0, 5, 3_000), rng.random(3_000) < 0.5
    wrong = rng.random(3_000) < np.where(codes == 3, 0.2 + unfair, 0.2)
    return codes, label ^ wrong, label


def test_rates_against_everyone_else_are_those_of_two_sides() -> None:
    codes, positive, label = counted(1, 0.15)
    found = rate_gaps(group_rates(codes, positive, label, 6), "accuracy")
    right, own = positive == label, codes == 3
    sides = int(right[own].sum()), int(own.sum()), int(right[~own].sum()), int((~own).sum())
    apart, over = difference(*sides), ratio(*sides)
    assert found.difference.estimate(3).lower == pytest.approx(apart.lower)
    assert found.difference.estimate(3).upper == pytest.approx(apart.upper)
    assert found.ratio is not None
    assert (found.ratio.value[3], found.ratio.upper[3]) == pytest.approx((over.value, over.upper))
    assert found.significant[3]
    assert found.difference.upper[3] < -0.05
    assert found.adjusted_p_value[:5] == pytest.approx(holm(found.p_value[:5]))
    assert found.suppressed.tolist() == [False] * 5 + [True]
    assert (found.p_value[5], found.adjusted_p_value[5]) == (1.0, 1.0)
    assert np.isnan(found.difference.value[5])


def test_the_correction_and_the_interval_are_the_caller_s() -> None:
    rates = group_rates(*counted(2, 0.1), 5)
    found = rate_gaps(rates, "false_positive_rate", correct=benjamini_hochberg, interval=clopper_pearson)
    usual = rate_gaps(rates, "false_positive_rate")
    assert found.adjusted_p_value == pytest.approx(benjamini_hochberg(found.p_value))
    assert (found.adjusted_p_value <= usual.adjusted_p_value).all()
    assert (found.group.upper > usual.group.upper).all()
    assert (found.difference.lower < usual.difference.lower).all()


def test_nobody_one_and_five_people_are_not_rated_and_told_how_many_would_do() -> None:
    codes = np.concatenate([FEW, np.full(3_000, 3)])
    right = np.concatenate([np.zeros(6, bool), np.arange(3_000) % 4 > 0])
    rates = group_rates(codes, right, np.ones(3_006, bool), 4)
    found = rate_gaps(rates, "accuracy")
    assert found.suppressed.tolist() == [True, True, True, False]
    assert not found.significant[:3].any()
    assert found.rows_needed[0] == found.rows_needed[1] == 156
    assert found.rows_needed[3] is None
    assert found.group.upper[1] > 0.7


def test_any_measure_is_compared_with_everyone_else_s() -> None:
    rng = np.random.default_rng(5)
    codes, label = rng.integers(0, 4, 4_000), rng.random(4_000) < 0.5
    score = rng.normal(np.where(codes == 2, 0.2, 1.0) * label, 1)
    found = measure_gaps(lambda groups, count: group_auc(groups, score, label, count), codes, 5)
    assert found.significant[2]
    assert found.difference.value[2] < -0.1
    assert found.rest.value[2] == pytest.approx(roc_auc_score(label[codes != 2], score[codes != 2]))
    assert (found.suppressed[4], found.p_value[4], found.ratio) == (True, 1.0, None)


def test_measures_that_do_not_differ_are_hardly_ever_said_to() -> None:
    rng = np.random.default_rng(6)
    alarms = 0
    for _ in range(200):
        codes, label, score = rng.integers(0, 4, 600), rng.random(600) < 0.5, rng.random(600)
        found = measure_gaps(lambda groups, count, s=score, y=label: group_auc(groups, s, y, count), codes, 4)
        alarms += found.significant.any()
    assert alarms <= 16
