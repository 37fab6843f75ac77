"""What each kind of task needs, and which models can learn it: the checks that depend on a task's kind."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from boarfish.errors import FieldViolation
from boarfish.v1 import task_pb2

_T, _F, _M = task_pb2.TaskKind, task_pb2.FeatureType, task_pb2.SelectionMetric
_CLASSES = (
    task_pb2.TASK_KIND_MULTICLASS_CLASSIFICATION,
    task_pb2.TASK_KIND_MULTILABEL_CLASSIFICATION,
    task_pb2.TASK_KIND_SEGMENTATION,
)
TABULAR = frozenset(
    {
        task_pb2.FEATURE_TYPE_NUMERIC,
        task_pb2.FEATURE_TYPE_CODE,
        task_pb2.FEATURE_TYPE_CATEGORY,
        task_pb2.FEATURE_TYPE_TIME,
    }
)
"""Types of features that stand in a table's cells as one value each."""
PICTURED = frozenset(
    {
        task_pb2.FEATURE_TYPE_IMAGE,
        task_pb2.FEATURE_TYPE_AUDIO,
        task_pb2.FEATURE_TYPE_SERIES,
        task_pb2.FEATURE_TYPE_BYTES,
    }
)
"""Types of features that are, or become, pictures."""
METRICS = {
    task_pb2.TASK_KIND_BINARY_CLASSIFICATION: ("auc", "accuracy"),
    task_pb2.TASK_KIND_MULTICLASS_CLASSIFICATION: ("accuracy", "macro_f1", "cross_entropy"),
    task_pb2.TASK_KIND_MULTILABEL_CLASSIFICATION: ("micro_f1", "macro_auc"),
    task_pb2.TASK_KIND_REGRESSION: ("rmse", "mse", "mae", "r2"),
    task_pb2.TASK_KIND_SEGMENTATION: ("mean_iou", "accuracy"),
    task_pb2.TASK_KIND_LANGUAGE_MODEL: ("perplexity", "accuracy"),
}
"""What versions can be ranked by, for each kind of task."""


@dataclass(frozen=True)
class Needs:
    """Kinds of task that a model learns, and the features that it takes: `types`, and how many of them."""

    kinds: frozenset[int]
    types: frozenset[int] = TABULAR
    words: str = "numeric, code, category and time features"
    fewest: int = 1
    most: int | None = field(default=None)


_BINARY = task_pb2.TASK_KIND_BINARY_CLASSIFICATION
_MULTICLASS = task_pb2.TASK_KIND_MULTICLASS_CLASSIFICATION
_MULTILABEL = task_pb2.TASK_KIND_MULTILABEL_CLASSIFICATION
_REGRESSION = task_pb2.TASK_KIND_REGRESSION
_IMAGES = frozenset({task_pb2.FEATURE_TYPE_IMAGE})
_TEXTS = frozenset({task_pb2.FEATURE_TYPE_TEXT})
_TREES = Needs(frozenset({_BINARY, _MULTICLASS, _REGRESSION}))

MODELS = {
    "tabular_net": Needs(frozenset({_BINARY, _MULTICLASS, _MULTILABEL, _REGRESSION})),
    "gradient_boosting": _TREES,
    "random_forest": _TREES,
    "xgboost": _TREES,
    "ensemble": _TREES,
    "conv_net": Needs(
        frozenset({_BINARY, _MULTICLASS, _MULTILABEL, _REGRESSION}),
        PICTURED,
        "one image, audio, series or bytes feature",
        most=1,
    ),
    "unet": Needs(frozenset({task_pb2.TASK_KIND_SEGMENTATION}), _IMAGES, "one image feature", most=1),
    "siamese": Needs(frozenset({_BINARY}), _IMAGES, "two image features", fewest=2, most=2),
    "collaborative": Needs(
        frozenset({_REGRESSION}), words="two code or category features, user and item, first", fewest=2
    ),
    "language_model": Needs(
        frozenset({task_pb2.TASK_KIND_LANGUAGE_MODEL}), _TEXTS, "one text feature", most=1
    ),
    "text_classifier": Needs(frozenset({_BINARY, _MULTICLASS}), _TEXTS, "one text feature", most=1),
}
"""Every kind of model by its name in a plan."""
MEMBERS = ("tabular_net", "gradient_boosting", "random_forest", "xgboost")
"""Kinds of model that an ensemble averages."""


def short_name(enum: type, value: int, prefix: str) -> str:
    """`SELECTION_METRIC_AUC` as `auc`."""
    return str(enum.Name(value)).removeprefix(prefix).lower()  # type: ignore[attr-defined]


def check_kind(task: task_pb2.Task) -> Iterator[FieldViolation]:
    """What the task's kind needs and it lacks, or has and cannot use."""
    if task.kind not in METRICS:
        return
    yield from _target(task)
    yield from _parts(task)
    metric = short_name(_M, task.training.metric, "SELECTION_METRIC_")
    if task.training.metric and metric not in METRICS[task.kind]:
        there = ", ".join(METRICS[task.kind])
        yield FieldViolation("training.metric", f"{metric} is not for {_kind(task)}; must be one of {there}")
    for position, plan in enumerate(task.training.models):
        yield from _model(task, plan, f"training.models[{position}]")


def _kind(task: task_pb2.Task) -> str:
    return short_name(_T, task.kind, "TASK_KIND_").replace("_", " ") + " tasks"


def _target(task: task_pb2.Task) -> Iterator[FieldViolation]:
    target = task.target
    if task.kind == task_pb2.TASK_KIND_LANGUAGE_MODEL:
        if task.HasField("target"):
            yield FieldViolation("target", "a language model predicts its own text: remove it")
        return
    if not task.HasField("target"):
        yield FieldViolation("target", "is missing; say what is predicted")
        return
    for name in ("positive_value", "negative_value"):
        if task.kind == _BINARY and not getattr(target, name):
            yield FieldViolation(f"target.{name}", "is missing; a binary task needs the text of both values")
        if task.kind != _BINARY and getattr(target, name):
            yield FieldViolation(f"target.{name}", f"is for binary tasks alone, not for {_kind(task)}")
    if task.kind in _CLASSES and len(target.classes) < 2 - (task.kind == _MULTILABEL):
        yield FieldViolation("target.classes", "is missing; list the classes, two at least")
    if task.kind not in _CLASSES and target.classes:
        yield FieldViolation("target.classes", f"is not for {_kind(task)}")
    separator = target.separator or ";"
    if target.separator and task.kind != _MULTILABEL:
        yield FieldViolation("target.separator", f"is for multi-label tasks alone, not for {_kind(task)}")
    if task.kind == _MULTILABEL:
        for position, name in enumerate(target.classes):
            if separator in name:
                yield FieldViolation(
                    f"target.classes[{position}]", f"{name!r} holds the separator {separator!r}"
                )
    yield from _number_target(task)


def _number_target(task: task_pb2.Task) -> Iterator[FieldViolation]:
    target, regression = task.target, task.kind == _REGRESSION
    bounds = [name for name in ("minimum", "maximum") if target.HasField(name)]
    for name in (*bounds, "logarithmic", "more_columns", "points"):
        if (
            not regression
            and getattr(target, name) not in (False, None, [])
            and (name in bounds or getattr(target, name))
        ):
            yield FieldViolation(f"target.{name}", f"is for regression alone, not for {_kind(task)}")
    if not all(math.isfinite(getattr(target, name)) for name in bounds):
        yield FieldViolation("target.minimum", "must be finite; leave it out for no bound")
    if len(bounds) == 2 and target.minimum >= target.maximum:
        yield FieldViolation("target.maximum", "must be above the minimum")
    if target.logarithmic and target.HasField("minimum") and target.minimum < 0:
        yield FieldViolation("target.minimum", "must not be below 0 where the logarithm is learnt")
    taken = {target.name, *(feature.name for feature in task.features)}
    for position, name in enumerate(target.more_columns):
        if name in taken:
            yield FieldViolation(f"target.more_columns[{position}]", f"{name} is the target or a feature too")
    if target.points and (1 + len(target.more_columns)) % 2:
        yield FieldViolation(
            "target.more_columns", "points need an x and a y each: an even number of columns"
        )
    pictures = [one for one in task.features if one.type == task_pb2.FEATURE_TYPE_IMAGE]
    if target.points and len(pictures) != 1:
        yield FieldViolation("target.points", "are points of a picture: the task needs one image feature")


def _parts(task: task_pb2.Task) -> Iterator[FieldViolation]:
    for name in ("decision", "watch"):
        if task.kind == _BINARY and not task.HasField(name):
            yield FieldViolation(name, "value is required")
    if task.kind != _BINARY and task.HasField("decision"):
        yield FieldViolation("decision", f"is for binary tasks alone, not for {_kind(task)}: remove it")


def _model(
    task: task_pb2.Task, plan: task_pb2.ModelPlan, at: str, *, member: bool = False
) -> Iterator[FieldViolation]:
    name = plan.WhichOneof("plan")
    if name is None:
        return
    if member and name not in MEMBERS:
        yield FieldViolation(f"{at}.{name}", f"cannot be in an ensemble; these can: {', '.join(MEMBERS)}")
        return
    needs = MODELS[name]
    if task.kind not in needs.kinds:
        able = ", ".join(one for one, other in MODELS.items() if task.kind in other.kinds)
        yield FieldViolation(f"{at}.{name}", f"does not learn {_kind(task)}; these do: {able}")
        return
    if name == "ensemble":
        for position, one in enumerate(plan.ensemble.members):
            yield from _model(task, one, f"{at}.ensemble.members[{position}]", member=True)
        return
    count = len(task.features)
    unfit = [one.name for one in task.features if one.type not in needs.types]
    if unfit or count < needs.fewest or (needs.most is not None and count > needs.most):
        which = f"; {', '.join(unfit[:5])} {'is' if len(unfit) == 1 else 'are'} not" if unfit else ""
        yield FieldViolation(f"{at}.{name}", f"takes {needs.words}{which}")
    if name == "collaborative":
        both = (task_pb2.FEATURE_TYPE_CODE, task_pb2.FEATURE_TYPE_CATEGORY)
        if not all(one.type in both for one in task.features[:2]) or task.target.more_columns:
            yield FieldViolation(f"{at}.{name}", f"takes {needs.words}, and predicts one number")
