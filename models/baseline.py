"""A baseline first: does the model beat a trivial rule, and by how much?

For one of two classes the rule is always to say the class that is most common among the training rows; as a
score, always their share of positives. Other kinds of model bring a rule of their own, compared row by row
(`compare_rows`) or by a statistic of all rows (`compare_statistic`).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from models.metrics import (
    CONFIDENCE,
    MAX_BOOTSTRAP_ROWS,
    METRICS,
    RESAMPLES,
    Estimate,
    accuracy,
    auc,
    bootstrap_estimate,
    mean_estimate,
    unknown,
)

RULE = "always the majority class"


@dataclass(frozen=True)
class BaselineComparison:
    """Model and rule on the same validation rows; `difference` is model minus rule, `better` when its
    interval lies wholly on the better side of 0: above it, or below where less is better.
    """

    rule: str
    metric: str
    baseline: Estimate
    model: Estimate
    difference: Estimate
    better: bool
    statement: str


def compare_with_baseline(
    train_label: npt.ArrayLike,
    valid_label: npt.ArrayLike,
    valid_score: npt.ArrayLike,
    metric: str,
    threshold: float = 0.5,
) -> BaselineComparison:
    """Compares by `metric`, "auc" or "accuracy". With one class in validation, or no rows, nothing is better.

    The accuracy's difference is paired: both judge the same rows. The rule's AUC is 0.5 by its nature.
    """
    label = np.asarray(valid_label, float)
    share = float(np.mean(np.asarray(train_label, float))) if len(np.asarray(train_label)) else 0.5
    if metric == "auc":
        model = auc(label, valid_score)
        baseline = Estimate(0.5 if not math.isnan(model.value) else math.nan, 0.5, 0.5, count=model.count)
        difference = Estimate(
            model.value - 0.5,
            model.lower - 0.5,
            model.upper - 0.5,
            count=model.count,
            warnings=model.warnings,
        )
    elif metric == "accuracy":
        constant = np.full(len(label), 1.0 if share >= 0.5 else 0.0)
        model, baseline = accuracy(label, valid_score, threshold), accuracy(label, constant)
        right = ((np.asarray(valid_score) >= threshold) == (label > 0.5)).astype(float)
        difference = mean_estimate(right - ((constant > 0.5) == (label > 0.5)))
    else:
        raise ValueError(f"metric is {metric!r}; must be auc or accuracy")
    better = difference.lower > 0
    return BaselineComparison(
        RULE, metric, baseline, model, difference, better, _statement(metric, model, difference, better)
    )


def compare_rows(
    rule: str, metric: str, model_rows: npt.ArrayLike, baseline_rows: npt.ArrayLike
) -> BaselineComparison:
    """Compares by a metric that is a mean over rows (accuracy, mse, mae, cross_entropy): each row's value for
    the model and for the rule, `(N,)` both, paired. `rule` says the rule in words ("always the mean"). With
    no rows, nothing is better.
    """
    model, baseline = np.asarray(model_rows, float), np.asarray(baseline_rows, float)
    return _compared(
        rule, metric, mean_estimate(baseline), mean_estimate(model), mean_estimate(model - baseline)
    )


def compare_statistic(
    rule: str,
    metric: str,
    statistic: Callable[[npt.NDArray[Any]], float],
    model_rows: npt.NDArray[Any],
    baseline_rows: npt.NDArray[Any],
    *,
    seed: int = 0,
) -> BaselineComparison:
    """Compares by `statistic` of all rows `(N, ...)` (rmse, macro_f1, mean_iou, r2), with a paired bootstrap:
    model and rule are judged on the same resampled rows. With fewer than two rows, nothing is better.
    """
    count = len(model_rows)
    if count < 2:
        nothing = unknown("fewer than two rows", count)
        return _compared(rule, metric, nothing, nothing, nothing)
    generator = np.random.default_rng(seed)
    size = min(count, MAX_BOOTSTRAP_ROWS)
    draws = (generator.integers(0, count, size) for _ in range(RESAMPLES))
    apart = np.array([statistic(model_rows[draw]) - statistic(baseline_rows[draw]) for draw in draws])
    value = statistic(model_rows) - statistic(baseline_rows)
    lower, centre, upper = np.nanquantile(apart, [(1 - CONFIDENCE) / 2, 0.5, (1 + CONFIDENCE) / 2])
    narrowed = math.sqrt(size / count)
    difference = Estimate(
        value, value + (lower - centre) * narrowed, value + (upper - centre) * narrowed, count=count
    )
    model, baseline = (bootstrap_estimate(statistic, rows) for rows in (model_rows, baseline_rows))
    return _compared(rule, metric, baseline, model, difference)


def _compared(
    rule: str, metric: str, baseline: Estimate, model: Estimate, difference: Estimate
) -> BaselineComparison:
    if metric not in METRICS:
        raise ValueError(f"metric is {metric!r}; must be one of {', '.join(METRICS)}")
    better = difference.lower > 0 if METRICS[metric] else difference.upper < 0
    statement = _statement(metric, model, difference, better, rule)
    return BaselineComparison(rule, metric, baseline, model, difference, better, statement)


def _statement(metric: str, model: Estimate, difference: Estimate, better: bool, rule: str = RULE) -> str:
    name = {"auc": "AUC", "macro_auc": "macro AUC", "mse": "MSE", "rmse": "RMSE", "mae": "MAE"}.get(
        metric, metric.replace("_", " ")
    )
    if math.isnan(model.value):
        return f"Not better than baseline: {'; '.join(model.warnings)}."
    if math.isnan(difference.lower):
        return f"Not better than baseline: too few rows to say ({name} {model.value:.3f})."
    apart = f"{difference.value:+.3f} (95 % interval {difference.lower:+.3f} to {difference.upper:+.3f})"
    verdict = "better than" if better else "not better than"
    return f"{name} {model.value:.3f}, {verdict} {rule}: {apart}."
