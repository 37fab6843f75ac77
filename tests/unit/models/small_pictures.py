"""Small made-up pictures: a bright disc on a dark slope, with its mask."""

import io

import numpy as np
import pyarrow as pa
from PIL import Image

from models.recipe import BINARY, SEGMENTATION, Input, Problem, Target

CLASSES = ("background", "disc")
MASKS = Problem(
    SEGMENTATION,
    (Input("image", "image"),),
    Target(names=("mask",), classes=CLASSES),
    metric="mean_iou",
    id_column="name",
)
PAIRS = Problem(
    BINARY,
    (Input("left", "image"), Input("right", "image")),
    Target(names=("brighter",), positive_value="yes", negative_value="no"),
    metric="auc",
    id_column="name",
)


def png(pixels: np.ndarray) -> bytes:
    """PNG of uint8 `(H, W)` or `(H, W, 3)`."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def disc(random: np.random.Generator, size: tuple[int, int] = (40, 48)) -> tuple[np.ndarray, np.ndarray]:
    """A picture uint8 `(H, W, 3)` and its mask uint8 `(H, W)`."""
    height, width = size
    y, x = np.mgrid[:height, :width]
    radius = random.uniform(0.15, 0.35) * height
    centre = random.uniform(radius, height - radius), random.uniform(radius, width - radius)
    mask = ((y - centre[0]) ** 2 + (x - centre[1]) ** 2 < radius**2).astype(np.uint8)
    slope = (x * random.uniform(0.5, 1.5))[..., None] + np.zeros(3)
    colour = random.uniform(150, 255, 3)
    picture = np.where(mask[..., None] > 0, colour, slope) + random.normal(0, 5, (height, width, 3))
    return picture.clip(0, 255).astype(np.uint8), mask


def masked_table(count: int = 24, seed: int = 0) -> pa.Table:
    """Pictures of two sizes with their masks."""
    random = np.random.default_rng(seed)
    made = [disc(random, (40, 48) if row % 3 else (31, 37)) for row in range(count)]
    return pa.table(
        {
            "name": [f"p{row}" for row in range(count)],
            "image": pa.array([png(picture) for picture, _ in made], pa.binary()),
            "mask": pa.array([png(mask) for _, mask in made], pa.binary()),
        }
    )


def paired_table(count: int = 40, seed: int = 0) -> pa.Table:
    """Pairs of discs: "yes" where the first of them is the brighter one."""
    random = np.random.default_rng(seed)
    bright = np.where(random.random((count, 1)) < 0.5, [[240, 80]], [[80, 240]])
    discs = [[disc(random, (32, 32)) for _ in range(2)] for _ in range(count)]
    columns = [
        [
            png(np.where(mask[..., None] > 0, level, picture // 4).astype(np.uint8))
            for (picture, mask), level in pair
        ]
        for pair in (
            [(row[side], int(levels[side])) for row, levels in zip(discs, bright, strict=True)]
            for side in range(2)
        )
    ]
    return pa.table(
        {
            "name": [f"pair{row}" for row in range(count)],
            "left": pa.array(columns[0], pa.binary()),
            "right": pa.array(columns[1], pa.binary()),
            "brighter": np.where(bright[:, 0] > bright[:, 1], "yes", "no"),
        }
    )
