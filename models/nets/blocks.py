"""The blocks that residual nets are made of, plain and bottleneck, with a shortcut that the net gives them.

Names of the parts are torchvision's, so that public checkpoints load. Method: He and others, "Deep residual
learning for image recognition", CVPR 2016; the stride of a bottleneck stands in its 3x3 convolution (variant
B of He and others, "Bag of tricks for image classification", CVPR 2019).
"""

from typing import ClassVar

from torch import Tensor, nn


def convolution(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Conv2d:
    """A convolution without bias that keeps height and width at `stride` 1."""
    return nn.Conv2d(inputs, outputs, size, stride=stride, padding=size // 2, bias=False)


class PlainBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut: `(N, inputs, H, W)` to `(N, width, H/stride, W/stride)`."""

    expansion: ClassVar[int] = 1

    def __init__(self, inputs: int, width: int, stride: int, downsample: nn.Module | None) -> None:
        super().__init__()
        self.conv1 = convolution(inputs, width, 3, stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = convolution(width, width, 3)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        """The block's output."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.bn2(self.conv2(x))
        return self.relu(x + shortcut)  # type: ignore[no-any-return]

    @property
    def last_norm(self) -> nn.BatchNorm2d:
        """The normalisation whose scale starts at zero."""
        return self.bn2


class Bottleneck(nn.Module):
    """A 3x3 convolution between two of 1x1 that narrow and widen: `(N, inputs, H, W)` to
    `(N, 4 width, H/stride, W/stride)`.
    """

    expansion: ClassVar[int] = 4

    def __init__(self, inputs: int, width: int, stride: int, downsample: nn.Module | None) -> None:
        super().__init__()
        self.conv1 = convolution(inputs, width, 1)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = convolution(width, width, 3, stride)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = convolution(width, width * self.expansion, 1)
        self.bn3 = nn.BatchNorm2d(width * self.expansion)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        """The block's output."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        x = self.bn3(self.conv3(x))
        return self.relu(x + shortcut)  # type: ignore[no-any-return]

    @property
    def last_norm(self) -> nn.BatchNorm2d:
        """The normalisation whose scale starts at zero."""
        return self.bn3


BlockKind = type[PlainBlock] | type[Bottleneck]


def initialise(net: nn.Module) -> None:
    """He's initialisation of every convolution, and zero for the last scale of every block: at first each
    block hands its input on, so that a deep net learns as a shallow one would (Goyal and others 2017, section
    5.1).
    """
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, (PlainBlock, Bottleneck)):
            nn.init.zeros_(module.last_norm.weight)
