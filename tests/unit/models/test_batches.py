"""Batches: every row once an epoch, the same after a resume, other rows and changes in another epoch."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.data.batches import InMemory, ShuffledBatches, generator
from models.learner import Batch


def noisy(batch: Batch, random: torch.Generator) -> Batch:
    return batch[0] + torch.rand(len(batch[0]), generator=random), batch[1]


def batches(rows: int, size: int, **settings: object) -> ShuffledBatches:
    x = torch.arange(rows)
    return ShuffledBatches(InMemory(x, x * 2), InMemory(x, x * 2), size, seed=3, **settings)  # type: ignore[arg-type]


@given(st.integers(2, 60), st.integers(1, 20), st.integers(0, 5))
def test_an_epoch_has_every_row_once_but_for_a_last_batch_of_one(rows: int, size: int, epoch: int) -> None:
    found = torch.cat([x for x, _ in batches(rows, size).train(epoch)]).tolist()
    assert len(set(found)) == len(found)
    # A batch of one row is left out only where larger ones are asked for.
    assert rows - len(found) == (1 if rows % size == 1 and size > 1 and rows > 1 else 0)


def test_inputs_and_targets_stay_together() -> None:
    assert all(torch.equal(x * 2, y) for x, y in batches(50, 7).train(0))


def test_what_is_left_of_an_epoch_is_the_same_batches() -> None:
    whole = [x for x, _ in batches(50, 7, transform=noisy).train(4)]
    resumed = [x for x, _ in batches(50, 7, transform=noisy).train(4)[3:]]
    assert len(resumed) == len(whole) - 3
    assert all(torch.equal(a, b) for a, b in zip(whole[3:], resumed, strict=True))


def test_epochs_and_batches_differ() -> None:
    made = batches(50, 25, transform=noisy)
    first, second = (torch.cat([x for x, _ in made.train(epoch)]) for epoch in (0, 1))
    assert not torch.equal(first, second)
    changes = [torch.rand(4, generator=generator(0, 1, place)) for place in (1, 2)]
    assert not torch.equal(*changes)


def test_validation_is_in_order_and_unchanged() -> None:
    made = batches(50, 7, transform=noisy, valid_batch_size=9)
    assert torch.cat([x for x, _ in made.valid()]).tolist() == list(range(50))


def test_both_parts_get_what_is_always_done() -> None:
    made = batches(20, 5, always=lambda batch: (batch[0] / 4, batch[1]))
    for x, y in [*made.train(0), *made.valid()]:
        assert torch.equal(x * 8, y.float())


def test_a_place_outside_the_epoch_is_an_error() -> None:
    with pytest.raises(IndexError):
        batches(20, 5).train(0)[4]
