"""Blocks: a column at once gives what each value gives alone; what is shown is what was stored; bad values
have reasons.
"""

import io
import wave
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from models.configs import AugmentConfig, SignalConfig
from models.data.batches import generator
from models.data.block import Block, Stage
from models.data.blocks import ImageBlock, MaskBlock, PointsBlock, SignalBlock, augmented
from models.data.getters import Getter, column, columns
from models.data.value_blocks import CategoryBlock, MultiCategoryBlock, NumberBlock, RowBlock, TextBlock
from models.progress import TrainingFailed
from models.recipe import Input
from tests.unit.models.shape_pictures import SIZE, pictures, png

TEXTS = ["The cat sat.", "the DOG sat on it", "a cat", "it is a dog and a cat, the end"] * 3


def sound(seed: int) -> bytes:
    samples = np.random.default_rng(seed).integers(-9000, 9000, 900).astype("<i2")
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(samples.tobytes())
    return buffer.getvalue()


def table() -> pa.Table:
    rows = pictures(12)
    return (
        rows.append_column("text", pa.array(TEXTS))
        .append_column("sound", pa.array([sound(place) for place in range(12)], pa.binary()))
        .append_column("year", pa.array([*range(2000, 2011), None]))
        .append_column("code", pa.array([*[1, 2, 3] * 3, None, 1, 2]))
    )


CELLS = (Input("year", "numeric"), Input("code", "code"), Input("shape", "category"))
BLOCKS: dict[str, tuple[Block, Getter]] = {
    "image": (ImageBlock(24), column("picture")),
    "mask": (MaskBlock(24, ("ground", "shape")), column("mask")),
    "points": (PointsBlock("picture", ("x", "y")), columns("picture", "x", "y")),
    "category": (CategoryBlock(), column("shape")),
    "labels": (MultiCategoryBlock(), column("tags")),
    "number": (NumberBlock(), column("x")),
    "numbers": (NumberBlock(("x", "y")), columns("x", "y")),
    "text": (TextBlock(10, minimum_count=1), column("text")),
    "audio": (SignalBlock("audio", SignalConfig(seconds=0.2)), column("sound")),
    "row": (RowBlock(CELLS), columns("year", "code", "shape")),
}


@pytest.mark.parametrize(("block", "get"), BLOCKS.values(), ids=BLOCKS.keys())
def test_a_column_gives_what_its_values_give(block: Block, get: Getter) -> None:
    values = get(table())
    learnt = block.learn(values)
    encoded = learnt.encode(values)
    assert encoded.unreadable == {}
    for row in range(len(values)):
        alone = learnt.through(values[row].as_py())
        assert len(alone) == len(encoded.tensors)
        for part, tensor in zip(alone, encoded.tensors, strict=True):
            assert torch.equal(tensor[row], torch.from_numpy(part))


SHOWN: dict[str, Any] = {
    "category": "square",
    "labels": "angular; square",
    "text": "the DOG sat on it",
    "row": "year 2001, code 2, shape square",
}


@pytest.mark.parametrize(("name", "expected"), SHOWN.items())
def test_a_value_is_shown_as_people_know_it(name: str, expected: str) -> None:
    block, get = BLOCKS[name]
    values = get(table())
    learnt = block.learn(values)
    assert learnt.show(*(tensor[1] for tensor in learnt.encode(values).tensors)) == expected


def test_numbers_and_points_are_shown_in_figures() -> None:
    assert NumberBlock().show(torch.tensor([3.14159])) == "3.142"
    assert PointsBlock("picture", ("x", "y")).show(torch.tensor([[0.0, -1.0]])) == "(50 %, 0 %)"


def test_a_picture_comes_back_as_it_was() -> None:
    rows = table()
    block = ImageBlock(SIZE)
    (pixels,) = block.encode(rows["picture"]).tensors
    shown = block.show(pixels[3])
    assert isinstance(shown, Image.Image)
    with Image.open(io.BytesIO(rows["picture"][3].as_py())) as stored:
        assert np.array_equal(np.asarray(shown), np.asarray(stored))


def test_pictures_are_prepared_about_their_mean() -> None:
    (pixels,) = ImageBlock(24).encode(table()["picture"]).tensors
    (prepared,) = ImageBlock(24, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)).prepare(pixels)
    assert prepared.dtype == torch.float32
    assert torch.allclose(prepared, (pixels / 255 - 0.5) / 0.25)


BAD: dict[str, tuple[str, Any, str]] = {
    "image": ("picture", b"nonsense", "none of PNG"),
    "mask": ("mask", b"nonsense", "it is no picture"),
    "category": ("shape", "blob", "'blob' is none of bar, disc, square"),
    "labels": ("tags", "round; odd", "'odd' is none of the classes"),
    "number": ("x", float("inf"), "no finite number"),
    "numbers": ("y", None, "no finite number"),
    "points": ("x", None, "a point is missing"),
    "text": ("text", "  ", "it is empty"),
    "audio": ("sound", b"RIFF", "no WAV file"),
}


@pytest.mark.parametrize(("name", "bad"), BAD.items())
def test_bad_values_are_named_with_the_reason(name: str, bad: tuple[str, Any, str]) -> None:
    rows = table()
    block, get = BLOCKS[name]
    learnt = block.learn(get(rows))
    of, value, why = bad
    values = rows[of].to_pylist()
    values[7] = value
    changed = rows.set_column(rows.column_names.index(of), of, pa.array(values, rows.schema.field(of).type))
    found = learnt.encode(get(changed)).unreadable
    assert list(found) == [7]
    assert why in found[7]
    with pytest.raises(ValueError, match=why.replace("(", r"\(")):
        learnt.through(get(changed)[7].as_py())


def test_a_mask_of_a_class_that_is_not_there_is_named() -> None:
    values = pa.chunked_array([pa.array([png(Image.new("L", (8, 8), 3)), png(Image.new("L", (8, 8), 1))])])
    found = MaskBlock(8, ("ground", "shape")).encode(values)
    assert "has the value 3, but there are 2 classes" in found.unreadable[0]


def test_nothing_readable_fails() -> None:
    with pytest.raises(TrainingFailed, match="No mask can be read: it is no picture"):
        MaskBlock(8).encode(pa.chunked_array([pa.array([b"x", b"y"])]))


def test_own_stages_come_after_opening() -> None:
    left = Stage("left half", lambda image: image.crop((0, 0, image.width // 2, image.height)))
    block = ImageBlock(SIZE, changes=(left,))
    assert [stage.name for stage in block.stages] == [
        "decode", "left half", f"resize to {SIZE} x {SIZE}", "channels first",
    ]  # fmt: skip
    wide = Image.new("RGB", (20, 10), "white")
    wide.paste("black", (10, 0, 20, 10))
    (pixels,) = block.encode(pa.chunked_array([pa.array([png(wide)])])).tensors
    assert bool((pixels == 255).all())


@pytest.mark.parametrize("target", ["mask", "points", ""])
def test_targets_that_lie_on_a_picture_move_with_it(target: str) -> None:
    rows = table()
    (images,) = ImageBlock(SIZE).encode(rows["picture"]).tensors
    block, get = BLOCKS[target] if target else BLOCKS["category"]
    block = MaskBlock(SIZE) if target == "mask" else block
    (given,) = block.learn(get(rows)).encode(get(rows)).tensors
    config = AugmentConfig(rotate_degrees=0.0, zoom=1.0, lighting=0.0)
    changed, moved = augmented(config, target)((images, given), generator(0, 0, 1))
    flipped = [not torch.equal(one, two) for one, two in zip((changed * 255).round(), images, strict=True)]
    assert 0 < sum(flipped) < len(flipped)
    for turned, before, after in zip(flipped, given, moved, strict=True):
        if not turned or not target:
            assert torch.allclose(after.float(), before.float(), atol=1e-5)
        elif target == "mask":
            assert torch.equal(after, before.flip(1))
        else:
            assert torch.allclose(after, before * torch.tensor([-1.0, 1.0]), atol=1e-5)
