"""Rows of two pictures each: what a Siamese net is fed with, and how its batches are changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch import Tensor

from models.configs import SiameseConfig
from models.data.augment import augment
from models.data.pictures import check_unreadable, presize, read_pictures, row_ids
from models.learner import Batch
from models.progress import Progress, TrainingFailed
from models.recipe import FitContext, Problem

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class PicturePairs:
    """`first` and `second` uint8 `(N, S, S, 3)`. `readable` int64 `(M,)`: rows both of whose pictures could
    be read; `unreadable`: the others, and why.
    """

    first: Pixels
    second: Pixels
    readable: npt.NDArray[np.int64]
    unreadable: Mapping[int, str]
    ids: Sequence[str]
    id_name: str

    @classmethod
    def read(
        cls,
        table: pa.Table,
        problem: Problem,
        config: SiameseConfig,
        *,
        part: str,
        size: int,
        context: FitContext,
    ) -> Self:
        """The rows of `table` at `size`, 0 for that of training with room to turn and zoom.

        Raises:
            TrainingStopped: it was told to stop.
        """
        names = columns_of(problem)
        columns = [table.column(name) for name in names]
        if not size:
            size = max(presize(column, config.image_size) for column in columns)
            size = size if config.augment.on else config.image_size
        both = []
        unreadable: dict[int, str] = {}
        for name, column in zip(names, columns, strict=True):

            def on_rows(done: int, rows_per_s: float, name: str = name) -> None:
                context.on_progress(
                    Progress(
                        model="siamese",
                        stage=f"reading {part} pictures, {name}: {done:,} of {table.num_rows:,}",
                        epoch=0,
                        epoch_count=config.fit.frozen_epochs + config.fit.epochs,
                        step=0,
                        rows_per_s=rows_per_s,
                        time_left_s=(table.num_rows - done) / rows_per_s,
                    )
                )

            read = read_pictures(
                column, size, threads=context.threads, should_stop=context.should_stop, on_rows=on_rows
            )
            both.append(read.pixels)
            for row, why in read.unreadable.items():
                unreadable.setdefault(row, f"{name}: {why}")
        readable = np.setdiff1d(np.arange(table.num_rows), np.fromiter(unreadable, np.int64))
        ids = row_ids(table, problem.id_column)
        named = dict(sorted(unreadable.items()))
        return cls(both[0], both[1], readable, named, ids, problem.id_column or "row")

    def check(self, part: str) -> str:
        """The sentence about rows that are left out; raises `TrainingFailed` for too many of them."""
        return check_unreadable(self.unreadable, self.ids, part, called=self.id_name)

    def spread(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Numbers of the readable rows `(M,)` as numbers of all rows `(N,)`, NaN for the others."""
        found = np.full(len(self.first), np.nan, values.dtype)
        found[self.readable] = values
        return found


class PairSource:
    """Readable rows as `models.data.batches.Source`: both pictures uint8 `(B, S, S, 3)`, target float32
    `(B,)`.
    """

    def __init__(self, rows: PicturePairs, target: Tensor) -> None:
        self._rows = rows
        self._target = target

    def __len__(self) -> int:
        return len(self._rows.readable)

    def batch(self, rows: Tensor) -> Batch:
        """Pictures and targets at these places."""
        chosen = self._rows.readable[rows.numpy()]
        first, second = (torch.from_numpy(one[chosen]) for one in (self._rows.first, self._rows.second))
        return first, second, self._target[rows]


@dataclass(frozen=True)
class PairChanges:
    """What happens to a training batch: each picture is changed on its own, so that a pair is never alike
    because it was changed alike. Pairs are not mixed: mixup would blend the very thing that is asked.
    """

    config: SiameseConfig
    device: torch.device

    def __call__(self, batch: Batch, generator: torch.Generator) -> Batch:
        first, second, target = (tensor.to(self.device, non_blocking=True) for tensor in batch)
        pixels = torch.cat([first, second]).permute(0, 3, 1, 2)
        changed = augment(pixels, self.config.augment, generator=generator, size=self.config.image_size)
        return *changed.images.chunk(2), target


def as_input(batch: Batch) -> Batch:
    """A batch as the net takes it: pictures float32 `(B, 3, S, S)` from 0 to 1."""
    first, second, target = batch
    if first.dtype == torch.uint8:
        first, second = (one.permute(0, 3, 1, 2).float() / 255 for one in (first, second))
    return first, second, target


def columns_of(problem: Problem) -> tuple[str, str]:
    """Names of the two pictures' columns.

    Raises:
        TrainingFailed: there are not two images alone.
    """
    images = problem.of_type("image")
    if len(images) != 2 or len(problem.inputs) != 2:
        raise TrainingFailed(
            f"A siamese net looks at two features of type image; there are {len(images)} among "
            f"{len(problem.inputs)} features. Leave others out, or choose another kind of model."
        )
    return images[0], images[1]
