"""What a net of pictures is fed with: rows of a table as pixels or raw signals, with the rows that cannot be
read set aside, and the batches that they are trained in.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch import Tensor

from models.configs import AugmentConfig, ConvNetConfig
from models.data.augment import augment, mix
from models.data.batches import Epoch, ShuffledBatches
from models.data.pictures import check_unreadable, presize, read_pictures, row_ids
from models.data.signals import Signals
from models.learner import Batch
from models.progress import Progress, TrainingFailed
from models.recipe import FitContext, Input, Problem

IMAGE = "image"
SIGNALS = ("audio", "series", "bytes")
WORDS = {IMAGE: "picture", "audio": "sound", "series": "series", "bytes": "file"}
VALID_BATCH_ROWS = 128
# Share of a device's free memory that pictures may take, so that batches are gathered where they are used.
DEVICE_SHARE = 0.4


def picture_input(problem: Problem) -> Input:
    """The one input that is, or becomes, a picture.

    Raises:
        TrainingFailed: there is none, or more than one, or there are others beside it.
    """
    found = [one for one in problem.inputs if one.type in WORDS]
    if len(found) != 1 or len(problem.inputs) != 1:
        named = ", ".join(f"{one.name} ({one.type})" for one in problem.inputs) or "none"
        raise TrainingFailed(
            f"A conv_net looks at one input, of type {', '.join(WORDS)}; the features are {named}. "
            "Leave the others out, or choose another kind of model."
        )
    return found[0]


@dataclass(frozen=True)
class PictureRows:
    """Rows as a net takes them: `values` uint8 `(N, S, S, 3)` of pictures, raw signals `(N, T)` of others.
    `readable` int64 `(M,)`: the rows that could be read. `sizes` int32 `(N, 2)`: width and height of the
    pictures as they were.
    """

    values: npt.NDArray[Any]
    readable: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int32]
    unreadable: Mapping[int, str]
    ids: Sequence[str]
    # What an id and a value are called in messages.
    id_name: str
    word: str

    @classmethod
    def read(
        cls,
        table: pa.Table,
        problem: Problem,
        config: ConvNetConfig,
        *,
        part: str,
        size: int = 0,
        context: FitContext | None = None,
    ) -> Self:
        """The rows of `table`. `part` ("training", "validation") is for messages; `size` is that of the
        pictures, 0 for the size to train at with room to turn and zoom (`models.data.pictures.presize`).

        Raises:
            TrainingStopped: it was told to stop.
        """
        context = context or FitContext()
        given = picture_input(problem)
        column = table.column(given.name)
        ids = row_ids(table, problem.id_column)
        if given.type != IMAGE:
            values, unreadable = Signals(given.type, config.signal).arrays(column)
            sizes = np.zeros((len(column), 2), np.int32)
        else:

            def on_rows(done: int, rows_per_s: float) -> None:
                context.on_progress(
                    reading(config, part, done=done, count=len(column), rows_per_s=rows_per_s)
                )

            read = read_pictures(
                column,
                size or kept_size(column, config),
                threads=context.threads,
                should_stop=context.should_stop,
                on_rows=on_rows,
            )
            values, sizes, unreadable = read.pixels, read.sizes, dict(read.unreadable)
        readable = np.setdiff1d(np.arange(len(column)), np.fromiter(unreadable, np.int64))
        return cls(values, readable, sizes, unreadable, ids, problem.id_column or "row", WORDS[given.type])

    def check(self, part: str) -> str:
        """The sentence about rows that are left out; raises `TrainingFailed` for too many of them."""
        return check_unreadable(self.unreadable, self.ids, part, what=self.word, called=self.id_name)

    def spread(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Numbers of the readable rows `(M, ...)` as numbers of all rows `(N, ...)`, NaN for the others."""
        found = np.full((len(self.values), *values.shape[1:]), np.nan, values.dtype)
        found[self.readable] = values
        return found


def kept_size(column: pa.ChunkedArray, config: ConvNetConfig) -> int:
    """The size at which training pictures are kept."""
    largest = max((config.image_size, *config.progressive_sizes))
    return presize(column, largest) if config.augment.on else largest


def reading(config: ConvNetConfig, part: str, *, done: int, count: int, rows_per_s: float) -> Progress:
    """How far reading is; the fit itself has not begun."""
    return Progress(
        model="conv_net",
        stage=f"reading {part} pictures: {done:,} of {count:,}",
        epoch=0,
        epoch_count=config.fit.frozen_epochs + config.fit.epochs,
        step=0,
        rows_per_s=rows_per_s,
        time_left_s=(count - done) / rows_per_s,
    )


class RowSource:
    """Readable rows and their targets, as a `models.data.batches.Source`; on `device` where they fit."""

    def __init__(self, rows: PictureRows, target: Tensor, device: torch.device) -> None:
        values, places = torch.from_numpy(rows.values), torch.from_numpy(rows.readable)
        if device.type == "cuda" and values.nbytes < DEVICE_SHARE * torch.cuda.mem_get_info(device)[0]:
            values, places, target = values.to(device), places.to(device), target.to(device)
        self._values, self._places, self._target = values, places, target

    def __len__(self) -> int:
        return len(self._target)

    def batch(self, rows: Tensor) -> Batch:
        """Values and targets at these places."""
        rows = rows.to(self._target.device)
        return self._values[self._places[rows]], self._target[rows]


class PictureBatches:
    """The `models.training.Batches` of pictures: changed at random in training, and at each of
    `ConvNetConfig.progressive_sizes` for an equal part of the epochs, the last ones at `image_size`.
    """

    def __init__(
        self,
        train: RowSource,
        valid: RowSource,
        config: ConvNetConfig,
        *,
        seed: int,
        device: torch.device,
        class_count: int | None,
        points: bool,
    ) -> None:
        sizes = (*config.progressive_sizes, config.image_size) if config.progressive_sizes else ()
        self._sizes = tuple(dict.fromkeys(sizes)) or (config.image_size,)
        self._epochs = max(config.fit.frozen_epochs + config.fit.epochs, 1)
        self._by_size = {
            size: ShuffledBatches(
                train,
                valid,
                config.fit.batch_size,
                seed=seed,
                transform=Changes(config.augment, size, device, class_count=class_count, points=points),
                always=as_input,
                valid_batch_size=VALID_BATCH_ROWS,
            )
            for size in self._sizes
        }

    def size_at(self, epoch: int) -> int:
        """Height and width of the training pictures of an epoch."""
        return self._sizes[min(epoch * len(self._sizes) // self._epochs, len(self._sizes) - 1)]

    def train(self, epoch: int) -> Epoch:
        """Batches of an epoch, changed by seed, epoch and place alone."""
        return self._by_size[self.size_at(epoch)].train(epoch)

    def valid(self) -> Any:
        """Validation batches at `image_size`, unchanged."""
        return self._by_size[self._sizes[-1]].valid()


@dataclass(frozen=True)
class Changes:
    """What happens to a training batch. `class_count`: of targets that are places in classes. `points`:
    targets are x and y in turn, from -1 to 1, and move with the picture. Signals change in brightness alone:
    turned or mirrored they would be others.
    """

    config: AugmentConfig
    size: int
    device: torch.device
    class_count: int | None = None
    points: bool = False

    def __call__(self, batch: Batch, generator: torch.Generator) -> Batch:
        values, target = (tensor.to(self.device, non_blocking=True) for tensor in batch)
        if values.dim() == 4:
            pairs = target.unflatten(1, (-1, 2)) if self.points else None
            moved = augment(
                values.permute(0, 3, 1, 2), self.config, generator=generator, size=self.size, points=pairs
            )
            values = moved.images
            target = target if moved.points is None else moved.points.flatten(1)
        if self.config.on and self.config.mixup > 0 and not self.points:
            values = as_input((values,))[0]
            values, target = mix(
                values, target, self.config.mixup, generator=generator, class_count=self.class_count
            )
        return values, target


def as_input(batch: Batch) -> Batch:
    """Pictures uint8 `(B, S, S, 3)` as the net takes them, float32 `(B, 3, S, S)` from 0 to 1; what is no
    such picture stays.
    """
    values = batch[0]
    if values.dim() == 4 and values.dtype == torch.uint8:
        values = values.permute(0, 3, 1, 2).float() / 255
    return (values, *batch[1:])
