"""What each kind of task needs, and which models can learn it."""

import pytest
from boarfish.task_checks import check_task
from boarfish.task_kinds import METRICS, MODELS
from boarfish.v1 import task_pb2

from tests.integration.training.running_training import small_task

IMAGE = task_pb2.FEATURE_TYPE_IMAGE
PLANS = set(task_pb2.ModelPlan.DESCRIPTOR.fields_by_name)


def task(kind, plan, features, *, metric, **target):
    """A task of a kind with one model; `features` as types."""
    made = small_task()
    made.kind = kind
    for field in ("target", "decision", "watch", "sensitive", "features"):
        made.ClearField(field)
    for position, one in enumerate(features):
        made.features.add(name=f"f{position}", type=one)
    if kind != task_pb2.TASK_KIND_LANGUAGE_MODEL:
        made.target.CopyFrom(task_pb2.Target(name="y", **target))
    made.training.ClearField("models")
    getattr(made.training.models.add(), plan).SetInParent()
    made.training.metric = metric
    return made


def digits(**target):
    given = {"classes": ["zero", "one"], **target}
    return task(
        task_pb2.TASK_KIND_MULTICLASS_CLASSIFICATION,
        "conv_net",
        [IMAGE],
        metric=task_pb2.SELECTION_METRIC_ACCURACY,
        **given,
    )


def ratings(**target):
    return task(
        task_pb2.TASK_KIND_REGRESSION,
        "collaborative",
        [task_pb2.FEATURE_TYPE_CODE, task_pb2.FEATURE_TYPE_CATEGORY],
        metric=task_pb2.SELECTION_METRIC_MSE,
        **target,
    )


def fields(made):
    return {violation.field: violation.description for violation in check_task(made)}


def test_every_plan_and_every_kind_is_known():
    assert set(MODELS) == PLANS
    assert set(METRICS) == set(task_pb2.TaskKind.values()) - {0}
    for kind in METRICS:
        assert any(kind in needs.kinds for needs in MODELS.values())


def test_sound_tasks_of_each_kind_pass():
    assert fields(digits()) == {}
    assert fields(ratings(minimum=0.5, maximum=5)) == {}
    masks = task(
        task_pb2.TASK_KIND_SEGMENTATION, "unet", [IMAGE],
        metric=task_pb2.SELECTION_METRIC_MEAN_IOU, classes=["background", "emoji"],
    )  # fmt: skip
    assert fields(masks) == {}
    plays = task(
        task_pb2.TASK_KIND_LANGUAGE_MODEL, "language_model", [task_pb2.FEATURE_TYPE_TEXT],
        metric=task_pb2.SELECTION_METRIC_PERPLEXITY,
    )  # fmt: skip
    assert fields(plays) == {}
    tags = task(
        task_pb2.TASK_KIND_MULTILABEL_CLASSIFICATION, "conv_net", [IMAGE],
        metric=task_pb2.SELECTION_METRIC_MICRO_F1, classes=["cat", "dog"],
    )  # fmt: skip
    assert fields(tags) == {}


@pytest.mark.parametrize(
    ("made", "field", "words"),
    [
        (digits(classes=["only"]), "target.classes", "two at least"),
        (digits(positive_value="1"), "target.positive_value", "binary tasks alone"),
        (digits(minimum=1.0), "target.minimum", "regression alone"),
        (digits(separator=","), "target.separator", "multi-label tasks alone"),
        (ratings(minimum=5.0, maximum=1.0), "target.maximum", "above the minimum"),
        (ratings(minimum=-1.0, logarithmic=True), "target.minimum", "logarithm"),
        (ratings(minimum=float("nan")), "target.minimum", "finite"),
        (ratings(more_columns=["f0"]), "target.more_columns[0]", "a feature too"),
        (ratings(more_columns=["z"]), "training.models[0].collaborative", "predicts one number"),
        (ratings(points=True, more_columns=["x", "z"]), "target.more_columns", "even number"),
        (ratings(points=True, more_columns=["z"]), "target.points", "one image feature"),
        (ratings(classes=["a", "b"]), "target.classes", "not for regression"),
    ],
)
def test_what_a_kind_lacks_or_cannot_use_is_named(made, field, words):
    assert words in fields(made)[field]


def test_a_binary_task_needs_its_decision_and_its_watch():
    made = small_task()
    made.ClearField("decision")
    made.ClearField("watch")
    assert {"decision", "watch"} <= set(fields(made))


def test_a_decision_is_for_binary_tasks_alone():
    made = digits()
    made.decision.threshold = 0.5
    assert "remove it" in fields(made)["decision"]


def test_a_language_model_has_no_target_and_others_do():
    made = digits()
    made.ClearField("target")
    assert "is missing" in fields(made)["target"]
    plays = digits()
    plays.kind = task_pb2.TASK_KIND_LANGUAGE_MODEL
    assert "remove it" in fields(plays)["target"]


def test_a_metric_must_be_one_of_the_kind():
    made = digits()
    made.training.metric = task_pb2.SELECTION_METRIC_PERPLEXITY
    assert "accuracy, macro_f1, cross_entropy" in fields(made)["training.metric"]


def test_a_model_must_learn_the_kind_and_take_the_features():
    made = digits()
    made.training.models[0].unet.SetInParent()
    assert "these do: tabular_net" in fields(made)["training.models[0].unet"]
    made = digits()
    made.features.add(name="words", type=task_pb2.FEATURE_TYPE_TEXT)
    assert "words is not" in fields(made)["training.models[0].conv_net"]


def test_members_of_an_ensemble_are_models_of_tables():
    made = small_task()
    ensemble = made.training.models.add().ensemble
    ensemble.members.add().conv_net.SetInParent()
    ensemble.members.add().ensemble.SetInParent()
    found = fields(made)
    assert "cannot be in an ensemble" in found["training.models[2].ensemble.members[0].conv_net"]
    assert "these can: tabular_net" in found["training.models[2].ensemble.members[1].ensemble"]


def test_people_are_grouped_by_values_not_by_pictures():
    made = small_task()
    made.sensitive[0].type = IMAGE
    assert "grouped by" in fields(made)["sensitive[0].type"]
