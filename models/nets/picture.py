"""The net that learns a task from pictures: normalisation, a body, a head, and the range of a regression.

Whatever becomes a picture (sound, a series, bytes) goes through `front` first, so that the exported graph
takes it as it is.
"""

from copy import copy

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from models.nets.heads import Body


class PictureNet(nn.Module):
    """`(N, 3, H, W)` float32 from 0 to 1, or what `front` makes a picture of, to outputs `(N, output_count)`.

    `size`: what `front` gives is made so high and wide; pictures are taken as they come.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self, body: Body, head: nn.Sequential, *, front: nn.Module | None = None, size: int = 0
    ) -> None:
        super().__init__()
        self.front = front
        self.size = size
        self.register_buffer("mean", torch.tensor(body.mean).reshape(3, 1, 1))
        self.register_buffer("deviation", torch.tensor(body.deviation).reshape(3, 1, 1))
        self.body = body.module
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        """The outputs: logits, or a regression's numbers."""
        pictures = self.pictures(x)
        return self.head(self.body((pictures - self.mean) / self.deviation))  # type: ignore[no-any-return]

    def pictures(self, x: Tensor) -> Tensor:
        """What is looked at, float32 `(N, 3, H, W)` from 0 to 1."""
        if self.front is None:
            return x
        grey = interpolate(self.front(x), size=(self.size, self.size), mode="bilinear", align_corners=False)
        return grey.expand(-1, 3, -1, -1)

    def without_front(self) -> "PictureNet":
        """The same net for pictures that are made already, sharing body and head."""
        shared = copy(self)
        shared._modules = self._modules | {"front": None}
        return shared


class Range(nn.Module):
    """A number of any size to one between `low` and `high`, `(K,)` each, by a sigmoid: a regression's
    `y_range`.
    """

    low: Tensor
    span: Tensor

    def __init__(self, low: Tensor, high: Tensor) -> None:
        super().__init__()
        self.register_buffer("low", low)
        self.register_buffer("span", high - low)

    def forward(self, x: Tensor) -> Tensor:
        """`(N, K)` within the range."""
        return torch.sigmoid(x) * self.span + self.low
