"""Pictures with a mask each: what a segmentation net is fed with, and its batches.

A mask is a grey or palette PNG of its picture's size whose pixels are places in the task's classes. A row
whose picture or mask cannot be used is set aside with its reason.
"""

import io
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from PIL import Image

from models.configs import UnetConfig
from models.data.augment import augment
from models.data.pictures import (
    FORMATS,
    MAX_PIXELS,
    Pictures,
    UnreadablePicture,
    check_unreadable,
    presize,
    read_pictures,
    row_ids,
)
from models.learner import Batch
from models.progress import Progress, TrainingFailed
from models.recipe import FitContext, Problem

Pixels = npt.NDArray[np.uint8]

MOST_CLASSES = 256
GREY_MODES = ("L", "P", "1")
VALID_BATCH_ROWS = 64


@dataclass(frozen=True)
class MaskedPictures:
    """`pixels` uint8 `(N, S, S, 3)`; `masks` uint8 `(N, S, S)`; `sizes` int32 `(N, 2)`: width and height of
    the pictures as they were. `readable` int64 `(M,)`: rows with both; the others are black and of class 0.
    """

    pixels: Pixels
    masks: Pixels
    sizes: npt.NDArray[np.int32]
    readable: npt.NDArray[np.int64]
    unreadable: Mapping[int, str]
    ids: Sequence[str]
    id_name: str

    @classmethod
    def read(
        cls,
        table: pa.Table,
        problem: Problem,
        config: UnetConfig,
        *,
        part: str,
        size: int,
        context: FitContext,
    ) -> Self:
        """The rows of `table` at `size`, 0 for that of training with room to turn and zoom.

        Raises:
            TrainingStopped: it was told to stop.
        """
        image, mask = columns_of(problem)
        column = table.column(image)

        def on_rows(done: int, rows_per_s: float) -> None:
            context.on_progress(
                Progress(
                    model="unet",
                    stage=f"reading {part} pictures: {done:,} of {len(column):,}",
                    epoch=0,
                    epoch_count=config.fit.frozen_epochs + config.fit.epochs,
                    step=0,
                    rows_per_s=rows_per_s,
                    time_left_s=(len(column) - done) / rows_per_s,
                )
            )

        if not size:
            size = presize(column, config.image_size) if config.augment.on else config.image_size
        read = read_pictures(
            column, size, threads=context.threads, should_stop=context.should_stop, on_rows=on_rows
        )
        masks, damaged = _read_masks(
            table.column(mask), read, size, len(problem.target.classes), threads=context.threads
        )
        unreadable = dict(sorted({**read.unreadable, **damaged}.items()))
        readable = np.setdiff1d(np.arange(len(column)), np.fromiter(unreadable, np.int64))
        ids = row_ids(table, problem.id_column)
        return cls(read.pixels, masks, read.sizes, readable, unreadable, ids, problem.id_column or "row")

    def check(self, part: str) -> str:
        """The sentence about rows that are left out; raises `TrainingFailed` for too many of them."""
        return check_unreadable(self.unreadable, self.ids, part, what="picture or mask", called=self.id_name)

    def source(self) -> "MaskSource":
        """The readable rows, for batches."""
        return MaskSource(self)


class MaskSource:
    """Readable rows as `models.data.batches.Source`: pixels uint8 `(B, S, S, 3)`, masks uint8 `(B, S, S)`."""

    def __init__(self, rows: MaskedPictures) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows.readable)

    def batch(self, rows: torch.Tensor) -> Batch:
        """Pictures and masks at these places."""
        chosen = self._rows.readable[rows.numpy()]
        return torch.from_numpy(self._rows.pixels[chosen]), torch.from_numpy(self._rows.masks[chosen])


@dataclass(frozen=True)
class MaskChanges:
    """What happens to a training batch, picture and mask alike; masks come out int64 `(B, size, size)`.

    Pictures are not mixed: mixup makes a share of a class, which a mask cannot hold.
    """

    config: UnetConfig
    device: torch.device

    def __call__(self, batch: Batch, generator: torch.Generator) -> Batch:
        pixels, masks = (tensor.to(self.device, non_blocking=True) for tensor in batch)
        moved = augment(
            pixels.permute(0, 3, 1, 2),
            self.config.augment,
            generator=generator,
            size=self.config.image_size,
            masks=masks,
        )
        assert moved.masks is not None
        return moved.images, moved.masks


def as_input(batch: Batch) -> Batch:
    """A batch as net and loss take it: float32 `(B, 3, S, S)` from 0 to 1, int64 `(B, S, S)`."""
    pixels, masks = batch
    if pixels.dtype == torch.uint8:
        pixels = pixels.permute(0, 3, 1, 2).float() / 255
    return pixels, masks.long()


def columns_of(problem: Problem) -> tuple[str, str]:
    """Names of the picture's and the mask's column.

    Raises:
        TrainingFailed: there is not one image alone, or classes are lacking or more than a byte can hold.
    """
    images = problem.of_type("image")
    if len(images) != 1 or len(problem.inputs) != 1:
        raise TrainingFailed("A unet looks at one feature of type image. Leave the others out.")
    count = len(problem.target.classes)
    if not 2 <= count <= MOST_CLASSES:
        raise TrainingFailed(
            f"The target names {count} classes; a mask holds 2 to {MOST_CLASSES}, background counted."
        )
    return images[0], problem.target.names[0]


def read_mask(content: bytes | None, size: tuple[int, int], class_count: int) -> Pixels:
    """A mask at its own size, uint8 `(H, W)`. `size` is its picture's width and height.

    Raises:
        UnreadablePicture: it is empty, damaged, of another size, not grey, or names a class that is not
        there.
    """
    if not content:
        raise UnreadablePicture("the mask is empty")
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            if image.size != size:
                raise UnreadablePicture(f"the mask is {_by(image.size)}, its picture {_by(size)}")
            if image.width * image.height > MAX_PIXELS or image.mode not in GREY_MODES:
                raise UnreadablePicture(f"the mask is no grey PNG of 8 bits (its mode is {image.mode})")
            places = np.asarray(image).astype(np.uint8)
    except UnreadablePicture:
        raise
    # Decoders of damaged files raise whatever they stumble over.
    except Exception as error:
        raise UnreadablePicture(f"the mask is damaged ({' '.join(str(error).split())[:100]})") from error
    if int(places.max()) >= class_count:
        raise UnreadablePicture(
            f"the mask has a pixel of {int(places.max())}; there are {class_count} classes"
        )
    return places


def resized_mask(mask: Pixels, size: tuple[int, int]) -> Pixels:
    """A mask at another width and height: each pixel is the nearest one, so no class is made up."""
    if mask.shape[::-1] == size:
        return mask
    return np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))


def _read_masks(
    column: pa.ChunkedArray, pictures: Pictures, size: int, class_count: int, *, threads: int
) -> tuple[Pixels, dict[int, str]]:
    """Masks of the pictures that could be read, uint8 `(N, size, size)`, and why others could not be."""
    masks = np.zeros((len(column), size, size), np.uint8)
    damaged: dict[int, str] = {}

    def read(row: int) -> None:
        width, height = (int(side) for side in pictures.sizes[row])
        try:
            mask = read_mask(column[row].as_py(), (width, height), class_count)
        except UnreadablePicture as error:
            damaged[row] = str(error)
            return
        masks[row] = resized_mask(mask, (size, size))

    with ThreadPoolExecutor(max(threads, 1)) as pool:
        for _ in pool.map(read, pictures.readable.tolist()):
            pass
    return masks, damaged


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"
