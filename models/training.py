"""How a net is fitted with all that a job needs: rates, schedule, precision, checkpoints, progress.

`fit_net` puts `Learner` and its callbacks together as a `FitConfig` says. Every kind of net goes through it.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn

from models.callbacks.base import Callback
from models.configs import FitConfig
from models.learner import Batch
from models.recipe import FitContext


class Batches(Protocol):
    """Where batches come from. Tensors are on the device already, or are moved there by `fit_net`."""

    def train(self, epoch: int) -> Sequence[Batch]:
        """Batches of an epoch: `len` and slices without work, so that a resumed fit can skip; their order and
        changes depend on the seed and `epoch` alone.
        """

    def valid(self) -> Iterable[Batch]:
        """Validation batches, in the order of the rows."""


@dataclass(frozen=True)
class Fit:
    """What came of a fit: the peak rate that was used (found or given) and the finder's curve, when it was asked."""

    learning_rate: float
    finder_rates: tuple[float, ...] = ()
    finder_losses: tuple[float, ...] = ()


def fit_net(
    net: nn.Module,
    batches: Batches,
    loss: Callable[[Tensor, Tensor], Tensor],
    config: FitConfig,
    context: FitContext,
    *,
    name: str,
    metrics: Callable[[Tensor, Tensor], dict[str, float]] | None = None,
    groups: Sequence[Iterable[nn.Parameter]] | None = None,
    callbacks: Iterable[Callback] = (),
) -> Fit:
    """Fits `net` in place; afterwards it is in evaluation mode on the CPU.

    `groups`: parameters from the deepest (the first layers of a body) to the head, for discriminative rates and for
    `frozen_epochs`, in which only the last group learns (normalisation layers of the others learn too). `metrics` of all validation
    predictions and targets. Raises as `Recipe.fit` does.
    """
    raise NotImplementedError
