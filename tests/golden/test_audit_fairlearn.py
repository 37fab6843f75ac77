"""Equal to fairlearn's `MetricFrame` where both define a measure, by group and by crossing, to 1e-12."""

import numpy as np
import pytest
from fairlearn import metrics
from sklearn.metrics import (
    accuracy_score,
    mean_absolute_error,
    mean_squared_error,
    ndcg_score,
    precision_score,
    roc_auc_score,
)

from audit.fairness.errors import group_errors
from audit.fairness.rankings import group_ndcg
from audit.fairness.rates import crossed_rates, group_rates
from audit.fairness.scores import group_auc

GROUPS = 6
RATES = {
    "selection_rate": metrics.selection_rate,
    "accuracy": accuracy_score,
    "true_positive_rate": metrics.true_positive_rate,
    "false_positive_rate": metrics.false_positive_rate,
    "false_negative_rate": metrics.false_negative_rate,
    "true_negative_rate": metrics.true_negative_rate,
    "positive_predictive_value": precision_score,
    "base_rate": lambda label, _: label.mean(),
}


@pytest.fixture(scope="module")
def people() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    first, second = rng.integers(0, GROUPS, 6_000), rng.integers(0, 2, 6_000)
    score = rng.integers(0, 40, 6_000) / 40
    return {
        "first": first,
        "second": second,
        "score": score,
        "positive": score >= 0.5,
        "label": rng.random(6_000) < 0.2 + 0.5 * score,
        "true": 1e6 + rng.normal(size=6_000),
        "predicted": 1e6 + first + rng.normal(size=6_000),
    }


def by_group(function: object, true: np.ndarray, given: np.ndarray, *groups: np.ndarray) -> np.ndarray:
    features = {f"attribute_{i}": group for i, group in enumerate(groups)}
    frame = metrics.MetricFrame(metrics=function, y_true=true, y_pred=given, sensitive_features=features)
    return frame.by_group.to_numpy(float)


@pytest.mark.parametrize("rate", RATES)
def test_rates(people: dict[str, np.ndarray], rate: str) -> None:
    first, second, positive, label = (people[name] for name in ("first", "second", "positive", "label"))
    found = group_rates(first, positive, label, GROUPS).rate(rate)[0]
    assert found == pytest.approx(by_group(RATES[rate], label, positive, first), abs=1e-12)
    crossed = crossed_rates({"first": (first, GROUPS), "second": (second, 2)}, positive, label)
    found = crossed["first", "second"].rate(rate)[0]
    assert found == pytest.approx(by_group(RATES[rate], label, positive, first, second), abs=1e-12)


def test_rates_that_are_what_others_leave(people: dict[str, np.ndarray]) -> None:
    found = group_rates(people["first"], people["positive"], people["label"], GROUPS)
    for rate, other in (
        ("false_discovery_rate", "positive_predictive_value"),
        ("false_omission_rate", "negative_predictive_value"),
        ("false_negative_rate", "true_positive_rate"),
        ("false_positive_rate", "true_negative_rate"),
    ):
        assert found.rate(rate)[0] == pytest.approx(1 - found.rate(other)[0], abs=1e-12)
    expected = by_group(
        lambda label, positive: precision_score(~label, ~positive),
        people["label"],
        people["positive"],
        people["first"],
    )
    assert found.rate("negative_predictive_value")[0] == pytest.approx(expected, abs=1e-12)


def test_auc(people: dict[str, np.ndarray]) -> None:
    found = group_auc(people["first"], people["score"], people["label"], GROUPS)
    expected = by_group(roc_auc_score, people["label"], people["score"], people["first"])
    assert found.value == pytest.approx(expected, abs=1e-12)


def test_errors_of_large_numbers(people: dict[str, np.ndarray]) -> None:
    true, predicted, first = people["true"], people["predicted"], people["first"]
    found = group_errors(first, predicted, true, GROUPS)
    sizes = by_group(mean_absolute_error, true, predicted, first)
    squares = by_group(mean_squared_error, true, predicted, first)
    assert found.mean_absolute_error.value == pytest.approx(sizes, abs=1e-12)
    assert found.root_mean_squared_error.value == pytest.approx(np.sqrt(squares), abs=1e-12)
    assert found.mean_error.value == pytest.approx(np.arange(GROUPS), abs=0.2)


@pytest.mark.parametrize("cutoff", [None, 3])
def test_ndcg_is_scikit_learn_s_ties_and_all(cutoff: int | None) -> None:
    rng = np.random.default_rng(2)
    score, relevance = rng.integers(0, 5, (200, 12)) / 4, rng.integers(0, 4, (200, 12)).astype(float)
    group_of_query = rng.integers(0, 3, 200)
    shuffled = rng.permutation(200 * 12)
    query = np.repeat(np.arange(200), 12)[shuffled]
    found = group_ndcg(
        query, score.ravel()[shuffled], relevance.ravel()[shuffled], group_of_query, 3, cutoff=cutoff
    )
    for group in range(3):
        own = group_of_query == group
        expected = ndcg_score(relevance[own], score[own], k=cutoff)
        assert found.value[group] == pytest.approx(expected, abs=1e-12)
        assert found.count[group] == own.sum()
