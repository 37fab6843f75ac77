"""Pictures out of a table: decoded, turned upright, made RGB and of one size, in threads.

`read_pictures` gives all pictures of a column as one array that is made once: in memory, or, when they are
more than that, in a file that the system pages. Decoding happens in threads, as Pillow works outside the
interpreter's lock. A picture that cannot be read is no error here: it is named with its reason, and
`check_unreadable` says when there are too many of them.
"""

import io
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import Image, ImageOps, UnidentifiedImageError

from models.progress import TrainingFailed, TrainingStopped

FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP")
# Pillow's own bound, beyond which it suspects a decompression bomb; here it is an error.
MAX_PIXELS = 89_478_485
# Pictures of more bytes than this in all are kept in a file.
MEMORY_BYTES = 4 * 1024**3
# Rows of a part that may be unreadable before a fit is refused, and how many of them a message names.
UNREADABLE_SHARE = 0.1
ROWS_NAMED = 5
# Pictures that threads work on before anyone looks whether to stop.
ROWS_A_CHUNK = 256
# How much larger than they are trained at pictures are kept, so that turned and zoomed ones stay sharp.
PRESIZE = 1.25
ROWS_LOOKED_AT = 64
# Levels that are added before rounding, in the exported graph too. Many pixels lie half-way between two
# levels, where the last bit would decide.
TIE = 1 / 256


class UnreadablePicture(ValueError):
    """Bytes are no picture, and why, in a few words."""


@dataclass(frozen=True)
class Pictures:
    """`pixels` uint8 `(N, S, S, 3)`, black where a row could not be read. `sizes` int32 `(N, 2)`: width and
    height that they had. `unreadable`: the row and why.
    """

    pixels: npt.NDArray[np.uint8]
    sizes: npt.NDArray[np.int32]
    unreadable: Mapping[int, str] = field(default_factory=dict)

    @property
    def readable(self) -> npt.NDArray[np.int64]:
        """Rows that could be read, in order."""
        return np.setdiff1d(np.arange(len(self.pixels)), np.fromiter(self.unreadable, np.int64))


def decode(content: bytes | None) -> Image.Image:
    """A picture, upright (EXIF), in RGB: transparent parts over white, 16 bits as 8, the first of several
    frames.

    Raises:
        UnreadablePicture: it is empty, no PNG, JPEG, GIF, WebP or BMP, cut off, or larger than `MAX_PIXELS`.
    """
    if not content:
        raise UnreadablePicture("it is empty")
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise UnreadablePicture(
                    f"it has {image.width} x {image.height} pixels, more than {MAX_PIXELS:,}"
                )
            return _as_rgb(ImageOps.exif_transpose(image))
    except UnreadablePicture:
        raise
    except UnidentifiedImageError as error:
        raise UnreadablePicture(f"it is none of {', '.join(FORMATS)}") from error
    # Decoders of damaged files raise whatever they stumble over.
    except Exception as error:
        raise UnreadablePicture(f"it is damaged or cut off ({' '.join(str(error).split())[:100]})") from error


def resized(image: Image.Image, size: int) -> npt.NDArray[np.uint8]:
    """uint8 `(size, size, 3)`: linear, averaging where it makes smaller, rounded to whole levels.

    By torch, since ONNX Runtime's Resize computes the same in float32; Pillow rounds between its two passes,
    and a fifth of the pixels would come out one level apart.
    """
    import torch
    from torch.nn.functional import interpolate

    if image.size == (size, size):
        return np.asarray(image)
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].contiguous().float()
    fitting = interpolate(pixels, size=(size, size), mode="bilinear", antialias=True)
    return (fitting[0] + TIE).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()


def presize(column: pa.ChunkedArray, size: int) -> int:
    """The size at which pictures that are trained at `size` are best kept: a quarter larger, but no larger
    than most of them are, and never smaller than `size`.
    """
    chosen = np.linspace(0, max(len(column) - 1, 0), min(len(column), ROWS_LOOKED_AT)).astype(int)
    sides = [side for row in chosen if (side := _shorter_side(column[int(row)].as_py()))]
    usual = int(np.median(sides)) if sides else size
    return int(np.clip(usual, size, round(PRESIZE * size)))


def read_pictures(
    column: pa.ChunkedArray,
    size: int,
    *,
    threads: int = 2,
    should_stop: Callable[[], bool] = lambda: False,
    on_rows: Callable[[int, float], None] = lambda done, rows_per_s: None,
) -> Pictures:
    """All pictures of a binary column, `size` high and wide. `on_rows` is told how many are done and how
    fast.

    Raises:
        TrainingStopped: `should_stop` said so.
    """
    count = len(column)
    pixels = _room((count, size, size, 3))
    sizes = np.zeros((count, 2), np.int32)
    unreadable: dict[int, str] = {}

    def read(row: int) -> None:
        try:
            image = decode(column[row].as_py())
        except UnreadablePicture as error:
            unreadable[row] = str(error)
            return
        sizes[row] = image.size
        pixels[row] = resized(image, size)

    began = time.monotonic()
    with ThreadPoolExecutor(max(threads, 1)) as pool:
        for start in range(0, count, ROWS_A_CHUNK):
            if should_stop():
                raise TrainingStopped
            end = min(start + ROWS_A_CHUNK, count)
            for _ in pool.map(read, range(start, end)):
                pass
            on_rows(end, end / max(time.monotonic() - began, 1e-9))
    return Pictures(pixels, sizes, dict(sorted(unreadable.items())))


def check_unreadable(
    unreadable: Mapping[int, str],
    ids: Sequence[str],
    part: str,
    *,
    what: str = "picture",
    called: str = "row",
) -> str:
    """The sentence that a report says about rows that are left out; "" for none. `ids` has each row of the
    part ("training", "validation") as `row_ids` gives it, and `called` is what such an id is.

    Raises:
        TrainingFailed: more than a tenth of the part cannot be read, or all of it.
    """
    if not unreadable:
        return ""
    named = "; ".join(f"{called} {ids[row]}: {why}" for row, why in list(unreadable.items())[:ROWS_NAMED])
    more = f"; and {len(unreadable) - ROWS_NAMED} more" if len(unreadable) > ROWS_NAMED else ""
    counted = f"{len(unreadable)} of {len(ids)} {part} rows"
    if len(unreadable) > UNREADABLE_SHARE * len(ids):
        raise TrainingFailed(
            f"The {what} of {counted} cannot be read, more than a tenth: {named}{more}. "
            "Correct these rows or leave them out of the dataset."
        )
    return f"The {what} of {counted} cannot be read, and they are left out: {named}{more}."


def row_ids(table: pa.Table, id_column: str) -> list[str]:
    """What each row is called: its id, or its place where there is no such column."""
    if id_column and id_column in table.column_names:
        return [str(value) for value in table.column(id_column).to_pylist()]
    return [str(row) for row in range(table.num_rows)]


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        # Sixteen bits a pixel, which Pillow would cut off at 255.
        image = Image.fromarray((np.asarray(image) >> 8).clip(0, 255).astype(np.uint8))
    if not image.has_transparency_data:
        return image.convert("RGB")
    layered = image.convert("RGBA")
    white = Image.new("RGBA", layered.size, "white")
    return Image.alpha_composite(white, layered).convert("RGB")


def _shorter_side(content: bytes | None) -> int:
    """0 for what is no picture."""
    try:
        with Image.open(io.BytesIO(content or b""), formats=FORMATS) as image:
            return min(image.size)
    except Exception:
        return 0


def _room(shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """Zeros, in memory or in a file without a name, which is gone with the process."""
    if np.prod(shape, dtype=np.int64) <= MEMORY_BYTES:
        return np.zeros(shape, np.uint8)
    with tempfile.TemporaryFile() as file:
        return np.memmap(file, np.uint8, "w+", shape=shape)
