import numpy as np
import pytest

from models.assess import assess, quick_metrics, row_losses
from models.metrics import METRICS
from models.recipe import BINARY, MULTICLASS, MULTILABEL, REGRESSION, Problem, Target


def problem(kind: str, metric: str) -> Problem:
    return Problem(kind, (), Target(("y",), classes=("a", "b", "c")), metric)


def classes(count: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """Labels of which half are class 0, and probabilities that are right four times in five."""
    random = np.random.default_rng(0)
    label = random.choice(3, count, p=[0.5, 0.3, 0.2])
    said = np.where(random.random(count) < 0.8, label, (label + 1) % 3)
    return label, np.where(said[:, None] == np.arange(3), 0.8, 0.1)


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1", "cross_entropy"])
def test_classes_are_compared_with_the_most_frequent_one(metric: str) -> None:
    label, probability = classes()
    found = assess(problem(MULTICLASS, metric), label, label, probability)
    assert found.comparison.better, found.comparison.statement
    assert found.comparison.model.value == pytest.approx(found.metrics[metric].value)
    assert found.metrics["accuracy"].value == pytest.approx(0.8, abs=0.05)
    assert found.row_quality is not None
    assert found.row_quality.mean() == found.metrics["accuracy"].value


def test_saying_the_most_frequent_class_is_not_better_than_saying_it() -> None:
    label, _ = classes()
    always = np.tile([0.8, 0.1, 0.1], (len(label), 1))
    found = assess(problem(MULTICLASS, "accuracy"), label, label, always).comparison
    assert not found.better
    assert found.difference.value == 0


@pytest.mark.parametrize("metric", ["micro_f1", "macro_auc"])
def test_several_labels_are_compared_label_by_label(metric: str) -> None:
    random = np.random.default_rng(0)
    label = (random.random((400, 3)) < [0.6, 0.3, 0.1]).astype(np.float32)
    probability = np.clip(0.6 * label + random.random((400, 3)) * 0.45, 0, 1).astype(np.float32)
    found = assess(problem(MULTILABEL, metric), label, label, probability)
    assert found.comparison.better
    assert found.comparison.model.value == pytest.approx(found.metrics[metric].value)
    if metric == "macro_auc":
        assert found.comparison.baseline.value == pytest.approx(0.5)


@pytest.mark.parametrize("metric", ["mse", "rmse", "mae", "r2"])
def test_numbers_are_compared_with_the_mean_or_the_median(metric: str) -> None:
    random = np.random.default_rng(0)
    actual = random.exponential(size=(500, 1))
    predicted = (actual[:, 0] + random.normal(0, 0.1, 500)).astype(np.float32)
    found = assess(problem(REGRESSION, metric), actual, actual, predicted)
    rule = np.median(actual) if metric == "mae" else actual.mean()
    worst = {
        "mse": np.mean((actual - rule) ** 2),
        "rmse": actual.std(),
        "mae": np.abs(actual - rule).mean(),
        "r2": 0.0,
    }
    assert found.comparison.better
    assert found.comparison.baseline.value == pytest.approx(worst[metric], abs=1e-9)
    assert found.comparison.model.value == pytest.approx(found.metrics[metric].value, rel=1e-6)
    assert found.row_quality_name == "absolute_error"
    assert (found.comparison.difference.value > 0) == METRICS[metric]


def test_a_metric_of_another_kind_is_refused() -> None:
    label, probability = classes()
    numbers = label[:, None] * 1.0
    cases = ((MULTICLASS, "rmse", label), (REGRESSION, "accuracy", numbers), (MULTILABEL, "mse", numbers))
    for kind, metric, labels in cases:
        with pytest.raises(ValueError, match=f"{metric!r}, which is none of a {kind} problem"):
            assess(problem(kind, metric), labels, labels, probability)


def test_losses_of_rows_and_metrics_of_no_rows() -> None:
    half = np.array([0.5, 0.5])
    assert row_losses(problem(BINARY, "auc"), np.array([1, 0]), half) == pytest.approx(np.log(2))
    assert row_losses(problem(REGRESSION, "mse"), np.array([[1.0, 3.0]]), np.array([[1.0, 1.0]])) == [2.0]
    assert quick_metrics(problem(BINARY, "auc"), np.empty(0), np.empty(0)) == {}
    assert "auc" not in quick_metrics(problem(BINARY, "auc"), np.ones(2), half)
