"""One Delta table of the lake as its writer sees it: files that are on disk before a commit names them.

A commit carries the writer's own transaction number (Delta's `txn` action), so that after a crash the table itself says whether a commit
happened. Files are written and synced first, then named by the log, then the log is synced: what has been committed
survives a power cut.
"""

import json
import os
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.exceptions import TableNotFoundError
from deltalake.transaction import AddAction, RemoveAction

from services.common.lake import SEQUENCE

WRITER = "boarfish-ingestion"
_STATISTICS = (SEQUENCE, "prediction_id", "event_time")
_KEEP_REMOVED_HOURS = 1


class DeltaFile:
    """A Delta table in a local folder. All calls are made from one thread at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._table: DeltaTable | None = None

    def open(self) -> None:
        """Looks whether the table is there."""
        if self._table is None:
            try:
                self._table = DeltaTable(str(self.folder))
            except TableNotFoundError:
                return
        self._table.update_incremental()

    def committed(self) -> int:
        """Number of the writer's newest commit; 0 when there is none."""
        return (self._table.transaction_version(WRITER) or 0) if self._table is not None else 0

    def row_count(self) -> int:
        """Rows in the table."""
        return self._table.count() if self._table is not None else 0

    def schema(self) -> pa.Schema | None:
        """Columns of the table; `None` when it does not exist."""
        return pa.schema(self._table.schema()) if self._table is not None else None

    def append(self, rows: pa.Table, number: int) -> None:
        """Commits `rows` as the writer's commit `number`. New columns are added to the table first."""
        if self._table is None:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            self._table = DeltaTable.create(str(self.folder), rows.schema, mode="ignore")
        else:
            present = set(pa.schema(self._table.schema()).names)
            if added := [field for field in rows.schema if field.name not in present]:
                from deltalake import Schema

                self._table.alter.add_columns(list(Schema.from_arrow(pa.schema(added)).fields))
        add = self._write(rows, data_change=True)
        self._commit([add], CommitProperties(app_transactions=[Transaction(WRITER, number)]))

    def compact(self, small_bytes: int, limit: int) -> int:
        """Puts neighbouring small files together when there are more than `limit`; how many were replaced.

        Rows keep their order. The old files stay for an hour, for readers that have them open.
        """
        if self._table is None:
            return 0
        actions = pa.table(self._table.get_add_actions(flatten=True)).sort_by(f"min.{SEQUENCE}").to_pylist()
        small = [action for action in actions if action["size_bytes"] < small_bytes]
        if len(small) <= limit:
            return 0
        schema = pa.schema(self._table.schema())
        parts = [pq.read_table(self.folder / action["path"]) for action in small]
        rows = pa.concat_tables([_in_schema(part, schema) for part in parts]).sort_by(SEQUENCE)
        add = self._write(rows, data_change=False)
        removed = [
            RemoveAction(
                path=action["path"],
                size=action["size_bytes"],
                partition_values={},
                data_change=False,
                deletion_timestamp=_now_ms(),
            )
            for action in small
        ]
        self._commit([add, *removed], CommitProperties())
        self._table.vacuum(retention_hours=_KEEP_REMOVED_HOURS, dry_run=False, enforce_retention_duration=False)
        self._table.update_incremental()
        return len(small)

    def _write(self, rows: pa.Table, *, data_change: bool) -> AddAction:
        self.folder.mkdir(parents=True, exist_ok=True)
        name = f"part-{uuid.uuid4().hex}.parquet"
        path = self.folder / name
        pq.write_table(rows, path, compression="zstd", compression_level=1, row_group_size=131_072)
        sync(path)
        return AddAction(
            path=name,
            size=path.stat().st_size,
            partition_values={},
            modification_time=_now_ms(),
            data_change=data_change,
            stats=json.dumps(_statistics(rows)),
        )

    def _commit(self, actions: Sequence[AddAction | RemoveAction], properties: CommitProperties) -> None:
        table = self._table
        assert table is not None
        sync(self.folder)
        table.create_write_transaction(
            list(actions), "append", schema=table.schema(), commit_properties=properties
        )
        table.update_incremental()
        log = self.folder / "_delta_log"
        sync(log / f"{table.version():020d}.json")
        sync(log)
        sync(self.folder)


def sync(path: Path) -> None:
    """Forces a file or folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _in_schema(part: pa.Table, schema: pa.Schema) -> pa.Table:
    columns = [
        part.column(field.name).cast(field.type) if field.name in part.column_names else pa.nulls(part.num_rows, field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)


def _statistics(rows: pa.Table) -> dict[str, object]:
    """Delta statistics of the columns that readers prune by."""
    import pyarrow.compute as pc

    smallest: dict[str, object] = {}
    largest: dict[str, object] = {}
    for name in _STATISTICS:
        if name in rows.column_names and rows.column(name).null_count < rows.num_rows:
            bounds = pc.min_max(rows.column(name)).as_py()
            smallest[name], largest[name] = (_json_value(bounds[side]) for side in ("min", "max"))
    nulls = {name: rows.column(name).null_count for name in smallest}
    return {"numRecords": rows.num_rows, "minValues": smallest, "maxValues": largest, "nullCount": nulls}


def _json_value(value: object) -> object:
    return value.isoformat(timespec="microseconds").replace("+00:00", "Z") if hasattr(value, "isoformat") else value


def _now_ms() -> int:
    return int(time.time() * 1000)
