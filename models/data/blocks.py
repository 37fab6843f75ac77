"""Blocks of pictures and of what lies on them: images, masks, points; and of signals that become pictures."""

import io
from dataclasses import dataclass, field
from typing import Any, ClassVar, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from models.configs import AugmentConfig, SignalConfig
from models.data.augment import augment
from models.data.batches import Transform
from models.data.block import Block, Encoded, Shown, Stage
from models.data.getters import Column
from models.data.pictures import UnreadablePicture, decode, read_pictures, resized
from models.learner import Batch

# Of ImageNet's pictures, which pretrained bodies have seen (He and others, CVPR 2016).
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# Distinct for the colour-blind: Okabe and Ito, 2008.
MASK_COLOURS = (
    (0, 0, 0),
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
)
POINT_RADIUS = 0.03
SHOWN_SIZE = 160


@dataclass(frozen=True)
class ImageBlock(Block):
    """Pictures as uint8 `(3, size, size)`, in batches float32 about `mean`."""

    kind: ClassVar[str] = "picture"
    size: int = 128
    mean: tuple[float, float, float] = MEAN
    deviation: tuple[float, float, float] = DEVIATION

    def opening(self) -> tuple[Stage, ...]:
        """To an upright RGB picture."""
        return (Stage("decode", decode),)

    def closing(self) -> tuple[Stage, ...]:
        """To pixels of one size, channels first."""
        return (
            Stage(f"resize to {self.size} x {self.size}", lambda image: resized(image, self.size)),
            Stage("channels first", lambda pixels: (pixels.transpose(2, 0, 1),)),
        )

    def encode(self, column: Column, *, threads: int = 2) -> Encoded:
        """In memory, or in a file that the system pages when there is more."""
        if self.changes:
            return super().encode(column, threads=threads)
        found = read_pictures(cast(pa.ChunkedArray, column), self.size, threads=threads)
        return Encoded((torch.from_numpy(found.pixels).permute(0, 3, 1, 2),), found.unreadable)

    def prepare(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Float32 about the mean."""
        (pixels,) = tensors
        unit = pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels
        mean, deviation = (
            torch.tensor(value, device=pixels.device)[:, None, None] for value in (self.mean, self.deviation)
        )
        return ((unit - mean) / deviation,)

    def show(self, *row: Tensor) -> Shown:
        """The picture."""
        pixels = row[0] if row[0].dtype == torch.uint8 else (row[0].clamp(0, 1) * 255).round().to(torch.uint8)
        return Image.fromarray(np.ascontiguousarray(pixels.permute(1, 2, 0).numpy()))


@dataclass(frozen=True)
class MaskBlock(Block):
    """A class for each pixel: a grey picture whose values are places in `classes`, int64 `(size, size)`."""

    kind: ClassVar[str] = "mask"
    size: int = 128
    classes: tuple[str, ...] = ()

    def opening(self) -> tuple[Stage, ...]:
        """To a grey picture, whose values are classes and not shades."""
        return (Stage("decode", _grey),)

    def closing(self) -> tuple[Stage, ...]:
        """By the nearest pixel, since there is nothing between two classes."""
        side = (self.size, self.size)
        return (
            Stage(
                f"resize to {self.size} x {self.size}",
                lambda mask: mask.resize(side, Image.Resampling.NEAREST),
            ),
            Stage("classes", self._classes),
        )

    def show(self, *row: Tensor) -> Shown:
        """The mask in colours."""
        return Image.fromarray(_coloured(row[0]))

    def draw(self, image: Image.Image, *row: Tensor) -> Image.Image:
        """The mask half over the picture."""
        return Image.blend(image, Image.fromarray(_coloured(row[0])).resize(image.size), 0.5)

    def _classes(self, mask: Image.Image) -> tuple[npt.NDArray[np.int64]]:
        places = np.asarray(mask, np.int64)
        if self.classes and places.max() >= len(self.classes):
            raise ValueError(f"it has the value {places.max()}, but there are {len(self.classes)} classes")
        return (places,)


@dataclass(frozen=True)
class PointsBlock(Block):
    """Points in pixels of a picture, float32 `(P, 2)` from -1 (left, upper edge) to 1. A value is a struct of
    the picture's bytes, named `picture`, and of x and y in turn, named `names`.
    """

    kind: ClassVar[str] = "points"
    picture: str = "picture"
    names: tuple[str, ...] = ()

    def opening(self) -> tuple[Stage, ...]:
        """To the picture's size and the points."""
        return (Stage("read size and points", self._read),)

    def closing(self) -> tuple[Stage, ...]:
        """Into units that do not depend on the size."""
        return (Stage("scale to -1 to 1", lambda found: ((2 * found[1] / found[0] - 1).astype(np.float32),)),)

    def show(self, *row: Tensor) -> Shown:
        """Places in hundredths of the picture's width and height."""
        places = ((row[0] + 1) * 50).round().int().tolist()
        return ", ".join(f"({x} %, {y} %)" for x, y in places)

    def draw(self, image: Image.Image, *row: Tensor) -> Image.Image:
        """A ring around each point."""
        drawn = image.copy()
        pen = ImageDraw.Draw(drawn)
        radius = max(2.0, POINT_RADIUS * max(image.size))
        for x, y in ((row[0] + 1) / 2 * torch.tensor(image.size)).tolist():
            box = (x - radius, y - radius, x + radius, y + radius)
            pen.ellipse(box, outline=(255, 255, 255), width=3)
            pen.ellipse(box, outline=(213, 94, 0), width=1)
        return drawn

    def _read(self, value: dict[str, Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        size = decode(value[self.picture]).size
        points = np.array([np.nan if value[name] is None else value[name] for name in self.names], float)
        if not np.isfinite(points).all():
            raise ValueError("a point is missing")
        return np.array(size), points.reshape(-1, 2)


@dataclass(frozen=True)
class SignalBlock(Block):
    """Sound, series and bytes, which a net sees as grey pictures `(1, H, W)`: see `models.data.signals`."""

    kind: ClassVar[str] = "signal"
    type: str = "audio"
    config: SignalConfig = field(default_factory=SignalConfig)

    def opening(self) -> tuple[Stage, ...]:
        """To numbers in time."""
        return (Stage(f"read {self.type}", self._read),)

    def closing(self) -> tuple[Stage, ...]:
        """As they are: the picture is made in batches, on the device."""
        return (Stage("signal", lambda signal: (signal,)),)

    def encode(self, column: Column, *, threads: int = 2) -> Encoded:
        """Aligned to the longest."""
        if self.changes:
            return super().encode(column, threads=threads)
        arrays, unreadable = self._signals.arrays(cast(pa.ChunkedArray, column))
        return Encoded((torch.from_numpy(arrays),), unreadable)

    def prepare(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """The pictures."""
        return (self._signals.picture.to(tensors[0].device)(*tensors),)

    def show(self, *row: Tensor) -> Shown:
        """The picture of one signal."""
        with torch.no_grad():
            picture = self.prepare(row[0][None])[0][0, 0]
        return Image.fromarray((picture.clamp(0, 1) * 255).to(torch.uint8).numpy())

    @property
    def _signals(self) -> Any:
        from models.data.signals import Signals

        return Signals(self.type, self.config)

    def _read(self, value: Any) -> npt.NDArray[Any]:
        kind = pa.list_(pa.float64()) if self.type == "series" else pa.binary()
        arrays, unreadable = self._signals.arrays(pa.chunked_array([pa.array([value], kind)]))
        if unreadable:
            raise ValueError(unreadable[0])
        return np.asarray(arrays[0])


def augmented(config: AugmentConfig, target: str = "") -> Transform:
    """Changes training pictures, the first tensor of a batch, and with them a target that lies on them:
    "mask", "points", or "" for none.
    """

    def change(batch: Batch, generator: torch.Generator) -> Batch:
        images, *between, last = batch
        found = augment(
            images,
            config,
            generator=generator,
            masks=last if target == "mask" else None,
            points=last if target == "points" else None,
        )
        moved = found.masks if target == "mask" else found.points
        return (found.images, *between, last if moved is None else moved)

    return change


def _grey(content: bytes | None) -> Image.Image:
    try:
        with Image.open(io.BytesIO(content or b"")) as mask:
            return mask.copy() if mask.mode in ("L", "P") else mask.convert("L")
    # Decoders of damaged files raise whatever they stumble over.
    except Exception as error:
        raise UnreadablePicture(f"it is no picture ({' '.join(str(error).split())[:100]})") from error


def _coloured(mask: Tensor) -> npt.NDArray[np.uint8]:
    colours: npt.NDArray[np.uint8] = np.array(MASK_COLOURS, np.uint8)[mask.numpy() % len(MASK_COLOURS)]
    return colours
