"""Never lose a run: everything that decides the rest of a fit, on disk, whole or not at all."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from models.callbacks.base import Callback
from models.distributed import ALONE, Group, agreed, from_first
from models.progress import TrainingStopped

if TYPE_CHECKING:
    from models.learner import Learner

EVERY_S = 30.0
NAME = "checkpoint.pt"


class Checkpoint(Callback):
    """Saves all that decides the rest of the fit after each epoch and every half minute; resumes bit for bit
    on a CPU.

    That is weights, optimizer, gradients (batches may be accumulating), random state, position, and what the
    callbacks say (`Callback.state`). The order of batches is a function of seed and epoch and the schedule
    one of the position, so neither is saved. `should_stop` is asked after each batch: when it says so the
    position is saved and `TrainingStopped` raised. Of several processes all stop together and go on from what
    the first one has.
    """

    order: ClassVar[int] = 90

    def __init__(self, folder: Path | None, should_stop: Callable[[], bool], among: Group = ALONE) -> None:
        self._path = None if folder is None else folder / NAME
        self._should_stop = agreed(should_stop, among)
        self._among = among
        self._saved = time.monotonic()

    def before_fit(self, learner: "Learner") -> None:
        self._saved = time.monotonic()
        state = from_first(self._load, self._among)
        if state is None:
            return
        learner.model.load_state_dict(state["model"])
        learner.optimizer.load_state_dict(state["optimizer"])
        learner.epoch, learner.batch_index, learner.step = state["position"]
        torch.set_rng_state(state["random"])
        if state["cuda_random"] and torch.cuda.is_available():
            torch.cuda.set_rng_state_all(state["cuda_random"])
        for parameter, gradient in zip(learner.model.parameters(), state["gradients"], strict=True):
            parameter.grad = None if gradient is None else gradient.to(parameter.device)
        for callback in learner.callbacks:
            if kept := state["callbacks"].get(type(callback).__name__):
                callback.load_state(kept)

    def _load(self) -> dict[str, Any] | None:
        if self._path is None or not self._path.is_file():
            return None
        state: dict[str, Any] = torch.load(self._path, weights_only=True, map_location="cpu")
        return state

    def after_batch(self, learner: "Learner") -> None:
        if not learner.training:
            return
        stop = self._should_stop()
        if stop or time.monotonic() - self._saved > EVERY_S:
            self._save(learner, learner.batch_index + 1, learner.step + 1)
        if stop:
            raise TrainingStopped

    def after_epoch(self, learner: "Learner") -> None:
        self._save(learner, 0, learner.step)

    def _save(self, learner: "Learner", batch_index: int, step: int) -> None:
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        coming = self._path.with_suffix(".coming")
        state = {
            "model": learner.model.state_dict(),
            "optimizer": learner.optimizer.state_dict(),
            "position": (learner.epoch, batch_index, step),
            "random": torch.get_rng_state(),
            "gradients": [parameter.grad for parameter in learner.model.parameters()],
            "callbacks": {type(callback).__name__: callback.state() for callback in learner.callbacks},
            "cuda_random": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        }
        with coming.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        coming.rename(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        self._saved = time.monotonic()
