"""The models of a task's plan as the worker makes them:

Their names, settings, share of the work, and how they are fitted.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from boarfish.v1 import task_pb2

if TYPE_CHECKING:
    from models.data.tabular import TabularRows, TabularSchema
    from models.fitted import FittedModel
    from models.progress import Progress

# Seconds of work, measured on 2 cores with 55,000 rows of 14 features; only their ratio counts, for the
# share of progress.
SECONDS_AN_EPOCH = 1.5
SECONDS_AN_ITERATION = 0.03
SECONDS_TO_FINISH = 3.0
DEFAULT_HIDDEN_SIZES = (200, 100)


@dataclass(frozen=True)
class PlannedModel:
    """One model of the plan.

    `index` is its place there, `fit_share` the part of its work that is fitting, 0 to 1.
    """

    index: int
    name: str
    parameters: dict[str, str]
    seconds: float
    fit_share: float
    _plan: task_pb2.ModelPlan

    def fit(
        self,
        train: "TabularRows",
        valid: "TabularRows",
        schema: "TabularSchema",
        *,
        seed: int,
        checkpoints: Path,
        on_progress: "Callable[[Progress], None]",
        should_stop: Callable[[], bool],
    ) -> "FittedModel":
        """Fits it, or goes on from `checkpoints` to the same weights.

        Raises `TrainingStopped` when told to stop.
        """
        if self.name == "tabular_net":
            from models.tabular import fit_tabular_net as fit

            config = net_config(self._plan.tabular_net)
        else:
            from models.trees import fit_gradient_boosting as fit  # type: ignore[assignment]

            config = boosting_config(self._plan.gradient_boosting)  # type: ignore[assignment]
        return fit(
            train,
            valid,
            schema,
            config,
            seed=seed,
            checkpoint_folder=checkpoints,
            on_progress=on_progress,
            should_stop=should_stop,
        )
