"""The lake, as others read it: Delta tables under one root. Ingestion alone writes them.

    <root>/records/<dataset>  <root>/predictions/<deployment>  <root>/labels/<deployment>  <root>/profiles/all

Every table has a column `_sequence`: int64, from 1, without gaps, increasing in the order in which rows were
acknowledged. A version of a table is the `_sequence` of its last row: version 68,785 is the first 68,785 rows, whatever
has been compacted since, and a reader that has seen version N asks for what is greater than N.
"""

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlparse

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.dataset

SEQUENCE = "_sequence"
PROFILES = "all"


class TableKind(StrEnum):
    """What a table holds; also its folder's name."""

    RECORDS = "records"
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
        return sorted(path.name for path in folder.iterdir() if (path / "_delta_log").is_dir()) if folder.is_dir() else []

    def _remote_names(self, kind: TableKind) -> list[str]:
        from pyarrow import fs

        filesystem, path = fs.FileSystem.from_uri(f"{self.root}/{kind}")
        found = filesystem.get_file_info(fs.FileSelector(path, allow_not_found=True))
        return sorted(info.base_name for info in found if info.type == fs.FileType.Directory)


class LakeTable:
    """One Delta table. Reads see what is newest at the time of the call."""

    def __init__(self, uri: str, storage_options: Mapping[str, str]) -> None:
        self.uri = uri
        self._options = dict(storage_options)
        self._handle: object | None = None
        self._opened: tuple[int, ds.Dataset] | None = None

    def exists(self) -> bool:
        """Whether its first rows have been acknowledged."""
        return self._open() is not None

    def schema(self) -> pa.Schema:
        """Columns and Arrow types, `_sequence` included. Raises `FileNotFoundError` when the table does not exist."""
        return self._dataset().schema

    def last_sequence(self) -> int:
        """`_sequence` of the newest row, which is the table's version and its number of rows; 0 when it does not exist."""
        handle = self._open()
        if handle is None:
            return 0
        counts = pa.table(handle.get_add_actions(flatten=True)).column("num_records")  # type: ignore[attr-defined]
        return int(pc.sum(counts).as_py() or 0)

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
        """Rows with `after < _sequence <= version` that satisfy `where`, in batches of at most `batch_size` rows.

        Files whose statistics show that they hold no such row are not opened; the others are read oldest first. Within a file rows
        stand as they were acknowledged. Yields nothing when the table does not exist.
        """
        if self._open() is None:
            return
        dataset = self._dataset()
        wanted = where
        for bound in self._bounds(version, after):
            wanted = bound if wanted is None else wanted & bound
        names = list(columns) if columns is not None else dataset.schema.names
        oldest_first = self._first_sequences()
        fragments = sorted(
            dataset.get_fragments(filter=wanted), key=lambda fragment: oldest_first.get(Path(fragment.path).name, 0)
        )
        for fragment in fragments:
            batches = fragment.to_batches(
                schema=dataset.schema, columns=names, filter=wanted, batch_size=batch_size, use_threads=False
            )
            for batch in batches:
                if batch.num_rows:
                    yield batch

    def read(
        self,
        *,
        version: int | None = None,
        after: int = 0,
        columns: Sequence[str] | None = None,
        where: pc.Expression | None = None,
    ) -> pa.Table:
        """The rows of `scan` in one table, in order of `_sequence`. Raises `FileNotFoundError` when it does not exist."""
        schema = self.schema()
        names = list(columns) if columns is not None else schema.names
        with_sequence = list(dict.fromkeys([*names, SEQUENCE]))
        batches = list(self.scan(version=version, after=after, columns=with_sequence, where=where))
        table = pa.Table.from_batches(batches, pa.schema([schema.field(name) for name in with_sequence]))
        return table.sort_by(SEQUENCE).select(names)

    @staticmethod
    def _bounds(version: int | None, after: int) -> Iterator[pc.Expression]:
        if version is not None:
            yield pc.field(SEQUENCE) <= version
        if after > 0:
            yield pc.field(SEQUENCE) > after

    def _first_sequences(self) -> dict[str, int]:
        actions = pa.table(self._open().get_add_actions(flatten=True))  # type: ignore[union-attr]
        names = [Path(path).name for path in actions.column("path").to_pylist()]
        return dict(zip(names, actions.column(f"min.{SEQUENCE}").to_pylist(), strict=True))

    def _dataset(self) -> ds.Dataset:
        handle = self._open()
        if handle is None:
            raise FileNotFoundError(f"{self.uri} has no rows yet")
        version = handle.version()  # type: ignore[attr-defined]
        if self._opened is None or self._opened[0] != version:
            # Laying out every file's statistics costs more than reading a small batch: once a version is enough.
            self._opened = (version, handle.to_pyarrow_dataset())  # type: ignore[attr-defined]
        return self._opened[1]

    def _open(self) -> "object | None":
        from deltalake import DeltaTable
        from deltalake.exceptions import TableNotFoundError

        if self._handle is None:
            try:
                self._handle = DeltaTable(self.uri, storage_options=self._options)
            except TableNotFoundError:
                return None
        else:
            self._handle.update_incremental()  # type: ignore[attr-defined]
        return self._handle
