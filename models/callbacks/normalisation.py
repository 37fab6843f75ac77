"""Batch normalisation that forgets where it began.

Running means start at 0 and variances at 1, and a momentum of 0.1 keeps a tenth of that start after 20 steps:
a short fit is then judged, and served, by statistics that no batch ever had. Here the first batch sets them,
and each later one weighs 1 / n until that falls to the layer's own momentum.
"""

from typing import TYPE_CHECKING, ClassVar

from torch import nn

from models.callbacks.base import Callback

if TYPE_CHECKING:
    from models.learner import Learner


class WarmStatistics(Callback):
    """Leaves alone what was trained before: layers that have counted batches when the fit begins."""

    order: ClassVar[int] = -5

    def __init__(self) -> None:
        self._own: dict[nn.modules.batchnorm._BatchNorm, float] = {}

    def before_fit(self, learner: "Learner") -> None:
        for module in learner.model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.momentum is not None:
                counted = 0 if module.num_batches_tracked is None else int(module.num_batches_tracked)
                # Of a fit that goes on, the layers have counted its own batches.
                if counted <= learner.step:
                    self._own[module] = module.momentum

    def before_batch(self, learner: "Learner") -> None:
        if learner.training:
            for module, momentum in self._own.items():
                module.momentum = max(momentum, 1 / (learner.step + 1))

    def after_fit(self, learner: "Learner") -> None:
        for module, momentum in self._own.items():
            module.momentum = momentum
        self._own.clear()
