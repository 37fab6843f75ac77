"""Pictures as people's files have them: turned, transparent, grey, deep, damaged, too large."""

import io
import struct
import zlib
from contextlib import suppress

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from models.data import pictures
from models.data.pictures import (
    UnreadablePicture,
    check_unreadable,
    decode,
    presize,
    read_pictures,
    resized,
    row_ids,
)
from models.progress import TrainingFailed, TrainingStopped


def encoded(image, kind="PNG", **more):
    content = io.BytesIO()
    image.save(content, kind, **more)
    return content.getvalue()


def noise(width=12, height=8, seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


def one_colour(mode, colour):
    return np.asarray(decode(encoded(Image.new(mode, (3, 3), colour))))[1, 1].tolist()


def test_pixels_come_back_as_they_were():
    image = noise()
    assert np.array_equal(np.asarray(decode(encoded(image))), np.asarray(image))
    for kind in ("BMP", "WEBP"):
        more = {"lossless": True} if kind == "WEBP" else {}
        assert np.array_equal(np.asarray(decode(encoded(image, kind, **more))), np.asarray(image))


def test_a_picture_is_turned_as_its_camera_says():
    image = noise()
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = decode(encoded(image, exif=exif))
    assert np.array_equal(np.asarray(turned), np.asarray(image.rotate(-90, expand=True)))


def test_transparent_parts_stand_over_white():
    assert one_colour("RGBA", (255, 0, 0, 0)) == [255, 255, 255]
    assert one_colour("RGBA", (255, 0, 0, 255)) == [255, 0, 0]
    assert one_colour("LA", (0, 0)) == [255, 255, 255]
    palette = Image.new("P", (3, 3), 0)
    assert np.asarray(decode(encoded(palette, transparency=0)))[0, 0].tolist() == [255, 255, 255]


def test_grey_bits_and_deep_pictures_become_rgb():
    assert one_colour("L", 40) == [40, 40, 40]
    assert one_colour("1", 1) == [255, 255, 255]
    deep = Image.fromarray(np.full((3, 3), 0x2801, np.uint16))
    assert np.asarray(decode(encoded(deep)))[0, 0].tolist() == [0x28, 0x28, 0x28]
    inks = Image.new("CMYK", (8, 8), (0, 0, 0, 255))
    assert max(np.asarray(decode(encoded(inks, "JPEG")))[4, 4].tolist()) < 10


def test_an_animation_is_its_first_frame():
    first, second = Image.new("RGB", (4, 4), "red"), Image.new("RGB", (4, 4), "blue")
    content = encoded(first, "GIF", save_all=True, append_images=[second])
    assert np.asarray(decode(content))[0, 0].tolist() == [255, 0, 0]


def bomb():
    """A PNG that says to be 60,000 pixels square."""
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 1, 0, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in parts
    )


UNREADABLE = [
    (None, "empty"),
    (b"", "empty"),
    (b"hello, I am no picture", "none of PNG"),
    (encoded(noise(64, 64))[:2000], "cut off"),
    (encoded(noise(64, 64), "JPEG")[:300], "cut off"),
    (bomb(), "bomb"),
]


@pytest.mark.parametrize(("content", "reason"), UNREADABLE)
def test_what_cannot_be_read_says_why(content, reason):
    with pytest.raises(UnreadablePicture, match=reason):
        decode(content)


def test_a_picture_beyond_the_bound_is_refused_by_its_header(monkeypatch):
    monkeypatch.setattr(pictures, "MAX_PIXELS", 95)
    with pytest.raises(UnreadablePicture, match="12 x 8 pixels, more than 95"):
        decode(encoded(noise()))


@pytest.mark.parametrize("seed", range(40))
def test_damaged_bytes_are_unreadable_or_a_picture_and_nothing_else(seed):
    draws = np.random.default_rng(seed)
    content = bytearray(encoded(noise(16, 16), draws.choice(["PNG", "JPEG", "GIF", "WEBP", "BMP"])))
    for place in draws.integers(0, len(content), 6):
        content[place] = draws.integers(256)
    with suppress(UnreadablePicture):
        assert decode(bytes(content)).mode == "RGB"


def column(*contents):
    return pa.chunked_array([pa.array(contents, pa.binary())])


def test_resizing_averages_what_it_makes_smaller_and_rounds():
    assert (resized(Image.new("RGB", (9, 5), (77, 0, 255)), 4) == [77, 0, 255]).all()
    assert np.array_equal(resized(noise(16, 16), 16), np.asarray(noise(16, 16)))
    near = np.asarray(noise(60, 40).resize((20, 20), Image.Resampling.BILINEAR)).astype(int)
    assert np.abs(resized(noise(60, 40), 20) - near).max() <= 1


def test_a_column_is_read_in_order_and_what_is_unreadable_named():
    images = [noise(seed=seed) for seed in range(3)]
    told = []
    read = read_pictures(
        column(encoded(images[0]), b"x", *map(encoded, images[1:])),
        16,
        threads=2,
        on_rows=lambda done, rate: told.append((done, rate > 0)),
    )
    assert read.pixels.shape == (4, 16, 16, 3)
    assert read.readable.tolist() == [0, 2, 3]
    assert read.sizes.tolist() == [[12, 8], [0, 0], [12, 8], [12, 8]]
    assert list(read.unreadable) == [1]
    assert not read.pixels[1].any()
    for row, image in zip(read.readable, images, strict=True):
        assert np.array_equal(read.pixels[row], resized(image, 16))
    assert told == [(4, True)]


def test_more_than_memory_holds_is_kept_in_a_file(monkeypatch):
    monkeypatch.setattr(pictures, "MEMORY_BYTES", 100)
    read = read_pictures(column(encoded(noise())), 16)
    assert isinstance(read.pixels, np.memmap)
    assert np.array_equal(read.pixels[0], resized(noise(), 16))


def test_reading_stops_when_it_is_told_to():
    with pytest.raises(TrainingStopped):
        read_pictures(column(encoded(noise())), 16, should_stop=lambda: True)


def test_pictures_are_kept_larger_than_they_are_trained_at_but_not_than_they_are():
    large, small = encoded(noise(200, 150)), encoded(noise(64, 64))
    assert presize(column(large, large, small), 100) == 125
    assert presize(column(large, large), 140) == 150
    assert presize(column(small), 100) == 100
    assert presize(column(b"x"), 100) == 100
    assert presize(column(), 100) == 100


def test_a_few_unreadable_rows_are_a_sentence_and_many_an_error():
    ids = [str(row) for row in range(30)]
    assert check_unreadable({}, ids, "training") == ""
    sentence = check_unreadable({3: "it is empty"}, ids, "training", called="id")
    assert sentence == (
        "The picture of 1 of 30 training rows cannot be read, and they are left out: id 3: it is empty."
    )
    with pytest.raises(TrainingFailed, match=r"4 of 30 validation rows.*id 0: why.*Correct these rows"):
        check_unreadable(dict.fromkeys(range(4), "why"), ids, "validation", called="id")


def test_rows_are_named_by_their_id_where_they_have_one():
    table = pa.table({"key": ["a", "b"]})
    assert row_ids(table, "key") == ["a", "b"]
    assert row_ids(table, "") == ["0", "1"]
