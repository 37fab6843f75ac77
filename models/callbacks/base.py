"""What a callback is, when it is called, and how it may change the course of a fit.

    event                                 the learner then
    before_fit                            a fit begins, or goes on from a checkpoint
      before_epoch
        before_train                      `training` is set, the net in training mode, `batch_count` known
          before_batch                    `batch` is there and may be replaced
            before_predict, after_predict     the net gives `prediction`
            before_loss, after_loss           the loss function gives `loss`; `objective` is what is derived
            before_backward, after_backward   in training alone: gradients
            before_step, after_step           in training alone: the optimizer
          after_batch
        after_train
        before_validate ... after_validate    the same over the validation batches, without gradients
      after_epoch                         `epoch` counts the epoch that has just ended
    after_fit                             always, also when the fit was cancelled or failed

Callbacks with a lower `order` are called first; those of the same order as they were given. A cancel
exception ends the part that it names: the `after` event of that part is not called (but for `after_fit`), and
the fit goes on behind it. A cancelled step keeps the gradients, a cancelled batch drops them.
"""

from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from models.learner import Learner

EVENTS = ("before_fit", "before_epoch", "before_train", "before_batch", "before_predict", "after_predict",
          "before_loss", "after_loss", "before_backward", "after_backward", "before_step", "after_step",
          "after_batch", "after_train", "before_validate", "after_validate", "after_epoch",
          "after_fit")  # fmt: skip


class CancelStep(Exception):
    """Do not step; the gradients stay and the next batch adds to them."""


class CancelBatch(Exception):
    """Skip the rest of this batch and drop its gradients."""


class CancelTraining(Exception):
    """Skip the rest of this epoch's training; validation follows."""


class CancelValidation(Exception):
    """Skip the rest of this validation."""


class CancelEpoch(Exception):
    """Skip the rest of this epoch, validation too; the next epoch follows."""


class CancelFit(Exception):
    """End the fit here."""


class Callback:
    """Called at every event of the module's table; each method may read and change the learner or raise a
    cancel exception.
    """

    order: ClassVar[int] = 0

    def before_fit(self, learner: "Learner") -> None:
        """The fit begins, or goes on from a checkpoint."""

    def before_epoch(self, learner: "Learner") -> None:
        """An epoch begins."""

    def before_train(self, learner: "Learner") -> None:
        """The training part of an epoch begins, or goes on from `batch_index`."""

    def before_batch(self, learner: "Learner") -> None:
        """`learner.batch` is about to be used; in training and validation (`learner.training`)."""

    def before_predict(self, learner: "Learner") -> None:
        """The net is about to see the batch's inputs."""

    def after_predict(self, learner: "Learner") -> None:
        """`learner.prediction` is there."""

    def before_loss(self, learner: "Learner") -> None:
        """The loss is about to be computed."""

    def after_loss(self, learner: "Learner") -> None:
        """`learner.loss` is there, gradients are not."""

    def before_backward(self, learner: "Learner") -> None:
        """`learner.objective` is about to be derived; it is the loss unless a callback scales it."""

    def after_backward(self, learner: "Learner") -> None:
        """Gradients are there."""

    def before_step(self, learner: "Learner") -> None:
        """The optimizer is about to step."""

    def after_step(self, learner: "Learner") -> None:
        """The optimizer has stepped; the gradients are still there."""

    def after_batch(self, learner: "Learner") -> None:
        """The batch is done."""

    def after_train(self, learner: "Learner") -> None:
        """The training part of an epoch is done."""

    def before_validate(self, learner: "Learner") -> None:
        """The validation of an epoch begins."""

    def after_validate(self, learner: "Learner") -> None:
        """The validation of an epoch is done."""

    def after_epoch(self, learner: "Learner") -> None:
        """Training and validation of an epoch are done."""

    def after_fit(self, learner: "Learner") -> None:
        """The fit is over, also when it was cancelled or failed."""

    def state(self) -> dict[str, Any]:
        """What a resumed fit needs of this callback to go on as if never interrupted: tensors and plain
        values.
        """
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Takes what `state` gave."""
