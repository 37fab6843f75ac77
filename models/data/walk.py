"""Walks one item through every stage of a data block and says what comes out of each: where it fails, the
item and the reason.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from types import UnionType
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from PIL import Image

from models.data.batches import generator
from models.data.block import Block, DataBlock, EncodedPart, Part

Ints = npt.NDArray[np.int64]

# Items that are searched for one that fails, and items of the batch that is tried.
ITEMS_SEARCHED, BATCH_ROWS = 256, 4
TEXT_LENGTH = 60


@dataclass(frozen=True)
class Step:
    """What one stage gave: `result` in words, with shape, type and range; or the `error` at which it failed.
    `item` is the row that was walked.
    """

    part: str
    name: str
    result: str = ""
    error: str = ""
    item: str = ""

    def __str__(self) -> str:
        told = f"FAILS: {self.error}" if self.error else self.result
        return f"{self.part}, {self.name}{f' ({self.item})' if self.item else ''}: {told}"


def walk(block: DataBlock, table: pa.Table, *, id_column: str = "") -> list[Step]:
    """All steps from the table to a prepared batch, until the first that fails.

    The item is the first of the first 256 training rows that fails somewhere, or the first where none does.
    """
    steps: list[Step] = []
    with suppress(_Failed):
        _Walk(steps, block, table, id_column).all()
    return steps


class _Failed(Exception):
    """A step has failed, and is noted."""


@dataclass(frozen=True)
class _Walk:
    steps: list[Step]
    block: DataBlock
    table: pa.Table
    id_column: str

    def all(self) -> None:
        train, valid = self._do("split", "training and validation", partial(self.block.split, self.table))
        self._do("split", "neither is empty", lambda: _both(train, valid))
        rows = self.table.take(pa.array(train))
        for number, part in enumerate(self.block.parts):
            name = part.block.kind if number < len(self.block.inputs) else f"target ({part.block.kind})"
            self._one_part(name, part, rows, train)
        learnt = self.block.learn(rows)
        some = self._do(
            "batch",
            f"{BATCH_ROWS} items together",
            lambda: EncodedPart.of(learnt, self.table, train[:BATCH_ROWS]),
        )
        batch = some.tensors
        if self.block.change is not None:
            change = self.block.change
            batch = self._do("batch", "changed at random", lambda: change(batch, generator(0, 0, 1)))
        self._do("batch", "prepared for the net", lambda: learnt.prepare(batch, some.spans))

    def _one_part(self, name: str, part: Part, rows: pa.Table, train: Ints) -> None:
        column = self._do(name, "get", partial(part.get, rows))
        block = self._do(name, "learn from the training rows", partial(part.block.learn, column))
        row = next((row for row in range(min(len(rows), ITEMS_SEARCHED)) if _fails(block, column, row)), 0)
        item = self._named(int(train[row]))
        value = self._do(name, "stored value", column[row].as_py, item)
        for stage in block.stages:
            value = self._do(name, stage.name, partial(stage.run, value), item)

    def _named(self, row: int) -> str:
        if self.id_column in self.table.column_names:
            return f"{self.id_column} {self.table.column(self.id_column)[row].as_py()}"
        return f"row {row}"

    def _do(self, part: str, name: str, run: Callable[[], Any], item: str = "") -> Any:
        try:
            result = run()
        # Stages are also the user's own functions, and whatever they raise is what is asked for.
        except Exception as error:
            said = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
            self.steps.append(Step(part, name, error=said, item=item))
            raise _Failed from error
        self.steps.append(Step(part, name, described(result), item=item))
        return result


def described(value: Any) -> str:
    """A value in words: what it is, its shape and range."""
    if isinstance(value, tuple | list) and not any(isinstance(one, str | int | float) for one in value):
        return " and ".join(described(one) for one in value) or "nothing"
    if isinstance(value, dict):
        return ", ".join(f"{name}: {described(one)}" for name, one in value.items())
    for kind, words in _WORDS:
        if isinstance(value, kind):
            return words(value)
    # A column has no class of its own: arrow's, or files.
    return f"{len(value):,} values" if hasattr(value, "take") else repr(value)


def _array(array: torch.Tensor) -> str:
    kind = str(array.dtype).removeprefix("torch.")
    if not array.numel():
        return f"{kind} {tuple(array.shape)}"
    low, high = (float(edge) for edge in torch.aminmax(array.double()))
    return f"{kind} {tuple(array.shape)}, {low:.4g} to {high:.4g}"


def _text(text: str) -> str:
    return f"text {text if len(text) <= TEXT_LENGTH else text[:TEXT_LENGTH] + '...'!r}"


def _block(block: Block) -> str:
    classes = getattr(block, "classes", ())
    return f"{block.kind} of {len(classes)} classes" if classes else block.kind


_WORDS: tuple[tuple[type | UnionType, Callable[[Any], str]], ...] = (
    (EncodedPart, lambda part: described(part.tensors)),
    (Image.Image, lambda image: f"picture of {image.width} x {image.height} pixels, {image.mode}"),
    (torch.Tensor, _array),
    (np.ndarray | np.generic, lambda array: _array(torch.from_numpy(np.array(array)))),
    (bytes, lambda content: f"{len(content):,} bytes"),
    (str, _text),
    (Block, _block),
)


def _both(train: Ints, valid: Ints) -> str:
    for name, rows in (("training", train), ("validation", valid)):
        if not len(rows):
            raise ValueError(f"the {name} part is empty")
    return f"{len(train):,} and {len(valid):,} items"


def _fails(block: Any, column: Any, row: int) -> bool:
    try:
        block.through(column[row].as_py())
    # As in `_do`.
    except Exception:
        return True
    return False
