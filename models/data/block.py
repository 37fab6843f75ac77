"""The data block: from items (files of a folder, rows of a table) to batches that a net takes, and back to
what people see.

A `Block` says what one kind of value is: which stages it goes through, what must be learnt from the training
rows first, how its numbers are shown. A `DataBlock` puts blocks together with getters and a splitter. The
design is that of Howard and Gugger's data block (fastai, Information 2020), over whole columns instead of
items one by one. `models.data.blocks` has the kinds of block, `models.data.walk` says which stage fails at
which item.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from PIL import Image
from torch import Tensor

from models.data.batches import InMemory, ShuffledBatches, Source, Transform
from models.data.getters import PATH, Column, Getter, folder_items
from models.data.pictures import check_unreadable, row_ids
from models.data.split import Splitter
from models.figures import Figure
from models.learner import Batch
from models.progress import TrainingFailed

Ints = npt.NDArray[np.int64]
Shown = Image.Image | str
"""What a person sees of a value."""


@dataclass(frozen=True)
class Stage:
    """A step that one value goes through; raises `ValueError` for a value that it cannot take."""

    name: str
    run: Callable[[Any], Any]


@dataclass(frozen=True)
class Encoded:
    """A column as tensors whose first dimension is the row; those of `unreadable` rows, with the reason, are
    zeros.
    """

    tensors: tuple[Tensor, ...]
    unreadable: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Block(ABC):
    """A kind of value. `changes` are stages of the user's own, after the value is opened and before it
    becomes numbers: a crop, a spelling.
    """

    kind: ClassVar[str]
    changes: tuple[Stage, ...] = field(default=(), kw_only=True)

    def learn(self, column: Column) -> Self:
        """The block with what it must know of the training rows: a vocabulary, a mean."""
        return self

    @abstractmethod
    def opening(self) -> tuple[Stage, ...]:
        """From the stored value to what people know it as."""

    @abstractmethod
    def closing(self) -> tuple[Stage, ...]:
        """From there to numbers; the last stage gives a tuple of arrays, one for each tensor."""

    @property
    def stages(self) -> tuple[Stage, ...]:
        """All that a value goes through."""
        return (*self.opening(), *self.changes, *self.closing())

    def encode(self, column: Column, *, threads: int = 2) -> Encoded:
        """A whole column. Blocks that can do it at once, when there are no `changes`, do so with the same
        result.

        Raises:
            TrainingFailed: no value can be read.
        """
        unreadable: dict[int, str] = {}

        def one(row: int) -> tuple[npt.NDArray[Any], ...] | None:
            try:
                return self.through(column[row].as_py())
            except ValueError as error:
                unreadable[row] = str(error)
                return None

        with ThreadPoolExecutor(max(threads, 1)) as pool:
            rows = list(pool.map(one, range(len(column))))
        like = next((row for row in rows if row is not None), None)
        if like is None:
            why = next(iter(unreadable.values()), "there are none")
            raise TrainingFailed(f"No {self.kind} can be read: {why}.")
        empty = tuple(np.zeros_like(part) for part in like)
        filled = [empty if row is None else row for row in rows]
        tensors = tuple(torch.from_numpy(np.stack(parts)) for parts in zip(*filled, strict=True))
        return Encoded(tensors, dict(sorted(unreadable.items())))

    def through(self, value: Any) -> tuple[npt.NDArray[Any], ...]:
        """One value through all stages."""
        for stage in self.stages:
            value = stage.run(value)
        return tuple(np.array(part) for part in value)

    def prepare(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """A batch as the net takes it, on the device: pictures as numbers about their mean."""
        return tensors

    @abstractmethod
    def show(self, *row: Tensor) -> Shown:
        """One row's tensors, as `encode` gives them, as people know the value."""

    def draw(self, image: Image.Image, *row: Tensor) -> Image.Image:
        """The picture that is the input, with this value drawn on it where it has a place on it."""
        return image


@dataclass(frozen=True)
class Part:
    """A block with where its values come from."""

    block: Block
    get: Getter


@dataclass(frozen=True)
class DataBlock:
    """Inputs, a target (`None`: the input itself, of a language model), and what is held out. `change`
    changes training batches at random, before they are prepared.
    """

    inputs: Sequence[Part]
    target: Part | None
    split: Splitter
    change: Transform | None = None

    @property
    def parts(self) -> tuple[Part, ...]:
        """Inputs, then the target."""
        return (*self.inputs, *(() if self.target is None else (self.target,)))

    def from_folder(self, folder: Path, *patterns: str, threads: int = 2) -> "BlockData":
        """Of the files of a folder: see `folder_items`."""
        return self.from_table(folder_items(folder, *patterns), id_column=PATH, threads=threads)

    def from_table(self, table: pa.Table, *, id_column: str = "", threads: int = 2) -> "BlockData":
        """Of the rows of a table. Items that cannot be read are left out, up to a tenth of a part.

        Raises:
            TrainingFailed: a part is empty, or more cannot be read; names the items.
        """
        train, valid = self.split(table)
        for name, rows in (("training", train), ("validation", valid)):
            if not len(rows):
                raise TrainingFailed(f"The {name} part is empty. Add items, or split them otherwise.")
        learnt = self.learn(table.take(pa.array(train)))
        return BlockData(
            learnt,
            *(
                EncodedPart.of(learnt, table, rows, part=name, id_column=id_column, threads=threads)
                for name, rows in (("training", train), ("validation", valid))
            ),
        )

    def learn(self, train: pa.Table) -> "DataBlock":
        """With all blocks knowing what they must of the training rows."""
        parts = [replace(part, block=part.block.learn(part.get(train))) for part in self.parts]
        count = len(self.inputs)
        return replace(self, inputs=tuple(parts[:count]), target=parts[count] if parts[count:] else None)

    def by_part(self, batch: Sequence[Tensor], spans: tuple[int, ...]) -> list[tuple[Tensor, ...]]:
        """The tensors of a batch, or of a row, by part; `spans` is how many each has."""
        ends = np.cumsum(spans).tolist()
        return [tuple(batch[start:end]) for start, end in zip([0, *ends[:-1]], ends, strict=True)]

    def prepare(self, batch: Batch, spans: tuple[int, ...]) -> Batch:
        """A batch as the net takes it: inputs, then the target; where there is none, the last input."""
        parts = zip(self.parts, self.by_part(batch, spans), strict=True)
        tensors = tuple(tensor for part, of_part in parts for tensor in part.block.prepare(*of_part))
        return tensors if self.target else (*tensors, tensors[-1])

    def decode(self, row: Sequence[Tensor], spans: tuple[int, ...]) -> list[Shown]:
        """What a person sees of a row of tensors that are not prepared yet: each input, and the target."""
        parts = zip(self.parts, self.by_part(row, spans), strict=True)
        return [part.block.show(*of_part) for part, of_part in parts]


@dataclass(frozen=True)
class EncodedPart:
    """Training or validation: the items that could be read, as tensors. `spans` is how many tensors each of
    the block's parts has; `warnings` says what was left out.
    """

    table: pa.Table
    names: tuple[str, ...]
    tensors: tuple[Tensor, ...]
    spans: tuple[int, ...]
    warnings: tuple[str, ...]

    @classmethod
    def of(
        cls,
        block: DataBlock,
        table: pa.Table,
        rows: Ints,
        *,
        part: str = "training",
        id_column: str = "",
        threads: int = 2,
        check: bool = True,
    ) -> Self:
        """The rows at `rows`. With `check` it raises as `DataBlock.from_table` does; without, whatever cannot
        be read is left out.
        """
        chosen = table.take(pa.array(rows))
        names = row_ids(chosen, id_column) if id_column else [str(row) for row in rows]
        encoded = [one.block.encode(one.get(chosen), threads=threads) for one in block.parts]
        warnings = [
            check_unreadable(one.unreadable, names, part, what=of.block.kind, called=id_column or "row")
            for one, of in zip(encoded, block.parts, strict=True)
            if check
        ]
        bad = {row for found in encoded for row in found.unreadable}
        kept = np.setdiff1d(np.arange(len(rows)), np.fromiter(bad, np.int64))
        tensors = tuple(tensor for found in encoded for tensor in found.tensors)
        if bad:
            places = torch.from_numpy(kept)
            tensors = tuple(tensor[places] for tensor in tensors)
            chosen = chosen.take(pa.array(kept))
        return cls(
            chosen,
            tuple(names[row] for row in kept),
            tensors,
            tuple(len(found.tensors) for found in encoded),
            tuple(warning for warning in warnings if warning),
        )


@dataclass(frozen=True)
class BlockData:
    """Both parts, ready to train on."""

    block: DataBlock
    train: EncodedPart
    valid: EncodedPart

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was left out, and why."""
        return (*self.train.warnings, *self.valid.warnings)

    def batches(
        self, batch_size: int, *, seed: int = 0, device: torch.device | str = "cpu"
    ) -> ShuffledBatches:
        """What `models.training.fit_net` takes: inputs, then the target. Changes are made on `device`."""
        return ShuffledBatches(
            Placed(InMemory(*self.train.tensors), device),
            Placed(InMemory(*self.valid.tensors), device),
            batch_size,
            seed=seed,
            transform=self.block.change,
            always=self.prepare,
            valid_batch_size=batch_size,
        )

    def prepare(self, batch: Batch) -> Batch:
        """A batch as the net takes it."""
        return self.block.prepare(batch, self.train.spans)

    def show_batch(self, count: int = 9, *, seed: int = 0) -> Figure:
        """Training items as the net is shown them, changed at random: see `models.data.show`."""
        from models.data.show import part_figure

        return part_figure(self.block, self.train, count=count, seed=seed)


class Placed:
    """A source whose batches are on a device."""

    def __init__(self, source: Source, device: torch.device | str) -> None:
        self._source = source
        self._device = torch.device(device)

    def __len__(self) -> int:
        return len(self._source)

    def batch(self, rows: Tensor) -> Batch:
        """The rows, moved."""
        return tuple(tensor.to(self._device, non_blocking=True) for tensor in self._source.batch(rows))
