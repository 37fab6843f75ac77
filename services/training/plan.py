"""The models of a task's plan as the worker makes them: settings, share of the work, how each is fitted."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from boarfish.v1 import task_pb2

if TYPE_CHECKING:
    from models.data.tabular import TabularRows, TabularSchema
    from models.fitted import FittedModel
    from models.progress import Progress

TABULAR_NET, GRADIENT_BOOSTING = "tabular_net", "gradient_boosting"
DEFAULT_HIDDEN_SIZES = (200, 100)

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
        if self.name == TABULAR_NET:
            net = self.plan.tabular_net
            settings = {
                "epochs": net.epochs,
                "batch_size": net.batch_size,
                "learning_rate": net.learning_rate,
                "hidden_sizes": ", ".join(map(str, _hidden_sizes(net))),
                "dropout": net.dropout,
                "weight_decay": net.weight_decay,
            }
        else:
            trees = self.plan.gradient_boosting
            settings = {
                "iterations": trees.iterations,
                "learning_rate": trees.learning_rate,
                "leaf_count": trees.leaf_count,
            }
        named = {name: value if isinstance(value, str) else f"{value:g}" for name, value in settings.items()}
        return {"model": self.name, **named, "seed": str(self.seed)}

    def fit(
        self,
        train: "TabularRows",
        valid: "TabularRows",
        schema: "TabularSchema",
        *,
        checkpoints: Path,
        on_progress: "Callable[[Progress], None]",
        should_stop: Callable[[], bool],
    ) -> "FittedModel":
        """Fits it, or goes on from `checkpoints` to the same weights.

        Raises:
            TrainingStopped: it was told to stop.
        """
        from models.configs import GradientBoostingConfig, TabularNetConfig

        if self.name == TABULAR_NET:
            from models.tabular import fit_tabular_net

            net = self.plan.tabular_net
            return fit_tabular_net(
                train,
                valid,
                schema,
                TabularNetConfig(
                    epochs=net.epochs,
                    batch_size=net.batch_size,
                    learning_rate=net.learning_rate,
                    hidden_sizes=_hidden_sizes(net),
                    dropout=net.dropout,
                    weight_decay=net.weight_decay,
                ),
                seed=self.seed,
                checkpoint_folder=checkpoints,
                on_progress=on_progress,
                should_stop=should_stop,
            )
        from models.trees import fit_gradient_boosting

        trees = self.plan.gradient_boosting
        return fit_gradient_boosting(
            train,
            valid,
            schema,
            GradientBoostingConfig(
                iterations=trees.iterations,
                learning_rate=trees.learning_rate,
                leaf_count=trees.leaf_count,
            ),
            seed=self.seed,
            checkpoint_folder=checkpoints,
            on_progress=on_progress,
            should_stop=should_stop,
        )

    @property
    def _fit_seconds(self) -> float:
        if self.name == TABULAR_NET:
            return SECONDS_AN_EPOCH * self.plan.tabular_net.epochs
        return SECONDS_AN_ITERATION * self.plan.gradient_boosting.iterations


def planned_models(task: task_pb2.Task) -> list[PlannedModel]:
    """The models of `task.training`, in its order."""
    return [
        PlannedModel(index, str(plan.WhichOneof("plan")), plan, task.training.seed)
        for index, plan in enumerate(task.training.models)
    ]


def _hidden_sizes(net: task_pb2.TabularNetPlan) -> tuple[int, ...]:
    return tuple(net.hidden_sizes) or DEFAULT_HIDDEN_SIZES
