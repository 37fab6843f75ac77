"""How good a fitted model is on the validation rows: for all, beside a trivial rule, by group.

The reference profile is made through `services.common.profiling`, in the bins that monitoring will compare
later windows with.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from boarfish.v1 import common_pb2, profile_pb2, training_pb2

from services.common import profiling
from services.training.model_card import SubgroupRow
from services.training.prepare import Prepared

if TYPE_CHECKING:
    from models.recipe import Assessment

RATES = ("accuracy", "selection_rate", "false_positive_rate", "false_negative_rate")
# Where a task says nothing of how small a group may be.
SMALLEST_GROUP = 30


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
    # Of a binary task alone: what monitoring compares later windows with.
    profile: profile_pb2.Profile | None
    warnings: Sequence[str] = ()

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
            "warnings": list(self.warnings),
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


def evaluate(prepared: Prepared, assessment: "Assessment") -> Evaluation:
    """What `assessment` of the validation rows of `prepared` means for everyone and for groups of people."""
    compared = assessment.comparison
    baseline = training_pb2.BaselineComparison(
        rule=compared.rule,
        metric=compared.metric,
        baseline=to_proto(compared.baseline),
        model=to_proto(compared.model),
        difference=to_proto(compared.difference),
        better=compared.better,
        statement=compared.statement,
    )
    profile, subgroups = None, by_group(prepared, assessment)
    if assessment.score is not None:
        found = _reference_profile(prepared, assessment.score)
        profile, subgroups = profiling.to_proto(found), by_subgroup(prepared, found)
    return Evaluation(
        metrics={name: to_proto(estimate) for name, estimate in assessment.metrics.items()},
        baseline=baseline,
        subgroups=subgroups,
        profile=profile,
        warnings=(*prepared.warnings, *assessment.warnings),
    )


def _reference_profile(prepared: Prepared, score: np.ndarray) -> profiling.Profile:
    """Profile of the validation rows that could be read, with their scores float32 `(N,)` and labels."""
    task, table = prepared.task, prepared.valid
    label = pc.equal(table.column(task.target.name).cast(pa.utf8()), task.target.positive_value).to_numpy()
    readable = np.flatnonzero(~np.isnan(score))
    if len(readable) < len(score):
        table, score, label = table.take(pa.array(readable)), score[readable], label[readable]
    return profiling.reference_profile(task, table, score, label)


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


def by_group(prepared: Prepared, assessment: "Assessment") -> list[SubgroupRow]:
    """The mean quality of each group's rows, where it is no binary task; small groups are not rated."""
    from models.metrics import mean_estimate

    if assessment.row_quality is None:
        return []
    task, rows = prepared.task, []
    smallest = task.watch.minimum_group_size or SMALLEST_GROUP
    for attribute in task.sensitive:
        values = profiling.group_columns(task, prepared.valid)[attribute.name]
        for value in sorted(pc.unique(values).drop_null().to_pylist()):
            chosen = np.asarray(pc.fill_null(pc.equal(values, value), False))
            quality = assessment.row_quality[chosen]
            quality = quality[~np.isnan(quality)]
            small = len(quality) < smallest
            rates = {} if small else {assessment.row_quality_name: to_proto(mean_estimate(quality))}
            note = f"fewer than {smallest} rows: not rated" if small else ""
            name = attribute.values.get(value, value)
            rows.append(SubgroupRow({attribute.name: value}, name, len(quality), rates, note=note))
    return rows


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
