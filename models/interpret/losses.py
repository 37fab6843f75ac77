"""Top losses: the rows that a model finds hardest, among which wrong labels gather.

A figure named "top_losses" is what the page for cleaning data reads: its table's first column is `ROW`, the
row's id, or its pictures bear a `row_id`.
"""

import datetime
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.figures import Figure, Picture, Pictures, Table
from models.interpret.drawing import thumbnail
from models.metrics import cross_entropy_rows

NAME = "top_losses"
TITLE = "What it finds hardest"
ROW = "row"
MOST_ROWS = 48
MOST_PICTURES = 24
LONGEST_TEXT = 300


def hardest(losses: npt.ArrayLike, most: int) -> npt.NDArray[np.int64]:
    """Places of the `most` largest of `losses` `(N,)`, largest first; a NaN (a row not read) is left out."""
    values = np.asarray(losses, float)
    known = np.flatnonzero(~np.isnan(values))
    order: npt.NDArray[np.int64] = known[np.argsort(-values[known], kind="stable")[:most]]
    return order


def top_losses(
    label: npt.ArrayLike,
    probability: npt.ArrayLike,
    classes: Sequence[str],
    row_ids: Sequence[str],
    rows: pa.Table,
    *,
    most: int = MOST_ROWS,
) -> Figure:
    """Figure "top_losses" of a table's rows.

    `label` int `(N,)`, `probability` `(N, C)` (of two classes: `[1 - p, p]`), `row_ids` and `rows` of the
    same N rows; `rows` has the columns that a person should see beside them.
    """
    y, p = np.asarray(label, np.int64), np.asarray(probability, float)
    losses = cross_entropy_rows(y, p)
    chosen = hardest(losses, most)
    said = p[chosen].argmax(1) if len(chosen) else chosen
    body = loss_table(
        ("loss", "is", "said", "how sure"),
        [
            (float(losses[row]), classes[y[row]], classes[one], f"{p[row, one]:.0%}")
            for row, one in zip(chosen, said, strict=True)
        ],
        [row_ids[row] for row in chosen],
        rows.take(chosen),
    )
    return Figure(NAME, TITLE, hardest_sentence(len(chosen), int(np.sum(said != y[chosen]))), body)


def top_loss_pictures(
    pictures: npt.NDArray[np.uint8],
    label: npt.ArrayLike,
    probability: npt.ArrayLike,
    classes: Sequence[str],
    row_ids: Sequence[str],
    *,
    most: int = MOST_PICTURES,
) -> Figure:
    """Figure "top_losses" of pictures uint8 `(N, H, W, 3)`; the other arrays as in `top_losses`."""
    y, p = np.asarray(label, np.int64), np.asarray(probability, float)
    losses = cross_entropy_rows(y, p)
    chosen = hardest(losses, most)
    said = p[chosen].argmax(1) if len(chosen) else chosen
    shown = tuple(
        Picture(
            thumbnail(pictures[row]),
            f"is {classes[y[row]]}, said {classes[one]} ({p[row, one]:.0%} sure)",
            row_ids[row],
        )
        for row, one in zip(chosen, said, strict=True)
    )
    sentence = hardest_sentence(len(chosen), int(np.sum(said != y[chosen])))
    return Figure(NAME, TITLE, sentence, Pictures(shown))


def hardest_sentence(count: int, wrong_count: int) -> str:
    """What is seen in `count` hardest rows."""
    if not count:
        return "There are no validation rows to look at."
    return (
        f"The {count} validation rows with the largest loss; {wrong_count} of them were decided wrongly. "
        "Before you blame the model, look whether the row or its label is at fault."
    )


def loss_table(
    columns: Sequence[str],
    cells: Sequence[tuple[str | float, ...]],
    row_ids: Sequence[str],
    rows: pa.Table,
) -> Table:
    """A table with the row's id first, then `cells` under `columns`, then what `rows` holds of the same rows.

    Columns of bytes and lists are left out, and long texts are cut.
    """
    readable = [field.name for field in rows.schema if not _is_bulky(field.type)]
    contents = rows.select(readable).to_pylist()
    return Table(
        (ROW, *columns, *readable),
        tuple(
            (row_id, *cell, *(_cell(content[name]) for name in readable))
            for row_id, cell, content in zip(row_ids, cells, contents, strict=True)
        ),
    )


def _is_bulky(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_nested(kind))


def _cell(value: Any) -> str | float:
    if value is None:
        return ""
    if isinstance(value, datetime.datetime):
        return value.isoformat(sep=" ", timespec="minutes")
    if isinstance(value, bool | str):
        text = str(value)
        return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}…"
    return float(value) if isinstance(value, int | float) else str(value)
