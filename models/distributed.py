"""Several processes that fit one net together: each takes its rows of every batch, gradients are averaged.

Every process runs the same `Recipe.fit` on the same rows; `fit_net` finds the others through torch's process
group and binds them by its DistributedDataParallel (Li and others, "PyTorch Distributed", 2020). The sum of
their work is the work of one: the average weighs each process by its rows, so that weights differ from those
of one process by rounding alone, and by what normalisation layers and dropout see. The first process
validates, reports and keeps checkpoints. A process that dies takes the others with it (torchrun, Ray and
`services.training.compute` see to that), and the fit goes on from the checkpoint.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import torch
from torch import Tensor
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from models.callbacks.base import Callback, CancelValidation
from models.progress import TrainingStopped

if TYPE_CHECKING:
    from models.learner import Learner

# The others wait while the first process validates or sweeps rates: a wait is no sign of death.
TIMEOUT = timedelta(days=1)
T = TypeVar("T")


@dataclass(frozen=True)
class Group:
    """This process's place, `rank`, among `size`."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that validates, reports and writes."""
        return self.rank == 0


ALONE = Group()


def group() -> Group:
    """The group that this process has joined; `ALONE` where it has joined none."""
    if not (dist.is_available() and dist.is_initialized()):
        return ALONE
    return Group(dist.get_rank(), dist.get_world_size())


def backend() -> str:
    """gloo between CPUs, NCCL between GPUs beside it."""
    return "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"


@contextmanager
def joined() -> Iterator[Group]:
    """Joins the group that torchrun's environment names (RANK, WORLD_SIZE, MASTER_ADDR, ...), and leaves it.

    CPU threads are shared out among the processes of the machine, and each takes the GPU of its local rank.
    """
    local_size = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    torch.set_num_threads(max(torch.get_num_threads() // local_size, 1))
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
    dist.init_process_group(backend(), timeout=TIMEOUT)
    try:
        yield group()
    finally:
        dist.destroy_process_group()


def agreed(should_stop: Callable[[], bool], among: Group) -> Callable[[], bool]:
    """Whether any process should stop; asked by all of them after the same batch, all hear the same."""
    if among.size == 1:
        return should_stop

    def any_should() -> bool:
        flag = torch.tensor(int(should_stop()))
        dist.all_reduce(flag, op=dist.ReduceOp.MAX)
        return bool(flag)

    return any_should


def from_first(make: Callable[[], T], among: Group) -> T:
    """What `make` gives in the first process, told to all."""
    if among.size == 1:
        return make()
    told: list[Any] = [make() if among.first else None]
    dist.broadcast_object_list(told)
    made: T = told[0]
    return made


@contextmanager
def stopped_when_lost(among: Group) -> Iterator[None]:
    """Turns the error of a group that has lost a process into `TrainingStopped`: its own error, if it had
    one, is in its log, and the fit can go on from the checkpoint.
    """
    try:
        yield
    except RuntimeError as error:
        lost = isinstance(error, dist.DistError) or "gloo" in str(error)
        if among.size == 1 or not lost:
            raise
        raise TrainingStopped(f"Another process of the fit is gone: {error}") from error


class Together(Callback):
    """Binds the processes of a group in one fit."""

    order: ClassVar[int] = -30

    def __init__(self, among: Group, device: torch.device, *, compiled: bool) -> None:
        self._group = among
        self._device = device
        self._compiled = compiled
        self._share = 1.0

    def before_fit(self, learner: "Learner") -> None:
        # Now, while every parameter is to learn: what is frozen at this moment would never be averaged.
        ids = [torch.cuda.current_device()] if self._device.type == "cuda" else None
        # Buffers are each process's own: the state of its streams, or statistics of which the first one's are
        # kept.
        net = DistributedDataParallel(
            learner.model, device_ids=ids, find_unused_parameters=True, broadcast_buffers=False
        )
        self._bound = torch.compile(net) if self._compiled else net

    def before_train(self, learner: "Learner") -> None:
        learner.forward = self._bound

    def before_batch(self, learner: "Learner") -> None:
        if not learner.training:
            return
        rows, size = len(learner.batch[0]), self._group.size
        # Too few rows to share, two a process at least for normalisation: all do the whole batch.
        self._share = 1.0
        if rows >= 2 * size:
            mine = slice(self._group.rank, rows, size)
            learner.batch = tuple(_rows(part, mine, rows) for part in learner.batch)
            self._share = len(learner.batch[0]) * size / rows

    def before_backward(self, learner: "Learner") -> None:
        learner.objective = learner.objective * self._share

    def before_validate(self, learner: "Learner") -> None:
        # The bound net would wait for the others, who do not validate.
        learner.forward = learner.model
        if not self._group.first:
            raise CancelValidation


def _rows(part: Any, chosen: slice, rows: int) -> Any:
    """The chosen rows of a tensor, or of each in a tuple; what has not a value a row is left."""
    if isinstance(part, tuple):
        return tuple(_rows(one, chosen, rows) for one in part)
    return part[chosen] if isinstance(part, Tensor) and part.ndim and len(part) == rows else part
