"""Losses, metrics, rate and time left, told as the fit goes; and a fit whose loss is no number is ended."""

import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from models.callbacks.base import Callback
from models.progress import Progress, TrainingFailed

if TYPE_CHECKING:
    from models.learner import Learner

TOLD_EVERY_S = 0.5
CHECKED_EVERY_STEPS = 50


class Report(Callback):
    """Tells `on_progress` twice a second and after each epoch, with the validation loss, what callbacks put
    into `learner.metrics`, and `metrics` of all predictions and targets of the epoch's validation.

    Predictions are kept for the whole validation where `metrics` is given (a net that gives a tuple: the
    first of it); where they are large, let a callback sum up batch by batch instead. Losses stay on the
    device and are looked at every 50 steps: reading each one would make the device wait.
    """

    order: ClassVar[int] = 50

    def __init__(
        self,
        model: str,
        on_progress: Callable[[Progress], None],
        metrics: Callable[[Tensor, Tensor], dict[str, float]] | None = None,
    ) -> None:
        self._model = model
        self._on_progress = on_progress
        self._metrics = metrics
        self._losses: list[Tensor] = []
        self._valid_losses: list[Tensor] = []
        self._valid_rows: list[int] = []
        self._valid: list[tuple[Tensor, Tensor]] = []
        self._train_loss = math.nan
        self._validation_loss = math.nan
        self._last: dict[str, float] = {}
        self._rows = 0
        self._began = self._told = time.monotonic()
        self._first_step = 0

    def before_fit(self, learner: "Learner") -> None:
        self._began = self._told = time.monotonic()
        self._first_step = learner.step

    def before_epoch(self, learner: "Learner") -> None:
        self._losses.clear()

    def before_validate(self, learner: "Learner") -> None:
        self._check(learner)
        self._valid_losses.clear()
        self._valid_rows.clear()
        self._valid.clear()

    def after_batch(self, learner: "Learner") -> None:
        rows = len(learner.batch[0])
        if not learner.training:
            self._valid_losses.append(learner.loss)
            self._valid_rows.append(rows)
            if self._metrics is not None:
                self._valid.append((_first(learner.prediction), learner.batch[-1]))
            return
        self._losses.append(learner.loss.detach())
        self._rows += rows
        if learner.step % CHECKED_EVERY_STEPS == 0:
            self._check(learner)
        if time.monotonic() - self._told > TOLD_EVERY_S:
            self._check(learner)
            self._tell(learner, learner.epoch + 1, learner.step + 1)

    def after_epoch(self, learner: "Learner") -> None:
        if self._valid_losses:
            losses = torch.stack(self._valid_losses).double().cpu()
            weights = torch.tensor(self._valid_rows, dtype=torch.float64)
            self._validation_loss = float((losses * weights).sum() / weights.sum())
        self._last = dict(learner.metrics)
        if self._metrics is not None and self._valid:
            predictions, targets = zip(*self._valid, strict=True)
            self._last |= self._metrics(torch.cat(predictions).float(), torch.cat(targets))
        self._valid.clear()
        self._tell(learner, learner.epoch, learner.step)

    def _check(self, learner: "Learner") -> None:
        if not self._losses:
            return
        self._losses = self._losses[-CHECKED_EVERY_STEPS:]
        self._train_loss = float(torch.stack(self._losses).mean())
        if not math.isfinite(self._train_loss):
            raise TrainingFailed(
                f"The loss is no number in epoch {learner.epoch + 1}, step {learner.step}. "
                "Try a tenth of the learning rate, and look for extreme values in the inputs."
            )

    def _tell(self, learner: "Learner", epoch: int, step: int) -> None:
        self._told = time.monotonic()
        elapsed = self._told - self._began
        total = max(learner.epoch_count * learner.batch_count, 1)
        done = step - self._first_step
        self._on_progress(
            Progress(
                model=self._model,
                stage=f"{self._model}: epoch {epoch} of {learner.epoch_count}",
                epoch=epoch,
                epoch_count=learner.epoch_count,
                step=step,
                train_loss=self._train_loss,
                validation_loss=self._validation_loss,
                metrics=dict(self._last),
                rows_per_s=self._rows / elapsed if elapsed > 0 else math.nan,
                fraction_done=min(step / total, 1.0),
                time_left_s=elapsed / done * (total - step) if done > 0 else math.nan,
            )
        )


def _first(prediction: Any) -> Tensor:
    found: Tensor = prediction[0] if isinstance(prediction, tuple) else prediction
    return found
