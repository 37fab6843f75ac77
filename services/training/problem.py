"""A task as models see it: kinds and types by their short names, nothing of purpose, people or watching."""

from typing import TYPE_CHECKING

from boarfish.task_kinds import short_name
from boarfish.v1 import task_pb2

if TYPE_CHECKING:
    from models.recipe import Problem, Target

KINDS = {
    task_pb2.TASK_KIND_BINARY_CLASSIFICATION: "binary",
    task_pb2.TASK_KIND_MULTICLASS_CLASSIFICATION: "multiclass",
    task_pb2.TASK_KIND_MULTILABEL_CLASSIFICATION: "multilabel",
    task_pb2.TASK_KIND_REGRESSION: "regression",
    task_pb2.TASK_KIND_SEGMENTATION: "segmentation",
    task_pb2.TASK_KIND_LANGUAGE_MODEL: "language",
}
DEFAULT_SEPARATOR = ";"


def problem_of(task: task_pb2.Task) -> "Problem":
    """What the models of `task` are to learn."""
    from models.recipe import Input, Problem

    split = task.split
    return Problem(
        kind=KINDS[task.kind],
        inputs=tuple(
            Input(one.name, short_name(task_pb2.FeatureType, one.type, "FEATURE_TYPE_"))
            for one in task.features
        ),
        target=_target(task),
        metric=metric_of(task),
        threshold=task.decision.threshold or 0.5,
        id_column=task.id_column,
        group_column=split.column if split.method == task_pb2.SPLIT_METHOD_GROUP else "",
        time_column=task.time_column,
    )


def metric_of(task: task_pb2.Task) -> str:
    """What versions are ranked by, as `models.metrics.METRICS` names it."""
    return short_name(task_pb2.SelectionMetric, task.training.metric, "SELECTION_METRIC_")


def _target(task: task_pb2.Task) -> "Target":
    from models.recipe import Target

    if not task.HasField("target"):
        return Target()
    target = task.target
    return Target(
        names=(target.name, *target.more_columns),
        positive_value=target.positive_value,
        negative_value=target.negative_value,
        classes=tuple(target.classes),
        separator=target.separator or DEFAULT_SEPARATOR,
        minimum=target.minimum if target.HasField("minimum") else None,
        maximum=target.maximum if target.HasField("maximum") else None,
        logarithmic=target.logarithmic,
        points=target.points,
    )
