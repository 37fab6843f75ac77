"""Transfer learning: the body that a pretrained net is cut to, and the new head that is put on it.

`body_of` makes a body by its architecture's name, with or without pretrained weights; `Head` is what learns a
task from its features. Method: Howard and Gugger, "Deep Learning for Coders", chapters 5 and 15.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models.nets.efficientnet import EfficientNetLite0
from models.nets.resnet import resnet18, resnet34, resnet50, resnet101, resnet152
from models.nets.xresnet import xresnet18, xresnet34, xresnet50
from models.progress import TrainingFailed

HIDDEN_SIZE = 512
# Of ImageNet's pixels from 0 to 1, red, green, blue; every checkpoint in torchvision's naming was trained on
# these.
IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Architecture:
    """How a net is made and cut. `last`: its last layer, whose rows are the classes. `cut`: the first part of
    its body that belongs to the second group.
    """

    make: Callable[[int], Any]
    last: str
    cut: str
    mean: tuple[float, float, float] = IMAGENET_MEAN
    deviation: tuple[float, float, float] = IMAGENET_DEVIATION


ARCHITECTURES: dict[str, Architecture] = {
    "resnet18": Architecture(resnet18, "fc", "layer3"),
    "resnet34": Architecture(resnet34, "fc", "layer3"),
    "resnet50": Architecture(resnet50, "fc", "layer3"),
    "resnet101": Architecture(resnet101, "fc", "layer3"),
    "resnet152": Architecture(resnet152, "fc", "layer3"),
    "xresnet18": Architecture(xresnet18, "fc", "layer3"),
    "xresnet34": Architecture(xresnet34, "fc", "layer3"),
    "xresnet50": Architecture(xresnet50, "fc", "layer3"),
    "efficientnet_lite0": Architecture(
        EfficientNetLite0, "_fc", "_blocks.9", (127 / 255,) * 3, (128 / 255,) * 3
    ),
}
"""Every body that a task can name."""


@dataclass(frozen=True)
class Body:
    """A net without its last layers. `module` maps `(N, 3, H, W)` float32, pixels from 0 to 1 less `mean`,
    divided by `deviation` (red, green, blue), to features `(N, channel_count, H/32, W/32)`, rounded up.
    `groups`: its parameters, from the first layers to the last.
    """

    module: nn.Sequential
    channel_count: int
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]
    groups: tuple[tuple[nn.Parameter, ...], ...]


def body_of(architecture: str, weights: Path | None = None) -> Body:
    """The body of `architecture`, with the pretrained weights in the file `weights` (.safetensors, or a state
    dict of PyTorch), or newly initialised by torch's random state.

    Raises:
        ValueError: there is no such architecture.
        TrainingFailed: the weights cannot be read, or are another net's.
    """
    if architecture not in ARCHITECTURES:
        raise ValueError(f"architecture is {architecture!r}; must be one of {', '.join(ARCHITECTURES)}")
    how = ARCHITECTURES[architecture]
    state = {} if weights is None else read_weights(weights)
    last = state.get(f"{how.last}.weight")
    net = how.make(1 if last is None else len(last))
    module: nn.Sequential = net.body()
    if weights is not None:
        _load(net if last is not None else module, state, architecture, weights)
    return Body(module, _channel_count(module), how.mean, how.deviation, _groups(module, how.cut))


def read_weights(path: Path) -> dict[str, Tensor]:
    """Tensors by name: of a public checkpoint all, of a model version of Boarfish's own those of its body.

    Nothing but tensors is ever unpickled.

    Raises:
        TrainingFailed: the file is lacking or holds no state dict.
    """
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, weights_only=True, map_location="cpu")
    # Readers of damaged files raise whatever they stumble over.
    except Exception as error:
        raise TrainingFailed(
            f"The weights {path.name} cannot be read ({' '.join(str(error).split())[:160]}). "
            "Give a state dict as PyTorch saves it, or a .safetensors file."
        ) from error
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise TrainingFailed(f"The weights {path.name} are no state dict: names with a tensor each.")
    own = {name.removeprefix("body."): value for name, value in state.items() if name.startswith("body.")}
    return own or dict(state)


class ConcatenatedPool(nn.Module):
    """Largest and mean value of each channel: `(N, C, h, w)` to `(N, 2 C)`."""

    def forward(self, features: Tensor) -> Tensor:
        """The pooled features, largest values first."""
        return torch.cat([features.amax((2, 3)), features.mean((2, 3))], 1)


class Head(nn.Sequential):
    """Features `(N, channel_count, h, w)` to outputs `(N, output_count)`: pooling, normalisation, dropout,
    one hidden layer. The last bias starts at zero, so that a new head favours no class.
    """

    def __init__(self, channel_count: int, output_count: int, dropout: float) -> None:
        last = nn.Linear(HIDDEN_SIZE, output_count)
        hidden = nn.Linear(2 * channel_count, HIDDEN_SIZE, bias=False)
        for layer in (hidden, last):
            nn.init.kaiming_normal_(layer.weight)
        nn.init.zeros_(last.bias)
        super().__init__(
            ConcatenatedPool(),
            nn.BatchNorm1d(2 * channel_count),
            nn.Dropout(dropout / 2),
            hidden,
            nn.ReLU(inplace=True),
            nn.BatchNorm1d(HIDDEN_SIZE),
            nn.Dropout(dropout),
            last,
        )


def _load(module: nn.Module, state: dict[str, Tensor], architecture: str, path: Path) -> None:
    try:
        module.load_state_dict(state, strict=True)
    except RuntimeError as error:
        said = " ".join(str(error).split())[:200]
        raise TrainingFailed(
            f"The weights {path.name} are not those of a {architecture} ({said}). "
            "Name the architecture that they belong to."
        ) from error


def _groups(module: nn.Sequential, cut: str) -> tuple[tuple[nn.Parameter, ...], ...]:
    named = list(module.named_parameters())
    at = next(place for place, (name, _) in enumerate(named) if name.startswith(f"{cut}."))
    return tuple(p for _, p in named[:at]), tuple(p for _, p in named[at:])


def _channel_count(module: nn.Sequential) -> int:
    """Width of the last convolution's or block's normalisation."""
    return [part.num_features for part in module.modules() if isinstance(part, nn.BatchNorm2d)][-1]
