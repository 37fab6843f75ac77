"""A Siamese net: one body looks at both pictures of a pair, and a head at what it saw in the two.

Sources: Bromley and others, "Signature verification using a Siamese time delay neural network", NIPS 1993;
Howard and Gugger, "Deep Learning for Coders", chapter 15.
"""

from typing import Self

import torch
from torch import Tensor, nn

from models.nets.heads import Body, ConcatenatedPool, Head

DROPOUT = 0.25


class SiameseNet(nn.Module):
    """Two pictures `(N, 3, H, W)` float32 from 0 to 1 to one logit `(N,)`.

    The head is given the features of either picture and how far they are apart, so that it can learn what the
    two share as well as which of them is first. `body` keeps its weights and their names (`body.…`). `groups`
    are its parameters from the first layers to the last, then those of the head.

    `keeps_statistics`: the body's batch normalisations stay with the means and variances that they have, as
    is good for a pretrained body. Fitted to few pictures, they would raise the noise of channels that say
    nothing of them, and what is alike would be alike no longer: of unseen stamps (examples/stamps, 884 pairs)
    pairs were told with an AUC of 0.74 instead of 0.99.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, body: Body, *, keeps_statistics: bool = False) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(body.mean).reshape(3, 1, 1))
        self.register_buffer("deviation", torch.tensor(body.deviation).reshape(3, 1, 1))
        self.body = body.module
        self.keeps_statistics = keeps_statistics
        self.pool = ConcatenatedPool()
        # The head without its pooling, which each picture has gone through on its own.
        self.head = nn.Sequential(*list(Head(3 * body.channel_count, 1, DROPOUT))[1:])
        self.groups: tuple[tuple[nn.Parameter, ...], ...] = (*body.groups, tuple(self.head.parameters()))

    def train(self, mode: bool = True) -> Self:
        """As `nn.Module.train`."""
        super().train(mode)
        if self.keeps_statistics:
            for part in self.body.modules():
                if isinstance(part, nn.BatchNorm2d):
                    part.eval()
        return self

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """The logit of the positive class."""
        # One pass for both: batch normalisation sees all pictures alike.
        pictures = (torch.cat([first, second]) - self.mean) / self.deviation
        seen = self.pool(self.body(pictures))
        a, b = seen[: len(first)], seen[len(first) :]  # (N, 2 C) each
        return self.head(torch.cat([a, b, (a - b).abs()], 1)).flatten()  # type: ignore[no-any-return]
