"""Batches of texts: streams that go on from batch to batch for a language model, whole texts by length for a
classifier.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from models.data.batches import generator
from models.data.tokens import TokenIds
from models.learner import Batch
from models.progress import TrainingFailed
from models.recipe import Problem

MOST_LEFT_OUT = 0.1
"""Share of a part's rows that may be left out before a fit is refused."""
ROWS_NAMED = 5
# A text's length is changed by up to this share before sorting, so that batches differ from epoch to epoch.
LENGTH_NOISE = 0.1


def texts_of(table: pa.Table, problem: Problem) -> pa.ChunkedArray:
    """The text input's column.

    Raises:
        TrainingFailed: the task has none or several, or the table lacks it.
    """
    names = problem.of_type("text")
    if len(names) != 1 or len(problem.inputs) != 1:
        raise TrainingFailed(
            f"A model of texts takes one text feature and no other; the task has {len(problem.inputs)}."
        )
    if names[0] not in table.column_names:
        raise TrainingFailed(f"The rows lack the text {names[0]}.")
    return table.column(names[0])


def has_text(table: pa.Table, problem: Problem) -> npt.NDArray[np.bool_]:
    """Whether the text of each row holds more than blanks, `(N,)`."""
    trimmed = pc.utf8_trim_whitespace(pc.fill_null(texts_of(table, problem), ""))
    return np.asarray(pc.not_equal(trimmed, "").to_numpy(), bool)


def with_text(table: pa.Table, problem: Problem, part: str) -> tuple[pa.Table, tuple[str, ...]]:
    """The rows whose text is not empty, and a warning that names those left out.

    Raises:
        TrainingFailed: no row has a text, or more than a tenth have none.
    """
    there = has_text(table, problem)
    empty = np.flatnonzero(~there)
    if not table.num_rows or len(empty) == table.num_rows:
        raise TrainingFailed(f"No {part} row has a text.")
    if not len(empty):
        return table, ()
    named = f"{len(empty)} {part} rows have an empty text ({_named(table, problem, empty)})"
    if len(empty) > MOST_LEFT_OUT * table.num_rows:
        raise TrainingFailed(f"{named}: more than a tenth. Fill them or remove these rows.")
    return table.filter(pa.array(there)), (f"{named}; they are left out",)


def _named(table: pa.Table, problem: Problem, rows: npt.NDArray[np.int64]) -> str:
    first = rows[:ROWS_NAMED]
    more = f" and {len(rows) - ROWS_NAMED} more" if len(rows) > ROWS_NAMED else ""
    return ", ".join(row_ids(table.take(first), problem, first)) + more


def row_ids(table: pa.Table, problem: Problem, rows: npt.NDArray[np.int64] | None = None) -> list[str]:
    """What names each row of `table`: its id, or "row" and its place (`rows`, where given)."""
    if problem.id_column and problem.id_column in table.column_names:
        return [str(one) for one in table.column(problem.id_column).to_pylist()]
    return [f"row {row}" for row in (range(table.num_rows) if rows is None else rows.tolist())]


class Planned(Sequence[Batch]):
    """Batches that are made when they are asked for; slices cost nothing, so that a resumed fit can skip."""

    def __init__(self, made: Callable[[int], Batch], places: range) -> None:
        self._made = made
        self._places = places

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, position: int) -> Batch: ...
    @overload
    def __getitem__(self, position: slice) -> "Planned": ...
    def __getitem__(self, position: int | slice) -> "Batch | Planned":
        if isinstance(position, slice):
            return Planned(self._made, self._places[position])
        return self._made(self._places[position])


class StreamBatches:
    """The `models.training.Batches` of a language model.

    All texts, in an order of their own each epoch, are one stream that is cut into `stream_count` of equal
    length; batch k holds the k-th piece of each, so that state can go on. A batch: tokens `(N, T)`, what
    follows them `(N, T)`, the streams' numbers `(N,)`, whether they go on `(N, 1)`, and again what follows,
    as the target.
    """

    def __init__(
        self, train: TokenIds, valid: TokenIds, *, stream_count: int, sequence_length: int, seed: int
    ) -> None:
        self._train = train
        self._valid = valid
        self._stream_count = stream_count
        self._sequence_length = sequence_length
        self._seed = seed

    def train(self, epoch: int) -> Planned:
        """The texts in this epoch's order."""
        order = torch.randperm(len(self._train), generator=generator(self._seed, epoch))
        return self._batches(self._train.take(order.numpy()).ids)

    def valid(self) -> Iterator[Batch]:
        """The texts in the order of the rows."""
        yield from self._batches(self._valid.ids)

    def _batches(self, ids: npt.NDArray[np.int32]) -> Planned:
        length = (len(ids) - 1) // self._stream_count
        used = torch.from_numpy(ids[: length * self._stream_count + 1].astype(np.int64))
        tokens, following = (part.view(self._stream_count, length) for part in (used[:-1], used[1:]))

        streams = torch.arange(self._stream_count)

        def made(place: int) -> Batch:
            start = place * self._sequence_length
            piece = slice(start, start + self._sequence_length)
            goes_on = torch.full((self._stream_count, 1), float(place > 0))
            return tokens[:, piece], following[:, piece], streams, goes_on, following[:, piece]

        return Planned(made, range(-(-length // self._sequence_length)))


class LengthBatches:
    """The `models.training.Batches` of a classifier: texts of like length together, padded to the longest.

    A batch: tokens `(N, L)`, lengths `(N,)` and the target `(N,)`. In training the order of batches is a
    fresh one each epoch and the longest come first, so that too little memory shows at once.
    """

    def __init__(
        self,
        train: tuple[TokenIds, Tensor],
        valid: tuple[TokenIds, Tensor],
        batch_size: int,
        *,
        seed: int,
    ) -> None:
        self._train = train
        self._valid = valid
        self._batch_size = batch_size
        self._seed = seed

    def train(self, epoch: int) -> Planned:
        """Batches of texts of like length."""
        random = generator(self._seed, epoch)
        lengths = torch.from_numpy(self._train[0].lengths).float()
        noise = 1 + LENGTH_NOISE * (2 * torch.rand(len(lengths), generator=random) - 1)
        rows = list(torch.split(torch.argsort(-lengths * noise, stable=True), self._batch_size))
        if len(rows) > 1 and len(rows[-1]) == 1:
            # A single text cannot be normalised by its batch.
            rows.pop()
        order = [0, *(torch.randperm(len(rows) - 1, generator=random) + 1).tolist()]
        return Planned(lambda place: self._batch(self._train, rows[order[place]]), range(len(rows)))

    def valid(self) -> Iterator[Batch]:
        """Texts in the order of the rows."""
        for rows in torch.split(torch.arange(len(self._valid[0])), self._batch_size):
            yield self._batch(self._valid, rows)

    def _batch(self, part: tuple[TokenIds, Tensor], rows: Tensor) -> Batch:
        texts = part[0].take(rows.numpy())
        return torch.from_numpy(texts.padded()), torch.from_numpy(texts.lengths), part[1][rows]


def by_length(texts: TokenIds, batch_size: int) -> Iterator[tuple[npt.NDArray[np.int64], Any, Any]]:
    """Batches to predict: places of the texts `(B,)`, tokens `(B, L)`, lengths `(B,)`; shortest first."""
    order = np.argsort(texts.lengths, kind="stable")
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        part = texts.take(rows)
        yield rows, torch.from_numpy(part.padded()), torch.from_numpy(part.lengths)
