"""The data block trains a net from a folder and a table, says what it left out and where a stage fails."""

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from torch import nn

from models.configs import AugmentConfig, ConvNetConfig, FitConfig
from models.data.block import BlockData, DataBlock, Part, Stage
from models.data.blocks import ImageBlock, MaskBlock, augmented
from models.data.getters import PATH, column, content, folder_items, from_path, parent_folder
from models.data.show import batch_figure, summary
from models.data.split import by_column, by_folder, by_group, by_random, by_time
from models.data.value_blocks import CategoryBlock, TextBlock
from models.data.walk import walk
from models.figures import Pictures, Table
from models.progress import TrainingFailed
from models.recipe import (
    BINARY,
    LANGUAGE,
    MULTICLASS,
    MULTILABEL,
    REGRESSION,
    SEGMENTATION,
    FitContext,
    Input,
    Problem,
    Target,
)
from models.training import fit_net
from tests.unit.models.shape_pictures import SHAPES, pictures

FIT = FitConfig(epochs=4, batch_size=16, learning_rate=0.01, precision="float32")
CHANGES = AugmentConfig(rotate_degrees=5.0)


def folder_of(rows: pa.Table, folder: Path) -> Path:
    """The pictures as files, shape by shape, under train and valid."""
    for row in rows.to_pylist():
        place = folder / ("valid" if row["held_out"] else "train") / row["shape"]
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{row['shape']}_{row['id']}.png").write_bytes(row["picture"])
    return folder


def of_table(target: CategoryBlock | None = None) -> DataBlock:
    return DataBlock(
        [Part(ImageBlock(16), column("picture"))],
        Part(target or CategoryBlock(), column("shape")),
        by_column("held_out"),
        augmented(CHANGES),
    )


def accuracy_of(data: BlockData) -> float:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(), nn.BatchNorm2d(16), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU(),
        nn.BatchNorm2d(32), nn.Flatten(), nn.Linear(32 * 16, 3),
    )  # fmt: skip
    batches = data.batches(16, seed=1)
    fit_net(net, batches, nn.functional.cross_entropy, FIT, FitContext(device="cpu", threads=1), name="net")
    with torch.no_grad():
        right = torch.cat([net(x).argmax(1) == y for x, y in batches.valid()])
    return float(right.float().mean())


def test_a_net_learns_from_a_folder_and_from_a_table(tmp_path: Path) -> None:
    rows = pictures(240)
    folder = folder_of(rows, tmp_path)
    of_folder = DataBlock(
        [Part(ImageBlock(16), content(folder))],
        Part(CategoryBlock(), parent_folder()),
        by_folder("valid"),
        augmented(CHANGES),
    ).from_folder(folder, "*.png")
    assert len(of_folder.train.names) == 192
    assert accuracy_of(of_folder) > 0.8
    assert accuracy_of(of_table().from_table(rows)) > 0.8


def test_the_same_batches_come_again() -> None:
    data = of_table().from_table(pictures())
    first, again = (data.batches(16, seed=3).train(2) for _ in range(2))
    for (x, y), (x_again, y_again) in zip(first, again[0:], strict=True):
        assert torch.equal(x, x_again)
        assert torch.equal(y, y_again)


def test_getters_read_names_of_files_and_folders(tmp_path: Path) -> None:
    folder = folder_of(pictures(30), tmp_path)
    items = folder_items(folder, "*.png")
    assert items.num_rows == 30
    assert set(parent_folder()(items).to_pylist()) == set(SHAPES)
    assert set(parent_folder(2)(items).to_pylist()) == {"train", "valid"}
    assert set(from_path(r"([a-z]+)_p\d+\.png$")(items).to_pylist()) == set(SHAPES)
    assert from_path(r"(\d{9})")(items).null_count == 30
    with pytest.raises(FileNotFoundError, match="no files like"):
        folder_items(folder, "*.gif")
    with pytest.raises(KeyError, match="the table lacks colour; it has path"):
        column("colour")(items)


def test_splitters_divide_tables() -> None:
    rows = pa.table(
        {
            "group": [place // 3 for place in range(30)],
            "when": pa.array([*range(100, 129), None]),
            "path": [f"{'valid' if place < 6 else 'train'}/{place}.png" for place in range(30)],
        }
    )
    for split in (by_random(0.2, 1), by_group("group", 0.2, 1), by_time("when", 0.2), by_folder()):
        train, valid = split(rows)
        assert sorted([*train, *valid]) == list(range(30))
        assert 0 < len(valid) < 12
    train, valid = by_group("group", 0.2, 1)(rows)
    groups = np.array(rows["group"])
    assert not set(groups[train]) & set(groups[valid])
    train, valid = by_time("when", 0.2)(rows)
    assert valid.tolist() == [24, 25, 26, 27, 28]
    assert by_folder()(rows)[1].tolist() == [0, 1, 2, 3, 4, 5]


def damaged(*bad: int) -> pa.Table:
    rows = pictures()
    contents = rows["picture"].to_pylist()
    for row in bad:
        contents[row] = contents[row][: len(contents[row]) // 2]
    return rows.set_column(1, "picture", pa.array(contents, pa.binary()))


def test_unreadable_items_are_left_out_and_named() -> None:
    data = of_table().from_table(damaged(3, 10), id_column="id")
    assert len(data.train.names) == 95
    assert "p003" not in data.train.names
    assert len(data.valid.names) == 23
    assert len(data.warnings) == 2
    assert "The picture of 1 of 96 training rows cannot be read" in data.warnings[0]
    assert "id p003" in data.warnings[0]
    assert [len(part) for part in data.train.tensors] == [95, 95]


def test_too_many_unreadable_items_and_an_empty_part_fail() -> None:
    with pytest.raises(TrainingFailed, match="more than a tenth"):
        of_table().from_table(damaged(*range(40)))
    rows = pictures()
    with pytest.raises(TrainingFailed, match="The validation part is empty"):
        of_table().from_table(rows.filter(pa.array(~np.array(rows["held_out"]))))


def test_a_batch_is_shown_with_its_targets() -> None:
    data = of_table().from_table(pictures(), id_column="id")
    figure = data.show_batch(6)
    assert isinstance(figure.body, Pictures)
    assert len(figure.body.pictures) == 6
    assert {one.caption for one in figure.body.pictures} <= set(SHAPES)
    shapes = dict(zip(pictures()["id"].to_pylist(), pictures()["shape"].to_pylist(), strict=True))
    for one in figure.body.pictures:
        assert shapes[one.row_id] == one.caption
        with Image.open(io.BytesIO(one.png)) as image:
            assert image.size == (96, 96)


def test_the_walk_says_what_each_stage_gives() -> None:
    steps = walk(of_table(), pictures(), id_column="id")
    assert not any(step.error for step in steps)
    said = {(step.part, step.name): step.result for step in steps}
    assert said["picture", "decode"] == "picture of 32 x 32 pixels, RGB"
    assert said["picture", "resize to 16 x 16"].startswith("uint8 (16, 16, 3), ")
    assert said["target (category)", "learn from the training rows"] == "category of 3 classes"
    assert said["batch", "4 items together"].startswith("uint8 (4, 3, 16, 16), ")
    assert said["batch", "prepared for the net"].startswith("float32 (4, 3, 16, 16), ")
    assert next(step for step in steps if step.name == "decode").item == "id p001"


def test_the_walk_points_at_the_stage_and_the_item_that_fail() -> None:
    last = walk(of_table(), damaged(8), id_column="id")[-1]
    assert (last.part, last.name, last.item) == ("picture", "decode", "id p008")
    assert "damaged or cut off" in last.error
    assert str(last).startswith("picture, decode (id p008): FAILS: it is damaged")


def test_the_walk_finds_a_mistake_in_own_stages_and_columns() -> None:
    wrong = Stage("halve", lambda image: image / 2)
    block = DataBlock(
        [Part(ImageBlock(16, changes=(wrong,)), column("picture"))],
        Part(CategoryBlock(), column("shape")),
        by_random(),
    )
    last = walk(block, pictures())[-1]
    assert (last.part, last.name) == ("picture", "halve")
    assert last.error.startswith("TypeError")
    nowhere = walk(of_table(), pictures().drop_columns(["shape"]))[-1]
    assert (nowhere.part, nowhere.name) == ("target (category)", "get")
    assert "the table lacks shape" in nowhere.error


PICTURE = (Input("picture", "image"),)
PROBLEMS = {
    MULTICLASS: Problem(MULTICLASS, PICTURE, Target(("shape",), classes=SHAPES), "accuracy", id_column="id"),
    MULTILABEL: Problem(
        MULTILABEL, PICTURE, Target(("tags",), classes=("round", "angular", "square", "bar")), "micro_f1"
    ),
    REGRESSION: Problem(REGRESSION, PICTURE, Target(("x", "y"), points=True), "mae"),
    SEGMENTATION: Problem(SEGMENTATION, PICTURE, Target(("mask",), classes=("ground", "shape")), "mean_iou"),
    "two pictures": Problem(
        BINARY,
        (*PICTURE, Input("other", "image")),
        Target(("same",), positive_value="1", negative_value="0"),
        "auc",
    ),
}


@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS.keys())
def test_every_kind_of_picture_task_has_a_figure_and_a_summary(problem: Problem) -> None:
    rows = pictures(30)
    rows = rows.append_column("other", rows["picture"]).append_column("same", pa.array([1, 0] * 15))
    config = ConvNetConfig(image_size=32)
    figure = batch_figure(problem, rows, config=config)
    assert isinstance(figure.body, Pictures)
    assert len(figure.body.pictures) == 9
    with Image.open(io.BytesIO(figure.body.pictures[0].png)) as image:
        assert image.size == (96 * len(problem.inputs), 96)
    assert not any(step.error for step in summary(problem, rows, config))


def test_tables_and_texts_have_a_figure_of_cells() -> None:
    inputs = (Input("x", "numeric"), Input("shape", "category"))
    rows = pictures(30)
    figure = batch_figure(Problem(REGRESSION, inputs, Target(("y",)), "mse", id_column="id"), rows)
    assert isinstance(figure.body, Table)
    assert figure.body.columns == ("row", "row", "number")
    shown = {str(row[0]): row for row in figure.body.rows}
    stored = {row["id"]: row for row in rows.to_pylist()}
    for name, row in shown.items():
        assert row[1] == f"x {stored[name]['x']:.4g}, shape {stored[name]['shape']}"
        assert row[2] == f"{stored[name]['y']:.4g}"
    texts = pa.table({"text": ["a cat and a dog", "a dog and a cat", "one more text"] * 5})
    language = Problem(LANGUAGE, (Input("text", "text"),), Target(), "perplexity")
    told = batch_figure(language, texts)
    assert isinstance(told.body, Table)
    assert not any(step.error for step in summary(language, texts))


def test_a_summary_names_the_row_of_a_task_that_fails() -> None:
    last = summary(PROBLEMS[MULTICLASS], damaged(*range(120)))[-1]
    assert last.name == "decode"
    assert last.item.startswith("id p")
    with pytest.raises(TrainingFailed, match="No item can be read"):
        batch_figure(PROBLEMS[MULTICLASS], damaged(*range(120)))


def test_without_a_target_the_input_is_it() -> None:
    rows = pa.table({"text": ["a b c", "b c a", "c a b"] * 5, "path": [f"{k}" for k in range(15)]})
    block = DataBlock([Part(TextBlock(4, minimum_count=1), column("text"))], None, by_random())
    data = block.from_table(rows, id_column=PATH)
    x, y = data.batches(4).train(0)[0]
    assert torch.equal(x, y)


def test_masks_are_drawn_on_their_picture() -> None:
    rows = pictures(10)
    (mask,) = MaskBlock(32).encode(rows["mask"]).tensors
    ground = Image.new("RGB", (32, 32), "black")
    drawn = np.asarray(MaskBlock(32).draw(ground, mask[0]))
    assert np.array_equal(drawn.sum(2) > 0, mask[0].numpy() > 0)
