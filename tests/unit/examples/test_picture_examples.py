"""What the examples of pictures make of names and pixels; nothing is fetched."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from examples.clip_art.data import FOLDER, folders_of, pixel_count, series_of
from examples.emoji.data import base_of
from examples.emoji_points.data import CANVAS, NAMES, _placed
from examples.pictures import over_white, png


@pytest.mark.parametrize(
    ("unified", "base"),
    [
        ("1F44B", "1F44B"),
        ("1F44B-1F3FD", "1F44B"),
        ("1F590-FE0F", "1F590"),
        ("1F590-1F3FB", "1F590"),
        ("1F9D1-200D-2695-FE0F", "2695"),
        ("1F469-1F3FF-200D-2695-FE0F", "2695"),
        ("1F3C3-1F3FC-200D-2640-FE0F", "1F3C3"),
        ("1F468-200D-1F469-200D-1F466", "1F468-200D-1F469-200D-1F466"),
        ("1F1E7-1F1EC", "1F1E7-1F1EC"),
    ],
)
def test_tones_and_genders_of_an_emoji_have_one_base(unified, base):
    assert base_of(unified) == base


def test_a_drawing_has_its_folders_for_labels_and_its_name_without_numbers_for_a_series():
    path = f"{FOLDER}/plants/flowers/rose-red_02.png"
    assert folders_of(path) == ["plants", "flowers"]
    assert series_of(path) == series_of(f"{FOLDER}/plants/Rose_red_1.1.png") == "rose red"


def test_a_header_says_how_many_pixels_a_drawing_has():
    assert pixel_count(png(np.zeros((3, 5), np.uint8))) == 15
    assert pixel_count(b"x" * 16 + struct.pack(">II", 60_000, 60_000)) == 3_600_000_000


def emoji():
    """A transparent square of 64 pixels with an opaque one from (16, 8) to (48, 56)."""
    image = Image.new("RGBA", (64, 64))
    image.paste((200, 0, 0, 255), (16, 8, 48, 56))
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def test_transparent_parts_are_white():
    image = over_white(emoji())
    assert image.getpixel((0, 0)) == (255, 255, 255)
    assert image.getpixel((20, 20)) == (200, 0, 0)


@pytest.mark.parametrize("seed", range(5))
def test_points_are_where_the_emoji_was_put(seed):
    row = _placed("folder/1f44b-1f3fd.png", emoji(), np.random.default_rng(seed))
    assert (row["id"], row["base"]) == ("1F44B-1F3FD", "1F44B")
    with Image.open(io.BytesIO(row["picture"])) as image:
        assert image.size == (CANVAS, CANVAS)
    x, y, left, top, right, bottom = (row[name] for name in NAMES)
    assert 0 <= left < x < right <= CANVAS
    assert 0 <= top < y < bottom <= CANVAS
    assert x == pytest.approx((left + right) / 2, abs=0.6)
    assert (right - left) / (bottom - top) == pytest.approx(32 / 48, abs=0.08)
