"""The ResNet family: plain (18, 34) and bottleneck (50, 101, 152).

State-dict names are torchvision's, so its public checkpoints load with `strict=True`. Fully convolutional up
to an adaptive pooling: any input of 32 pixels or more will do. Method: see `models.nets.blocks`.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence

from torch import Tensor, nn

from models.nets.blocks import BlockKind, Bottleneck, PlainBlock, convolution, initialise

WIDTHS = (64, 128, 256, 512)


class ResNet(nn.Module):
    """Pictures `(N, 3, H, W)` to logits `(N, class_count)`. `depths`: blocks of each of the four stages."""

    def __init__(self, block: BlockKind, depths: Sequence[int], class_count: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, WIDTHS[0], 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTHS[0])
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = stage(block, WIDTHS[0], WIDTHS[0], depths[0], stride=1, shortcut=projection)
        self.layer2 = stage(
            block, WIDTHS[0] * block.expansion, WIDTHS[1], depths[1], stride=2, shortcut=projection
        )
        self.layer3 = stage(
            block, WIDTHS[1] * block.expansion, WIDTHS[2], depths[2], stride=2, shortcut=projection
        )
        self.layer4 = stage(
            block, WIDTHS[2] * block.expansion, WIDTHS[3], depths[3], stride=2, shortcut=projection
        )
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(WIDTHS[3] * block.expansion, class_count)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        for part in self.body():
            x = part(x)
        return self.fc(self.avgpool(x).flatten(1))  # type: ignore[no-any-return]

    def body(self) -> nn.Sequential:
        """All before the pooling, sharing this net's parts: `(N, 3, H, W)` to `(N, C, H/32, W/32)`."""
        names = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")
        return nn.Sequential(OrderedDict((name, getattr(self, name)) for name in names))


def stage(
    block: BlockKind,
    inputs: int,
    width: int,
    depth: int,
    *,
    stride: int,
    shortcut: Callable[[int, int, int], nn.Module],
) -> nn.Sequential:
    """`depth` blocks, of which the first divides height and width by `stride`; it alone needs a `shortcut`
    that changes shape.
    """
    outputs = width * block.expansion
    changed = stride != 1 or inputs != outputs
    blocks = [block(inputs, width, stride, shortcut(inputs, outputs, stride) if changed else None)]
    blocks += [block(outputs, width, 1, None) for _ in range(depth - 1)]
    return nn.Sequential(*blocks)


def projection(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    """The shortcut of the first ResNets: a 1x1 convolution with the block's stride."""
    return nn.Sequential(convolution(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))


def resnet18(class_count: int) -> ResNet:
    """18 layers, 11.7 million parameters at 1,000 classes."""
    return ResNet(PlainBlock, (2, 2, 2, 2), class_count)


def resnet34(class_count: int) -> ResNet:
    """34 layers, 21.8 million parameters at 1,000 classes."""
    return ResNet(PlainBlock, (3, 4, 6, 3), class_count)


def resnet50(class_count: int) -> ResNet:
    """50 layers, 25.6 million parameters at 1,000 classes."""
    return ResNet(Bottleneck, (3, 4, 6, 3), class_count)


def resnet101(class_count: int) -> ResNet:
    """101 layers, 44.5 million parameters at 1,000 classes."""
    return ResNet(Bottleneck, (3, 4, 23, 3), class_count)


def resnet152(class_count: int) -> ResNet:
    """152 layers, 60.2 million parameters at 1,000 classes."""
    return ResNet(Bottleneck, (3, 8, 36, 3), class_count)
