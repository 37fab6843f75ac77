"""Google's emoji on canvases of two colours, at a place and size drawn from a seed: where is it, and how
large?

The points are exact: the emoji's alpha channel says which pixels are its own. Source and licence as in
`examples.emoji.data`.
"""

import io
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import Image

from examples.emoji.data import FOLDER, PACKAGE, base_of
from examples.pictures import png
from examples.sources import package_files

CANVAS = 96
SMALLEST, LARGEST = 28, 64
# Alpha from 0 to 255 above which a pixel is the emoji's.
OPAQUE = 127
NAMES = ("centre_x", "centre_y", "left", "top", "right", "bottom")


def table(share: float = 1.0) -> pa.Table:
    """A row a picture: the centre of the emoji's pixels, and the corners of the box about them, in pixels of
    the canvas from its upper left corner. Of a share below 1, evenly spaced ones.
    """
    files = sorted(package_files(PACKAGE, f"{FOLDER}/*.png"))
    kept = np.linspace(0, len(files) - 1, max(round(share * len(files)), 60)).astype(int)
    draws = np.random.default_rng(0)
    rows = [_placed(files[place][0], files[place][1], draws) for place in kept]
    columns: dict[str, Any] = {name: [row[name] for row in rows] for name in ("id", "base", *NAMES)}
    return pa.table({**columns, "picture": pa.array([row["picture"] for row in rows], pa.binary())})


def _placed(path: str, content: bytes, draws: np.random.Generator) -> dict[str, Any]:
    side = int(draws.integers(SMALLEST, LARGEST + 1))
    left, top = (int(place) for place in draws.integers(0, CANVAS - side + 1, 2))
    with Image.open(io.BytesIO(content)) as image:
        emoji = image.convert("RGBA").resize((side, side), Image.Resampling.LANCZOS)
    canvas = _canvas(draws)
    canvas.paste(emoji, (left, top), emoji)
    rows, columns = np.nonzero(np.asarray(emoji)[:, :, 3] > OPAQUE)
    # The middle of a pixel is half a pixel from its edge.
    centre = columns.mean() + 0.5 + left, rows.mean() + 0.5 + top
    box = columns.min() + left, rows.min() + top, columns.max() + 1 + left, rows.max() + 1 + top
    code = path.rsplit("/", 1)[-1].removesuffix(".png").upper()
    numbers = dict(zip(NAMES, map(float, (*centre, *box)), strict=True))
    return {"id": code, "base": base_of(code), "picture": png(canvas), **numbers}


def _canvas(draws: np.random.Generator) -> Image.Image:
    """A smooth change from one colour to another, in a direction of its own."""
    first, second = draws.integers(0, 256, (2, 3))
    angle = draws.uniform(0, 2 * np.pi)
    y, x = np.mgrid[0:CANVAS, 0:CANVAS] / (CANVAS - 1) - 0.5
    share: npt.NDArray[np.float64] = np.clip(0.5 + x * np.cos(angle) + y * np.sin(angle), 0, 1)[:, :, None]
    return Image.fromarray((first + (second - first) * share).astype(np.uint8))
