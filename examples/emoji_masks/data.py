"""Google's emoji in scenes of coloured shapes drawn from a seed, with the mask of the pixels that are the
emoji's.

The masks are exact: the alpha channel says which pixels an emoji covers. The shapes have an emoji's colours,
so that colour alone does not tell. Source and licence as in `examples.emoji.data`.
"""

import io
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import Image, ImageDraw

from examples.emoji.data import FOLDER, PACKAGE, base_of, weights
from examples.pictures import png
from examples.sources import package_files

SCENE = 96
SMALLEST, LARGEST = 32, 72
SHAPES = 6
# Alpha from 0 to 255 above which a pixel is the emoji's.
OPAQUE = 127
# Every fourth picture: enough to learn from on one core in two minutes.
EVERY = 4

Pixels = npt.NDArray[np.uint8]

__all__ = ["table", "weights"]


def table(share: float = 1.0) -> pa.Table:
    """A row a scene: the picture and its mask, 0 where the scene is and 1 where the emoji is. Of a share
    below 1, evenly spaced ones.
    """
    files = sorted(package_files(PACKAGE, f"{FOLDER}/*.png"))[::EVERY]
    kept = np.linspace(0, len(files) - 1, max(round(share * len(files)), 40)).astype(int)
    draws = np.random.default_rng(0)
    rows = [scene(files[place][0], files[place][1], draws) for place in kept]
    return pa.table(
        {
            "id": [row["id"] for row in rows],
            "base": [row["base"] for row in rows],
            "picture": pa.array([row["picture"] for row in rows], pa.binary()),
            "mask": pa.array([row["mask"] for row in rows], pa.binary()),
        }
    )


def scene(path: str, content: bytes, draws: np.random.Generator) -> dict[str, Any]:
    """One emoji at a place and size of its own, over shapes whose colours are taken from its own pixels."""
    side = int(draws.integers(SMALLEST, LARGEST + 1))
    left, top = (int(place) for place in draws.integers(0, SCENE - side + 1, 2))
    with Image.open(io.BytesIO(content)) as image:
        emoji = image.convert("RGBA").resize((side, side), Image.Resampling.LANCZOS)
    pixels = np.asarray(emoji)
    covered = pixels[:, :, 3] > OPAQUE
    canvas = _slope(draws)
    _draw_shapes(canvas, pixels[covered][:, :3], draws)
    canvas.paste(emoji, (left, top), emoji)
    mask = np.zeros((SCENE, SCENE), np.uint8)
    mask[top : top + side, left : left + side] = covered
    code = path.rsplit("/", 1)[-1].removesuffix(".png").upper()
    return {"id": code, "base": base_of(code), "picture": png(canvas), "mask": png(mask)}


def _slope(draws: np.random.Generator) -> Image.Image:
    """A smooth change from one colour to another, in a direction of its own."""
    first, second = draws.integers(0, 256, (2, 3))
    angle = draws.uniform(0, 2 * np.pi)
    y, x = np.mgrid[0:SCENE, 0:SCENE] / (SCENE - 1) - 0.5
    along: Any = np.clip(0.5 + x * np.cos(angle) + y * np.sin(angle), 0, 1)[:, :, None]
    return Image.fromarray((first + (second - first) * along).astype(np.uint8))


def _draw_shapes(canvas: Image.Image, colours: Pixels, draws: np.random.Generator) -> None:
    """Ellipses and boxes of some of `colours` `(N, 3)`; of colours of their own where there are none."""
    pen = ImageDraw.Draw(canvas)
    for _ in range(SHAPES):
        x, y = draws.integers(0, SCENE, 2)
        wide, high = draws.integers(8, 32, 2)
        colour = colours[draws.integers(len(colours))] if len(colours) else draws.integers(0, 256, 3)
        draw = pen.ellipse if draws.random() < 0.5 else pen.rectangle
        draw((int(x), int(y), int(x + wide), int(y + high)), fill=tuple(int(level) for level in colour))
