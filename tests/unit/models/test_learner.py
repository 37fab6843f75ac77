from typing import Any, ClassVar

import pytest
import torch
from torch import nn

from models.callbacks.base import Callback, CancelBatch, CancelEpoch, CancelFit
from models.learner import Learner

EVENTS = ["before_fit", "before_epoch", "before_batch", "after_loss", "before_step", "after_batch",
          "after_epoch", "after_fit"]  # fmt: skip


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


def test_events_come_in_their_order() -> None:
    diary = Diary()
    learner(diary).fit(1)
    batch = ["before_batch", "after_loss", "before_step", "after_batch"]
    valid = ["before_batch", "after_loss", "after_batch"]
    assert diary.events == ["before_fit", "before_epoch", *batch, *batch, *valid, "after_epoch", "after_fit"]


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


def test_a_cancelled_epoch_goes_on_with_validation_and_the_next() -> None:
    diary = Diary("before_step", CancelEpoch)
    learner(diary).fit(2)
    assert diary.events.count("after_epoch") == 2
    assert diary.events.count("before_step") == 1 + 2


def test_a_cancelled_fit_ends_quietly_and_a_failed_one_loudly_both_cleaned_up() -> None:
    diary = Diary("after_loss", CancelFit)
    learner(diary).fit(2)
    assert diary.events[-1] == "after_fit"
    diary = Diary("after_loss", RuntimeError)
    with pytest.raises(RuntimeError):
        learner(diary).fit(2)
    assert diary.events[-1] == "after_fit"
