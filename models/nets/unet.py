"""A U-Net grown on any body: the body's own steps are traced with a small picture, and where height and width
shrink, what was there before is handed across to the way back up.

Sources: Ronneberger and others, "U-Net", MICCAI 2015; grown on a body as by Howard and Gugger, "Deep Learning
for Coders", chapter 15; upsampling by sub-pixel convolution (Shi and others, CVPR 2016) whose start has no
chequers (Aitken and others, "Checkerboard artifact free sub-pixel convolution", 2017).
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.nets.heads import Body

TRACED_SIZE = 64
# Channels of a stage on the way up: as many as are handed across, but never fewer.
LEAST_WIDTH = 32


class Upsample(nn.Module):
    """Twice as high and wide: a 1x1 convolution makes the four pixels of each place, shuffled into place.

    At first the four are equal (ICNR), so that a new net does not draw chequers.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.spread = nn.Conv2d(inputs, 4 * outputs, 1)
        with torch.no_grad():
            one = nn.init.kaiming_normal_(torch.empty(outputs, inputs, 1, 1))
            self.spread.weight.copy_(one.repeat_interleave(4, 0))
            nn.init.zeros_(self.spread.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """`(N, inputs, h, w)` to `(N, outputs, 2 h, 2 w)`."""
        return functional.relu(functional.pixel_shuffle(self.spread(x), 2))


class Stage(nn.Module):
    """One step up: upsampled, joined with what was handed across, two 3x3 convolutions."""

    def __init__(self, inputs: int, across: int) -> None:
        super().__init__()
        self.width = max(across, LEAST_WIDTH)
        self.up = Upsample(inputs, self.width)
        self.norm = nn.BatchNorm2d(across)
        self.first = _convolution(self.width + across, self.width)
        self.second = _convolution(self.width, self.width)

    def forward(self, x: Tensor, across: Tensor) -> Tensor:
        """`(N, inputs, h, w)` and `(N, across, H, W)` to `(N, width, H, W)`."""
        up = self.up(x)
        # A body rounds odd sizes up, so the way back may be a row or a column too large.
        if up.shape[-2:] != across.shape[-2:]:
            up = functional.interpolate(up, size=across.shape[-2:], mode="nearest")
        joined = torch.cat([up, functional.relu(self.norm(across))], 1)
        return self.second(self.first(joined))  # type: ignore[no-any-return]


class UNet(nn.Module):
    """Pictures `(N, 3, H, W)` float32 from 0 to 1, of any size, to logits `(N, class_count, H, W)`.

    `body` keeps its weights and their names (`body.…`). `groups` are its parameters from the first layers to
    the last, then those of the way up.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, body: Body, class_count: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(body.mean).reshape(3, 1, 1))
        self.register_buffer("deviation", torch.tensor(body.deviation).reshape(3, 1, 1))
        self.body = body.module
        shrinking, widths = trace(self.body)
        self.shrinking = frozenset(shrinking)
        stages = []
        width = body.channel_count
        for across in reversed(widths):
            stages.append(Stage(width, across))
            width = stages[-1].width
        self.stages = nn.ModuleList(stages)
        self.last = nn.Conv2d(width, class_count, 1)
        up = [*self.stages.parameters(), *self.last.parameters()]
        self.groups: tuple[tuple[nn.Parameter, ...], ...] = (*body.groups, tuple(up))

    def forward(self, x: Tensor) -> Tensor:
        """The logits of each pixel."""
        x = (x - self.mean) / self.deviation
        across = []
        for number, step in enumerate(steps_of(self.body)):
            if number in self.shrinking:
                across.append(x)
            x = step(x)
        for stage, kept in zip(self.stages, reversed(across), strict=True):
            x = stage(x, kept)
        return self.last(x)  # type: ignore[no-any-return]


def steps_of(body: nn.Sequential) -> Iterator[nn.Module]:
    """The parts of a body in order, those of sequences within it one by one."""
    for part in body:
        if isinstance(part, nn.Sequential):
            yield from steps_of(part)
        else:
            yield part


@torch.no_grad()
def trace(body: nn.Sequential) -> tuple[list[int], list[int]]:
    """Steps that make their input less high and wide, by place, and the channels of what they are given.

    The body is left as it was: in evaluation mode meanwhile, its statistics do not move.
    """
    was_training = body.training
    body.eval()
    shrinking, widths = [], []
    x = torch.zeros(1, 3, TRACED_SIZE, TRACED_SIZE)
    for number, step in enumerate(steps_of(body)):
        width, size = x.shape[1], x.shape[2]
        x = step(x)
        if x.shape[2] < size:
            shrinking.append(number)
            widths.append(width)
    body.train(was_training)
    return shrinking, widths


def _convolution(inputs: int, outputs: int) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(convolution.weight)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))
