"""Blocks of what stands in a table's cells: a category, several labels, numbers, a text, whole rows."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from models.data.block import Block, Encoded, Shown, Stage
from models.data.columns import Number, Values
from models.data.getters import Column
from models.data.tokens import Tokens, learn_tokens
from models.recipe import Input

LIST_LENGTH_SHOWN = 300


@dataclass(frozen=True)
class CategoryBlock(Block):
    """One of `classes`, as its place, int64 `()`; where none are given, those of the training rows."""

    kind: ClassVar[str] = "category"
    classes: tuple[str, ...] = ()

    def learn(self, column: Column) -> Self:
        """The classes, where they are not given."""
        return self if self.classes else replace(self, classes=_texts_of(column))

    def opening(self) -> tuple[Stage, ...]:
        """To text."""
        return (Stage("text", _text),)

    def closing(self) -> tuple[Stage, ...]:
        """To the place among the classes."""
        return (Stage("place among the classes", lambda text: (np.int64(self._place(text)),)),)

    def encode(self, column: Column, *, threads: int = 2) -> Encoded:
        """By one look-up."""
        if self.changes:
            return super().encode(column, threads=threads)
        texts = pc.cast(_chunked(column), pa.utf8())
        places = pc.index_in(texts, value_set=pa.array(self.classes, pa.utf8()))
        found = pc.fill_null(places, -1).to_numpy().astype(np.int64)
        unreadable = {int(row): self._unknown(texts[int(row)].as_py()) for row in np.flatnonzero(found < 0)}
        return Encoded((torch.from_numpy(np.maximum(found, 0)),), unreadable)

    def show(self, *row: Tensor) -> Shown:
        """The class."""
        return self.classes[int(row[0])]

    def _place(self, text: str | None) -> int:
        if text not in self.classes:
            raise ValueError(self._unknown(text))
        return self.classes.index(text)

    def _unknown(self, text: str | None) -> str:
        known = ", ".join(self.classes[:10]) + (", ..." if len(self.classes) > 10 else "")
        return "it is missing" if text is None else f"{text!r} is none of {known}"


@dataclass(frozen=True)
class MultiCategoryBlock(Block):
    """Any of `classes`, joined by `separator`, as float32 `(L,)` of 0 and 1."""

    kind: ClassVar[str] = "labels"
    classes: tuple[str, ...] = ()
    separator: str = ";"

    def learn(self, column: Column) -> Self:
        """The classes, where they are not given."""
        if self.classes:
            return self
        lists = pc.split_pattern(pc.fill_null(pc.cast(_chunked(column), pa.utf8()), ""), self.separator)
        labels = pc.utf8_trim_whitespace(pc.list_flatten(lists))
        return replace(self, classes=tuple(text for text in _texts_of(labels) if text))

    def opening(self) -> tuple[Stage, ...]:
        """To the labels."""
        return (Stage("labels", self._labels),)

    def closing(self) -> tuple[Stage, ...]:
        """To a flag for each class."""
        return (Stage("a flag for each class", self._flags),)

    def show(self, *row: Tensor) -> Shown:
        """The labels."""
        given = [name for name, flag in zip(self.classes, row[0].tolist(), strict=True) if flag > 0.5]
        return f"{self.separator} ".join(given) or "none"

    def _labels(self, value: str | None) -> list[str]:
        return [label for part in (value or "").split(self.separator) if (label := part.strip())]

    def _flags(self, labels: list[str]) -> tuple[npt.NDArray[np.float32]]:
        if unknown := [label for label in labels if label not in self.classes]:
            raise ValueError(f"{unknown[0]!r} is none of the classes")
        return (np.isin(np.array(self.classes, object), labels).astype(np.float32),)


@dataclass(frozen=True)
class NumberBlock(Block):
    """A number, or several of a struct by their names, float32 `(K,)`."""

    kind: ClassVar[str] = "number"
    names: tuple[str, ...] = ()

    def opening(self) -> tuple[Stage, ...]:
        """To finite numbers."""
        return (Stage("numbers", self._numbers),)

    def closing(self) -> tuple[Stage, ...]:
        """To float32."""
        return (Stage("float32", lambda numbers: (numbers.astype(np.float32),)),)

    def encode(self, column: Column, *, threads: int = 2) -> Encoded:
        """All at once."""
        if self.changes:
            return super().encode(column, threads=threads)
        chunked = _chunked(column)
        columns = [pc.struct_field(chunked, name) for name in self.names] or [chunked]
        numbers = np.stack([np.asarray(pc.cast(one, pa.float64()).to_numpy(), float) for one in columns], 1)
        usable = np.isfinite(numbers).all(1)
        unreadable = {int(row): "it is no finite number" for row in np.flatnonzero(~usable)}
        return Encoded(
            (torch.from_numpy(np.where(usable[:, None], numbers, 0).astype(np.float32)),), unreadable
        )

    def show(self, *row: Tensor) -> Shown:
        """The numbers, to four digits."""
        return ", ".join(f"{number:.4g}" for number in row[0].tolist())

    def _numbers(self, value: Any) -> npt.NDArray[np.float64]:
        given = [value[name] for name in self.names] if self.names else [value]
        numbers = np.array([np.nan if one is None else one for one in given], float)
        if not np.isfinite(numbers).all():
            raise ValueError("it is no finite number")
        return numbers


@dataclass(frozen=True)
class TextBlock(Block):
    """A text as ids of tokens, int64 `(longest,)`, zeros (padding) after its end. `tokens` are learnt from
    the training rows where none are given.
    """

    kind: ClassVar[str] = "text"
    longest: int = 200
    vocabulary_size: int = 20_000
    minimum_count: int = 2
    token_kind: str = "word"
    tokens: Tokens | None = None

    def learn(self, column: Column) -> Self:
        """The vocabulary, where it is not given."""
        if self.tokens is not None:
            return self
        learnt = learn_tokens(
            self.token_kind, _chunked(column), size=self.vocabulary_size, minimum_count=self.minimum_count
        )
        return replace(self, tokens=learnt)

    def opening(self) -> tuple[Stage, ...]:
        """To text that is not empty."""
        return (Stage("text", _not_empty),)

    def closing(self) -> tuple[Stage, ...]:
        """To ids."""
        return (
            Stage("token ids", lambda text: self._known.encode(pa.array([text], pa.utf8()))[0]),
            Stage(f"cut or padded to {self.longest}", lambda ids: (self._fitted(ids),)),
        )

    def encode(self, column: Column, *, threads: int = 2) -> Encoded:
        """All at once."""
        if self.changes:
            return super().encode(column, threads=threads)
        texts = pc.fill_null(_chunked(column), "")
        empty = pc.equal(pc.utf8_trim_whitespace(texts), "").to_numpy(zero_copy_only=False)
        padded = self._known.encode(texts).cut(self.longest).padded().astype(np.int64)
        whole = np.zeros((len(padded), self.longest), np.int64)
        whole[:, : padded.shape[1]] = padded
        whole[empty] = 0
        return Encoded((torch.from_numpy(whole),), {int(row): "it is empty" for row in np.flatnonzero(empty)})

    def show(self, *row: Tensor) -> Shown:
        """The text that the tokens stand for."""
        ids = row[0].numpy()
        end = int(np.flatnonzero(ids)[-1]) + 1 if ids.any() else 0
        return self._known.decode(ids[:end].tolist())[:LIST_LENGTH_SHOWN]

    @property
    def _known(self) -> Tokens:
        if self.tokens is None:
            raise ValueError("no tokens have been learnt yet")
        return self.tokens

    def _fitted(self, ids: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        whole = np.zeros(self.longest, np.int64)
        cut = ids[: self.longest]
        whole[: len(cut)] = cut
        return whole


@dataclass(frozen=True)
class RowBlock(Block):
    """A row of a table, a struct: numbers about their mean float32 `(n,)`, missing ones at 0, and places of
    codes and categories int64 `(m,)`, 0 for unknown and missing ones.
    """

    kind: ClassVar[str] = "row"
    inputs: tuple[Input, ...] = ()
    numbers: tuple[Number, ...] = ()
    values: tuple[Values, ...] = ()

    def learn(self, column: Column) -> Self:
        """Means, deviations and known values."""
        table = _table(column)
        return replace(
            self,
            numbers=tuple(Number.of(one.name, table) for one in self.inputs if one.type == "numeric"),
            values=tuple(Values.of(one, table) for one in self.inputs if one.type in ("code", "category")),
        )

    def opening(self) -> tuple[Stage, ...]:
        """To the row by name."""
        return (Stage("row", dict),)

    def closing(self) -> tuple[Stage, ...]:
        """To numbers and places."""
        return (Stage("numbers and places", self._of_one),)

    def encode(self, column: Column, *, threads: int = 2) -> Encoded:
        """Column by column."""
        if self.changes:
            return super().encode(column, threads=threads)
        return Encoded(tuple(torch.from_numpy(part) for part in self._of(_table(column))))

    def show(self, *row: Tensor) -> Shown:
        """Names and values."""
        said = [
            f"{one.name} {mean:.4g}"
            for one, mean in (
                (number, number.mean + number.deviation * place)
                for number, place in zip(self.numbers, row[0].tolist(), strict=True)
            )
        ]
        said += [
            f"{one.input.name} {one.texts[place - 1] if place else 'unknown'}"
            for one, place in zip(self.values, row[1].tolist(), strict=True)
        ]
        return ", ".join(said)

    def _of(self, table: pa.Table) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        numbers = np.empty((table.num_rows, len(self.numbers)), np.float32)
        for place, number in enumerate(self.numbers):
            numbers[:, place] = number.standardised(table)
        places = np.empty((table.num_rows, len(self.values)), np.int64)
        for place, values in enumerate(self.values):
            places[:, place] = values.places(table)
        return numbers, places

    def _of_one(self, row: dict[str, Any]) -> tuple[npt.NDArray[Any], ...]:
        table = pa.table({name: [value] for name, value in row.items()})
        return tuple(part[0] for part in self._of(table))


def _chunked(column: Column) -> pa.ChunkedArray:
    return cast(pa.ChunkedArray, column)


def _table(column: Column) -> pa.Table:
    return pa.Table.from_struct_array(_chunked(column))


def _texts_of(column: Any) -> tuple[str, ...]:
    """The distinct values as text, in order."""
    distinct = pc.drop_null(pc.unique(pc.cast(_chunked(column), pa.utf8())))
    return tuple(sorted(distinct.to_pylist()))


def _text(value: Any) -> str:
    if value is None:
        raise ValueError("it is missing")
    return str(pa.scalar(value).cast(pa.utf8()).as_py())


def _not_empty(value: str | None) -> str:
    if value is None or not value.strip():
        raise ValueError("it is empty")
    return value
