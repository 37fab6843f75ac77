from typing import Any, ClassVar

import pytest
import torch
from torch import nn

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
from models.learner import Learner


class Diary(Callback):
    """Writes down every event, and raises `raised` at the first `at`."""

    def __init__(self, at: str = "", raised: type[Exception] | None = None) -> None:
        self.events: list[str] = []
        for event in EVENTS:
            setattr(self, event, lambda learner, event=event: self._note(event, at, raised))

    def _note(self, event: str, at: str, raised: type[Exception] | None) -> None:
        self.events.append(event)
        if event == at and raised is not None and self.events.count(event) == 1:
            raise raised


def learner(*callbacks: Callback) -> Learner:
    torch.manual_seed(0)
    model = nn.Linear(1, 1)
    inputs, targets = torch.ones(4, 1), torch.zeros(4, 1)
    batches: Any = [(inputs, targets), (inputs, targets)]
    return Learner(
        model,
        nn.functional.mse_loss,
        torch.optim.SGD(model.parameters(), lr=0.1),
        train_batches=lambda epoch: batches,
        valid_batches=lambda: batches[:1],
        callbacks=callbacks,
    )


BATCH = ["before_batch", "before_predict", "after_predict", "before_loss", "after_loss"]
STEP = ["before_backward", "after_backward", "before_step", "after_step"]


def test_events_come_in_their_order() -> None:
    diary = Diary()
    learner(diary).fit(1)
    assert diary.events == [
        *["before_fit", "before_epoch", "before_train"],
        *[*BATCH, *STEP, "after_batch"] * 2,
        *["after_train", "before_validate", *BATCH, "after_batch", "after_validate"],
        *["after_epoch", "after_fit"],
    ]


def test_callbacks_come_by_their_order() -> None:
    called: list[str] = []

    class Late(Callback):
        order: ClassVar[int] = 10

        def before_fit(self, learner: Learner) -> None:
            called.append("late")

    class Early(Callback):
        order: ClassVar[int] = -10

        def before_fit(self, learner: Learner) -> None:
            called.append("early")

    learner(Late(), Early()).fit(0)
    assert called == ["early", "late"]


def test_it_learns() -> None:
    taught = learner()
    taught.fit(30)
    assert float(taught.loss) < 1e-3
    assert (taught.epoch, taught.step) == (30, 60)


def test_a_cancelled_batch_changes_no_weight_and_leaves_no_gradient() -> None:
    taught = learner(Diary("before_step", CancelBatch))
    taught.train_batches = lambda epoch: [(torch.ones(4, 1), torch.zeros(4, 1))]
    before = [weight.clone() for weight in taught.model.parameters()]
    taught.fit(1)
    assert all(torch.equal(a, b) for a, b in zip(before, taught.model.parameters(), strict=True))
    assert all(weight.grad is None for weight in taught.model.parameters())


def test_a_cancelled_step_keeps_the_gradients_for_the_next() -> None:
    """Two batches alike, the first one's step cancelled: the second steps by both gradients."""
    once, twice = learner(), learner(Diary("before_step", CancelStep))
    once.loss_function = lambda prediction, target: 2 * nn.functional.mse_loss(prediction, target)
    one_batch = once.train_batches(0)[:1]
    once.train_batches = lambda epoch: one_batch
    once.fit(1)
    twice.fit(1)
    for expected, found in zip(once.model.parameters(), twice.model.parameters(), strict=True):
        torch.testing.assert_close(found, expected)


def test_cancelled_training_goes_on_with_validation() -> None:
    diary = Diary("before_step", CancelTraining)
    learner(diary).fit(2)
    assert diary.events.count("before_step") == 1 + 2
    assert diary.events.count("after_validate") == diary.events.count("after_epoch") == 2


def test_cancelled_validation_goes_on_with_the_next_epoch() -> None:
    diary = Diary("before_validate", CancelValidation)
    learner(diary).fit(2)
    assert diary.events.count("after_validate") == 1
    assert diary.events.count("after_epoch") == 2


def test_a_cancelled_epoch_goes_on_with_the_next() -> None:
    diary = Diary("before_step", CancelEpoch)
    taught = learner(diary)
    taught.fit(2)
    assert diary.events.count("after_validate") == diary.events.count("after_epoch") == 1
    assert (taught.epoch, taught.batch_index) == (2, 0)


def test_a_cancelled_fit_ends_quietly_and_a_failed_one_loudly_both_cleaned_up() -> None:
    diary = Diary("after_loss", CancelFit)
    learner(diary).fit(2)
    assert diary.events[-1] == "after_fit"
    diary = Diary("after_loss", RuntimeError)
    with pytest.raises(RuntimeError):
        learner(diary).fit(2)
    assert diary.events[-1] == "after_fit"
