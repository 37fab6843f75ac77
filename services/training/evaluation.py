"""How good a fitted model is on the validation rows: for all, beside a trivial rule, by group.

The reference profile is made through `services.common.profiling`, in the bins that monitoring will compare
later windows with.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from boarfish.v1 import common_pb2, profile_pb2, task_pb2, training_pb2

from services.common import profiling
from services.training.model_card import SubgroupRow
from services.training.prepare import Prepared

RATES = ("accuracy", "selection_rate", "false_positive_rate", "false_negative_rate")
METRIC_OF = {task_pb2.SELECTION_METRIC_AUC: "auc", task_pb2.SELECTION_METRIC_ACCURACY: "accuracy"}


class AnyEstimate(Protocol):
    """A number with its interval, as the models and the audit library both have it."""

    @property
    def value(self) -> float: ...
    @property
    def lower(self) -> float: ...
    @property
    def upper(self) -> float: ...
    @property
    def confidence(self) -> float: ...
    @property
    def count(self) -> int: ...
    @property
    def warnings(self) -> tuple[str, ...]: ...


@dataclass(frozen=True)
class Evaluation:
    """What was found.

    `metrics` is by name, `subgroups` in the order of the task's attributes and their values.
    """

    metrics: dict[str, common_pb2.Estimate]
    baseline: training_pb2.BaselineComparison
    subgroups: Sequence[SubgroupRow]
    profile: profile_pb2.Profile

    def document(self) -> dict[str, Any]:
        """The evaluation as JSON (`evaluation.json`); a number that is not available is null."""
        return {
            "metrics": {name: _plain(estimate) for name, estimate in self.metrics.items()},
            "baseline": {
                "rule": self.baseline.rule,
                "metric": self.baseline.metric,
                "baseline": _plain(self.baseline.baseline),
                "model": _plain(self.baseline.model),
                "difference": _plain(self.baseline.difference),
                "better": self.baseline.better,
                "statement": self.baseline.statement,
            },
            "subgroups": [
                {
                    "group": dict(row.group),
                    "display_name": row.display_name,
                    "count": row.count,
                    "rates": {name: _plain(estimate) for name, estimate in row.rates.items()},
                    "findings": list(row.findings),
                    "note": row.note,
                }
                for row in self.subgroups
            ],
        }


def evaluate(prepared: Prepared, score: np.ndarray) -> Evaluation:
    """Evaluates `score`, float32 `(N,)` from 0 to 1, on the validation rows of `prepared`."""
    from models import metrics
    from models.baseline import compare_with_baseline

    task = prepared.task
    label, train_label = prepared.valid.label, prepared.train.label
    assert label is not None, "validation rows have labels"
    assert train_label is not None, "training rows have labels"
    threshold = task.decision.threshold
    found = {
        "auc": metrics.auc(label, score),
        "accuracy": metrics.accuracy(label, score, threshold),
        "brier": metrics.brier(label, score),
        "log_loss": metrics.log_loss(label, score),
    }
    compared = compare_with_baseline(train_label, label, score, METRIC_OF[task.training.metric], threshold)
    baseline = training_pb2.BaselineComparison(
        rule=compared.rule,
        metric=compared.metric,
        baseline=to_proto(compared.baseline),
        model=to_proto(compared.model),
        difference=to_proto(compared.difference),
        better=compared.better,
        statement=compared.statement,
    )
    profile = profiling.reference_profile(task, prepared.valid_table, score, label > 0.5)
    return Evaluation(
        metrics={name: to_proto(estimate) for name, estimate in found.items()},
        baseline=baseline,
        subgroups=by_subgroup(prepared, profile),
        profile=profiling.to_proto(profile),
    )


def by_subgroup(prepared: Prepared, profile: profiling.Profile) -> list[SubgroupRow]:
    """Rates of each group and crossing of the sensitive attributes; small groups are not rated."""
    return [
        SubgroupRow(
            group=dict(one.group),
            display_name=one.display_name,
            count=one.quality.row_count,
            rates={} if one.suppressed else {name: to_proto(getattr(one.quality, name)) for name in RATES},
            findings=[gap.sentence for gap in one.gaps if gap.significant],
            note=one.note,
        )
        for one in profiling.rated_groups(prepared.task, profile)
    ]


def to_proto(estimate: "AnyEstimate") -> common_pb2.Estimate:
    """An estimate of the models or the audit library as it goes over the wire."""
    return common_pb2.Estimate(
        value=estimate.value,
        lower=estimate.lower,
        upper=estimate.upper,
        confidence=estimate.confidence,
        count=estimate.count,
        warnings=estimate.warnings,
    )


def _plain(estimate: common_pb2.Estimate) -> dict[str, Any]:
    def number(value: float) -> float | None:
        return value if math.isfinite(value) else None

    return {
        "value": number(estimate.value),
        "lower": number(estimate.lower),
        "upper": number(estimate.upper),
        "confidence": estimate.confidence,
        "count": estimate.count,
        "warnings": list(estimate.warnings),
    }
