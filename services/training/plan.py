"""The models of a task's plan as the worker makes them: settings, share of the work, how each is fitted.

A plan's message mirrors a class of `models.configs` field by field, so one function reads them all; what a
plan leaves out takes the class's default.
"""

import dataclasses
import importlib
import typing
from dataclasses import dataclass
from typing import Any

from boarfish.v1 import task_pb2
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

if typing.TYPE_CHECKING:
    from models.recipe import Recipe

# Module, recipe and settings of each kind of model. Modules are imported when a model of the kind is made.
RECIPES = {
    "tabular_net": ("models.tabular", "TabularNet", "TabularNetConfig"),
    "gradient_boosting": ("models.trees", "GradientBoosting", "GradientBoostingConfig"),
    "random_forest": ("models.trees", "RandomForest", "RandomForestConfig"),
    "xgboost": ("models.trees", "Xgboost", "XgboostConfig"),
    "conv_net": ("models.vision", "ConvNet", "ConvNetConfig"),
    "unet": ("models.segmentation", "Unet", "UnetConfig"),
    "siamese": ("models.siamese", "Siamese", "SiameseConfig"),
    "collaborative": ("models.collaborative", "Collaborative", "CollaborativeConfig"),
    "language_model": ("models.text", "LanguageModel", "LanguageModelConfig"),
    "text_classifier": ("models.text", "TextClassifier", "TextClassifierConfig"),
}
ENSEMBLE = "ensemble"
NETS = frozenset(RECIPES) - {"gradient_boosting", "random_forest", "xgboost"}
"""Kinds of model that learn by gradient descent, and so have a learning rate to find."""

# Seconds of work, measured on 2 cores with 55,000 rows of 14 features. Only their ratio counts, for progress.
SECONDS_AN_EPOCH = 1.5
SECONDS_AN_ITERATION = 0.03
SECONDS_TO_FINISH = 3.0


@dataclass(frozen=True)
class PlannedModel:
    """One model at place `index` of the plan, with its settings and the seed of its weights and batches."""

    index: int
    name: str
    plan: task_pb2.ModelPlan
    seed: int

    @property
    def seconds(self) -> float:
        """Work to be expected."""
        return self._fit_seconds + SECONDS_TO_FINISH

    @property
    def fit_share(self) -> float:
        """The part of the work that is fitting, 0 to 1."""
        return self._fit_seconds / self.seconds

    @property
    def parameters(self) -> dict[str, str]:
        """Every setting with its value, for people."""
        return {"model": self.name, **_parameters_of(self.plan), "seed": str(self.seed)}

    @property
    def weights(self) -> str:
        """The pretrained weights that the plan names; empty for none."""
        return str(getattr(getattr(self.plan, self.name), "weights", ""))

    @property
    def process_count(self) -> int:
        """Processes that fit it together: the most that any net in it asks for."""
        return _process_count_of(self.plan)

    def recipe(self) -> "Recipe":
        """The kind of model with its settings."""
        return _recipe_of(self.plan)

    @property
    def _fit_seconds(self) -> float:
        return _fit_seconds_of(self.plan)


def planned_models(task: task_pb2.Task) -> list[PlannedModel]:
    """The models of `task.training`, in its order."""
    return [
        PlannedModel(index, str(plan.WhichOneof("plan")), plan, task.training.seed)
        for index, plan in enumerate(task.training.models)
    ]


def read_settings(message: Message, settings: type[Any]) -> Any:
    """The fields of `message` as an instance of `settings`, a dataclass with fields of the same names."""
    types = typing.get_type_hints(settings)
    given: dict[str, Any] = {}
    for field in dataclasses.fields(settings):
        descriptor = message.DESCRIPTOR.fields_by_name[field.name]
        value = getattr(message, field.name)
        if descriptor.is_repeated:
            if len(value):
                given[field.name] = tuple(value)
        elif descriptor.has_presence and not message.HasField(field.name):
            continue
        elif descriptor.type == FieldDescriptor.TYPE_MESSAGE:
            given[field.name] = read_settings(value, _class_in(types[field.name]))
        elif descriptor.type == FieldDescriptor.TYPE_ENUM:
            given[field.name] = _enum_name(descriptor.enum_type, value)
        else:
            given[field.name] = value
    return settings(**given)


def _class_in(hint: Any) -> type[Any]:
    """The dataclass of a type that may be `X | None`."""
    return next(one for one in (*typing.get_args(hint), hint) if dataclasses.is_dataclass(one))  # type: ignore[return-value]


def _enum_name(enum: Any, value: int) -> str:
    # Every enum's zero is its name in capitals and _UNSPECIFIED.
    prefix = enum.values_by_number[0].name.removesuffix("UNSPECIFIED")
    return str(enum.values_by_number[value].name.removeprefix(prefix).lower())


def _settings_of(plan: task_pb2.ModelPlan) -> Any:
    name = str(plan.WhichOneof("plan"))
    settings = getattr(importlib.import_module("models.configs"), RECIPES[name][2])
    return read_settings(getattr(plan, name), settings)


def _recipe_of(plan: task_pb2.ModelPlan) -> "Recipe":
    name = str(plan.WhichOneof("plan"))
    if name == ENSEMBLE:
        from models.ensemble import Ensemble

        together: Recipe = Ensemble([_recipe_of(member) for member in plan.ensemble.members])
        return together
    module, recipe, _ = RECIPES[name]
    made: Recipe = getattr(importlib.import_module(module), recipe)(_settings_of(plan))
    return made


def _parameters_of(plan: task_pb2.ModelPlan) -> dict[str, str]:
    if plan.WhichOneof("plan") == ENSEMBLE:
        found: dict[str, str] = {}
        for position, member in enumerate(plan.ensemble.members, 1):
            name = f"{position}. {member.WhichOneof('plan')}"
            found |= {f"{name}, {key}": value for key, value in _parameters_of(member).items()}
        return found
    return dict(_flat(_settings_of(plan), ""))


def _flat(settings: Any, prefix: str) -> "typing.Iterator[tuple[str, str]]":
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if dataclasses.is_dataclass(value):
            yield from _flat(value, "" if field.name == "fit" else f"{prefix}{field.name}.")
        elif isinstance(value, tuple):
            yield f"{prefix}{field.name}", ", ".join(map(str, value))
        elif value is not None:
            text = f"{value:g}" if isinstance(value, float) else str(value)
            yield f"{prefix}{field.name}", text


def _process_count_of(plan: task_pb2.ModelPlan) -> int:
    if plan.WhichOneof("plan") == ENSEMBLE:
        return max(map(_process_count_of, plan.ensemble.members), default=1)
    settings = _settings_of(plan)
    return int(getattr(getattr(settings, "fit", settings), "process_count", 1))


def _fit_seconds_of(plan: task_pb2.ModelPlan) -> float:
    if plan.WhichOneof("plan") == ENSEMBLE:
        return sum(map(_fit_seconds_of, plan.ensemble.members))
    settings = _settings_of(plan)
    fit = getattr(settings, "fit", settings)
    if hasattr(fit, "epochs"):
        more = getattr(fit, "frozen_epochs", 0) + getattr(settings, "language_model_epochs", 0)
        return float(SECONDS_AN_EPOCH * (fit.epochs + more))
    return float(SECONDS_AN_ITERATION * getattr(settings, "iterations", getattr(settings, "tree_count", 100)))
