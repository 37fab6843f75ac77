"""What happens to gradients between the backward pass and the step: summed over batches, kept short."""

from typing import TYPE_CHECKING, ClassVar

import torch

from models.callbacks.base import Callback, CancelStep

if TYPE_CHECKING:
    from models.learner import Learner


class Accumulation(Callback):
    """Steps once in `batches` batches, and at the end of an epoch, by the mean of their gradients: as one
    batch so many times as large, in the memory of one (normalisation layers still see each batch alone).
    """

    order: ClassVar[int] = 15

    def __init__(self, batches: int) -> None:
        self._batches = batches

    def before_backward(self, learner: "Learner") -> None:
        first = learner.batch_index - learner.batch_index % self._batches
        learner.objective = learner.objective / min(self._batches, learner.batch_count - first)

    def before_step(self, learner: "Learner") -> None:
        done = learner.batch_index + 1
        if done % self._batches and done < learner.batch_count:
            raise CancelStep


class Clipping(Callback):
    """Shortens the gradient of all parameters together to the norm `largest` where it is longer."""

    order: ClassVar[int] = 30

    def __init__(self, largest: float) -> None:
        self._largest = largest

    def before_step(self, learner: "Learner") -> None:
        torch.nn.utils.clip_grad_norm_(learner.model.parameters(), self._largest)
