import math

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, roc_auc_score
from sklearn.metrics import log_loss as sklearn_log_loss

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
