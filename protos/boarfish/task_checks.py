"""What must hold within a task beyond the rules of single fields: one function for task files and servers."""

import math
import re
from collections.abc import Iterable, Iterator

from boarfish.errors import FieldViolation
from boarfish.task_kinds import check_kind
from boarfish.v1 import task_pb2

_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,18}")
_GROUPED = (
    task_pb2.FEATURE_TYPE_UNSPECIFIED,
    task_pb2.FEATURE_TYPE_NUMERIC,
    task_pb2.FEATURE_TYPE_CODE,
    task_pb2.FEATURE_TYPE_CATEGORY,
)
_NEEDS_COLUMN = (task_pb2.SPLIT_METHOD_TIME, task_pb2.SPLIT_METHOD_GROUP, task_pb2.SPLIT_METHOD_COLUMN)


def check_task(task: task_pb2.Task) -> list[FieldViolation]:
    """What contradicts itself in `task`, by field path (`features[2].maximum`); empty when nothing does."""
    return [
        *_columns(task),
        *_features(task),
        *_sensitive(task),
        *_split(task),
        *check_kind(task),
        *_words(task),
        *_gates(task),
    ]


def _columns(task: task_pb2.Task) -> Iterator[FieldViolation]:
    features = {feature.name for feature in task.features}
    sensitive = [attribute.name for attribute in task.sensitive]
    for position, name in enumerate(sensitive):
        if name in sensitive[:position]:
            yield FieldViolation(f"sensitive[{position}].name", f"{name} stands twice; names must be unique")
        if name == task.target.name:
            yield FieldViolation(
                f"sensitive[{position}].name", f"{name} is the target; it cannot be a sensitive attribute too"
            )
    for field in ("id_column", "time_column"):
        name = getattr(task, field)
        if name and (name == task.target.name or name in sensitive):
            yield FieldViolation(field, f"{name} is the target or a sensitive attribute; name another column")
        if name and field == "id_column" and name in features:
            yield FieldViolation(field, f"{name} is a feature; an id says nothing about a new person")


def _features(task: task_pb2.Task) -> Iterator[FieldViolation]:
    for position, feature in enumerate(task.features):
        at = f"features[{position}]"
        numeric = feature.type == task_pb2.FEATURE_TYPE_NUMERIC
        bounded = feature.HasField("minimum") or feature.HasField("maximum")
        for name in ("minimum", "maximum"):
            if not math.isfinite(getattr(feature, name)):
                yield FieldViolation(f"{at}.{name}", "must be a finite number; leave it out for no bound")
        if bounded and not numeric:
            yield FieldViolation(
                f"{at}.minimum", "only a numeric feature has a minimum or maximum; list codes under values"
            )
        if feature.HasField("minimum") and feature.HasField("maximum") and feature.minimum > feature.maximum:
            yield FieldViolation(
                f"{at}.maximum", f"is {feature.maximum:g}, below the minimum {feature.minimum:g}"
            )
        listed = feature.type in (task_pb2.FEATURE_TYPE_CODE, task_pb2.FEATURE_TYPE_CATEGORY)
        if not listed and (feature.values or feature.closed):
            kind = task_pb2.FeatureType.Name(feature.type).removeprefix("FEATURE_TYPE_").lower()
            yield FieldViolation(
                f"{at}.values", f"a {kind} feature has no list of values; use type code or category"
            )
        if feature.closed and not feature.values and listed:
            yield FieldViolation(f"{at}.closed", "needs the list of values that are taken")
        if feature.type == task_pb2.FEATURE_TYPE_CODE:
            yield from _whole_numbers(f"{at}.values", feature.values)


def _sensitive(task: task_pb2.Task) -> Iterator[FieldViolation]:
    for position, attribute in enumerate(task.sensitive):
        at = f"sensitive[{position}]"
        if attribute.type not in _GROUPED:
            yield FieldViolation(f"{at}.type", "must be numeric, code or category: people are grouped by it")
        edges = list(attribute.band_edges)
        if edges and attribute.type != task_pb2.FEATURE_TYPE_NUMERIC:
            yield FieldViolation(f"{at}.band_edges", "only a numeric attribute is put into bands")
        if not all(math.isfinite(edge) for edge in edges):
            yield FieldViolation(f"{at}.band_edges", "must be finite; the outer bands have no end anyway")
        elif edges != sorted(set(edges)):
            yield FieldViolation(f"{at}.band_edges", "must increase")
        if attribute.type == task_pb2.FEATURE_TYPE_NUMERIC and not edges:
            yield FieldViolation(
                f"{at}.band_edges", "is missing; a numeric attribute needs bands to be a group"
            )
        if attribute.type == task_pb2.FEATURE_TYPE_CODE:
            yield from _whole_numbers(f"{at}.values", attribute.values)


def _whole_numbers(path: str, values: Iterable[str]) -> Iterator[FieldViolation]:
    for key in values:
        if not _WHOLE.fullmatch(key) or not -(2**63) < int(key) < 2**63:
            yield FieldViolation(
                f'{path}["{key}"]',
                f'{key!r} is not a whole number as a code is written ("7"); use type category for texts',
            )


def _split(task: task_pb2.Task) -> Iterator[FieldViolation]:
    column = task.split.column
    if task.split.method not in _NEEDS_COLUMN:
        if column:
            yield FieldViolation(
                "split.column", "a random split needs no column; remove it or choose time, group or column"
            )
        return
    if not column:
        yield FieldViolation("split.column", "is missing; this method needs the column that decides")
    elif column == task.target.name:
        yield FieldViolation("split.column", f"{column} is the target; rows cannot be held out by it")


def _words(task: task_pb2.Task) -> Iterator[FieldViolation]:
    if task.kind != task_pb2.TASK_KIND_BINARY_CLASSIFICATION:
        return
    if task.target.positive_value == task.target.negative_value:
        yield FieldViolation(
            "target.negative_value", "is the same as positive_value; a binary task needs two values"
        )
    if task.decision.positive_label == task.decision.negative_label:
        yield FieldViolation(
            "decision.negative_label", "is the same as positive_label; the two decisions need two words"
        )


def _gates(task: task_pb2.Task) -> Iterator[FieldViolation]:
    for position, gate in enumerate(task.gates):
        at = f"gates[{position}]"
        asked = {field.name for field, _ in gate.ListFields()} - {"rung"}
        if not asked:
            yield FieldViolation(at, "asks for nothing; a gate without conditions would let nobody through")
        if asked and task.kind != task_pb2.TASK_KIND_BINARY_CLASSIFICATION:
            yield FieldViolation(at, "only binary classification is watched so far; others have no gates")
        if gate.HasField("largest_subgroup_gap"):
            gap = gate.largest_subgroup_gap
            if not task.sensitive:
                yield FieldViolation(f"{at}.largest_subgroup_gap", "needs sensitive attributes to group by")
            if {field.name for field, _ in gap.ListFields()} <= {"crossings"}:
                yield FieldViolation(
                    f"{at}.largest_subgroup_gap",
                    "names no rate: false_positive_rate, false_negative_rate or selection_rate",
                )
        if gate.checklist_answered and not task.ethics_checklist:
            yield FieldViolation(f"{at}.checklist_answered", "there is no ethics_checklist to be answered")
