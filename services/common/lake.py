"""The lake, as others read it: Delta tables under one root. Ingestion alone writes them.

    <root>/records/<dataset>          <root>/amendments/<dataset>
    <root>/predictions/<deployment>   <root>/labels/<deployment>    <root>/profiles/all

Every table has a column `_sequence`: int64, from 1, without gaps, increasing in the order in which rows were
acknowledged. A version of a table is the `_sequence` of its last row: version 68,785 is the first 68,785
rows, whatever has been compacted since, and a reader that has seen version N asks for what is greater than
N. Records are read through `services.common.datasets`, which knows what has become of them.
"""

import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlparse

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

if TYPE_CHECKING:
    from deltalake import DeltaTable

SEQUENCE = "_sequence"
PROFILES = "all"
REFRESH_AT_LEAST_S = 600.0


class TableKind(StrEnum):
    """What a table holds; also its folder's name."""

    RECORDS = "records"
    AMENDMENTS = "amendments"
    PREDICTIONS = "predictions"
    LABELS = "labels"
    PROFILES = "profiles"


class Lake:
    """The tables under one root: a local folder or an object store's URL."""

    def __init__(self, root: str | Path, storage_options: Mapping[str, str] | None = None) -> None:
        self.root = str(root)
        self._options = dict(storage_options or {})
        self._tables: dict[tuple[TableKind, str], LakeTable] = {}

    def table(self, kind: TableKind, name: str) -> "LakeTable":
        """A table that may not exist yet. The same object is given for the same name."""
        key = (kind, name)
        if key not in self._tables:
            self._tables[key] = LakeTable(f"{self.root}/{kind}/{name}", self._options)
        return self._tables[key]

    def names(self, kind: TableKind) -> list[str]:
        """Names of the tables of a kind that exist, sorted."""
        if urlparse(self.root).scheme not in ("", "file"):
            return self._remote_names(kind)
        folder = Path(self.root) / kind
        return sorted(path.name for path in folder.iterdir() if has_entries(path)) if folder.is_dir() else []

    def _remote_names(self, kind: TableKind) -> list[str]:
        from pyarrow import fs

        filesystem, path = fs.FileSystem.from_uri(f"{self.root}/{kind}")
        found = filesystem.get_file_info(fs.FileSelector(path, allow_not_found=True))
        return sorted(info.base_name for info in found if info.type == fs.FileType.Directory)


class LakeTable:
    """One Delta table. Reads see what is newest at the time of the call; each looks at the log once."""

    def __init__(self, uri: str, storage_options: Mapping[str, str]) -> None:
        self.uri = uri
        self._options = dict(storage_options)
        self._log = Path(uri) / "_delta_log" if urlparse(uri).scheme == "" else None
        self._handle: DeltaTable | None = None
        self._refreshed = 0.0
        self._newest: _Snapshot | None = None
        self._lock = threading.Lock()

    def exists(self) -> bool:
        """Whether its first rows have been acknowledged."""
        return self._snapshot() is not None

    def schema(self) -> pa.Schema:
        """Columns and Arrow types, `_sequence` included.

        Raises `FileNotFoundError` when the table does not exist.
        """
        return self._present().dataset.schema

    def last_sequence(self) -> int:
        """`_sequence` of the newest row, which is the table's version and its number of rows; 0 when it does
        not exist.
        """
        snapshot = self._snapshot()
        return snapshot.row_count if snapshot is not None else 0

    def row_count(self, version: int | None = None) -> int:
        """Rows up to `version`; of all when it is `None`. Read from file statistics, not from rows."""
        newest = self.last_sequence()
        return newest if version is None else min(version, newest)

    def scan(
        self,
        *,
        version: int | None = None,
        after: int = 0,
        columns: Sequence[str] | None = None,
        where: pc.Expression | None = None,
        batch_size: int = 65536,
    ) -> Iterator[pa.RecordBatch]:
        """Rows with `after < _sequence <= version` that satisfy `where`, in batches of at most `batch_size`
        rows. `where` may ask about columns that files have statistics of; about others it finds nothing.

        Files whose statistics show that they hold no such row are not opened; the others are read oldest
        first. Within a file rows stand as they were acknowledged. Yields nothing when the table does not
        exist.
        """
        snapshot = self._snapshot()
        if snapshot is not None:
            yield from snapshot.scan(version, after, columns, where, batch_size)

    def read(
        self,
        *,
        version: int | None = None,
        after: int = 0,
        columns: Sequence[str] | None = None,
        where: pc.Expression | None = None,
    ) -> pa.Table:
        """The rows of `scan` in one table, in order of `_sequence`.

        Raises `FileNotFoundError` when it does not exist.
        """
        snapshot = self._present()
        schema = snapshot.dataset.schema
        names = list(columns) if columns is not None else schema.names
        with_sequence = list(dict.fromkeys([*names, SEQUENCE]))
        batches = list(snapshot.scan(version, after, with_sequence, where, 65536))
        table = pa.Table.from_batches(batches, pa.schema([schema.field(name) for name in with_sequence]))
        return table.select(names)

    def _present(self) -> "_Snapshot":
        snapshot = self._snapshot()
        if snapshot is None:
            raise FileNotFoundError(f"{self.uri} has no rows yet")
        return snapshot

    def _snapshot(self) -> "_Snapshot | None":
        with self._lock:
            handle = self._refresh()
            if handle is None:
                return None
            if self._newest is None or self._newest.version != handle.version():
                self._newest = _Snapshot(handle, self._lock)
            return self._newest

    def _refresh(self) -> "DeltaTable | None":
        from deltalake import DeltaTable
        from deltalake.exceptions import TableNotFoundError

        if self._handle is None:
            if self._log is not None and not os.path.exists(self._log):
                return None  # looked for at every call until it comes
            try:
                handle = DeltaTable(self.uri, storage_options=self._options)
            except TableNotFoundError:
                return None
            self._handle, self._refreshed = handle, time.monotonic()
        elif self._is_behind(self._handle):
            self._handle.update_incremental()
            self._refreshed = time.monotonic()
        return self._handle

    def _is_behind(self, handle: "DeltaTable") -> bool:
        """Whether the log may have grown.

        A log that was cut behind the handle's back is noticed by the time that passed.
        """
        if self._log is None or time.monotonic() - self._refreshed > REFRESH_AT_LEAST_S:
            return True
        return (self._log / f"{handle.version() + 1:020d}.json").exists()


class _Snapshot:
    """A Delta version of a table, laid out for reading; it never changes."""

    def __init__(self, handle: "DeltaTable", lock: threading.Lock) -> None:
        self.version: int = handle.version()
        actions = pa.table(handle.get_add_actions(flatten=True))
        self.row_count = int(pc.sum(actions.column("num_records")).as_py() or 0)
        self._first = dict(
            zip(
                (Path(path).name for path in actions.column("path").to_pylist()),
                actions.column(f"min.{SEQUENCE}").to_pylist(),
                strict=True,
            )
        )
        self._handle = handle
        self._lock = lock
        self._dataset: ds.Dataset | None = None

    @property
    def dataset(self) -> ds.Dataset:
        """The files with their statistics.

        Laying them out costs more than reading a small batch: it is done once, when needed.
        """
        with self._lock:
            if self._dataset is None:
                handle = self._handle
                if handle.version() != self.version:  # another thread has moved it on
                    handle = type(handle)(handle.table_uri, self.version, handle._storage_options)
                self._dataset = handle.to_pyarrow_dataset()
            return self._dataset

    def scan(
        self,
        version: int | None,
        after: int,
        columns: Sequence[str] | None,
        where: pc.Expression | None,
        batch_size: int,
    ) -> Iterator[pa.RecordBatch]:
        """See `LakeTable.scan`."""
        wanted = where
        for bound in _bounds(version, after):
            wanted = bound if wanted is None else wanted & bound
        names = list(columns) if columns is not None else self.dataset.schema.names
        fragments = sorted(
            self.dataset.get_fragments(filter=wanted),
            key=lambda fragment: self._first.get(Path(fragment.path).name, 0),
        )
        for fragment in fragments:
            batches = fragment.to_batches(
                schema=self.dataset.schema,
                columns=names,
                filter=wanted,
                batch_size=batch_size,
                use_threads=False,
            )
            for batch in batches:
                if batch.num_rows:
                    yield batch


def has_entries(folder: Path) -> bool:
    """Whether the log of the table in `folder` says anything.

    The log's folder comes before the first commit, and stays if that fails. Raises `PermissionError` when it
    may not be read.
    """
    try:
        with os.scandir(folder / "_delta_log") as entries:
            return any(entry.name.endswith(".json") for entry in entries)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _bounds(version: int | None, after: int) -> Iterator[pc.Expression]:
    if version is not None:
        yield pc.field(SEQUENCE) <= version
    if after > 0:
        yield pc.field(SEQUENCE) > after
