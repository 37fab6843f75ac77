"""What a profile shows beside its reference, as JSON values: findings in plain sentences first, the rest
behind.

For notebooks and scripts that have two profiles. The monitoring service writes its own reports, which also
tell of alerts and windows over time. Thresholds come in from outside and stand in the report beside the
methods.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import numpy as np

from audit.drift.columns import ColumnComparison, compare_columns
from audit.estimate import Estimate
from audit.fairness.gaps import DEFAULT_WORDS, OutcomeWords, SubgroupQuality, subgroup_quality
from audit.fairness.groups import Names
from audit.profiles.profile import Profile
from audit.rot.quality import Quality, people, quality

REPORT_VERSION = 2
SHOWN_VALUES = 12
METHODS = {
    "drift": "Base-2 Jensen-Shannon distance with its sampling bias taken off; chi-squared test of two "
    "samples, rare values pooled, p-values shared over the columns (Bonferroni).",
    "rot": "Accuracy from labels with Wilson's interval beside the reference's; without labels estimated "
    "from scores that the reference calibrates.",
    "subgroups": "Each group against everyone else: Newcombe's interval of the difference, p-values "
    "corrected by Holm; intervals of single rates are Wilson's.",
}
# Whether more of a rate or less of it is worse for the people rated.
WORSE = {"false_positive_rate": 1, "false_negative_rate": 1, "selection_rate": -1, "accuracy": -1}
NO_NAMES: Names = MappingProxyType({})


@dataclass(frozen=True)
class Thresholds:
    """From where on something is a finding."""

    drift_distance: float = 0.1
    quality_fall: float = 0.03
    minimum_group_size: int = 100
    false_alarm_rate: float = 0.05
    decision: float = 0.5


DEFAULT_THRESHOLDS = Thresholds()


def build_report(
    window: Profile,
    reference: Profile,
    *,
    title: str,
    identity: Mapping[str, str],
    thresholds: Thresholds = DEFAULT_THRESHOLDS,
    names: Names = NO_NAMES,
    words: OutcomeWords = DEFAULT_WORDS,
) -> dict[str, Any]:
    """The report of `window`, what happened, beside `reference`, what was to be expected; NaN becomes null.

    `identity` names the model and data that it speaks of ("model version": "ab12..."). `names` gives the
    meaning of groups' values. Raises `ValueError` when the schemas differ. Of no rows, one or five it finds
    nothing and says that there is too little to say.
    """
    columns = compare_columns(window, reference)
    moved = _moved(columns, thresholds)
    now = _quality(window, reference, thresholds)
    before = _quality(reference, reference, thresholds)
    groups = subgroup_quality(
        window, thresholds.minimum_group_size, names, threshold=thresholds.decision, words=words
    )
    simulations = sorted(window.simulations)
    findings = [
        *_simulation_findings(simulations),
        *_rot_findings(now, before, thresholds),
        *_drift_findings(moved, window, thresholds),
        *_subgroup_findings(groups),
        *_too_few_findings(groups),
    ]
    report: dict[str, Any] = {
        "report_version": REPORT_VERSION,
        "title": title,
        "identity": dict(identity),
        "period": {"start_time": _time(window.start_us), "end_time": _time(window.end_us)},
        "row_count": window.row_count,
        "reference_row_count": reference.row_count,
        "findings": findings,
        "simulations": simulations,
        "quality": None if now is None else asdict(now),
        "reference_quality": None if before is None else asdict(before),
        "columns": [_column(one, one in moved) for one in sorted(columns, key=_far)],
        "subgroups": [_group(one) for one in groups if not one.suppressed],
        "groups_not_rated": [
            {"display_name": one.display_name, "note": one.note} for one in groups if one.suppressed
        ],
        "thresholds": asdict(thresholds),
        "methods": METHODS,
    }
    cleaned: dict[str, Any] = _clean(report)
    return cleaned


def _quality(profile: Profile, reference: Profile, thresholds: Thresholds) -> Quality | None:
    if profile.quality is None:
        return None
    return quality(profile.quality, reference.quality, threshold=thresholds.decision)


def _moved(columns: Sequence[ColumnComparison], thresholds: Thresholds) -> list[ColumnComparison]:
    """Far enough to matter and sure enough to say, farthest first."""
    sure = thresholds.false_alarm_rate / max(1, len(columns))
    found = [one for one in columns if one.distance >= thresholds.drift_distance and one.p_value < sure]
    return sorted(found, key=_far)


def _far(one: ColumnComparison) -> float:
    return 0.0 if math.isnan(one.distance) else -one.distance


def _simulation_findings(simulations: Sequence[str]) -> list[str]:
    if not simulations:
        return []
    return [f"Simulated incidents were played ({', '.join(simulations)}): parts of this period are not real."]


def _rot_findings(now: Quality | None, before: Quality | None, thresholds: Thresholds) -> list[str]:
    if now is None:
        return ["The rows carry no scores: nothing can be said of quality."]
    known, kind = (now.accuracy, "was") if now.accuracy.known else (now.estimated_accuracy, "is estimated at")
    if not known.known or before is None or not before.accuracy.known:
        return ["Neither labels nor a labelled reference: nothing can be said of accuracy."]
    fall = before.accuracy.value - known.value
    beside = f"the reference's {_interval(before.accuracy)}"
    sure = known.upper < before.accuracy.lower
    if fall >= thresholds.quality_fall and sure:
        return [f"Accuracy {kind} {_interval(known)}, {100 * fall:.1f} points below {beside}."]
    if known.warnings:
        return [f"Accuracy {kind} {_interval(known)}, beside {beside}: {'; '.join(known.warnings)}."]
    return [f"Accuracy {kind} {_interval(known)}, beside {beside}: no fall that matters is sure."]


def _drift_findings(moved: Sequence[ColumnComparison], window: Profile, thresholds: Thresholds) -> list[str]:
    if not window.row_count:
        return ["There are no rows: nothing can be said of the inputs."]
    if not moved:
        return [
            f"No input has surely moved by {thresholds.drift_distance:g} or more "
            f"({people(window.row_count)} seen)."
        ]
    return [_moved_sentence(one) for one in moved]


def _moved_sentence(one: ColumnComparison) -> str:
    after, before = one.window / one.window.sum(), one.reference / one.reference.sum()
    most = int(abs(after - before).argmax())
    return (
        f"{one.column} moved (distance {one.distance:.2f}): {one.values[most]} went from "
        f"{100 * before[most]:.1f} % to {100 * after[most]:.1f} %."
    )


def _subgroup_findings(groups: Sequence[SubgroupQuality]) -> list[str]:
    """The side that fares worse, the widest gap first: what the other side has is the same news again."""
    alone = [one for one in groups if len(one.group) == 1]
    sure = [gap for one in alone for gap in one.gaps if gap.significant]
    gaps = [gap for gap in sure if gap.difference.value * WORSE[gap.rate] > 0]
    if not sure:
        return ["No group's error rates surely differ from everyone else's."] if groups else []
    return [gap.sentence for gap in sorted(gaps, key=lambda gap: -abs(gap.difference.value))]


def _too_few_findings(groups: Sequence[SubgroupQuality]) -> list[str]:
    few = [one.display_name for one in groups if one.suppressed and len(one.group) == 1]
    return [f"Too few people with a known outcome to rate: {', '.join(few)}."] if few else []


def _column(one: ColumnComparison, moved: bool) -> dict[str, Any]:
    after = one.window / max(int(one.window.sum()), 1)
    before = one.reference / max(int(one.reference.sum()), 1)
    largest = np.argsort(-np.maximum(after, before), kind="stable")[:SHOWN_VALUES]
    shown = [i for i in sorted(largest.tolist()) if after[i] or before[i]]
    return {
        "column": one.column,
        "distance": one.distance,
        "population_stability_index": one.population_stability_index,
        "p_value": one.p_value,
        "moved": moved,
        "missing_share": one.missing_share,
        "shares": [
            {"value": one.values[i], "window": float(after[i]), "reference": float(before[i])} for i in shown
        ],
    }


def _group(one: SubgroupQuality) -> dict[str, Any]:
    return {
        "group": dict(one.group),
        "display_name": one.display_name,
        "quality": asdict(one.quality),
        "gaps": [asdict(gap) for gap in one.gaps],
    }


def _interval(estimate: Estimate) -> str:
    return f"{100 * estimate.value:.1f} % ({100 * estimate.lower:.1f} % to {100 * estimate.upper:.1f} %)"


def _time(microseconds: int | None) -> str | None:
    return None if microseconds is None else datetime.fromtimestamp(microseconds / 1e6, UTC).isoformat()


def _clean(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _clean(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
