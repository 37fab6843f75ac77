"""A profile beside its reference, as the messages that others see: rates, drift by column, subgroups.

The arithmetic is `audit`'s; this module lines columns up, says what moved in words and fills the protos.
"""

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from boarfish.v1 import common_pb2, monitoring_pb2, task_pb2

from audit.drift import distances
from audit.estimate import Estimate
from audit.fairness.gaps import subgroup_quality
from audit.profiles.column import CategoryColumn, NumericColumn
from audit.profiles.profile import Profile
from audit.profiles.quality import QualityProfile
from audit.profiles.schema import ColumnSchema
from audit.rot import quality as rot
from services.common import profiling
from services.monitoring import sentences
from services.monitoring.drift_statistics import Counts, compare

if TYPE_CHECKING:
    from services.monitoring.references import Reference

SHOWN_SHARES = 32
SMALLEST_P = 1e-300
RATES = (
    "accuracy",
    "auc",
    "brier",
    "calibration_error",
    "estimated_accuracy",
    "selection_rate",
    "true_positive_rate",
    "false_positive_rate",
    "false_negative_rate",
    "positive_predictive_value",
    "base_rate",
)
OTHER, MISSING = "any other value", "missing"


def quality(profile: Profile, reference: "Reference") -> monitoring_pb2.Quality:
    """Rates of a profile; accuracy is estimated by what scores came to on the reference."""
    return _quality(profile.quality, reference.task, reference.profile.quality)


def column_counts(profile: Profile, reference: Profile) -> dict[str, Counts]:
    """Counts of each column, aligned with the reference's values or bins, `(K,)`.

    Unknown values together, missing last.
    """
    return {
        schema.name: _aligned(column, beside)
        for schema, column, beside in zip(
            profile.schema.columns, profile.columns, reference.columns, strict=True
        )
    }


def column_drifts(profile: Profile, reference: "Reference") -> list[monitoring_pb2.ColumnDrift]:
    """Every column beside the reference, in the order of the schema."""
    watch = reference.task.watch
    enough = watch.false_alarm_rate / max(1, len(profile.columns))
    drifts = []
    for schema, column, beside in zip(
        profile.schema.columns, profile.columns, reference.profile.columns, strict=True
    ):
        window, before = _aligned(column, beside), _aligned(beside, beside)
        change = compare(window, before)
        p_value = distances.p_value(window, before)
        drift = monitoring_pb2.ColumnDrift(
            column=schema.name,
            jensen_shannon_distance=change.distance,
            population_stability_index=_finite(distances.population_stability_index(window, before)),
            p_value=p_value,
            e_value=e_value_of(p_value),
            missing_share=column.missing_count / max(1, column.missing_count + column.count),
            count=column.count,
            shares=_shares(schema, column, beside),
        )
        drift.drifting = (
            change.distance >= watch.drift_distance
            and change.probability_within(watch.drift_distance) < enough
        )
        if drift.drifting:
            drift.sentence = sentences.column_sentence(reference.task, schema.name, drift.shares)
        drifts.append(drift)
    return drifts


def subgroups(profile: Profile, reference: "Reference") -> list[monitoring_pb2.SubgroupQuality]:
    """Every group and crossing: single attributes first, larger groups first."""
    return _subgroups(profile, reference.task)


def window(profile: Profile, reference: "Reference") -> monitoring_pb2.Window:
    """Everything but whose window it is and when."""
    return monitoring_pb2.Window(
        quality=quality(profile, reference),
        drifts=column_drifts(profile, reference),
        subgroups=subgroups(profile, reference),
        simulations=sorted(profile.simulations),
    )


def reference_window(model_version: str, task: task_pb2.Task, profile: Profile) -> monitoring_pb2.Window:
    """The reference itself, rated as a window."""
    return monitoring_pb2.Window(
        model_version=model_version,
        complete=True,
        quality=_quality(profile.quality, task, profile.quality),
        subgroups=_subgroups(profile, task),
    )


def _subgroups(profile: Profile, task: task_pb2.Task) -> list[monitoring_pb2.SubgroupQuality]:
    found = subgroup_quality(
        profile, task.watch.minimum_group_size, profiling.group_names(task), threshold=task.decision.threshold
    )
    return [
        monitoring_pb2.SubgroupQuality(
            group=dict(one.group),
            display_name=one.display_name,
            quality=_rated(one.quality),
            suppressed=one.suppressed,
            note=one.note,
            gaps=[
                monitoring_pb2.SubgroupGap(
                    rate=gap.rate,
                    difference=estimate(gap.difference),
                    ratio=estimate(gap.ratio),
                    p_value=gap.p_value,
                    adjusted_p_value=gap.adjusted_p_value,
                    significant=gap.significant,
                    sentence=gap.sentence,
                )
                for gap in one.gaps
            ],
        )
        for one in found
    ]


def e_value_of(p_value: float) -> float:
    """The e-value that a p-value is worth.

    `1 / (2 sqrt(p))` (Vovk and Wang, "E-values", Annals of Statistics 2021).
    """
    return 0.5 / math.sqrt(max(p_value, SMALLEST_P))


def _quality(
    profile: QualityProfile | None, task: task_pb2.Task, calibration: QualityProfile | None
) -> monitoring_pb2.Quality:
    if profile is None:
        return monitoring_pb2.Quality()
    return _rated(rot.quality(profile, calibration, threshold=task.decision.threshold))


def _rated(rated: rot.Quality) -> monitoring_pb2.Quality:
    return monitoring_pb2.Quality(
        row_count=rated.row_count,
        labelled_count=rated.labelled_count,
        **{name: estimate(getattr(rated, name)) for name in RATES},
    )


def estimate(found: Estimate) -> common_pb2.Estimate:
    """An estimate as a message."""
    return common_pb2.Estimate(
        value=found.value,
        lower=found.lower,
        upper=found.upper,
        confidence=found.confidence,
        count=found.count,
        warnings=found.warnings,
    )


def _aligned(column: NumericColumn | CategoryColumn, reference: NumericColumn | CategoryColumn) -> Counts:
    if isinstance(column, NumericColumn):
        return np.append(column.bin_counts, column.missing_count).astype(np.float64)
    assert isinstance(reference, CategoryColumn)
    known = [column.value_counts.get(value, 0) for value in sorted(reference.value_counts)]
    return np.array([*known, column.count - sum(known), column.missing_count], np.float64)


def _shares(
    schema: ColumnSchema, column: NumericColumn | CategoryColumn, reference: NumericColumn | CategoryColumn
) -> list[monitoring_pb2.ValueShare]:
    """Shares of each bin in order, or of the most common values, the largest first."""
    if isinstance(column, NumericColumn):
        assert isinstance(reference, NumericColumn)
        mine = dict(zip(_bin_names(schema), column.bin_counts.tolist(), strict=True))
        theirs = dict(zip(_bin_names(schema), reference.bin_counts.tolist(), strict=True))
        names = list(mine)
    else:
        assert isinstance(reference, CategoryColumn)
        mine, theirs = _counted(column), _counted(reference)
        totals = {name: _share(mine, name) + _share(theirs, name) for name in {*mine, *theirs}}
        names = sorted(totals, key=lambda name: (-totals[name], name))
    if column.missing_count or reference.missing_count:
        mine[MISSING], theirs[MISSING] = column.missing_count, reference.missing_count
        names.insert(SHOWN_SHARES - 1, MISSING)
    return [
        monitoring_pb2.ValueShare(
            value=name, window_share=_share(mine, name), reference_share=_share(theirs, name)
        )
        for name in names[:SHOWN_SHARES]
    ]


def _counted(column: CategoryColumn) -> dict[str, int]:
    counts = dict(column.value_counts)
    if column.other_count:
        counts[OTHER] = column.other_count
    return counts


def _share(counts: Mapping[str, int], name: str) -> float:
    return counts.get(name, 0) / max(1, sum(counts.values()))


def _bin_names(schema: ColumnSchema) -> list[str]:
    edges = [f"{edge:g}" for edge in schema.bin_edges]
    if not edges:
        return ["all"]
    inner = [f"{low} to {high}" for low, high in pairwise(edges)]
    return [f"below {edges[0]}", *inner, f"{edges[-1]} and above"]


def _finite(value: float) -> float:
    return value if np.isfinite(value) else 0.0
