"""Moves batches to the device on which the net is."""

from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from models.callbacks.base import Callback

if TYPE_CHECKING:
    from models.learner import Learner


class ToDevice(Callback):
    """Tensors that are elsewhere are copied, from pinned memory to a GPU, without waiting for it. Pictures
    `(N, C, H, W)` are laid out with their channels last there, as its convolutions want them.
    """

    order: ClassVar[int] = -20

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def before_batch(self, learner: "Learner") -> None:
        learner.batch = tuple(self._moved(part) for part in learner.batch)

    def _moved(self, part: Any) -> Any:
        if isinstance(part, tuple):
            return tuple(self._moved(one) for one in part)
        if not isinstance(part, Tensor):
            return part
        if part.device.type != self._device.type:
            part = part.pin_memory() if self._device.type == "cuda" else part
            part = part.to(self._device, non_blocking=True)
        if part.ndim == 4 and self._device.type == "cuda":
            part = part.contiguous(memory_format=torch.channels_last)
        return part
