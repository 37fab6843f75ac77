"""Half precision: which, and the scaling that keeps small gradients of float16 above zero.

Source: Micikevicius and others, "Mixed Precision Training", 2018.
"""

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from models.callbacks.base import Callback

if TYPE_CHECKING:
    from models.learner import Learner

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def dtype_for(precision: str, device: torch.device) -> torch.dtype:
    """The type to compute in. "auto": bfloat16 on a GPU that has it, float16 on one that has not, else
    float32.
    """
    if precision != "auto":
        return DTYPES[precision]
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


class ScaledGradients(Callback):
    """For float16: scales the loss, takes the scale off before the gradients are clipped, and skips a step
    whose gradients overflowed.
    """

    order: ClassVar[int] = 20

    def __init__(self, device: torch.device) -> None:
        self._scaler = torch.amp.GradScaler(device.type)

    def before_fit(self, learner: "Learner") -> None:
        learner.take_step = partial(self._scaler.step, learner.optimizer)

    def before_backward(self, learner: "Learner") -> None:
        learner.objective = self._scaler.scale(learner.objective)

    def before_step(self, learner: "Learner") -> None:
        self._scaler.unscale_(learner.optimizer)

    def after_step(self, learner: "Learner") -> None:
        self._scaler.update()

    def state(self) -> dict[str, Any]:
        return self._scaler.state_dict()

    def load_state(self, state: dict[str, Any]) -> None:
        self._scaler.load_state_dict(state)
