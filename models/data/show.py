"""What a model is shown, for people: a batch as a figure, and the way of one row through all stages.

`batch_figure` and `summary` take a task as models see it, so that a job can keep the one with its run and
tell the other when it fails; `block_for` says which blocks a task's inputs and target are.
"""

import io
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from PIL import Image

from models.configs import AugmentConfig, SignalConfig
from models.data.batches import generator
from models.data.block import Block, DataBlock, EncodedPart, Part
from models.data.blocks import ImageBlock, MaskBlock, PointsBlock, SignalBlock, augmented
from models.data.getters import column, columns
from models.data.split import by_random
from models.data.value_blocks import CategoryBlock, MultiCategoryBlock, NumberBlock, RowBlock, TextBlock
from models.data.walk import Step, walk
from models.figures import Body, Figure, Picture, Pictures, Table
from models.progress import TrainingFailed
from models.recipe import BINARY, LANGUAGE, MULTILABEL, REGRESSION, SEGMENTATION, Problem

# Rows that vocabularies and means are learnt from; a figure needs no more.
ROWS_LEARNT_FROM = 10_000
SMALLEST_SHOWN, DEFAULT_SIZE = 96, 128


def batch_figure(
    problem: Problem,
    train: pa.Table,
    augment: AugmentConfig | None = None,
    *,
    config: Any = None,
    count: int = 9,
    seed: int = 0,
) -> Figure:
    """What the model is shown: `count` training rows as they are after all stages and random changes,
    decoded.

    `config` is the recipe's; its `augment` counts where none is given. Rows that cannot be read are not
    shown.

    Raises:
        TrainingFailed: none can be read.
    """
    block = block_for(problem, config, augment)
    learnt = block.learn(train.slice(0, ROWS_LEARNT_FROM))
    rows = np.sort(np.random.default_rng(seed).permutation(train.num_rows)[: 2 * count])
    part = EncodedPart.of(learnt, train, rows, id_column=problem.id_column, check=False)
    return part_figure(learnt, part, count=count, seed=seed)


def summary(problem: Problem, table: pa.Table, config: Any = None) -> list[Step]:
    """The way of one row of `table` through all stages to a batch; it ends at the first that fails, at a row
    that fails there. See `models.data.walk`.
    """
    return walk(block_for(problem, config), table, id_column=problem.id_column)


def block_for(problem: Problem, config: Any = None, augment: AugmentConfig | None = None) -> DataBlock:
    """The blocks of a task. `config` is a recipe's settings: sizes of pictures, signals, changes; its own
    defaults count where it has none.

    Raises:
        TrainingFailed: its inputs go to no model together.
    """
    changes = augment or getattr(config, "augment", None)
    target = None if problem.kind == LANGUAGE else _target(problem, _size(config))
    inputs = _inputs(problem, config)
    pictured = isinstance(inputs[0].block, ImageBlock)
    moves = {MaskBlock: "mask", PointsBlock: "points"}.get(type(target.block), "") if target else ""
    change = augmented(changes, moves) if pictured and changes is not None and changes.on else None
    return DataBlock(inputs, target, by_random(), change)


def part_figure(block: DataBlock, part: EncodedPart, *, count: int = 9, seed: int = 0) -> Figure:
    """Rows of an encoded part, changed as in training, as pictures with what is to be learnt beneath, or as a
    table.

    Raises:
        TrainingFailed: the part is empty.
    """
    if not part.names:
        raise TrainingFailed("No item can be read, so there is nothing to show.")
    rows = torch.randperm(len(part.names), generator=generator(seed, 0))[:count]
    batch = tuple(tensor[rows] for tensor in part.tensors)
    if block.change is not None:
        batch = block.change(batch, generator(seed, 0, 1))
    names = [part.names[row] for row in rows.tolist()]
    shown = [tuple(tensor[place] for tensor in batch) for place in range(len(names))]
    changed = " after random changes" if block.change is not None else ""
    return Figure(
        "batch",
        "What the model is shown",
        f"{len(names)} training rows as they go into the model{changed}, with what is to be learnt of each.",
        _body(block, part.spans, shown, names),
    )


def _body(
    block: DataBlock, spans: tuple[int, ...], rows: list[tuple[torch.Tensor, ...]], names: list[str]
) -> Body:
    decoded = [block.decode(row, spans) for row in rows]
    if not isinstance(decoded[0][0], Image.Image):
        columns = ("row", *(part.block.kind for part in block.parts))
        return Table(columns, tuple((name, *map(str, row)) for name, row in zip(names, decoded, strict=True)))
    pictures = []
    for name, shown, row in zip(names, decoded, rows, strict=True):
        images = [one for one in shown[: len(block.inputs)] if isinstance(one, Image.Image)]
        if block.target is not None:
            images = [block.target.block.draw(one, *block.by_part(row, spans)[-1]) for one in images]
        said = [one for one in shown if isinstance(one, str)]
        pictures.append(Picture(_png(images), ", ".join(said), name))
    return Pictures(tuple(pictures))


def _png(images: list[Image.Image]) -> bytes:
    """Side by side, enlarged by a whole factor where they are small."""
    wide, high = sum(image.width for image in images), max(image.height for image in images)
    joined = Image.new("RGB", (wide, high), "white")
    left = 0
    for image in images:
        joined.paste(image, (left, 0))
        left += image.width
    factor = -(-SMALLEST_SHOWN // high)
    buffer = io.BytesIO()
    joined.resize((wide * factor, high * factor), Image.Resampling.NEAREST).save(buffer, "PNG")
    return buffer.getvalue()


def _size(config: Any) -> int:
    return int(getattr(config, "image_size", DEFAULT_SIZE))


def _inputs(problem: Problem, config: Any) -> list[Part]:
    """A part for each picture, signal and text; one for all that stands in cells."""
    parts = []
    for one in problem.inputs:
        if one.type == "image":
            parts.append(Part(ImageBlock(_size(config)), column(one.name)))
        elif one.type in ("audio", "series", "bytes"):
            signal = getattr(config, "signal", SignalConfig())
            parts.append(Part(SignalBlock(one.type, signal), column(one.name)))
        elif one.type == "text":
            parts.append(Part(TextBlock(), column(one.name)))
    cells = tuple(one for one in problem.inputs if one.type in ("numeric", "code", "category"))
    if cells:
        parts.append(Part(RowBlock(cells), columns(*(one.name for one in cells))))
    if not parts:
        raise TrainingFailed("The task has no input that can be shown.")
    return parts


def _target(problem: Problem, size: int) -> Part:
    target = problem.target
    block: Block
    if problem.kind == REGRESSION and target.points:
        picture = problem.of_type("image")[0]
        return Part(PointsBlock(picture, target.names), columns(picture, *target.names))
    if problem.kind == REGRESSION:
        return Part(NumberBlock(target.names), columns(*target.names))
    if problem.kind == SEGMENTATION:
        block = MaskBlock(size, target.classes)
    elif problem.kind == MULTILABEL:
        block = MultiCategoryBlock(target.classes, target.separator)
    elif problem.kind == BINARY:
        block = CategoryBlock((target.negative_value, target.positive_value))
    else:
        block = CategoryBlock(target.classes)
    return Part(block, column(target.names[0]))
