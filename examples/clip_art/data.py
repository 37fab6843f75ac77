"""Open Clip Art 0.18 (public domain): drawings in nested folders, whose names are their labels."""

import re
import struct
from collections import Counter

import numpy as np
import pyarrow as pa
from PIL import Image

from examples.emoji.data import weights
from examples.pictures import over_white, png
from examples.sources import Package, package_files

__all__ = ["table", "weights"]

PACKAGE = Package("debian", "openclipart-png")
FOLDER = "usr/share/openclipart/png"
# Folders that say nothing of what is drawn, or hold whole series that differ in a sign alone.
LEFT_OUT = ("unsorted", "special", "shapes", "computer", "signs_and_symbols", "games", "logos", "buttons")
SIDE = 96
# One drawing says to be of 623 million pixels: those beyond this many are left out by their headers.
MOST_PIXELS = 8_000_000
FEWEST = 40


def table(share: float = 1.0) -> pa.Table:
    """A row a drawing, 96 pixels at its longer side; `labels` are its folders that have 40 drawings or more.
    `series` is its name without numbers: variants of one drawing share it. Of a share below 1, that share of
    the series.
    """
    found = [
        (path, content)
        for path, content in package_files(PACKAGE, f"{FOLDER}/*.png")
        if not set(folders_of(path)) & set(LEFT_OUT) and pixel_count(content) <= MOST_PIXELS
    ]
    counts = Counter(folder for path, _ in found for folder in folders_of(path))
    series = sorted({series_of(path) for path, _ in found})
    kept = set(np.random.default_rng(0).permutation(series)[: max(round(share * len(series)), 100)].tolist())
    found = [one for one in found if series_of(one[0]) in kept]
    labels = [[folder for folder in folders_of(path) if counts[folder] >= FEWEST] for path, _ in found]
    return pa.table(
        {
            "id": [path.removeprefix(f"{FOLDER}/") for path, _ in found],
            "series": [series_of(path) for path, _ in found],
            "picture": pa.array([_small(content) for _, content in found], pa.binary()),
            "labels": [";".join(one) for one in labels],
        }
    )


def pixel_count(content: bytes) -> int:
    """Width by height, as the header of a PNG says."""
    width, height = struct.unpack(">II", content[16:24])
    return int(width * height)


def folders_of(path: str) -> list[str]:
    """The folders of a drawing, outermost first: ["plants", "flowers"]."""
    return path.removeprefix(f"{FOLDER}/").split("/")[:-1]


def series_of(path: str) -> str:
    """Who drew it and what, without numbers: variants of a drawing differ in these."""
    return re.sub(r"[\d_\-. ]+", " ", path.rsplit("/", 1)[-1].removesuffix(".png")).strip().lower()


def _small(content: bytes) -> bytes:
    image = over_white(content)
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    return png(image)
