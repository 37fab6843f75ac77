"""A net of a second and its made-up batches, for the tests of the engine."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn


class Batches:
    """Rows of ten numbers and whether a sum of them is positive; 8 batches of 32 an epoch."""

    def __init__(self, rows: int = 256, valid_rows: int = 128, size: int = 32) -> None:
        generator = torch.Generator().manual_seed(7)
        self.inputs = torch.randn(rows + valid_rows, 10, generator=generator)
        self.targets = (self.inputs[:, :5].sum(1) > 0).float()
        self.rows = rows
        self.size = size

    def train(self, epoch: int) -> Sequence[tuple[Tensor, Tensor]]:
        """By an order of the epoch."""
        order = torch.randperm(self.rows, generator=torch.Generator().manual_seed(epoch))
        return [(self.inputs[part], self.targets[part]) for part in order.split(self.size)]

    def valid(self) -> Iterable[tuple[Tensor, Tensor]]:
        """In one batch."""
        return [(self.inputs[self.rows :], self.targets[self.rows :])]


loss = nn.functional.binary_cross_entropy_with_logits


def new_net(seed: int = 0) -> nn.Sequential:
    """A body of two layers with dropout, and a head."""
    torch.manual_seed(seed)
    body = nn.Sequential(nn.Linear(10, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.1))
    return nn.Sequential(body, nn.Sequential(nn.Linear(16, 1), nn.Flatten(0)))


def groups(net: nn.Sequential) -> list[list[nn.Parameter]]:
    """Body, head."""
    return [list(part.parameters()) for part in net]


def accuracy(prediction: Tensor, target: Tensor) -> dict[str, float]:
    """Share of right decisions."""
    return {"accuracy": float(((prediction > 0) == (target > 0.5)).float().mean())}
