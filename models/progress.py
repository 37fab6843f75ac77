"""What a fit reports while it runs, and how it is stopped."""

import math
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Progress:
    """How far one model's fit is. Unknown numbers are NaN; `fraction_done` is 0 to 1 of this model."""

    model: str
    stage: str
    epoch: int
    epoch_count: int
    step: int
    train_loss: float = math.nan
    validation_loss: float = math.nan
    metrics: dict[str, float] = field(default_factory=dict)
    rows_per_s: float = math.nan
    fraction_done: float = 0.0
    time_left_s: float = math.nan


class TrainingStopped(Exception):
    """The fit ended because it was told to stop; its checkpoint is on disk."""


class TrainingFailed(RuntimeError):
    """The fit cannot go on; the message says why and what to try."""
