"""The log of one Delta table in a local folder, as its only writer appends to it.

An entry is put on the disk whole and synced under another name, then linked to the name that readers look
for: they see all of it or nothing, and what they see survives a power cut. delta-rs would read the log back
twice for each commit, which costs ten times as much. Source: the Delta transaction log protocol
(https://github.com/delta-io/delta/blob/master/PROTOCOL.md), reader version 1, writer version 2.
"""

import json
import os
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable, Schema

from services.common.lake import SEQUENCE

WRITER = "boarfish-ingestion"
_STATISTICS = (SEQUENCE, "prediction_id", "event_time", "request_id")
_LONGEST_STATISTIC = 256
# Readers name versions by `_sequence`, so that old entries of the log are of use to open handles alone.
_CONFIGURATION = {"delta.logRetentionDuration": "interval 1 days"}


@dataclass(frozen=True)
class DataFile:
    """One Parquet file of a table: rows `first` to `first + row_count - 1` by `_sequence`."""

    name: str
    size_bytes: int
    first: int
    row_count: int


@dataclass(frozen=True)
class Metadata:
    """What a table is: its identity and its columns."""

    id: str
    created_ms: int
    schema: pa.Schema

    @classmethod
    def new(cls, schema: pa.Schema) -> "Metadata":
        """A table that is about to be made."""
        return cls(str(uuid.uuid4()), now_ms(), _as_delta_keeps(schema))

    def with_schema(self, schema: pa.Schema) -> "Metadata":
        """The same table with other columns."""
        return Metadata(self.id, self.created_ms, _as_delta_keeps(schema))

    def action(self) -> dict[str, Any]:
        """The log's `metaData`."""
        return {
            "metaData": {
                "id": self.id,
                "format": {"provider": "parquet", "options": {}},
                "schemaString": Schema.from_arrow(self.schema).to_json(),
                "partitionColumns": [],
                "createdTime": self.created_ms,
                "configuration": _CONFIGURATION,
            }
        }


PROTOCOL = {"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}}


def transaction(number: int) -> dict[str, Any]:
    """The log's `txn`: the writer's own number of a commit."""
    return {"txn": {"appId": WRITER, "version": number}}


def addition(file: DataFile, rows: Mapping[str, Any], *, data_change: bool) -> dict[str, Any]:
    """The log's `add` of a file with the statistics `rows`."""
    return {
        "add": {
            "path": file.name,
            "partitionValues": {},
            "size": file.size_bytes,
            "modificationTime": now_ms(),
            "dataChange": data_change,
            "stats": json.dumps(rows),
        }
    }


def removal(file: DataFile) -> dict[str, Any]:
    """The log's `remove` of a file whose rows stand in another one now."""
    return {
        "remove": {
            "path": file.name,
            "deletionTimestamp": now_ms(),
            "dataChange": False,
            "extendedFileMetadata": True,
            "partitionValues": {},
            "size": file.size_bytes,
        }
    }


def entry_path(folder: Path, version: int) -> Path:
    """Where the log says what version `version` changed."""
    return folder / "_delta_log" / f"{version:020d}.json"


def append_entry(folder: Path, version: int, operation: str, actions: Iterable[Mapping[str, Any]]) -> None:
    """Makes `actions` version `version` of the table in `folder`, on disk when this returns.

    Raises `FileExistsError` when the version is there already: someone else writes the table.
    """
    log = folder / "_delta_log"
    info = {"commitInfo": {"timestamp": now_ms(), "operation": operation, "engineInfo": WRITER}}
    content = "\n".join(json.dumps(action, allow_nan=False) for action in (info, *actions))
    unfinished = log / f".{uuid.uuid4().hex}.tmp"
    try:
        with unfinished.open("x", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.link(unfinished, entry_path(folder, version))
    finally:
        unfinished.unlink(missing_ok=True)
    sync(log)


def files_of(table: DeltaTable) -> list[DataFile]:
    """The files that a table consists of, in the order of their rows."""
    actions = pa.table(table.get_add_actions(flatten=True)).to_pylist()
    files = [
        DataFile(one["path"], one["size_bytes"], one[f"min.{SEQUENCE}"], one["num_records"])
        for one in actions
    ]
    return sorted(files, key=lambda file: file.first)


def metadata_of(table: DeltaTable) -> Metadata:
    """What a table is."""
    found = table.metadata()
    return Metadata(str(found.id), int(found.created_time or now_ms()), pa.schema(table.schema()))


class Statistics:
    """Counts and bounds of the columns that readers prune by, gathered over the parts of one file."""

    def __init__(self) -> None:
        self.row_count = 0
        self._bounds: dict[str, tuple[Any, Any]] = {}
        self._nulls: dict[str, int] = {}
        self._unknown: set[str] = set()

    def add(self, rows: pa.Table) -> None:
        """Counts the rows of a part."""
        self.row_count += rows.num_rows
        for name in _STATISTICS:
            if name not in rows.column_names:
                continue
            column = rows.column(name)
            self._nulls[name] = self._nulls.get(name, 0) + column.null_count
            if column.null_count == rows.num_rows:
                continue
            found = _bounds(column)
            if found is None:
                self._unknown.add(name)
                continue
            before = self._bounds.get(name, found)
            self._bounds[name] = (min(before[0], found[0]), max(before[1], found[1]))

    def as_json(self) -> dict[str, Any]:
        """The log's `stats`. A column without bounds is one that readers do not prune by."""
        bounds = {name: pair for name, pair in self._bounds.items() if name not in self._unknown}
        return {
            "numRecords": self.row_count,
            "minValues": {name: _json_value(pair[0]) for name, pair in bounds.items()},
            "maxValues": {name: _json_value(pair[1]) for name, pair in bounds.items()},
            "nullCount": {name: self._nulls[name] for name in bounds},
        }


def _bounds(column: pa.ChunkedArray) -> tuple[Any, Any] | None:
    kind = column.type
    if not (pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_timestamp(kind)):
        return None
    try:
        found = pc.min_max(column).as_py()
    except (OverflowError, ValueError):
        return None  # a time that Python cannot name
    low, high = found["min"], found["max"]
    if isinstance(low, str) and max(len(low), len(high)) > _LONGEST_STATISTIC:
        return None
    return low, high


def _json_value(value: Any) -> Any:
    return (
        value.isoformat(timespec="microseconds").replace("+00:00", "Z")
        if hasattr(value, "isoformat")
        else value
    )


def _as_delta_keeps(schema: pa.Schema) -> pa.Schema:
    return pa.schema(Schema.from_arrow(schema))


def sync(path: Path) -> None:
    """Forces a file or folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def now_ms() -> int:
    """The time, in milliseconds since 1970."""
    return int(time.time() * 1000)
