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
    Target(names=("same",), positive_value="yes", negative_value="no"),
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
    """Pairs of discs: "yes" where both have about the same colour."""
    random = np.random.default_rng(seed)
    left, right, same = [], [], []
    for row in range(count):
        is_same = row % 2 == 0
        colours = [(230, 40, 40), (40, 40, 230)]
        first = int(random.integers(2))
        for pictures, colour in ((left, colours[first]), (right, colours[first if is_same else 1 - first])):
            picture, mask = disc(random, (32, 32))
            picture[mask > 0] = colour
            pictures.append(png(picture))
        same.append("yes" if is_same else "no")
    return pa.table(
        {
            "name": [f"pair{row}" for row in range(count)],
            "left": pa.array(left, pa.binary()),
            "right": pa.array(right, pa.binary()),
            "same": same,
        }
    )
