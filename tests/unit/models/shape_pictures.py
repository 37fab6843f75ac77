"""Made-up pictures of shapes, as rows: what the shape is, where it is, which pixels are it."""

import io

import numpy as np
import pyarrow as pa
from PIL import Image, ImageDraw

SHAPES = ("disc", "square", "bar")
SIZE = 32


def drawn(shape: str, random: np.random.Generator) -> tuple[Image.Image, Image.Image, tuple[float, float]]:
    """A picture, its mask (0 and 1) and the centre of the shape in pixels."""
    x, y = random.uniform(10, SIZE - 10, 2)
    ground, ink = random.integers(0, 60), tuple(random.integers(150, 256, 3).tolist())
    picture = Image.new("RGB", (SIZE, SIZE), (int(ground),) * 3)
    mask = Image.new("L", (SIZE, SIZE))
    for image, colour in ((picture, ink), (mask, 1)):
        pen = ImageDraw.Draw(image)
        if shape == "disc":
            pen.ellipse((x - 7, y - 7, x + 7, y + 7), fill=colour)
        elif shape == "square":
            pen.rectangle((x - 7, y - 7, x + 7, y + 7), fill=colour)
        else:
            pen.rectangle((x - 9, y - 2, x + 9, y + 2), fill=colour)
    return picture, mask, (float(x), float(y))


def png(image: Image.Image) -> bytes:
    """As a PNG file's bytes."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def pictures(count: int = 120, seed: int = 0) -> pa.Table:
    """One picture a row with all that can be asked of it."""
    random = np.random.default_rng(seed)
    shapes = [SHAPES[place % 3] for place in range(count)]
    made = [drawn(shape, random) for shape in shapes]
    return pa.table(
        {
            "id": [f"p{place:03d}" for place in range(count)],
            "picture": pa.array([png(picture) for picture, _, _ in made], pa.binary()),
            "mask": pa.array([png(mask) for _, mask, _ in made], pa.binary()),
            "x": [centre[0] for _, _, centre in made],
            "y": [centre[1] for _, _, centre in made],
            "shape": shapes,
            "tags": ["round" if shape == "disc" else f"angular; {shape}" for shape in shapes],
            "held_out": [place % 5 == 0 for place in range(count)],
        }
    )
