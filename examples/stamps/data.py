"""Pairs of Tux Paint's stamps: two views of one stamp, or of two stamps out of the same folder.

A view is turned, enlarged, moved, brightened and laid over a colour, each by a seed. Source: the Debian
package `tuxpaint-stamps-default` (GPL 2, Bill Kendrick and others); the pictures are read out of it and not
copied into this repository.
"""

import hashlib
import io
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from PIL import Image, ImageEnhance

from examples.emoji.data import weights
from examples.pictures import png
from examples.sources import Package, package_files

PACKAGE = Package("debian", "tuxpaint-stamps-default")
FOLDER = "usr/share/tuxpaint/stamps/"
SIZE, KEPT = 64, 96
# Stamps are dealt to as many sets; a pair is made within one, so that no stamp is on both sides of a split.
SETS = 40
# Pairs of each kind that a stamp begins: of two views of it, and of it and another.
PAIRS = 1
# Thin lines are hardly to be seen when they are made this small.
LEAST_COVER = 0.05

__all__ = ["table", "weights"]


def table(share: float = 1.0) -> pa.Table:
    """A row a pair. Of a share below 1, pairs of about that share of the sets."""
    stamps = {name: kept for name, content in _files() if (kept := _stamp(content)) is not None}
    wanted = max(round(share * SETS), 6)
    draws = np.random.default_rng(0)
    columns: dict[str, list[str]] = {"id": [], "set": [], "same": []}
    first: list[bytes] = []
    second: list[bytes] = []
    for number in range(wanted):
        members = [name for name in sorted(stamps) if _set_of(name) == number]
        for name in members:
            for other in _others(name, members, draws):
                columns["id"].append(f"{len(first)}: {_short(name)}, {_short(other)}")
                columns["set"].append(str(number))
                columns["same"].append("yes" if other == name else "no")
                first.append(png(view(stamps[name], draws)))
                second.append(png(view(stamps[other], draws)))
    pictures = {"first": pa.array(first, pa.binary()), "second": pa.array(second, pa.binary())}
    return pa.table({**columns, **pictures})


def view(stamp: Image.Image, draws: np.random.Generator) -> Image.Image:
    """A stamp RGBA as someone else might have put it onto a page of some colour."""
    light = ImageEnhance.Brightness(stamp.convert("RGB")).enhance(draws.uniform(0.75, 1.25))
    light.putalpha(stamp.getchannel("A"))
    turned = light.rotate(draws.uniform(-25, 25), Image.Resampling.BICUBIC, expand=True)
    scale = draws.uniform(0.7, 1.0) * SIZE / max(turned.size)
    small = turned.resize([max(round(side * scale), 1) for side in turned.size], Image.Resampling.LANCZOS)
    page = Image.new("RGB", (SIZE, SIZE), tuple(int(level) for level in draws.integers(150, 256, 3)))
    place = [int(draws.integers(0, SIZE - side + 1)) for side in small.size]
    page.paste(small, (place[0], place[1]), small)
    return page


def _files() -> list[tuple[str, bytes]]:
    return [
        (name.removeprefix(FOLDER), content) for name, content in package_files(PACKAGE, f"{FOLDER}*.png")
    ]


def _stamp(content: bytes) -> Image.Image | None:
    """The picture, small and RGBA; `None` where next to nothing is to be seen."""
    with Image.open(io.BytesIO(content)) as image:
        stamp = image.convert("RGBA")
    stamp.thumbnail((KEPT, KEPT))
    return stamp if np.mean(np.asarray(stamp)[:, :, 3] > 127) > LEAST_COVER else None


def _others(name: str, members: Sequence[str], draws: np.random.Generator) -> list[str]:
    """What a stamp is paired with: itself, and as often others, of its own kind first."""
    kind = name.split("/", maxsplit=1)[0]
    alike = [one for one in members if one != name and one.startswith(f"{kind}/")]
    other = alike or [one for one in members if one != name]
    return [name] * PAIRS + [other[int(place)] for place in draws.integers(0, len(other), PAIRS)]


def _set_of(name: str) -> int:
    """Stamps whose names differ in a number alone (a front and a back) are dealt to the same set."""
    stem = name.removesuffix(".png").rstrip("0123456789-_")
    return int(hashlib.sha256(stem.encode()).hexdigest(), 16) % SETS


def _short(name: str) -> str:
    return name.rsplit("/", 1)[-1].removesuffix(".png")
