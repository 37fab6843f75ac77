"""The tweaked ResNet: a stem of three convolutions, and shortcuts that average before they project.

Method: He and others, "Bag of tricks for image classification with convolutional neural networks", CVPR 2019,
section 4 (ResNet-C and ResNet-D); widths of the stem as in the fastai library. Fully convolutional up to an
adaptive pooling: any input of 32 pixels or more will do.
"""

from collections import OrderedDict
from collections.abc import Sequence

from torch import Tensor, nn

from models.nets.blocks import BlockKind, Bottleneck, PlainBlock, convolution, initialise
from models.nets.resnet import WIDTHS, stage

STEM_WIDTHS = (32, 32, 64)


class XResNet(nn.Module):
    """Pictures `(N, 3, H, W)` to logits `(N, class_count)`. `depths`: blocks of each of the four stages."""

    def __init__(self, block: BlockKind, depths: Sequence[int], class_count: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            *_layer(3, STEM_WIDTHS[0], 2),
            *_layer(STEM_WIDTHS[0], STEM_WIDTHS[1], 1),
            *_layer(STEM_WIDTHS[1], STEM_WIDTHS[2], 1),
        )
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = stage(block, STEM_WIDTHS[2], WIDTHS[0], depths[0], stride=1, shortcut=averaged)
        self.layer2 = stage(
            block, WIDTHS[0] * block.expansion, WIDTHS[1], depths[1], stride=2, shortcut=averaged
        )
        self.layer3 = stage(
            block, WIDTHS[1] * block.expansion, WIDTHS[2], depths[2], stride=2, shortcut=averaged
        )
        self.layer4 = stage(
            block, WIDTHS[2] * block.expansion, WIDTHS[3], depths[3], stride=2, shortcut=averaged
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
        names = ("stem", "maxpool", "layer1", "layer2", "layer3", "layer4")
        return nn.Sequential(OrderedDict((name, getattr(self, name)) for name in names))


def averaged(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    """A shortcut that looks at every place: an average over the stride, then a 1x1 convolution. At an odd
    size the last places are averaged alone, so that it is as large as the block's output.
    """
    average: list[nn.Module] = [] if stride == 1 else [nn.AvgPool2d(stride, ceil_mode=True)]
    return nn.Sequential(*average, convolution(inputs, outputs, 1), nn.BatchNorm2d(outputs))


def _layer(inputs: int, outputs: int, stride: int) -> tuple[nn.Module, ...]:
    return convolution(inputs, outputs, 3, stride), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)


def xresnet18(class_count: int) -> XResNet:
    """18 layers in plain blocks."""
    return XResNet(PlainBlock, (2, 2, 2, 2), class_count)


def xresnet34(class_count: int) -> XResNet:
    """34 layers in plain blocks."""
    return XResNet(PlainBlock, (3, 4, 6, 3), class_count)


def xresnet50(class_count: int) -> XResNet:
    """50 layers in bottlenecks."""
    return XResNet(Bottleneck, (3, 4, 6, 3), class_count)
