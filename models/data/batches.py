"""Rows into batches: a fresh order each epoch, which depends on seed and epoch alone, so that a fit that was
killed goes on with the very batches that it would have had.

A `Source` gives any rows as tensors: from memory (`InMemory`) or read when asked for (`models.data.block`).
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, overload

import numpy as np
import torch
from torch import Tensor

from models.learner import Batch

PREDICT_ROWS = 16_384

Transform = Callable[[Batch, torch.Generator], Batch]
"""Changes a batch; its randomness comes from the generator alone."""


class Source(Protocol):
    """Rows that can be asked for in any order."""

    def __len__(self) -> int:
        """How many rows there are."""

    def batch(self, rows: Tensor) -> Batch:
        """The rows at these places, int64 `(B,)`: inputs, then the target."""


class InMemory:
    """Rows as tensors whose first dimension is the row, on the device where they are used."""

    def __init__(self, *tensors: Tensor, device: torch.device | str = "cpu") -> None:
        self.tensors = tuple(tensor.to(device) for tensor in tensors)

    def __len__(self) -> int:
        return len(self.tensors[0])

    def batch(self, rows: Tensor) -> Batch:
        """One gather a tensor."""
        return tuple(tensor[rows.to(tensor.device)] for tensor in self.tensors)


class ShuffledBatches:
    """The `models.training.Batches` of two sources.

    `transform` changes training batches alone, with a generator that depends on seed, epoch and the batch's
    place; `always` changes all batches, after it. A last training batch of one row is left out, since a batch
    normalisation cannot be told from it.
    """

    def __init__(
        self,
        train: Source,
        valid: Source,
        batch_size: int,
        *,
        seed: int,
        transform: Transform | None = None,
        always: Callable[[Batch], Batch] = lambda batch: batch,
        valid_batch_size: int = PREDICT_ROWS,
    ) -> None:
        self._train = train
        self._valid = valid
        self._batch_size = batch_size
        self._valid_batch_size = valid_batch_size
        self._seed = seed
        self._transform = transform
        self._always = always
        rows = len(train)
        self.count = max(rows // batch_size + (rows % batch_size > 1), 1)

    def train(self, epoch: int) -> "Epoch":
        """Batches of an epoch, gathered when they are asked for."""
        order = torch.randperm(len(self._train), generator=generator(self._seed, epoch))
        return Epoch(order, self._batch_size, range(self.count), lambda rows, at: self._made(rows, epoch, at))

    def valid(self) -> Iterator[Batch]:
        """Validation rows in order."""
        count = len(self._valid)
        for start in range(0, count, self._valid_batch_size):
            rows = torch.arange(start, min(start + self._valid_batch_size, count))
            yield self._always(self._valid.batch(rows))

    def _made(self, rows: Tensor, epoch: int, place: int) -> Batch:
        batch = self._train.batch(rows)
        if self._transform is not None:
            batch = self._transform(batch, generator(self._seed, epoch, place + 1))
        return self._always(batch)


class Epoch(Sequence[Batch]):
    """The batches of one epoch: slices cost nothing, so that a resumed fit can skip."""

    def __init__(
        self, order: Tensor, batch_size: int, places: range, made: Callable[[Tensor, int], Batch]
    ) -> None:
        self._order = order
        self._batch_size = batch_size
        self._places = places
        self._made = made

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, position: int) -> Batch: ...
    @overload
    def __getitem__(self, position: slice) -> "Epoch": ...
    def __getitem__(self, position: int | slice) -> "Batch | Epoch":
        if isinstance(position, slice):
            return Epoch(self._order, self._batch_size, self._places[position], self._made)
        place = self._places[position]
        return self._made(self._order[place * self._batch_size : (place + 1) * self._batch_size], place)


def generator(seed: int, epoch: int, place: int = 0) -> torch.Generator:
    """Random numbers of one epoch (`place` 0) or of one of its batches (from 1)."""
    # PyTorch's generator on a CPU looks at 32 bits of a seed alone, so the three are mixed into as many.
    mixed = np.random.SeedSequence([seed, epoch, place]).generate_state(1, np.uint32)
    return torch.Generator().manual_seed(int(mixed[0]))
