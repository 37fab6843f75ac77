import math

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, f1_score, jaccard_score, r2_score, roc_auc_score
from sklearn.metrics import log_loss as sklearn_log_loss

from models import metrics
from models.metrics import accuracy, auc, brier, log_loss


def scores(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    label = (random.random(count) < 0.4).astype(float)
    return label, np.clip(0.3 * label + random.random(count) * 0.7, 0, 1).round(2)


def test_values_equal_those_of_scikit_learn_also_with_ties() -> None:
    label, score = scores(2_000, 1)
    assert auc(label, score).value == pytest.approx(roc_auc_score(label, score), abs=1e-12)
    assert brier(label, score).value == pytest.approx(brier_score_loss(label, score), abs=1e-12)
    clipped = np.clip(score, 1e-7, 1 - 1e-7)
    assert log_loss(label, score).value == pytest.approx(sklearn_log_loss(label, clipped), abs=1e-12)


def test_wilsons_interval_is_that_of_newcombe() -> None:
    """Newcombe, Statistics in Medicine 1998, table I: 81 of 263 gives 0.2553 to 0.3662."""
    label = np.ones(263)
    score = np.r_[np.ones(81), np.zeros(182)]
    found = accuracy(label, score)
    assert (round(found.lower, 4), round(found.upper, 4)) == (0.2553, 0.3662)


def test_delongs_interval_covers_the_truth_as_often_as_it_says() -> None:
    """Two normals one standard deviation apart: the AUC is the normal distribution's value at 1/sqrt 2."""
    truth = 0.5 * (1 + math.erf(0.5))
    random = np.random.default_rng(3)
    label = np.r_[np.ones(60), np.zeros(90)]
    hits = 0
    for _ in range(600):
        found = auc(label, random.normal(label, 1))
        hits += found.lower <= truth <= found.upper
    assert 0.92 <= hits / 600 <= 0.975


def test_extremes() -> None:
    label = np.array([0, 0, 1, 1])
    assert auc(label, [0.1, 0.2, 0.8, 0.9]).value == 1
    assert auc(label, [0.9, 0.8, 0.2, 0.1]).value == 0
    assert auc(label, [0.5] * 4).value == 0.5
    assert brier(label, label).value == 0
    assert brier(label, [0.5] * 4).value == 0.25
    assert log_loss(label, [0.5] * 4).value == pytest.approx(math.log(2))
    assert math.isfinite(log_loss(label, 1 - label).value)


@pytest.mark.parametrize("metric", [auc, accuracy, brier, log_loss])
def test_too_little_data_is_nan_with_a_warning(metric: object) -> None:
    found = metric([], [])  # type: ignore[operator]
    assert math.isnan(found.value)
    assert found.warnings


def test_one_class_has_no_auc_and_one_row_no_interval() -> None:
    assert "both classes" in auc([1, 1], [0.2, 0.4]).warnings[0]
    single = auc([1, 0, 0], [0.2, 0.4, 0.1])
    assert single.value == 0.5
    assert math.isnan(single.lower)


def several_classes(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    label = random.integers(0, 4, count)
    probability = random.random((count, 4))
    probability[np.arange(count), label] += 0.4
    return label, probability / probability.sum(1, keepdims=True)


def test_values_of_several_classes_equal_those_of_scikit_learn() -> None:
    label, probability = several_classes(900, 4)
    predicted = probability.argmax(1)
    assert metrics.multiclass_accuracy(label, probability).value == pytest.approx((label == predicted).mean())
    assert metrics.macro_f1(label, probability).value == pytest.approx(
        f1_score(label, predicted, average="macro")
    )
    assert metrics.cross_entropy(label, probability).value == pytest.approx(
        sklearn_log_loss(label, probability)
    )


def test_values_of_several_labels_equal_those_of_scikit_learn() -> None:
    random = np.random.default_rng(5)
    label = random.random((400, 3)) < 0.3
    probability = np.clip(label * 0.3 + random.random((400, 3)) * 0.7, 0, 1)
    assert metrics.micro_f1(label, probability, 0.4).value == pytest.approx(
        f1_score(label, probability >= 0.4, average="micro")
    )
    assert metrics.macro_auc(label, probability).value == pytest.approx(
        roc_auc_score(label, probability, average="macro")
    )


def test_values_of_numbers_equal_those_of_scikit_learn() -> None:
    random = np.random.default_rng(6)
    actual = random.normal(size=(300, 2))
    predicted = actual + random.normal(size=(300, 2)) * 0.5
    squared = float(((actual - predicted) ** 2).mean())
    assert metrics.mse(actual, predicted).value == pytest.approx(squared)
    assert metrics.rmse(actual, predicted).value == pytest.approx(math.sqrt(squared))
    assert metrics.mae(actual[:, 0], predicted[:, 0]).value == pytest.approx(
        np.abs(actual - predicted)[:, 0].mean()
    )
    assert metrics.r2(actual[:, 0], predicted[:, 0]).value == pytest.approx(
        r2_score(actual[:, 0], predicted[:, 0])
    )


def test_intersection_over_union_equals_scikit_learns() -> None:
    random = np.random.default_rng(7)
    true, predicted = random.integers(0, 3, (5, 64)), random.integers(0, 3, (5, 64))
    tables = np.stack(
        [np.bincount(t * 3 + p, minlength=9).reshape(3, 3) for t, p in zip(true, predicted, strict=True)]
    )
    found = metrics.mean_iou(tables)
    expected = jaccard_score(true.ravel(), predicted.ravel(), average="macro")
    assert found.value == pytest.approx(expected)
    assert found.lower < found.value < found.upper


def test_perplexity_is_the_number_of_equally_likely_tokens() -> None:
    found = metrics.perplexity(np.full(50, math.log(32)))
    assert found.value == pytest.approx(32)


def test_a_bootstrap_interval_covers_the_truth_as_often_as_it_says() -> None:
    random = np.random.default_rng(8)
    hits = 0
    for _ in range(200):
        rows = random.normal(1.0, 1.0, 80)
        found = metrics.bootstrap_estimate(lambda drawn: float(drawn.mean()), rows)
        hits += found.lower <= 1.0 <= found.upper
    assert 180 <= hits <= 199


@pytest.mark.parametrize(
    "found",
    [
        metrics.multiclass_accuracy([], np.empty((0, 3))),
        metrics.macro_f1([], np.empty((0, 3))),
        metrics.cross_entropy([], np.empty((0, 3))),
        metrics.micro_f1(np.empty((0, 2)), np.empty((0, 2))),
        metrics.macro_auc(np.ones((3, 2)), np.ones((3, 2))),
        metrics.mse([], []),
        metrics.rmse([], []),
        metrics.r2([1.0], [1.0]),
        metrics.r2([2.0, 2.0], [1.0, 3.0]),
        metrics.mean_iou(np.empty((0, 2, 2))),
        metrics.perplexity([]),
    ],
)
def test_too_little_data_gives_no_number_and_says_why(found: metrics.Estimate) -> None:
    assert math.isnan(found.value)
    assert found.warnings
