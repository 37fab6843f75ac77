"""EfficientNet-lite0: inverted residuals without squeeze-and-excitation, made for phones.

Names of the parts, and the padding, are those of the checkpoints that were converted from TensorFlow's: its
"SAME" padding puts the odd pixel at the lower right. Sources: Tan and Le, "EfficientNet", ICML 2019, table 1;
Google's `tpu/models/official/efficientnet/lite` for what "lite" leaves out (attention, swish, scaling of stem
and head).
"""

from collections import OrderedDict

import torch
from torch import Tensor, nn

STEM_WIDTH, HEAD_WIDTH = 32, 1280
# Repeats, kernel, stride, expansion and output width of each stage (EfficientNet's table 1).
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
# TensorFlow's batch normalisation. Its decay of 0.99 would be a momentum of 0.01 here, which the few hundred
# steps of a transfer are too short for: what is normalised by would still be ImageNet's.
NORM_EPSILON, NORM_MOMENTUM = 1e-3, 0.1


class SamePadded(nn.Conv2d):
    """A convolution with TensorFlow's "SAME" padding: output `ceil(size / stride)`, the odd pixel lower
    right.
    """

    def forward(self, x: Tensor) -> Tensor:
        """The convolution's output."""
        height, width = x.shape[-2:]
        above, below = _padding(height, self.kernel_size[0], self.stride[0])
        left, right = _padding(width, self.kernel_size[1], self.stride[1])
        return super().forward(torch.nn.functional.pad(x, (left, right, above, below)))


class InvertedResidual(nn.Module):
    """Widen by 1x1, convolve each channel, narrow by 1x1; the input is added where shapes are the same."""

    def __init__(self, inputs: int, outputs: int, size: int, stride: int, expansion: int) -> None:
        super().__init__()
        width = inputs * expansion
        if expansion != 1:
            self._expand_conv = nn.Conv2d(inputs, width, 1, bias=False)
            self._bn0 = _norm(width)
        self._depthwise_conv = SamePadded(width, width, size, stride=stride, groups=width, bias=False)
        self._bn1 = _norm(width)
        self._project_conv = nn.Conv2d(width, outputs, 1, bias=False)
        self._bn2 = _norm(outputs)
        self._relu6 = nn.ReLU6(inplace=True)
        self._expands = expansion != 1
        self._adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """`(N, inputs, H, W)` to `(N, outputs, H/stride, W/stride)`."""
        inputs = x
        if self._expands:
            x = self._relu6(self._bn0(self._expand_conv(x)))
        x = self._relu6(self._bn1(self._depthwise_conv(x)))
        x = self._bn2(self._project_conv(x))
        return x + inputs if self._adds else x


class EfficientNetLite0(nn.Module):
    """Pictures `(N, 3, H, W)`, as `(rgb - 127) / 128`, to logits `(N, class_count)`."""

    def __init__(self, class_count: int) -> None:
        super().__init__()
        self._conv_stem = SamePadded(3, STEM_WIDTH, 3, stride=2, bias=False)
        self._bn0 = _norm(STEM_WIDTH)
        self._relu6 = nn.ReLU6(inplace=True)
        self._blocks = _blocks()
        self._conv_head = nn.Conv2d(STAGES[-1][-1], HEAD_WIDTH, 1, bias=False)
        self._bn1 = _norm(HEAD_WIDTH)
        self._avg_pooling = nn.AdaptiveAvgPool2d(1)
        self._fc = nn.Linear(HEAD_WIDTH, class_count)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        x = self._relu6(self._bn0(self._conv_stem(x)))
        x = self._relu6(self._bn1(self._conv_head(self._blocks(x))))
        return self._fc(self._avg_pooling(x).flatten(1))  # type: ignore[no-any-return]

    def body(self) -> nn.Sequential:
        """All before the pooling, sharing this net's parts: `(N, 3, H, W)` to `(N, 1280, H/32, W/32)`."""
        parts: list[tuple[str, nn.Module]] = [
            ("_conv_stem", self._conv_stem),
            ("_bn0", self._bn0),
            ("stem_relu6", nn.ReLU6(inplace=True)),
            ("_blocks", self._blocks),
            ("_conv_head", self._conv_head),
            ("_bn1", self._bn1),
            ("head_relu6", nn.ReLU6(inplace=True)),
        ]
        return nn.Sequential(OrderedDict(parts))


def _blocks() -> nn.Sequential:
    blocks: list[nn.Module] = []
    inputs = STEM_WIDTH
    for repeats, size, stride, expansion, outputs in STAGES:
        for number in range(repeats):
            blocks.append(InvertedResidual(inputs, outputs, size, stride if number == 0 else 1, expansion))
            inputs = outputs
    return nn.Sequential(*blocks)


def _norm(width: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(width, eps=NORM_EPSILON, momentum=NORM_MOMENTUM)


def _padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Rows before and after, so that the output has `ceil(size / stride)`."""
    lacking = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return lacking // 2, lacking - lacking // 2
