"""What validation rows have in common with training rows and should not: then a model is judged on what it
has seen.

Kaufman and others, "Leakage in Data Mining", KDD 2011. Looked at: groups and ids on both sides, rows that are
there twice, pictures that are nearly the same, and times that run backwards. A leak is a warning and not an
error, since only people can tell a copy from two who are alike.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from models.recipe import Problem

Ints = npt.NDArray[np.int64]

NAMED_PAIRS = 3
# Pictures of each part that are compared: decoding them takes about a millisecond each.
MAX_PICTURES = 10_000
THUMBNAIL = 16
# Mean difference of two thumbnails, of 255 grey levels, at which their pictures are the same to the eye: what
# another size or a JPEG of good quality changes is less.
SAME_PICTURE = 4.0
# Training pictures that share an eighth of their hash with a validation picture and are looked at closely.
CANDIDATES = 20


@dataclass(frozen=True)
class Leak:
    """Row `valid_rows[k]` of the table is in validation and has something in common with `train_rows[k]`,
    which is in training; int64 `(K,)` both, one pair for each validation row. `kind`: "group", "id", "row",
    "picture", "time".
    """

    kind: str
    sentence: str
    valid_rows: Ints
    train_rows: Ints


def find_leaks(table: pa.Table, train_index: Ints, valid_index: Ints, problem: Problem) -> list[Leak]:
    """All leaks between the rows at `train_index` and at `valid_index`, the surest first.

    Time grows with n log n; a million rows of ten columns take a second or two. Of more than 10,000 pictures
    a part, as many are compared, evenly chosen. Nothing is found where a part is empty.
    """
    if not len(train_index) or not len(valid_index):
        return []
    parts = _Parts(table, np.asarray(train_index), np.asarray(valid_index), problem)
    looks: list[Callable[[_Parts], Leak | None]] = [_group, _id, _row, _time]
    found = [leak for look in looks if (leak := look(parts)) is not None]
    seen = next((leak.valid_rows for leak in found if leak.kind == "row"), np.empty(0, np.int64))
    return [*found, *_pictures(parts, seen)]


@dataclass(frozen=True)
class _Parts:
    """A table and its two parts."""

    table: pa.Table
    train: Ints
    valid: Ints
    problem: Problem

    def named(self, valid_rows: Ints, train_rows: Ints) -> str:
        """The first few pairs in words."""
        column = self.problem.id_column
        pairs = []
        for pair in zip(valid_rows[:NAMED_PAIRS], train_rows[:NAMED_PAIRS], strict=True):
            if column in self.table.column_names:
                valid, train = (f"{column} {self.table.column(column)[int(row)].as_py()}" for row in pair)
            else:
                valid, train = (f"row {row}" for row in pair)
            pairs.append(f"{valid} and {train}")
        more = " and others" if len(valid_rows) > NAMED_PAIRS else ""
        return "; ".join(pairs) + more

    def counted(self, count: int) -> str:
        """How many validation rows."""
        return f"{count:,} of {len(self.valid):,} validation rows ({count / len(self.valid):.1%})"

    def leak(self, kind: str, places: tuple[Ints, Ints], sentence: str) -> Leak | None:
        """`places` are pairs of places within the parts; `sentence` has room for the count and the names."""
        valid_rows, train_rows = self.valid[places[0]], self.train[places[1]]
        if not len(valid_rows):
            return None
        said = sentence.format(rows=self.counted(len(valid_rows)), named=self.named(valid_rows, train_rows))
        return Leak(kind, said, valid_rows, train_rows)

    def same_value(self, column: str) -> tuple[Ints, Ints]:
        """Pairs whose `column` is the same and not missing."""
        train = self.table.column(column).take(pa.array(self.train)).combine_chunks()
        valid = self.table.column(column).take(pa.array(self.valid)).combine_chunks()
        found = pc.index_in(valid, value_set=train, skip_nulls=True)
        places = np.asarray(pc.fill_null(found, -1).to_numpy(), np.int64)
        return np.flatnonzero(places >= 0), places[places >= 0]


def _group(parts: _Parts) -> Leak | None:
    column = parts.problem.group_column
    if column not in parts.table.column_names:
        return None
    return parts.leak(
        "group",
        parts.same_value(column),
        f"{{rows}} are of a group ({column}) that training has rows of ({{named}}). Split by group.",
    )


def _id(parts: _Parts) -> Leak | None:
    column = parts.problem.id_column
    if column not in parts.table.column_names:
        return None
    return parts.leak(
        "id",
        parts.same_value(column),
        f"{{rows}} have the {column} of a training row ({{named}}). Put each row once, or split by group "
        "on it.",
    )


def _row(parts: _Parts) -> Leak | None:
    names = [*(one.name for one in parts.problem.inputs), *parts.problem.target.names]
    if parts.problem.time_column:
        names.append(parts.problem.time_column)
    hashes = row_hashes(parts.table.select(list(dict.fromkeys(names))))
    return parts.leak(
        "row",
        _same_number(hashes[parts.valid], hashes[parts.train]),
        "{rows} are equal to a training row in every input and the target ({named}). If they are copies, "
        "put each row once; if they are different things that are alike, nothing is wrong.",
    )


def _time(parts: _Parts) -> Leak | None:
    column = parts.problem.time_column
    if column not in parts.table.column_names:
        return None
    times = parts.table.column(column)
    train, valid = (times.take(pa.array(rows)) for rows in (parts.train, parts.valid))
    latest = pc.max(train)
    if not latest.is_valid:
        return None
    last = pc.index(train, latest).as_py()
    earlier = np.flatnonzero(pc.fill_null(pc.less(valid, latest), False).to_numpy())
    return parts.leak(
        "time",
        (earlier, np.full(len(earlier), last)),
        f"{{rows}} are earlier in {column} than the latest training row ({{named}}): the model has seen "
        "their future. If it will be used on what is yet to come, split by time.",
    )


def _pictures(parts: _Parts, seen: Ints) -> Iterator[Leak]:
    """Of each picture input, pairs that look the same; not those of `seen` rows, which are named already."""
    for name in parts.problem.of_type("image"):
        column = parts.table.column(name)
        train, valid = (_evenly(rows) for rows in (parts.train, np.setdiff1d(parts.valid, seen)))
        (train, train_small), (valid, valid_small) = (_thumbnails(column, rows) for rows in (train, valid))
        left, right = _same_pictures(valid_small, train_small)
        if not len(left):
            continue
        compared = min(len(parts.train), len(parts.valid)) > MAX_PICTURES
        sampled = f" Of each part {MAX_PICTURES:,} were compared." if compared else ""
        yield Leak(
            "picture",
            f"{parts.counted(len(left))} have a {name} that looks the same as one in training "
            f"({parts.named(valid[left], train[right])}). If they show the same thing, split by group."
            f"{sampled}",
            valid[left],
            train[right],
        )


def row_hashes(table: pa.Table) -> npt.NDArray[np.uint64]:
    """A 64-bit hash of each row, uint64 `(N,)`; missing values and NaN are values too."""
    import polars as pl

    frame = pl.DataFrame(pl.from_arrow(table))
    return frame.hash_rows(seed=0).to_numpy()


def _same_number(valid: npt.NDArray[np.uint64], train: npt.NDArray[np.uint64]) -> tuple[Ints, Ints]:
    """Places in `valid` whose number is in `train`, and where."""
    order = np.argsort(train, kind="stable")
    found = np.minimum(np.searchsorted(train[order], valid), len(train) - 1)
    same = np.flatnonzero(train[order][found] == valid)
    return same, order[found[same]]


def _evenly(rows: Ints) -> Ints:
    if len(rows) <= MAX_PICTURES:
        return rows
    return rows[np.linspace(0, len(rows) - 1, MAX_PICTURES).astype(np.int64)]


def _thumbnails(column: pa.ChunkedArray, rows: Ints) -> tuple[Ints, npt.NDArray[np.float32]]:
    """The rows whose picture can be read, and those pictures made small, float32 `(N, 16, 16, 3)`."""
    from models.data.pictures import read_pictures

    found = read_pictures(column.take(pa.array(rows)), THUMBNAIL)
    readable = found.readable
    return rows[readable], found.pixels[readable].astype(np.float32)


def _same_pictures(valid: npt.NDArray[np.float32], train: npt.NDArray[np.float32]) -> tuple[Ints, Ints]:
    """Places of pairs that look the same, one for each validation picture at most.

    Candidates share one of eight parts of an average hash of 256 bits (light or dark against the picture's
    mean); their thumbnails are then compared.
    """
    best = np.full(len(valid), np.inf, np.float32)
    partner = np.full(len(valid), -1)
    if not len(valid) or not len(train):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    for valid_word, train_word in zip(_average_hash(valid).T, _average_hash(train).T, strict=True):
        order = np.argsort(train_word, kind="stable")
        first = np.searchsorted(train_word[order], valid_word, "left")
        end = np.searchsorted(train_word[order], valid_word, "right")
        for step in range(CANDIDATES):
            left = np.flatnonzero(first + step < end)
            if not len(left):
                break
            right = order[first[left] + step]
            apart = np.abs(valid[left] - train[right]).mean((1, 2, 3))
            nearer = apart < best[left]
            best[left[nearer]], partner[left[nearer]] = apart[nearer], right[nearer]
    same = np.flatnonzero(best <= SAME_PICTURE)
    return same, partner[same]


def _average_hash(pictures: npt.NDArray[np.float32]) -> npt.NDArray[np.uint32]:
    """uint32 `(N, 8)`: a bit a pixel, whether it is lighter than the picture's mean."""
    grey = pictures.mean(3).reshape(len(pictures), -1)  # (N, 256)
    bits = np.packbits(grey > grey.mean(1, keepdims=True), axis=1)
    return bits.view(np.uint32)
