"""Lets only the last parameter groups learn in the first epochs; normalisation layers always learn.

Sources: Howard and Gugger, "Deep Learning for Coders", chapter 5 (`fine_tune`); Howard and Ruder, "Universal
Language Model Fine-tuning for Text Classification", 2018 (gradual unfreezing).
"""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar

from torch import nn

from models.callbacks.base import Callback

if TYPE_CHECKING:
    from models.learner import Learner

NORMALISATIONS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)


class Freezing(Callback):
    """`learning(epoch)` says how many of the last `groups` learn in an epoch; one at least.

    A frozen layer keeps its weights, and costs no gradients where no layer before it learns.
    """

    order: ClassVar[int] = -10

    def __init__(self, groups: Sequence[Iterable[nn.Parameter]], learning: Callable[[int], int]) -> None:
        self._groups = [list(group) for group in groups]
        self._learning = learning

    def before_epoch(self, learner: "Learner") -> None:
        always = {
            id(parameter)
            for module in learner.model.modules()
            if isinstance(module, NORMALISATIONS)
            for parameter in module.parameters(recurse=False)
        }
        frozen = len(self._groups) - max(self._learning(learner.epoch), 1)
        for place, group in enumerate(self._groups):
            for parameter in group:
                parameter.requires_grad_(place >= frozen or id(parameter) in always)

    def after_fit(self, learner: "Learner") -> None:
        for group in self._groups:
            for parameter in group:
                parameter.requires_grad_(True)


class GradualUnfreezing(Freezing):
    """The last group alone for `epochs_each` epochs, then the last two, and so on until all learn."""

    def __init__(self, groups: Sequence[Iterable[nn.Parameter]], epochs_each: int = 1) -> None:
        super().__init__(groups, lambda epoch: epoch // epochs_each + 1)
