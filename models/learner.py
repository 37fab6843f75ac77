"""The training loop: fit, epoch and batch on one screen; everything else is a callback.

When each event comes, and what a cancel exception ends, stands in `models.callbacks.base`. The loop of Howard
and Gugger's miniai (course 22p2) was studied for it.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from models.callbacks.base import (
    EVENTS,
    Callback,
    CancelBatch,
    CancelEpoch,
    CancelFit,
    CancelStep,
    CancelTraining,
    CancelValidation,
)

Batch = tuple[Any, ...]
"""Inputs of the model (tensors, rows first), then the target: a tensor, or whatever the loss function takes.
"""


class Learner:
    """A model, its data and how it learns. `train_batches(epoch)` and `valid_batches()` give batches.

    `precision` surrounds prediction and loss (`torch.autocast`). Callbacks may replace `batch`, `forward`
    (how the model is called), `objective` (what is derived: the loss, or the loss scaled) and `take_step`
    (the optimizer's step), and add to `metrics`, which are told after the epoch and begin empty with the
    next.
    """

    def __init__(
        self,
        model: nn.Module,
        loss_function: Callable[[Any, Any], Tensor],
        optimizer: torch.optim.Optimizer,
        *,
        train_batches: Callable[[int], Sequence[Any]],
        valid_batches: Callable[[], Iterable[Batch]],
        callbacks: Iterable[Callback] = (),
        precision: AbstractContextManager[Any] | None = None,
    ) -> None:
        self.model = model
        self.loss_function = loss_function
        self.optimizer = optimizer
        self.train_batches = train_batches
        self.valid_batches = valid_batches
        self.precision = precision or nullcontext()
        self.forward: Callable[..., Any] = model
        self.take_step: Callable[[], Any] = optimizer.step
        self.epoch = self.batch_index = self.step = 0
        self.epoch_count = self.batch_count = 0
        self.training = False
        self.batch: Batch = ()
        self.prediction: Any = None
        self.loss = self.objective = torch.tensor(float("nan"))
        self.metrics: dict[str, float] = {}
        self.callbacks = sorted(callbacks, key=lambda callback: callback.order)
        self._handlers = _handlers(self.callbacks)

    def fit(self, epoch_count: int) -> None:
        """Trains until `epoch_count` epochs are done, counted from where `epoch`, `batch_index` and `step`
        (training batches so far) stand.
        """
        self.epoch_count = epoch_count
        try:
            self._call("before_fit")
            while self.epoch < epoch_count:
                self._one_epoch()
        except CancelFit:
            pass
        finally:
            self._call("after_fit")

    def _one_epoch(self) -> None:
        self.metrics = {}
        try:
            self._call("before_epoch")
            self._train()
            self._validate()
        except CancelEpoch:
            self.epoch, self.batch_index = self.epoch + 1, 0
        else:
            self.epoch, self.batch_index = self.epoch + 1, 0
            self._call("after_epoch")

    def _train(self) -> None:
        batches = self.train_batches(self.epoch)
        self.batch_count = len(batches)
        self._set_training(True)
        try:
            self._call("before_train")
            for batch in batches[self.batch_index :]:
                self._one_batch(batch)
                self.batch_index += 1
                self.step += 1
            self._call("after_train")
        except CancelTraining:
            self.optimizer.zero_grad(set_to_none=True)

    def _validate(self) -> None:
        self._set_training(False)
        try:
            self._call("before_validate")
            with torch.no_grad():
                for batch in self.valid_batches():
                    self._one_batch(batch)
            self._call("after_validate")
        except CancelValidation:
            pass

    def _one_batch(self, batch: Batch) -> None:
        self.batch = batch
        try:
            self._call("before_batch")
            with self.precision:
                self._call("before_predict")
                self.prediction = self.forward(*self.batch[:-1])
                self._call("after_predict")
                self._call("before_loss")
                self.loss = self.objective = self.loss_function(self.prediction, self.batch[-1])
                self._call("after_loss")
            if self.training:
                self._learn()
            self._call("after_batch")
        except CancelBatch:
            self.optimizer.zero_grad(set_to_none=True)

    def _learn(self) -> None:
        self._call("before_backward")
        self.objective.backward()  # type: ignore[no-untyped-call]
        self._call("after_backward")
        try:
            self._call("before_step")
            self.take_step()
            self._call("after_step")
        except CancelStep:
            return
        self.optimizer.zero_grad(set_to_none=True)

    def _set_training(self, training: bool) -> None:
        self.training = training
        self.model.train(training)

    def _call(self, event: str) -> None:
        for handler in self._handlers[event]:
            handler(self)


def _handlers(callbacks: Sequence[Callback]) -> dict[str, list[Callable[[Learner], None]]]:
    """The methods to call at each event; what is inherited from `Callback` does nothing and is left out."""
    nothing = {event: getattr(Callback, event) for event in EVENTS}
    return {
        event: [
            method
            for method in (getattr(callback, event) for callback in callbacks)
            if getattr(method, "__func__", method) is not nothing[event]
        ]
        for event in EVENTS
    }
