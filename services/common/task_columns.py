"""The columns of a task's rows: what each feature type and each kind of task asks of a value."""

from collections.abc import Mapping
from typing import Any

from boarfish.v1 import task_pb2

from services.common.columns import CATEGORY, CODE, NUMERIC, Column
from services.common.rich_columns import IMAGE, PNG, TEXT, FileColumn, LabelsColumn, rich_column

DEFAULT_SEPARATOR = ";"


def record_columns(task: task_pb2.Task) -> list[Column]:
    """Of a dataset's rows: features, targets, sensitive attributes, and before them what nothing else says
    the type of.
    """
    typed = [*map(_feature_column, task.features), *target_columns(task), *_sensitive_columns(task)]
    known = {column.name for column in typed}
    return [*(Column(name, None, True, False) for name in free_names(task) if name not in known), *typed]


def free_names(task: task_pb2.Task) -> list[str]:
    """Columns that are kept as they come, and that no model sees: id, time, and what the split goes by."""
    names = (task.id_column, task.time_column, task.split.column)
    return [*dict.fromkeys(name for name in names if name)]


def prediction_columns(task: task_pb2.Task) -> list[Column]:
    """Of rows to predict: features and sensitive attributes."""
    return [*map(_feature_column, task.features), *_sensitive_columns(task)]


def _feature_column(feature: task_pb2.Feature) -> Column:
    required = not feature.allow_missing
    rich = rich_column(feature.name, feature.type, required=required, allow_missing=feature.allow_missing)
    return rich or Column(
        feature.name,
        feature.type,
        required=required,
        allow_missing=feature.allow_missing,
        minimum=feature.minimum if feature.HasField("minimum") else None,
        maximum=feature.maximum if feature.HasField("maximum") else None,
        allowed=_allowed(feature.type, feature.values) if feature.closed else None,
    )


def target_columns(task: task_pb2.Task) -> list[Column]:
    """What is predicted; a language model has no column of its own for it."""
    target = task.target
    if task.kind == task_pb2.TASK_KIND_LANGUAGE_MODEL:
        return []
    if task.kind == task_pb2.TASK_KIND_REGRESSION:
        lowest = target.minimum if target.HasField("minimum") else None
        highest = target.maximum if target.HasField("maximum") else None
        if target.logarithmic:
            lowest = max(lowest or 0.0, 0.0)
        return [
            Column(name, NUMERIC, True, False, minimum=lowest, maximum=highest)
            for name in (target.name, *target.more_columns)
        ]
    if task.kind == task_pb2.TASK_KIND_SEGMENTATION:
        return [FileColumn(target.name, IMAGE, True, False, formats=(PNG,))]
    if task.kind == task_pb2.TASK_KIND_MULTILABEL_CLASSIFICATION:
        classes, separator = frozenset(target.classes), target.separator or DEFAULT_SEPARATOR
        return [LabelsColumn(target.name, TEXT, True, False, allowed=classes, separator=separator)]
    if task.kind == task_pb2.TASK_KIND_MULTICLASS_CLASSIFICATION:
        classes = frozenset(target.classes)
    else:
        classes = frozenset({target.positive_value, target.negative_value})
    return [Column(target.name, CATEGORY, True, False, allowed=classes)]


def _sensitive_columns(task: task_pb2.Task) -> list[Column]:
    """Sensitive attributes that are not features too: a feature is needed, and stands once."""
    features = {feature.name for feature in task.features}
    return [
        rich_column(one.name, one.type, required=False, allow_missing=True)
        or Column(one.name, one.type, required=False, allow_missing=True)
        for one in task.sensitive
        if one.name not in features
    ]


def _allowed(kind: int, values: Mapping[str, str]) -> frozenset[Any]:
    return frozenset(int(text) for text in values) if kind == CODE else frozenset(values)
