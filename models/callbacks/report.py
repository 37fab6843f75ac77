"""Losses, metrics, rate and time left, told as the fit goes; and a fit whose loss is no number is ended."""

import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch

from models.callbacks.base import Callback
from models.progress import Progress, TrainingFailed

if TYPE_CHECKING:
    from models.learner import Learner

TOLD_EVERY_S = 0.5
CHECKED_EVERY_STEPS = 50


class Report(Callback):
    """Tells `on_progress` twice a second and after each epoch, with validation loss and `metrics` of scores
    and labels.

    Losses stay on the device and are looked at every 50 steps: reading each one would make the device wait.
    """

    order: ClassVar[int] = 50

    def __init__(
        self,
        model: str,
        on_progress: Callable[[Progress], None],
        metrics: Callable[[np.ndarray, np.ndarray], dict[str, float]],
    ) -> None:
        self._model = model
        self._on_progress = on_progress
        self._metrics = metrics
        self._losses: list[torch.Tensor] = []
        self._valid: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
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
        self._valid.clear()

    def after_batch(self, learner: "Learner") -> None:
        if not learner.training:
            self._valid.append((learner.prediction, learner.batch[-1], learner.loss))
            return
        self._losses.append(learner.loss.detach())
        self._rows += len(learner.batch[-1])
        if learner.step % CHECKED_EVERY_STEPS == 0:
            self._check(learner)
            if time.monotonic() - self._told > TOLD_EVERY_S:
                self._tell(learner, learner.epoch + 1, learner.step + 1)

    def after_epoch(self, learner: "Learner") -> None:
        self._check(learner)
        if self._valid:
            logits = torch.cat([logit for logit, _, _ in self._valid]).float()
            labels = torch.cat([label for _, label, _ in self._valid])
            self._validation_loss = float(learner.loss_function(logits, labels))
            self._last = self._metrics(torch.sigmoid(logits).cpu().numpy(), labels.cpu().numpy())
        self._tell(learner, learner.epoch, learner.step)

    def _check(self, learner: "Learner") -> None:
        if not self._losses:
            return
        self._train_loss = float(torch.stack(self._losses[-CHECKED_EVERY_STEPS:]).mean())
        if not math.isfinite(self._train_loss):
            raise TrainingFailed(
                f"The loss is no number in epoch {learner.epoch + 1}, step {learner.step}. "
                "Try a tenth of the learning rate, and look for extreme values in the numeric features."
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
