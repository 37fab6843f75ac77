"""One Delta table of the lake as its writer sees it: files that are on disk before a commit names them.

A commit carries the writer's own transaction number (Delta's `txn` action), so that after a crash the table
itself says whether a commit happened. Data files are written and synced first, then named by a log entry
that is itself synced before it can be seen. The writer keeps in memory what the table consists of and reads
it from the log once, when it opens the table.
"""

import contextlib
import os
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from services.common.lake import SEQUENCE, has_entries
from services.ingestion import delta_log
from services.ingestion.delta_log import DataFile, Metadata, Statistics, sync

KEEP_REMOVED_S = 3600.0
CHECKPOINT_EVERY = 100
_ROW_GROUP = 131_072
# Readers hold a few row groups in memory at a time.
_ROW_GROUP_BYTES = 64 * 1024 * 1024
# A file is put together with younger ones when they hold at least half of its bytes: each row is rewritten a
# logarithmic number of times.
_GROWTH = 2
# Putting files together holds up the table's next commit: about a second for this many rows.
_MANY_ROWS = 1_000_000


@dataclass(frozen=True)
class Prepared:
    """Rows in a file on the disk that no entry of the log names yet, and the entry that will."""

    file: DataFile
    metadata: Metadata
    actions: tuple[Mapping[str, Any], ...]


class DeltaFile:
    """A Delta table in a local folder. All calls are made from one thread at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._metadata: Metadata | None = None
        self._files: list[DataFile] = []
        self._version = -1
        self._number = 0
        self._checkpoint = 0
        self._stray: dict[str, float] = {}

    def open(self) -> None:
        """Reads from the disk what the table consists of."""
        self._metadata, self._files, self._version, self._number = None, [], -1, 0
        try:
            table = DeltaTable(str(self.folder))
        except TableNotFoundError:
            # delta-rs says the same of a folder that it may not read.
            if has_entries(self.folder):
                raise
            self._note_strays()
            return
        # What is about to be believed may have been written, but not synced, when the last commit failed.
        sync(self.folder / "_delta_log")
        self._metadata, self._files = delta_log.metadata_of(table), delta_log.files_of(table)
        self._version = self._checkpoint = table.version()
        self._number = table.transaction_version(delta_log.WRITER) or 0
        self._note_strays()

    def has_folders(self) -> bool:
        """Whether the table's folders are there, which come before its first commit."""
        return (self.folder / "_delta_log").is_dir()

    def committed(self) -> int:
        """Number of the writer's newest commit; 0 when there is none."""
        return self._number

    def row_count(self) -> int:
        """Rows in the table."""
        return sum(file.row_count for file in self._files)

    def file_count(self) -> int:
        """Files that the table consists of."""
        return len(self._files)

    def schema(self) -> pa.Schema | None:
        """Columns of the table; `None` when it does not exist."""
        return self._metadata.schema if self._metadata is not None else None

    def prepare(self, rows: pa.Table) -> Prepared:
        """Puts `rows` on the disk. `commit` makes them the table's, `discard` takes them away again.

        New columns become the table's in the same commit.
        """
        actions: list[Mapping[str, Any]] = []
        metadata = self._metadata
        if metadata is None:
            self._make_folders()
            metadata = Metadata.new(rows.schema)
            actions += [delta_log.PROTOCOL, metadata.action()]
        elif added := [field for field in rows.schema if field.name not in metadata.schema.names]:
            metadata = metadata.with_schema(pa.schema([*metadata.schema, *added]))
            actions.append(metadata.action())
        file, statistics = self._write([rows])
        actions.append(delta_log.addition(file, statistics.as_json(), data_change=True))
        return Prepared(file, metadata, tuple(actions))

    def commit(self, prepared: Prepared, number: int) -> None:
        """Makes prepared rows the table's newest, as the writer's commit `number`."""
        self._append_entry("WRITE", [delta_log.transaction(number), *prepared.actions], prepared.file)
        self._metadata, self._number = prepared.metadata, number
        self._files.append(prepared.file)

    def discard(self, file: DataFile) -> None:
        """Removes a file that the log does not name."""
        with contextlib.suppress(OSError):
            (self.folder / file.name).unlink()

    def compact(self, small_bytes: int, limit: int) -> int:
        """Puts neighbouring small files together when there are more than `limit`; how many were replaced.

        Rows keep their order. The old files stay for an hour, for readers that have them open.
        """
        chosen = _to_put_together(self._files, small_bytes, limit)
        if not chosen or self._metadata is None:
            return 0
        file, statistics = self._write(_row_groups(self.folder, chosen, self._metadata.schema))
        actions = [
            delta_log.addition(file, statistics.as_json(), data_change=False),
            *map(delta_log.removal, chosen),
        ]
        self._append_entry("OPTIMIZE", actions, file)
        place = self._files.index(chosen[0])
        self._files[place : place + len(chosen)] = [file]
        self._stray.update(dict.fromkeys((one.name for one in chosen), time.monotonic()))
        return len(chosen)

    def remove_strays(self) -> None:
        """Removes files that the table has not consisted of for an hour."""
        for name in [
            name for name, since in self._stray.items() if time.monotonic() - since > KEEP_REMOVED_S
        ]:
            (self.folder / name).unlink(missing_ok=True)
            del self._stray[name]

    def checkpoint(self) -> bool:
        """Sums the log up when it has grown by many entries, so that readers open it fast; whether it did."""
        if self._version - self._checkpoint < CHECKPOINT_EVERY:
            return False
        table = DeltaTable(str(self.folder))
        table.create_checkpoint()
        log = self.folder / "_delta_log"
        for path in (log / f"{table.version():020d}.checkpoint.parquet", log / "_last_checkpoint", log):
            sync(path)
        table.cleanup_metadata()
        self._checkpoint = self._version
        return True

    def _append_entry(self, operation: str, actions: Sequence[Mapping[str, Any]], file: DataFile) -> None:
        version = self._version + 1
        try:
            delta_log.append_entry(self.folder, version, operation, actions)
        except BaseException:
            # An entry that is there but may not be synced names the file; whoever opens the table finds out.
            if _is_absent(delta_log.entry_path(self.folder, version)):
                self.discard(file)
            raise
        self._version = version

    def _make_folders(self) -> None:
        log = self.folder / "_delta_log"
        log.mkdir(parents=True, exist_ok=True)
        for folder in (self.folder, *list(self.folder.parents)[:3]):
            sync(folder)

    def _write(self, parts: Iterable[pa.Table]) -> tuple[DataFile, Statistics]:
        """Writes the parts, one row group each, as a file that no entry of the log names yet."""
        name, statistics = f"part-{uuid.uuid4().hex}.parquet", Statistics()
        path = self.folder / name
        writer: pq.ParquetWriter | None = None
        first = 0
        try:
            for part in parts:
                if writer is None:
                    writer = pq.ParquetWriter(path, part.schema, compression="zstd", compression_level=1)
                    first = part.column(SEQUENCE)[0].as_py()
                writer.write_table(part, row_group_size=_rows_a_group(part.num_rows, part.nbytes))
                statistics.add(part)
            assert writer is not None
            writer.close()
            sync(path)
        except BaseException:
            if writer is not None:
                with contextlib.suppress(Exception):
                    writer.close()
            path.unlink(missing_ok=True)
            raise
        sync(self.folder)
        return DataFile(name, path.stat().st_size, first, statistics.row_count), statistics

    def _note_strays(self) -> None:
        """Files of commits that failed, or that were replaced before the service started, go when readers
        are done.
        """
        known = {file.name for file in self._files}
        found = self.folder.glob("part-*.parquet")
        self._stray = {path.name: time.monotonic() for path in found if path.name not in known} | {
            name: since for name, since in self._stray.items() if name not in known
        }


def _is_absent(path: Path) -> bool:
    """Whether nothing is there; false when that cannot be told."""
    try:
        os.stat(path)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return False


def _to_put_together(files: Sequence[DataFile], small_bytes: int, limit: int) -> list[DataFile]:
    """Neighbours worth putting together; empty when there are at most `limit` small files since the last one
    that is not.
    """
    small: list[DataFile] = []
    for file in reversed(files):
        if file.size_bytes >= small_bytes or file.row_count >= _MANY_ROWS:
            break
        small.insert(0, file)
    if len(small) <= limit:
        return []
    if (
        sum(file.row_count for file in small) > _MANY_ROWS
        or sum(file.size_bytes for file in small) > small_bytes
    ):
        return _oldest(small, small_bytes)
    count = total = 0
    for file in reversed(small):
        if count >= limit and file.size_bytes > _GROWTH * total:
            break
        count, total = count + 1, total + file.size_bytes
    return small[len(small) - count :]


def _oldest(files: Sequence[DataFile], small_bytes: int) -> list[DataFile]:
    """As many of the oldest as make a file that is not small any more."""
    size = rows = 0
    for count, file in enumerate(files, 1):
        size, rows = size + file.size_bytes, rows + file.row_count
        if count > 1 and (size >= small_bytes or rows >= _MANY_ROWS):
            return list(files[:count])
    return list(files)


def _row_groups(folder: Path, files: Sequence[DataFile], schema: pa.Schema) -> Iterator[pa.Table]:
    """The rows of `files` in full row groups, a few of them in memory at a time."""
    waiting: list[pa.Table] = []
    rows = size_bytes = 0
    for file in files:
        with pq.ParquetFile(folder / file.name) as source:
            groups = [source.metadata.row_group(index) for index in range(source.num_row_groups)]
            unpacked = sum(group.total_byte_size for group in groups)
            size = _rows_a_group(source.metadata.num_rows, unpacked)
            for batch in source.iter_batches(size, use_threads=False):
                waiting.append(_in_schema(pa.Table.from_batches([batch]), schema))
                rows, size_bytes = rows + batch.num_rows, size_bytes + batch.nbytes
                if rows >= _ROW_GROUP or size_bytes >= _ROW_GROUP_BYTES:
                    yield pa.concat_tables(waiting)
                    waiting, rows, size_bytes = [], 0, 0
    if waiting:
        yield pa.concat_tables(waiting)


def _rows_a_group(row_count: int, size_bytes: int) -> int:
    """Rows of a row group that is bounded in rows and, about, in bytes."""
    return max(1, min(_ROW_GROUP, row_count * _ROW_GROUP_BYTES // max(size_bytes, 1)))


def _in_schema(part: pa.Table, schema: pa.Schema) -> pa.Table:
    columns = [
        part.column(field.name).cast(field.type)
        if field.name in part.column_names
        else pa.nulls(part.num_rows, field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)
