"""Plans as settings: every message mirrors its class, and what is left out takes the class's default."""

import dataclasses
import importlib
import typing

import pytest
from boarfish.v1 import task_pb2

from models import configs
from services.training.plan import ENSEMBLE, NETS, RECIPES, planned_models, read_settings
from tests.integration.training.running_training import small_task

KINDS = sorted(set(task_pb2.ModelPlan.DESCRIPTOR.fields_by_name) - {ENSEMBLE})


def mirrored(message, settings):
    """Names of fields that one has and the other lacks, nested ones too."""
    ours = {field.name for field in dataclasses.fields(settings)}
    theirs = set(message.fields_by_name)
    wrong = ours ^ theirs
    types = typing.get_type_hints(settings)
    for name in ours & theirs:
        nested = message.fields_by_name[name].message_type
        if nested is not None:
            hint = types[name]
            inner = next(one for one in (*typing.get_args(hint), hint) if dataclasses.is_dataclass(one))
            wrong |= {f"{name}.{one}" for one in mirrored(nested, inner)}
    return wrong


@pytest.mark.parametrize("kind", KINDS)
def test_a_plan_mirrors_its_settings_and_its_recipe_can_be_made(kind):
    module, recipe, settings = RECIPES[kind]
    descriptor = task_pb2.ModelPlan.DESCRIPTOR.fields_by_name[kind].message_type
    assert mirrored(descriptor, getattr(configs, settings)) == set()
    made = getattr(importlib.import_module(module), recipe)(getattr(configs, settings)())
    assert made.name == kind


def test_what_is_left_out_takes_its_default():
    plan = task_pb2.ConvNetPlan()
    assert read_settings(plan, configs.ConvNetConfig) == configs.ConvNetConfig()
    assert read_settings(task_pb2.FitPlan(), configs.FitConfig) == configs.FitConfig()


def test_what_is_given_is_read_zeros_and_enums_too():
    plan = task_pb2.ConvNetPlan(
        fit=task_pb2.FitPlan(
            epochs=3, weight_decay=0.0, optimizer=task_pb2.OPTIMIZER_SGD, compile=task_pb2.SWITCH_OFF
        ),
        architecture=task_pb2.ARCHITECTURE_EFFICIENTNET_LITE0,
        progressive_sizes=[64, 128],
        augment=task_pb2.AugmentPlan(on=False),
    )
    found = read_settings(plan, configs.ConvNetConfig)
    assert (found.fit.epochs, found.fit.weight_decay, found.fit.optimizer) == (3, 0.0, "sgd")
    assert (found.fit.compile, found.fit.batch_size) == ("off", configs.FitConfig.batch_size)
    assert (found.architecture, found.progressive_sizes) == ("efficientnet_lite0", (64, 128))
    assert found.augment.on is False
    assert found.augment.flip is True


def test_every_setting_is_there_for_people():
    task = small_task()
    forest = task.training.models.add().random_forest
    forest.embeddings.epochs, forest.embeddings.batch_size = 2, 64
    ensemble = task.training.models.add().ensemble
    ensemble.members.add().xgboost.iterations = 7
    ensemble.members.add().random_forest.SetInParent()
    net, _, with_embeddings, together = (one.parameters for one in planned_models(task))
    assert net["hidden_sizes"] == "16, 8"
    assert (with_embeddings["tree_count"], with_embeddings["embeddings.epochs"]) == ("100", "2")
    assert together["1. xgboost, iterations"] == "7"
    assert "embeddings.epochs" not in together


def test_work_is_shared_out_between_nought_and_one():
    task = small_task()
    task.training.models.add().language_model.SetInParent()
    task.training.models.add().random_forest.SetInParent()
    assert all(0 < one.fit_share < 1 for one in planned_models(task))


def test_nets_are_those_with_a_learning_rate_to_find():
    assert {"conv_net", "tabular_net", "text_classifier"} <= NETS
    assert NETS.isdisjoint({"random_forest", "xgboost", "gradient_boosting"})
