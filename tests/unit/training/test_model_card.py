"""The model card says what it is for, how good, for whom, and its limits, and cannot be broken by words."""

import math

from boarfish.v1 import common_pb2, task_pb2, training_pb2

from services.training.model_card import SubgroupRow, model_card
from tests.integration.training.running_training import small_task


def card(task, subgroups=()):
    version = training_pb2.ModelVersion(model="tabular_net", dataset="people", dataset_version=7)
    version.metrics["brier"].CopyFrom(common_pb2.Estimate(value=0.12, lower=0.11, upper=0.13, count=9))
    version.metrics["auc"].CopyFrom(
        common_pb2.Estimate(value=math.nan, lower=math.nan, upper=math.nan, warnings=["one class"])
    )
    version.baseline.rule = "always the majority class"
    version.baseline.metric = "auc"
    version.baseline.statement = "AUC 0.9, better than always the majority class."
    version.parameters["epochs"] = "2"
    return model_card(task, version, train_count=3000, valid_count=1000, subgroups=subgroups)


def test_it_says_what_people_need():
    task = small_task()
    task.ethics_checklist.add(question="Who handles appeals?")
    task.ethics_checklist.add(question="Answered?", answer="Yes.")
    text = card(task)
    for words in (
        "better than always the majority class",
        "3,000 rows to train",
        "version 7",
        "| Brier score (0 is perfect) | 0.120 (0.110 to 0.130) |",
        "too few to say",
        "auc: one class",
        "Who handles appeals?",
        "“out of work”",
        "no sensitive attribute",
    ):
        assert words in text, words
    assert "Answered?" not in text
    assert text.index("Area under") < text.index("Brier")


def test_groups_too_small_are_not_rated_and_findings_are_told():
    rate = common_pb2.Estimate(value=0.8, lower=0.7, upper=0.9, count=500)
    rows = [
        SubgroupRow({"sex": "1"}, "male | or so", 500, {"accuracy": rate}, findings=["Men fare better."]),
        SubgroupRow({"sex": "2"}, "female", 3, {}, note="3 people: too few"),
        SubgroupRow({"sex": "2", "age": "1"}, "young and female", 2, {}, note="too few"),
    ]
    text = card(small_task(), rows)
    assert "| male \\| or so | 500 | 0.800 (0.700 to 0.900) |" in text
    assert "| female | 3 | not rated |" in text
    assert "- Men fare better." in text
    assert "young and female" not in text


def test_every_split_has_words():
    for method in task_pb2.SplitMethod.values()[1:]:
        task = small_task(split=task_pb2.Split(method=method, column="id", seed=5))
        assert "held out (" in card(task)
