"""Pixels as the files that datasets hold."""

import io
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image


def png(pixels: npt.NDArray[np.uint8] | Image.Image) -> bytes:
    """A PNG of a picture, or of uint8 `(H, W)` grey or `(H, W, 3)` RGB."""
    image: Any = pixels if isinstance(pixels, Image.Image) else Image.fromarray(np.ascontiguousarray(pixels))
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def over_white(content: bytes) -> Image.Image:
    """A picture file in RGB, its transparent parts white."""
    with Image.open(io.BytesIO(content)) as image:
        layered = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layered.size, "white"), layered).convert("RGB")
