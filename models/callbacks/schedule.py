"""Sets learning rate and momentum before each step."""

from typing import TYPE_CHECKING, ClassVar

from models.callbacks.base import Callback
from models.schedules import cyclical_momentum, one_cycle

if TYPE_CHECKING:
    from models.learner import Learner


class OneCycle(Callback):
    """One cycle over the whole fit, with cyclical momentum (the first beta of Adam)."""

    order: ClassVar[int] = 10

    def __init__(self, peak: float, total_steps: int) -> None:
        self._peak = peak
        self._total_steps = max(total_steps, 1)

    def before_batch(self, learner: "Learner") -> None:
        if not learner.training:
            return
        position = min(learner.step / self._total_steps, 1.0)
        for group in learner.optimizer.param_groups:
            group["lr"] = one_cycle(position, self._peak)
            group["betas"] = (cyclical_momentum(position), group["betas"][1])
