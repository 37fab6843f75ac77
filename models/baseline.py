"""A baseline first: does the model beat a trivial rule, and by how much?

The rule is always to say the class that is most common among the training rows; as a score, always their
share of positives.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.metrics import Estimate, accuracy, auc, mean_estimate

RULE = "always the majority class"


@dataclass(frozen=True)
class BaselineComparison:
    """Model and rule on the same validation rows; `difference` is model minus rule, `better` when its
    interval lies above 0.
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


def _statement(metric: str, model: Estimate, difference: Estimate, better: bool) -> str:
    name = "AUC" if metric == "auc" else metric
    if math.isnan(model.value):
        return f"Not better than baseline: {'; '.join(model.warnings)}."
    if math.isnan(difference.lower):
        return f"Not better than baseline: too few rows to say ({name} {model.value:.3f})."
    apart = f"{difference.value:+.3f} (95 % interval {difference.lower:+.3f} to {difference.upper:+.3f})"
    verdict = "better than" if better else "not better than"
    return f"{name} {model.value:.3f}, {verdict} {RULE}: {apart}."
