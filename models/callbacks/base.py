"""What a callback is, and how it may change the course of a fit."""

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from models.learner import Learner


class CancelBatch(Exception):
    """Skip the rest of this batch."""


class CancelEpoch(Exception):
    """Skip the rest of this epoch's training; validation follows."""


class CancelFit(Exception):
    """End the fit here."""


class Callback:
    """Called at every event, lower `order` first; each method may read and change the learner or raise a
    cancel exception.
    """

    order: ClassVar[int] = 0

    def before_fit(self, learner: "Learner") -> None:
        """The fit begins, or goes on from a checkpoint."""

    def before_epoch(self, learner: "Learner") -> None:
        """An epoch begins."""

    def before_batch(self, learner: "Learner") -> None:
        """`learner.batch` is about to be used; in training and validation (`learner.training`)."""

    def after_loss(self, learner: "Learner") -> None:
        """`learner.loss` is there, gradients are not."""

    def before_step(self, learner: "Learner") -> None:
        """Gradients are there; the optimizer is about to step."""

    def after_batch(self, learner: "Learner") -> None:
        """The batch is done."""

    def after_epoch(self, learner: "Learner") -> None:
        """Training and validation of an epoch are done."""

    def after_fit(self, learner: "Learner") -> None:
        """The fit is over, also when it was cancelled or failed."""
