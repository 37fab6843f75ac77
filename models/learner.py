"""The training loop: fit, epoch and batch on one screen; everything else is a callback.

Events come in the order in which `Callback` lists them. A callback may end a batch, an epoch or the fit by an
exception; `after_fit` is always called. The loop of Howard and Gugger's miniai (course 22p2) was studied for
it.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from models.callbacks.base import Callback, CancelBatch, CancelEpoch, CancelFit

Batch = tuple[Tensor, ...]
"""Inputs of the model, then the target."""


class Learner:
    """A model, its data and how it learns. `train_batches(epoch)` and `valid_batches()` give batches on the
    device.
    """

    def __init__(
        self,
        model: nn.Module,
        loss_function: Callable[[Tensor, Tensor], Tensor],
        optimizer: torch.optim.Optimizer,
        *,
        train_batches: Callable[[int], Sequence[Any]],
        valid_batches: Callable[[], Iterable[Batch]],
        callbacks: Iterable[Callback] = (),
    ) -> None:
        self.model = model
        self.loss_function = loss_function
        self.optimizer = optimizer
        self.train_batches = train_batches
        self.valid_batches = valid_batches
        self.callbacks = sorted(callbacks, key=lambda callback: callback.order)
        self.epoch = self.batch_index = self.step = 0
        self.epoch_count = self.batch_count = 0
        self.training = False
        self.batch: Batch = ()
        self.prediction = self.loss = torch.tensor(float("nan"))

    def fit(self, epoch_count: int) -> None:
        """Trains until `epoch_count` epochs are done, counted from where `epoch`, `batch_index` and `step`
        stand.
        """
        self.epoch_count = epoch_count
        try:
            self._call("before_fit")
            while self.epoch < epoch_count:
                self._one_epoch()
                self.epoch += 1
                self.batch_index = 0
                self._call("after_epoch")
        except CancelFit:
            pass
        finally:
            self._call("after_fit")

    def _one_epoch(self) -> None:
        self._call("before_epoch")
        batches = self.train_batches(self.epoch)
        self.batch_count = len(batches)
        try:
            self._set_training(True)
            for batch in batches[self.batch_index :]:
                self._one_batch(batch)
                self.batch_index += 1
                self.step += 1
        except CancelEpoch:
            pass
        self._set_training(False)
        with torch.no_grad():
            for batch in self.valid_batches():
                self._one_batch(batch)

    def _one_batch(self, batch: Batch) -> None:
        self.batch = batch
        try:
            self._call("before_batch")
            self.prediction = self.model(*self.batch[:-1])
            self.loss = self.loss_function(self.prediction, self.batch[-1])
            self._call("after_loss")
            if self.training:
                self.loss.backward()  # type: ignore[no-untyped-call]
                self._call("before_step")
                self.optimizer.step()
                self.optimizer.zero_grad(set_to_none=True)
            self._call("after_batch")
        except CancelBatch:
            self.optimizer.zero_grad(set_to_none=True)

    def _set_training(self, training: bool) -> None:
        self.training = training
        self.model.train(training)

    def _call(self, event: str) -> None:
        for callback in self.callbacks:
            getattr(callback, event)(self)
