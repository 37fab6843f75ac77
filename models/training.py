"""How a net is fitted with all that a job needs: rates, schedule, precision, checkpoints, progress.

`fit_net` puts `Learner` and its callbacks together as a `FitConfig` says. Every kind of net goes through it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from models.callbacks.activations import Activations
from models.callbacks.base import Callback
from models.callbacks.checkpoint import Checkpoint
from models.callbacks.device import ToDevice
from models.callbacks.freezing import Freezing
from models.callbacks.gradients import Accumulation, Clipping
from models.callbacks.normalisation import WarmStatistics
from models.callbacks.precision import ScaledGradients, dtype_for
from models.callbacks.report import Report
from models.callbacks.schedule import Phase, ScheduledRates
from models.configs import FitConfig
from models.distributed import ALONE, Together, from_first, group, stopped_when_lost
from models.finder import LOWEST, Found, RateFound, find_learning_rate, kept
from models.learner import Batch, Learner
from models.optimizers import make_optimizer
from models.progress import TrainingFailed
from models.recipe import FitContext
from models.schedules import FROZEN_ONE_CYCLE, SCHEDULES, TUNED_ONE_CYCLE, group_rates

# torch.compile takes half a minute or more; a fit of fewer steps than this does not earn that back.
COMPILED_FROM_STEPS = 2_000
# What torch says when the machine, not a GPU, has no memory left: a RuntimeError with its allocator's name.
CPU_ALLOCATOR = "DefaultCPUAllocator"


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
    """What came of a fit: the peak rate that was used (found or given) and the finder's curve, when it was
    asked.
    """

    learning_rate: float
    finder_rates: tuple[float, ...] = ()
    finder_losses: tuple[float, ...] = ()


def fit_net(
    net: nn.Module,
    batches: Batches,
    loss: Callable[[Any, Any], Tensor],
    config: FitConfig,
    context: FitContext,
    *,
    name: str,
    metrics: Callable[[Tensor, Tensor], dict[str, float]] | None = None,
    groups: Sequence[Iterable[nn.Parameter]] | None = None,
    callbacks: Iterable[Callback] = (),
) -> Fit:
    """Fits `net` in place; afterwards it is in evaluation mode on the CPU.

    `groups`: parameters from the deepest (the first layers of a body) to the head, for discriminative rates
    and for `frozen_epochs`, in which only the last group learns (normalisation layers of the others learn
    too). `metrics` of all validation predictions and targets. Raises as `Recipe.fit` does.
    """
    device = device_for(context)
    torch.manual_seed(context.seed)
    net.to(device)
    if device.type == "cuda":
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    parts = [list(group) for group in groups] if groups is not None else [list(net.parameters())]
    dtype = dtype_for(config.precision, device)
    precision = torch.autocast(device.type, dtype, enabled=dtype != torch.float32)
    among = group() if config.process_count > 1 else ALONE
    folder = context.checkpoint_folder if group().first else None
    common = [ToDevice(device), *_callbacks(config, parts, device, dtype), *callbacks]
    make = partial(make_optimizer, config.optimizer, parts, weight_decay=config.weight_decay)

    def find() -> Found:
        return find_learning_rate(
            net,
            batches,
            loss,
            partial(make, rate=LOWEST),
            rate_division=config.rate_division,
            callbacks=common,
            precision=precision,
            should_stop=context.should_stop,
        )

    with out_of_memory_explained(config.batch_size), stopped_when_lost(among):
        if context.find_only:
            raise RateFound(find())
        found = None if config.learning_rate else from_first(partial(kept, folder, find), among)
        rate = config.learning_rate if found is None else found.valley
        if found is not None and among.first:
            context.on_figure(found.figure(name))
        phases = phases_of(config, rate, len(parts))
        epochs = sum(phase.epochs for phase in phases)
        compiled = _is_compiled(config, device, epochs * len(batches.train(0)))
        together = [Together(among, device, compiled=compiled)] if among.size > 1 else []
        looks = [Activations(name, context.on_figure), Report(name, context.on_progress, metrics)]
        told = looks if among.first else []
        learner = Learner(
            net,
            loss,
            make(rate=rate),
            train_batches=batches.train,
            valid_batches=batches.valid,
            callbacks=[
                *common,
                *together,
                *told,
                ScheduledRates(phases),
                Checkpoint(folder, context.should_stop, among),
            ],
            precision=precision,
        )
        learner.forward = torch.compile(net) if compiled and among.size == 1 else net
        learner.fit(epochs)
    net.to("cpu", memory_format=torch.contiguous_format).eval()  # type: ignore[call-overload]
    return Fit(rate) if found is None else Fit(rate, found.rates, found.losses)


def device_for(context: FitContext) -> torch.device:
    """Where a fit takes place."""
    return torch.device(context.device or ("cuda" if torch.cuda.is_available() else "cpu"))


def _is_compiled(config: FitConfig, device: torch.device, step_count: int) -> bool:
    if config.compile == "auto":
        return device.type == "cuda" and step_count >= COMPILED_FROM_STEPS
    return config.compile == "on"


def phases_of(config: FitConfig, rate: float, group_count: int) -> list[Phase]:
    """The schedule; with `frozen_epochs` two of them, as fastai's `fine_tune`: the head at the full rate,
    then all at half of it.
    """
    schedule = SCHEDULES[config.schedule]
    if not config.frozen_epochs:
        return [Phase(config.epochs, group_rates(rate, config.rate_division, group_count), schedule)]
    frozen, tuned = schedule, schedule
    if config.schedule == "one_cycle":
        frozen, tuned = FROZEN_ONE_CYCLE, TUNED_ONE_CYCLE
    return [
        Phase(config.frozen_epochs, group_rates(rate, config.rate_division, group_count), frozen),
        Phase(config.epochs, group_rates(rate / 2, config.rate_division, group_count), tuned),
    ]


def _callbacks(
    config: FitConfig, groups: list[list[nn.Parameter]], device: torch.device, dtype: torch.dtype
) -> Iterator[Callback]:
    """Those that the settings ask for, and one for every fit."""
    yield WarmStatistics()
    if config.frozen_epochs:
        frozen = config.frozen_epochs
        yield Freezing(groups, lambda epoch: 1 if epoch < frozen else len(groups))
    if config.accumulated_batches > 1:
        yield Accumulation(config.accumulated_batches)
    if dtype == torch.float16:
        yield ScaledGradients(device)
    if config.gradient_clip > 0:
        yield Clipping(config.gradient_clip)


@contextmanager
def out_of_memory_explained(batch_size: int) -> Iterator[None]:
    """Turns the error of a device or machine without memory into a `TrainingFailed` with what to try."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and CPU_ALLOCATOR not in str(error):
            raise
        raise TrainingFailed(
            f"There is not enough memory for a batch of {batch_size}. Try a batch_size of "
            f"{max(batch_size // 2, 1)} with twice the accumulated_batches, smaller inputs, or a smaller net."
        ) from error
