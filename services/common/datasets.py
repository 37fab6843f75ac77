"""A dataset as it reads: its records with the amendments that people made to them, version by version.

Records and amendments are two tables of the lake, each with a `_sequence` of its own. A dataset's version
counts both in the order in which they were acknowledged: version 103 may be the first 100 records and the
first 3 amendments. While an amendment is made no record is, and it keeps in `after` how many there were; so
amendment k is version `after + k`, and which records and amendments a version holds follows from `after`
alone. A dataset without amendments has the versions of its records.
"""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from services.common.lake import SEQUENCE, Lake, TableKind

# `record` is the record's `_sequence`; `label` is null where the record is no more; `column` is the target's.
AMENDMENTS = pa.schema(
    {
        "record": pa.int64(),
        "after": pa.int64(),
        "row_id": pa.utf8(),
        "column": pa.utf8(),
        "label": pa.utf8(),
        "amended_by": pa.utf8(),
        "reason": pa.utf8(),
        "amend_time": pa.timestamp("us", "UTC"),
        "request_id": pa.utf8(),
    }
)
_READ = ["record", "after", "column", "label"]


@dataclass(frozen=True)
class History:
    """The amendments of a dataset in order, (A,): which record, how many there were, and its new label.

    A record that is no more is not amended again.
    """

    amendments: pa.Table

    @property
    def after(self) -> np.ndarray:
        """Records that were there at each amendment, int64 `(A,)`, never falling."""
        return np.asarray(self.amendments["after"].to_numpy())

    def split(self, version: int) -> tuple[int, int]:
        """How many records and how many amendments a version holds."""
        after = self.after
        count = int(np.searchsorted(after + np.arange(1, len(after) + 1), version, side="right"))
        return version - count, count

    def version_of(self, record: int) -> int:
        """The first version that holds the record with this `_sequence`."""
        return record + int(np.searchsorted(self.after, record, side="left"))

    def deleted(self, count: int) -> np.ndarray:
        """Records that the first `count` amendments took away, int64, sorted."""
        first = self.amendments.slice(0, count)
        return np.sort(first.filter(pc.is_null(first["label"]))["record"].to_numpy())

    def changes(self, count: int) -> "Changes":
        """What the first `count` amendments come to: of several on one record the last holds."""
        first = self.amendments.slice(0, count)
        labelled = first.filter(pc.is_valid(first["label"]))
        records = labelled["record"].to_numpy()
        # `unique` gives the first place of each: of the reverse, the last.
        relabelled, place = np.unique(records[::-1], return_index=True)
        labels = labelled["label"].take(pa.array(len(records) - 1 - place)).combine_chunks()
        column = labelled["column"][0].as_py() if labelled.num_rows else ""
        return Changes(self.deleted(count), relabelled, labels, column)


@dataclass(frozen=True)
class Changes:
    """Records to leave out and records whose `column` has another value; both int64, sorted, none twice."""

    deleted: np.ndarray
    relabelled: np.ndarray
    labels: pa.Array
    column: str

    def __bool__(self) -> bool:
        return bool(len(self.deleted) or len(self.relabelled))

    def apply(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """`batch`, which has `_sequence`, after the changes."""
        sequence = batch.column(SEQUENCE).to_numpy()
        hit, place = _find(self.relabelled, sequence)
        position = batch.schema.get_field_index(self.column)
        if position >= 0 and hit.any():
            kept = batch.column(position)
            new = self.labels.take(pa.array(place, mask=~hit)).cast(kept.type)
            changed = pc.if_else(pa.array(hit), new, kept)
            batch = batch.set_column(position, batch.schema.field(position), changed)
        gone, _ = _find(self.deleted, sequence)
        return batch.filter(pa.array(~gone)) if gone.any() else batch


class Dataset:
    """Reads one dataset; each call sees what is newest. Safe to share between threads."""

    def __init__(self, lake: Lake, name: str) -> None:
        self.name = name
        self._records = lake.table(TableKind.RECORDS, name)
        self._amendments = lake.table(TableKind.AMENDMENTS, name)
        self._known = History(AMENDMENTS.empty_table().select(_READ))
        self._lock = threading.Lock()

    def latest_version(self) -> int:
        """Newest version; 0 when nothing has been acknowledged yet."""
        # Records first: then no amendment that came before one of them can be lacking.
        records = self._records.last_sequence()
        return records + int(np.searchsorted(self.history().after, records, side="right"))

    def row_count(self, version: int) -> int:
        """Rows of a version that is there."""
        history = self.history()
        records, count = history.split(version)
        return records - len(history.deleted(count))

    def schema(self) -> pa.Schema:
        """Columns and Arrow types, without the lake's own.

        Raises `FileNotFoundError` when no row has been acknowledged yet.
        """
        return pa.schema([field for field in self._records.schema() if field.name != SEQUENCE])

    def scan(self, version: int, columns: Sequence[str], batch_size: int = 65536) -> Iterator[pa.RecordBatch]:
        """Rows of a version in the order in which they were acknowledged, in batches of at most
        `batch_size`.
        """
        history = self.history()
        records, count = history.split(version)
        changes = history.changes(count)
        names = [*columns, SEQUENCE] if changes else columns
        for batch in self._records.scan(version=records, columns=names, batch_size=batch_size):
            if not changes:
                yield batch
            elif (changed := changes.apply(batch)).num_rows:
                yield changed.select(list(columns))

    def read(self, version: int, columns: Sequence[str]) -> pa.Table:
        """The rows of `scan` in one table."""
        schema = self.schema()
        return pa.Table.from_batches(
            self.scan(version, columns), pa.schema([schema.field(name) for name in columns])
        )

    def history(self) -> History:
        """Its amendments up to now."""
        with self._lock:
            known = self._known.amendments
            if self._amendments.last_sequence() > known.num_rows:
                more = self._amendments.read(after=known.num_rows, columns=_READ)
                self._known = History(pa.concat_tables([known, more]).combine_chunks())
            return self._known


def _find(among: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which of `wanted` stand in the sorted `among`, bool `(N,)`, and where, int64 `(N,)`."""
    place = np.searchsorted(among, wanted)
    place[place == len(among)] = 0
    return (among[place] == wanted if len(among) else np.zeros(len(wanted), bool)), place
