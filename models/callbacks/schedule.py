"""Sets learning rates and momentum before each batch of training, phase by phase."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from models.callbacks.base import Callback
from models.schedules import Schedule

if TYPE_CHECKING:
    from models.learner import Learner


@dataclass(frozen=True)
class Phase:
    """So many epochs under one schedule; `peaks` are the highest rates of the optimizer's groups."""

    epochs: int
    peaks: tuple[float, ...]
    schedule: Schedule


class ScheduledRates(Callback):
    """Follows phases in turn. A function of epoch and batch alone, so that a fit can be resumed."""

    order: ClassVar[int] = 10

    def __init__(self, phases: Sequence[Phase]) -> None:
        self._phases = phases

    def before_batch(self, learner: "Learner") -> None:
        if not learner.training:
            return
        phase, first_epoch = self._at(learner.epoch)
        done = learner.epoch - first_epoch + learner.batch_index / learner.batch_count
        position = min(done / phase.epochs, 1.0)
        momentum = None if phase.schedule.momentum is None else phase.schedule.momentum(position)
        for group, peak in zip(learner.optimizer.param_groups, phase.peaks, strict=True):
            group["lr"] = phase.schedule.rate(position, peak)
            if momentum is not None:
                set_momentum(group, momentum)

    def _at(self, epoch: int) -> tuple[Phase, int]:
        """The phase that `epoch` belongs to, and its first epoch."""
        first = 0
        for phase in self._phases[:-1]:
            if epoch < first + phase.epochs:
                return phase, first
            first += phase.epochs
        return self._phases[-1], first


def set_momentum(group: dict[str, Any], momentum: float) -> None:
    """Sets what an optimizer's group calls momentum: the first beta of Adam; nothing where it has none."""
    if "betas" in group:
        group["betas"] = (momentum, group["betas"][1])
    elif group.get("momentum"):
        group["momentum"] = momentum
