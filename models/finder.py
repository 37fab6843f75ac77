"""A learning rate before the fit: the rate is raised from step to step, and the loss shows which rates it
bears.

Source: Smith, "Cyclical Learning Rates for Training Neural Networks", 2015 (the range test); the three
suggestions are those that Howard and Gugger's fastai offers.
"""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from models.callbacks.base import Callback, CancelFit, CancelValidation
from models.figures import Figure, Lines
from models.learner import Learner
from models.progress import TrainingFailed, TrainingStopped
from models.schedules import group_rates

if TYPE_CHECKING:
    from models.training import Batches

LOWEST, HIGHEST, STEPS = 1e-7, 10.0, 100
# Weight of the past in the smoothed loss.
SMOOTHING = 0.95
# The sweep ends when the smoothed loss is so many times its least.
EXPLODED = 4.0
FEWEST = 10
# Steps whose rates, up to 4e-6, are taken as too small to teach anything.
FLAT_STEPS = 20
NO_FALL = 1e-3


@dataclass(frozen=True)
class Found:
    """A sweep: increasing `rates`, the smoothed loss at each, and what they suggest as the peak of a
    schedule.

    `valley`: in the middle of the fall of the loss, the one to begin with. `steep`: where it falls
    fastest. `minimum`: a tenth of the rate at which it is least.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    valley: float
    steep: float
    minimum: float

    def figure(self, name: str) -> Figure:
        """The curve, for people."""
        sentence = (
            f"The smoothed loss while the rate rises from step to step: {self.valley:.2g} lies in the middle "
            f"of its fall (valley); it falls fastest at {self.steep:.2g}, and a tenth of the rate "
            f"where it is least is {self.minimum:.2g}."
        )
        lines = Lines(self.rates, (("loss", self.losses),), "learning rate", "loss", logarithmic_x=True)
        return Figure(f"{name}_learning_rate", f"Learning rates of the {name}", sentence, lines)


class RateFound(Exception):
    """Ends a fit that was asked for its sweep alone (`FitContext.find_only`)."""

    def __init__(self, found: Found) -> None:
        super().__init__("the learning rate has been found")
        self.found = found


def find_learning_rate(
    net: nn.Module,
    batches: "Batches",
    loss: Callable[[Any, Any], Tensor],
    make_optimizer: Callable[[], torch.optim.Optimizer],
    *,
    rate_division: float = 1.0,
    callbacks: Iterable[Callback] = (),
    precision: Any = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Found:
    """Sweeps over up to 100 training batches and leaves net and random state as they were.

    `callbacks` are those of the fit that change batches, losses or gradients.

    Raises:
        TrainingStopped: `should_stop` said so.
        TrainingFailed: the loss is no number from the start.
    """
    sweep = _Sweep(rate_division, should_stop)
    with _left_as_it_was(net):
        learner = Learner(
            net,
            loss,
            make_optimizer(),
            train_batches=batches.train,
            valid_batches=lambda: (),
            callbacks=[*callbacks, sweep],
            precision=precision,
        )
        learner.fit(STEPS)
    return found_in(sweep.rates, sweep.losses)


def found_in(rates: Sequence[float], losses: Sequence[float]) -> Found:
    """What a sweep suggests. `losses` are smoothed, one a rate. Where they fall nowhere, every suggestion is
    0.001.

    Raises:
        TrainingFailed: there are fewer than ten of them.
    """
    if len(losses) < FEWEST:
        raise TrainingFailed(
            f"The loss explodes or is no number within {len(losses) + 1} steps at the smallest rates. "
            "Look for extreme values in the inputs and the target, or give a learning_rate."
        )
    fall = the_fall(losses)
    if fall is None:
        return Found(tuple(rates), tuple(losses), NO_FALL, NO_FALL, NO_FALL)
    first, last, least = fall
    steepest = max(range(first, least), key=lambda place: losses[place] - losses[place + 1])
    return Found(
        tuple(rates),
        tuple(losses),
        valley=math.sqrt(rates[first] * rates[last]),
        steep=rates[steepest],
        minimum=rates[least] / 10,
    )


def the_fall(losses: Sequence[float]) -> tuple[int, int, int] | None:
    """Places where a tenth and nine tenths of the fall are behind, and where the loss is least; `None`
    without a fall.

    The fall begins from the median of the first losses, whose rates are too small to teach anything. (The
    longest decreasing run, another usual choice, begins in their noise: over digits and Adult it suggested a
    tenth to a twentieth of the rates that did best.)
    """
    least = min(range(len(losses)), key=losses.__getitem__)
    level = median(losses[: max(min(FLAT_STEPS, least), 1)])
    drop = level - losses[least]
    if least == 0 or drop <= 0:
        return None
    first = max((place for place in range(least) if losses[place] > level - 0.1 * drop), default=0)
    last = next(place for place in range(first, least + 1) if losses[place] <= level - 0.9 * drop)
    return first, last, least


def kept(folder: Path | None, find: Callable[[], Found]) -> Found:
    """What was found before and kept in `folder`, or else what `find` gives, kept there: a resumed fit has
    weights from which it cannot be found again.
    """
    path = None if folder is None else folder / "learning_rate.json"
    if path is not None and path.is_file():
        content = json.loads(path.read_text())
        return Found(**{**content, "rates": tuple(content["rates"]), "losses": tuple(content["losses"])})
    found = find()
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        coming = path.with_suffix(".coming")
        coming.write_text(json.dumps(asdict(found)))
        coming.rename(path)
    return found


class _Sweep(Callback):
    """Raises the rate before each batch and notes the smoothed loss; ends the fit when there is no more to
    see.
    """

    order: ClassVar[int] = 100

    def __init__(self, rate_division: float, should_stop: Callable[[], bool]) -> None:
        self._rate_division = rate_division
        self._should_stop = should_stop
        self._average = 0.0
        self._rate = LOWEST
        self.rates: list[float] = []
        self.losses: list[float] = []

    def before_batch(self, learner: Learner) -> None:
        if self._should_stop():
            raise TrainingStopped
        self._rate = LOWEST * (HIGHEST / LOWEST) ** (learner.step / (STEPS - 1))
        groups = learner.optimizer.param_groups
        for group, rate in zip(
            groups, group_rates(self._rate, self._rate_division, len(groups)), strict=True
        ):
            group["lr"] = rate

    def after_loss(self, learner: Learner) -> None:
        loss = float(learner.loss.detach())
        self._average = SMOOTHING * self._average + (1 - SMOOTHING) * loss
        smoothed = self._average / (1 - SMOOTHING ** (len(self.losses) + 1))
        if not math.isfinite(smoothed):
            raise CancelFit
        self.rates.append(self._rate)
        self.losses.append(smoothed)
        least = min(self.losses)
        # A loss may be negative (a likelihood), so it is the rise over the whole fall that counts.
        if smoothed > least + (EXPLODED - 1) * max(abs(least), 1e-12) or len(self.losses) == STEPS:
            raise CancelFit

    def before_validate(self, learner: Learner) -> None:
        raise CancelValidation


@contextmanager
def _left_as_it_was(net: nn.Module) -> Iterator[None]:
    """Puts back weights, buffers, gradients' absence, mode and random state."""
    weights = {name: value.detach().clone() for name, value in net.state_dict().items()}
    cuda = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    training = net.training
    try:
        with torch.random.fork_rng(devices=cuda):
            yield
    finally:
        net.load_state_dict(weights)
        net.train(training)
        net.zero_grad(set_to_none=True)
