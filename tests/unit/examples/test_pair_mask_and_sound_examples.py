"""What the examples of masks, pairs and sounds make of their files, on files of the test's own making."""

import io
import wave

import numpy as np
from PIL import Image

from examples.emoji_masks.data import SCENE, scene
from examples.spoken_words import data as spoken_words
from examples.stamps import data as stamps


def disc(colour: tuple[int, int, int] = (250, 200, 20)) -> bytes:
    pixels = np.zeros((64, 64, 4), np.uint8)
    y, x = np.mgrid[:64, :64]
    pixels[(y - 32) ** 2 + (x - 32) ** 2 < 28**2] = (*colour, 255)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def test_a_mask_covers_the_emojis_own_pixels() -> None:
    for seed in range(5):
        row = scene("google/64/1f600.png", disc(), np.random.default_rng(seed))
        picture, mask = (np.asarray(Image.open(io.BytesIO(row[name]))) for name in ("picture", "mask"))
        assert (row["id"], row["base"]) == ("1F600", "1F600")
        assert picture.shape == (SCENE, SCENE, 3)
        assert mask.shape == (SCENE, SCENE)
        assert set(np.unique(mask)) == {0, 1}
        # Pixels of the edge are blended with what is behind them.
        own = np.abs(picture[mask == 1].astype(int) - (250, 200, 20)).max(1) < 10
        assert own.mean() > 0.9


def test_a_stamp_is_paired_with_itself_and_with_others_of_its_kind() -> None:
    members = ["birds/crow.png", "birds/duck.png", "food/pear.png"]
    found = stamps._others("birds/crow.png", members, np.random.default_rng(0))
    assert found == ["birds/crow.png", "birds/duck.png"]
    assert stamps._others("food/pear.png", members, np.random.default_rng(0))[1].startswith("birds/")


def test_front_and_back_of_one_stamp_are_in_one_set() -> None:
    assert stamps._set_of("money/euro-1.png") == stamps._set_of("money/euro-2.png")
    assert len({stamps._set_of(f"birds/{letter}.png") for letter in "abcdefgh"}) > 1


def test_a_view_is_never_the_same_twice() -> None:
    draws = np.random.default_rng(0)
    stamp = stamps._stamp(disc())
    assert stamp is not None
    one, two = (np.asarray(stamps.view(stamp, draws)) for _ in range(2))
    assert one.shape == (stamps.SIZE, stamps.SIZE, 3)
    assert not np.array_equal(one, two)


def test_the_beginning_of_a_prompt_is_kept_and_a_short_tone_is_not() -> None:
    def sound(seconds: float) -> bytes:
        file = io.BytesIO()
        with wave.open(file, "wb") as made:
            made.setparams((1, 2, 8000, 0, "NONE", "not compressed"))
            made.writeframes(np.ones(round(8000 * seconds), np.int16).tobytes())
        return file.getvalue()

    assert spoken_words._beginning(sound(0.2)) is None
    kept = spoken_words._beginning(sound(5.0))
    assert kept is not None
    with wave.open(io.BytesIO(kept)) as found:
        assert found.getnframes() == 16_000
        assert found.getframerate() == 8000
