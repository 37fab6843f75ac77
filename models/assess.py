"""How good predictions of labels are, beside a trivial rule made from the training rows' labels.

Works on labels and predictions alone, whatever kind of model they come from: see `models.data.targets.Values`
for the labels and `TargetSpec.finish` for the predictions.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from models import metrics
from models.baseline import BaselineComparison, compare_rows, compare_statistic, compare_with_baseline
from models.metrics import Estimate
from models.recipe import BINARY, MULTICLASS, MULTILABEL, Assessment, Problem

Array = npt.NDArray[Any]

MOST_FREQUENT, LABEL_SHARES = "always the most frequent class", "each label always as most rows have it"
CLASS_SHARES, MEAN, MEDIAN = "always the classes' shares", "always the mean", "always the median"
# Averaging areas under curves over resamples is slow: the comparison looks at no more rows than these.
MACRO_AUC_ROWS = 2_000


def assess(
    problem: Problem, train_label: Array, label: Array, prediction: Array, warnings: tuple[str, ...] = ()
) -> Assessment:
    """Every metric of the problem's kind and the comparison by `problem.metric`.

    `label` and `prediction` are of the validation rows. Raises `ValueError` for a metric that is not of the
    kind.
    """
    if problem.kind == BINARY:
        comparison = compare_with_baseline(train_label, label, prediction, problem.metric, problem.threshold)
        return Assessment(
            measure(problem, label, prediction), comparison, score=prediction, warnings=warnings
        )
    if problem.kind == MULTICLASS:
        comparison = _compare_classes(problem, train_label, label, prediction)
        quality, name = (prediction.argmax(1) == label).astype(float), "accuracy"
    elif problem.kind == MULTILABEL:
        comparison = _compare_labels(problem, train_label, label, prediction)
        quality, name = ((prediction >= problem.threshold) == (label > 0.5)).mean(1), "accuracy"
    else:
        comparison = _compare_numbers(problem, train_label, label, _matrix(prediction))
        quality, name = np.abs(_matrix(prediction) - label).mean(1), "absolute_error"
    return Assessment(
        measure(problem, label, prediction),
        comparison,
        row_quality=quality.astype(np.float64),
        row_quality_name=name,
        warnings=warnings,
    )


def measure(problem: Problem, label: Array, prediction: Array) -> dict[str, Estimate]:
    """Every metric of the problem's kind, by name."""
    if problem.kind == BINARY:
        return {
            "auc": metrics.auc(label, prediction),
            "accuracy": metrics.accuracy(label, prediction, problem.threshold),
            "brier": metrics.brier(label, prediction),
            "log_loss": metrics.log_loss(label, prediction),
        }
    if problem.kind == MULTICLASS:
        return {
            "accuracy": metrics.multiclass_accuracy(label, prediction),
            "macro_f1": metrics.macro_f1(label, prediction),
            "cross_entropy": metrics.cross_entropy(label, prediction),
        }
    if problem.kind == MULTILABEL:
        return {
            "micro_f1": metrics.micro_f1(label, prediction, problem.threshold),
            "macro_auc": metrics.macro_auc(label, prediction),
        }
    numbers = _matrix(prediction)
    return {
        "rmse": metrics.rmse(label, numbers),
        "mae": metrics.mae(label, numbers),
        "r2": metrics.r2(label, numbers),
        "mse": metrics.mse(label, numbers),
    }


def quick_metrics(problem: Problem, label: Array, prediction: Array) -> dict[str, float]:
    """A few metrics without intervals, cheap enough for every epoch; what is not known is left out."""
    if not len(label):
        return {}
    if problem.kind == BINARY:
        found = {
            "auc": metrics.auc(label, prediction).value,
            "accuracy": float(np.mean((prediction >= problem.threshold) == (label > 0.5))),
        }
    elif problem.kind == MULTICLASS:
        found = {"accuracy": float(np.mean(prediction.argmax(1) == label))}
    elif problem.kind == MULTILABEL:
        found = {"accuracy": float(np.mean((prediction >= problem.threshold) == (label > 0.5)))}
    else:
        errors = _matrix(prediction) - label
        found = {"rmse": math.sqrt(float(np.mean(errors**2))), "mae": float(np.mean(np.abs(errors)))}
    return {name: value for name, value in found.items() if not math.isnan(value)}


def row_losses(problem: Problem, label: Array, prediction: Array) -> npt.NDArray[np.float64]:
    """Each row's loss, `(N,)`: negative log likelihood in nats, of regression the squared error."""
    if problem.kind == MULTICLASS:
        return metrics.cross_entropy_rows(label, prediction)
    if problem.kind in (BINARY, MULTILABEL):
        chance = np.clip(np.asarray(prediction, float), 1e-7, 1 - 1e-7)
        losses = -np.where(np.asarray(label) > 0.5, np.log(chance), np.log1p(-chance))
        return losses if losses.ndim == 1 else np.asarray(losses.mean(1))
    return np.asarray(((_matrix(prediction) - label) ** 2).mean(1), np.float64)


def _compare_classes(problem: Problem, train: Array, label: Array, prediction: Array) -> BaselineComparison:
    shares = np.bincount(train, minlength=prediction.shape[1]) / len(train)
    majority = int(shares.argmax())
    if problem.metric == "accuracy":
        right = (prediction.argmax(1) == label).astype(float)
        return compare_rows(MOST_FREQUENT, "accuracy", right, (label == majority).astype(float))
    if problem.metric == "cross_entropy":
        rule = np.broadcast_to(shares, prediction.shape)
        rows = (metrics.cross_entropy_rows(label, one) for one in (prediction, rule))
        return compare_rows(CLASS_SHARES, "cross_entropy", *rows)
    if problem.metric == "macro_f1":
        said = (prediction.argmax(1), np.full(len(label), majority))
        rows_of_both = (np.stack([label, one], 1) for one in said)
        return compare_statistic(MOST_FREQUENT, "macro_f1", _macro_f1, *rows_of_both)
    raise _no_metric(problem)


def _compare_labels(problem: Problem, train: Array, label: Array, prediction: Array) -> BaselineComparison:
    shares = np.broadcast_to(train.mean(0), label.shape)
    if problem.metric == "micro_f1":
        given = (prediction >= problem.threshold, shares >= 0.5)
        rows = (np.stack([(label > 0.5) & one, (label > 0.5) | one], 2).astype(float) for one in given)
        return compare_statistic(LABEL_SHARES, "micro_f1", _micro_f1, *rows)
    if problem.metric == "macro_auc":
        kept = slice(None, None, -(-len(label) // MACRO_AUC_ROWS) or 1)
        rows = (np.stack([label, one], 2)[kept] for one in (prediction, shares))
        return compare_statistic(CLASS_SHARES, "macro_auc", _macro_auc, *rows)
    raise _no_metric(problem)


def _compare_numbers(problem: Problem, train: Array, label: Array, prediction: Array) -> BaselineComparison:
    if problem.metric == "mae":
        rule = np.abs(np.median(train, axis=0) - label).mean(1)
        return compare_rows(MEDIAN, "mae", np.abs(prediction - label).mean(1), rule)
    constant = np.broadcast_to(train.mean(0), label.shape)
    squared = [((one - label) ** 2).mean(1) for one in (prediction, constant)]
    if problem.metric == "mse":
        return compare_rows(MEAN, "mse", *squared)
    if problem.metric == "rmse":
        return compare_statistic(MEAN, "rmse", _root_of_mean, *squared)
    if problem.metric == "r2":
        rows = (np.stack([label, one], 2) for one in (prediction, constant))
        return compare_statistic(MEAN, "r2", _r2, *rows)
    raise _no_metric(problem)


def _macro_f1(rows: Array) -> float:
    return metrics.macro_f1_of(rows.astype(np.int64))


def _micro_f1(rows: Array) -> float:
    """Of `(N, L, 2)`: whether a label is there and given, and whether it is either."""
    both, either = rows.sum((0, 1))
    return 2 * float(both) / float(both + either) if either else math.nan


def _macro_auc(rows: Array) -> float:
    """Of `(N, L, 2)`: labels and probabilities."""
    from scipy.stats import rankdata

    label = rows[..., 0] > 0.5
    positives = label.sum(0)
    negatives = len(label) - positives
    known = (positives > 0) & (negatives > 0)
    if not known.any():
        return math.nan
    ranks = (rankdata(rows[..., 1], axis=0) * label).sum(0)[known]
    positives, negatives = positives[known], negatives[known]
    return float(np.mean((ranks - positives * (positives + 1) / 2) / (positives * negatives)))


def _root_of_mean(rows: Array) -> float:
    return math.sqrt(float(rows.mean()))


def _r2(rows: Array) -> float:
    """Of `(N, K, 2)`: actual and predicted."""
    actual, predicted = rows[..., 0], rows[..., 1]
    spread = float(((actual - actual.mean(0)) ** 2).sum())
    return 1 - float(((actual - predicted) ** 2).sum()) / spread if spread > 0 else math.nan


def _matrix(prediction: Array) -> npt.NDArray[np.float64]:
    return np.asarray(prediction, np.float64).reshape(len(prediction), -1)


def _no_metric(problem: Problem) -> ValueError:
    return ValueError(f"metric is {problem.metric!r}, which is none of a {problem.kind} problem")
