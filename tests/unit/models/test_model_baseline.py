import math

import numpy as np
import pytest

from models.baseline import compare_rows, compare_statistic, compare_with_baseline
from models.metrics import macro_f1_of


def test_a_good_model_is_better_by_either_metric() -> None:
    random = np.random.default_rng(0)
    label = random.integers(0, 2, 1_000)
    score = np.clip(label * 0.5 + random.random(1_000) * 0.5, 0, 1)
    for metric in ("auc", "accuracy"):
        found = compare_with_baseline(label, label, score, metric)
        assert found.better
        assert found.difference.lower > 0
        assert "better than always the majority class" in found.statement


@pytest.mark.parametrize("metric", ["auc", "accuracy"])
def test_noise_is_not_better(metric: str) -> None:
    random = np.random.default_rng(1)
    label, score = random.integers(0, 2, 1_000), random.random(1_000)
    found = compare_with_baseline(label, label, score, metric)
    assert not found.better
    assert "not better than" in found.statement


def test_the_rule_itself_ties_with_itself() -> None:
    label = np.array([1, 1, 1, 0])
    found = compare_with_baseline(label, label, np.ones(4), "accuracy")
    assert found.baseline.value == found.model.value == 0.75
    assert found.difference.value == 0
    assert not found.better


def test_the_accuracys_difference_is_paired() -> None:
    """7 rows that the model alone has right and 1 that the rule alone has right, of 20: mean 0.3."""
    label = np.r_[np.ones(12), np.zeros(8)]
    score = np.r_[0.0, np.ones(11), np.zeros(7), 1.0]
    found = compare_with_baseline(label, label, score, "accuracy").difference
    apart = np.r_[-1.0, np.zeros(11), np.ones(7), 0.0]
    half = 1.959963984540054 * apart.std(ddof=1) / math.sqrt(20)
    assert (found.value, found.lower) == pytest.approx((0.3, 0.3 - half))


def test_one_class_or_no_rows_is_never_better() -> None:
    for label, score in (([1, 1], [0.9, 0.8]), ([], [])):
        found = compare_with_baseline([0, 1], label, score, "auc")
        assert not found.better
        assert math.isnan(found.model.value)
        assert found.statement.startswith("Not better than baseline: both classes")


def test_an_unknown_metric_is_named() -> None:
    with pytest.raises(ValueError, match="'f1'; must be auc or accuracy"):
        compare_with_baseline([0, 1], [0, 1], [0, 1], "f1")


def test_rows_are_compared_in_pairs_and_less_error_is_better():
    random = np.random.default_rng(1)
    rule = random.random(200) + 1
    found = compare_rows("always the mean", "mse", rule - 0.2, rule)
    assert found.better
    assert found.difference.value == pytest.approx(-0.2)
    assert found.statement.startswith("MSE ")
    assert "better than always the mean: -0.200" in found.statement
    assert not compare_rows("always the mean", "mse", rule + 0.2, rule).better
    assert not compare_rows("always the mean", "accuracy", rule - 0.2, rule).better


def test_a_statistic_is_compared_on_the_same_resampled_rows():
    random = np.random.default_rng(2)
    label = random.integers(0, 3, 300)
    right = np.stack([label, np.where(random.random(300) < 0.7, label, 0)], 1)
    found = compare_statistic(
        "the commonest class", "macro_f1", macro_f1_of, right, np.stack([label, label * 0], 1)
    )
    assert found.better
    assert found.difference.lower < found.difference.value < found.difference.upper


def test_with_too_few_rows_nothing_is_better():
    assert not compare_rows("the mean", "mse", [], []).better
    assert not compare_rows("the mean", "mse", [0.0], [1.0]).better
    one = np.array([[1, 1]])
    assert "fewer than two rows" in compare_statistic("a rule", "macro_f1", macro_f1_of, one, one).statement


def test_an_unknown_metric_is_refused():
    with pytest.raises(ValueError, match="must be one of auc"):
        compare_rows("the mean", "beauty", [1.0, 2.0], [1.0, 2.0])
