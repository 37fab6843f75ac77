"""Pictures as PNG bytes, and heat drawn over them in colours that colour-blind people can tell apart.

The colours are cividis: Nuñez, Anderton and Renslow, "Optimizing colormaps with consideration for color
vision deficiency", PLOS ONE 2018. They grow lighter with the value, so that they also stand in grey print.
"""

import io

import numpy as np
import numpy.typing as npt

LONGEST_SIDE = 160
"""Pixels of a thumbnail's longer side: 24 of them stay well below a message's bound."""

Pixels = npt.NDArray[np.uint8]

# Ten equally spaced colours of cividis, from 0 to 1; between them is interpolated.
CIVIDIS = np.array(
    [
        (0, 34, 78),
        (18, 53, 112),
        (59, 73, 108),
        (87, 93, 109),
        (112, 113, 115),
        (138, 134, 120),
        (165, 156, 116),
        (195, 179, 105),
        (225, 204, 85),
        (254, 232, 56),
    ],
    float,
)
LEAST_COVER, MOST_COVER = 0.25, 0.75
# Rec. 601 luma.
LUMA = np.array([0.299, 0.587, 0.114])


def png(pixels: Pixels) -> bytes:
    """PNG of uint8 `(H, W, 3)`."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "PNG", optimize=True)
    return file.getvalue()


def resized(pixels: Pixels, longest: int = LONGEST_SIDE) -> Pixels:
    """`pixels` uint8 `(H, W, 3)` with a longer side of `longest` pixels; small pictures keep hard edges."""
    from PIL import Image

    height, width = pixels.shape[:2]
    scale = longest / max(height, width)
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    method = Image.Resampling.NEAREST if scale > 2 else Image.Resampling.LANCZOS
    return np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).resize(size, method))


def thumbnail(pixels: Pixels) -> bytes:
    """PNG of uint8 `(H, W, 3)` at the size in which a page shows it."""
    return png(resized(pixels))


def colours(values: npt.ArrayLike) -> Pixels:
    """cividis of `values` `(...)` from 0 (dark blue) to 1 (light yellow), uint8 `(..., 3)`; beyond is
    clipped.
    """
    x = np.clip(np.asarray(values, float), 0, 1)
    places = np.linspace(0, 1, len(CIVIDIS))
    return np.stack([np.interp(x, places, CIVIDIS[:, channel]) for channel in range(3)], -1).astype(np.uint8)


def heat_over(pixels: Pixels, heat: npt.ArrayLike) -> Pixels:
    """The picture uint8 `(H, W, 3)` in grey with `heat` float `(h, w)`, 0 or more, over it.

    Heat is stretched to the picture and scaled so that its largest value is 1; heat of 0 everywhere leaves
    the picture dark blue. The hotter a place, the more the colour covers it.
    """
    from PIL import Image

    h = np.nan_to_num(np.asarray(heat, np.float32), posinf=0.0).clip(0)
    height, width = pixels.shape[:2]
    large = np.asarray(Image.fromarray(h).resize((width, height), Image.Resampling.BICUBIC)).clip(0)
    scaled = large / large.max() if large.max() > 0 else large
    grey = (pixels.astype(float) @ LUMA)[..., None]
    cover = (LEAST_COVER + (MOST_COVER - LEAST_COVER) * scaled)[..., None]
    mixed: Pixels = ((1 - cover) * grey + cover * colours(scaled)).round().astype(np.uint8)
    return mixed
