"""How good predictions are, each number with an interval.

Of one of two classes: `label` is 0 or 1 and `score` from 0 to 1, both `(N,)`. Of several classes: `label` int
`(N,)` and `probability` `(N, C)`. Of several labels: `label` bool `(N, L)` and `probability` `(N, L)`. Of
numbers: `actual` and `predicted`, both `(N,)` or `(N, K)`. With too little data the value is NaN and a
warning says what is lacking. Sources: DeLong and others, "Comparing the areas under two or more correlated
ROC curves", Biometrics 1988, in the rank form of Sun and Xu 2014; Wilson 1927; Efron 1979 (percentile
bootstrap).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

CONFIDENCE = 0.95
Z = 1.959963984540054
RESAMPLES = 500
MAX_BOOTSTRAP_ROWS = 20_000

METRICS: dict[str, bool] = {
    "auc": True,
    "accuracy": True,
    "macro_f1": True,
    "macro_auc": True,
    "micro_f1": True,
    "mean_iou": True,
    "r2": True,
    "brier": False,
    "log_loss": False,
    "cross_entropy": False,
    "mse": False,
    "rmse": False,
    "mae": False,
    "perplexity": False,
}
"""Every metric that versions can be compared by, and whether higher is better."""


@dataclass(frozen=True)
class Estimate:
    """`value` with an interval of coverage `confidence`, from `count` rows; NaN where there is too little
    data.
    """

    value: float
    lower: float = math.nan
    upper: float = math.nan
    confidence: float = CONFIDENCE
    count: int = 0
    warnings: tuple[str, ...] = ()


def unknown(reason: str, count: int) -> Estimate:
    """No number, and why."""
    return Estimate(math.nan, count=count, warnings=(reason,))


def mean_estimate(values: npt.ArrayLike, *, low: float = -math.inf, high: float = math.inf) -> Estimate:
    """Mean with its normal interval, kept within `low` and `high`. Unknown at n = 0, no interval at n = 1."""
    x = np.asarray(values, float)
    if not len(x):
        return unknown("no rows", 0)
    mean = float(x.mean())
    if len(x) == 1:
        return Estimate(mean, count=1, warnings=("a single row: no interval",))
    half = Z * float(x.std(ddof=1)) / math.sqrt(len(x))
    return Estimate(mean, max(low, mean - half), min(high, mean + half), count=len(x))


def auc(label: npt.ArrayLike, score: npt.ArrayLike) -> Estimate:
    """Area under the ROC curve with DeLong's interval: 0.5 is chance, 1 perfect. Unknown unless both classes
    are there.
    """
    from scipy.stats import rankdata

    y, s = np.asarray(label) > 0.5, np.asarray(score, float)
    positives, negatives = int(y.sum()), int((~y).sum())
    if not positives or not negatives:
        return unknown("both classes must be there", len(y))
    ranks = rankdata(s)
    value = (ranks[y].sum() - positives * (positives + 1) / 2) / (positives * negatives)
    if positives == 1 or negatives == 1:
        return Estimate(float(value), count=len(y), warnings=("a single row of one class: no interval",))
    above = (ranks[y] - rankdata(s[y])) / negatives
    below = 1 - (ranks[~y] - rankdata(s[~y])) / positives
    half = Z * math.sqrt(above.var(ddof=1) / positives + below.var(ddof=1) / negatives)
    return Estimate(float(value), float(max(0.0, value - half)), float(min(1.0, value + half)), count=len(y))


def accuracy(label: npt.ArrayLike, score: npt.ArrayLike, threshold: float = 0.5) -> Estimate:
    """Share of right decisions at `threshold`, with Wilson's interval. Unknown at n = 0."""
    from scipy.stats import binomtest

    right = (np.asarray(score) >= threshold) == (np.asarray(label) > 0.5)
    if not len(right):
        return unknown("no rows", 0)
    interval = binomtest(int(right.sum()), len(right)).proportion_ci(CONFIDENCE, method="wilson")
    return Estimate(float(right.mean()), float(interval.low), float(interval.high), count=len(right))


def brier(label: npt.ArrayLike, score: npt.ArrayLike) -> Estimate:
    """Mean squared gap of score and label: 0 perfect, 0.25 for always one half."""
    return mean_estimate((np.asarray(score, float) - np.asarray(label, float)) ** 2, low=0.0, high=1.0)


def log_loss(label: npt.ArrayLike, score: npt.ArrayLike) -> Estimate:
    """Mean negative log likelihood in nats: 0 perfect, 0.693 for always one half. Scores are kept 1e-7 from 0
    and 1.
    """
    y, s = np.asarray(label, float), np.clip(np.asarray(score, float), 1e-7, 1 - 1e-7)
    return mean_estimate(-(y * np.log(s) + (1 - y) * np.log1p(-s)), low=0.0)


def multiclass_accuracy(label: npt.ArrayLike, probability: npt.ArrayLike) -> Estimate:
    """Share of rows whose likeliest class is right, with Wilson's interval. Unknown at n = 0."""
    y, p = np.asarray(label), np.asarray(probability, float)
    right = p.argmax(1) == y if len(y) else np.empty(0, bool)
    return accuracy(np.ones(len(y)), right.astype(float))


def cross_entropy(label: npt.ArrayLike, probability: npt.ArrayLike) -> Estimate:
    """Mean negative log likelihood of the right class, in nats: 0 perfect, log C for knowing nothing."""
    return mean_estimate(cross_entropy_rows(label, probability), low=0.0)


def cross_entropy_rows(label: npt.ArrayLike, probability: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Negative log likelihood of each row's right class, `(N,)`, in nats. Probabilities are at least 1e-7."""
    y, p = np.asarray(label, np.int64), np.asarray(probability, float)
    return -np.log(np.clip(p[np.arange(len(y)), y], 1e-7, 1.0)) if len(y) else np.empty(0)


def macro_f1(label: npt.ArrayLike, probability: npt.ArrayLike) -> Estimate:
    """F1 of the likeliest class, averaged over the classes there; 1 is perfect. Bootstrap interval."""
    y, p = np.asarray(label, np.int64), np.asarray(probability, float)
    if not len(y):
        return unknown("no rows", 0)
    rows = np.stack([y, p.argmax(1)], 1)
    return bootstrap_estimate(macro_f1_of, rows, high=1.0, low=0.0)


def macro_f1_of(rows: npt.NDArray[np.int64]) -> float:
    """F1 averaged over the classes in the first of two columns, label and predicted class, int64 `(N, 2)`."""
    classes = int(rows.max()) + 1
    table = np.bincount(rows[:, 0] * classes + rows[:, 1], minlength=classes * classes).reshape(classes, -1)
    right, actual, predicted = np.diag(table), table.sum(1), table.sum(0)
    there = actual > 0
    return float(np.mean(2 * right[there] / (actual + predicted)[there]))


def micro_f1(label: npt.ArrayLike, probability: npt.ArrayLike, threshold: float = 0.5) -> Estimate:
    """F1 over all labels of all rows together; 1 is perfect. Unknown when no label is there or given."""
    y, given = np.asarray(label, bool), np.asarray(probability) >= threshold
    if not len(y):
        return unknown("no rows", 0)
    counts = np.stack([(y & given).sum(1), y.sum(1) + given.sum(1)], 1).astype(float)
    if counts[:, 1].sum() == 0:
        return unknown("no label is there or given", len(y))
    return bootstrap_estimate(_f1_of_counts, counts, low=0.0, high=1.0)


def _f1_of_counts(counts: npt.NDArray[np.float64]) -> float:
    both, either = counts.sum(0)
    return float(2 * both / either) if either else math.nan


def macro_auc(label: npt.ArrayLike, probability: npt.ArrayLike) -> Estimate:
    """Mean AUC over the labels that some rows have and some lack; 0.5 is chance. The interval takes labels as
    independent.
    """
    y, p = np.asarray(label, bool), np.asarray(probability, float)
    found = [auc(y[:, one], p[:, one]) for one in range(y.shape[1])] if y.ndim == 2 else []
    known = [one for one in found if not math.isnan(one.value)]
    if not known:
        return unknown("no label is there in some rows and lacking in others", len(y))
    value = float(np.mean([one.value for one in known]))
    half = math.sqrt(sum(((one.upper - one.lower) / 2) ** 2 for one in known)) / len(known)
    left_out = len(found) - len(known)
    warnings = (f"{left_out} labels are in all rows or in none, and are left out",) if left_out else ()
    return Estimate(value, max(0.0, value - half), min(1.0, value + half), count=len(y), warnings=warnings)


def mse(actual: npt.ArrayLike, predicted: npt.ArrayLike) -> Estimate:
    """Mean squared error, in the target's unit squared; of several numbers a row, over all of them."""
    return mean_estimate(_errors(actual, predicted) ** 2, low=0.0)


def mae(actual: npt.ArrayLike, predicted: npt.ArrayLike) -> Estimate:
    """Mean absolute error, in the target's unit."""
    return mean_estimate(np.abs(_errors(actual, predicted)), low=0.0)


def rmse(actual: npt.ArrayLike, predicted: npt.ArrayLike) -> Estimate:
    """Root of the mean squared error, in the target's unit; the interval is that of `mse`, rooted."""
    squared = mse(actual, predicted)
    root = [math.sqrt(x) if x >= 0 else math.nan for x in (squared.value, squared.lower, squared.upper)]
    return Estimate(root[0], root[1], root[2], count=squared.count, warnings=squared.warnings)


def r2(actual: npt.ArrayLike, predicted: npt.ArrayLike) -> Estimate:
    """Share of the variance that is explained: 1 perfect, 0 as good as the mean, below 0 worse. Unknown for
    fewer than two rows or a target that never changes.
    """
    y, p = np.asarray(actual, float), np.asarray(predicted, float)
    rows = np.stack([y.reshape(len(y), -1), p.reshape(len(y), -1)], 2) if len(y) else np.empty((0, 1, 2))
    if len(y) < 2 or math.isnan(_r2_of(rows)):
        return unknown("needs two rows at least, with different values", len(y))
    return bootstrap_estimate(_r2_of, rows, high=1.0)


def _r2_of(rows: npt.NDArray[np.float64]) -> float:
    actual, predicted = rows[..., 0], rows[..., 1]
    spread = float(((actual - actual.mean(0)) ** 2).sum())
    return 1 - float(((actual - predicted) ** 2).sum()) / spread if spread > 0 else math.nan


def mean_iou(confusion: npt.ArrayLike) -> Estimate:
    """Intersection over union, averaged over the classes that are there or predicted; 1 is perfect.

    `confusion` int `(N, C, C)`: for each picture, pixels by true and predicted class. The interval resamples
    pictures.
    """
    tables = np.asarray(confusion, float)
    if not len(tables):
        return unknown("no pictures", 0)
    return bootstrap_estimate(mean_iou_of, tables, low=0.0, high=1.0)


def mean_iou_of(tables: npt.NDArray[np.float64]) -> float:
    """`mean_iou`'s value alone, of tables `(N, C, C)`."""
    ious = class_ious(tables.sum(0))
    return float(np.nanmean(ious)) if not np.isnan(ious).all() else math.nan


def class_ious(table: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Intersection over union of each class, `(C,)`, from one table `(C, C)`; NaN for a class that is
    nowhere.
    """
    right = np.diag(table)
    union = table.sum(0) + table.sum(1) - right
    ious: npt.NDArray[np.float64] = np.divide(right, union, out=np.full(len(table), np.nan), where=union > 0)
    return ious


def perplexity(losses: npt.ArrayLike) -> Estimate:
    """exp of the mean loss a token, `(N,)` in nats: 1 perfect, the vocabulary's size for knowing nothing."""
    mean = mean_estimate(losses, low=0.0)
    value, lower, upper = (math.exp(min(x, 700.0)) for x in (mean.value, mean.lower, mean.upper))
    return Estimate(value, lower, upper, count=mean.count, warnings=mean.warnings)


def bootstrap_estimate(
    statistic: Callable[[npt.NDArray[Any]], float],
    rows: npt.NDArray[Any],
    *,
    low: float = -math.inf,
    high: float = math.inf,
    seed: int = 0,
) -> Estimate:
    """`statistic(rows)` with a percentile interval of 500 resamples of the rows `(N, ...)`.

    Past 20,000 rows the resamples are drawn of that many and the interval narrowed in proportion, as of a
    statistic whose spread falls with the root of n. Unknown at n = 0, no interval at n = 1.
    """
    count = len(rows)
    if not count:
        return unknown("no rows", 0)
    value = statistic(rows)
    if count == 1:
        return Estimate(value, count=1, warnings=("a single row: no interval",))
    drawn = resampled(statistic, rows, seed)
    lower, upper = np.nanquantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    centre, narrowed = float(np.nanmedian(drawn)), math.sqrt(min(1.0, MAX_BOOTSTRAP_ROWS / count))
    return Estimate(
        value,
        max(low, value + (float(lower) - centre) * narrowed),
        min(high, value + (float(upper) - centre) * narrowed),
        count=count,
    )


def resampled(
    statistic: Callable[[npt.NDArray[Any]], float], rows: npt.NDArray[Any], seed: int
) -> npt.NDArray[np.float64]:
    """`statistic` of 500 resamples of at most 20,000 of the rows each, `(500,)`."""
    generator = np.random.default_rng(seed)
    size = min(len(rows), MAX_BOOTSTRAP_ROWS)
    return np.array([statistic(rows[generator.integers(0, len(rows), size)]) for _ in range(RESAMPLES)])


def _errors(actual: npt.ArrayLike, predicted: npt.ArrayLike) -> npt.NDArray[np.float64]:
    errors = np.asarray(actual, float) - np.asarray(predicted, float)
    flat: npt.NDArray[np.float64] = errors.reshape(-1)
    return flat
