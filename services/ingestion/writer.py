"""The only writer of a lake table: many callers' rows, one commit, written once and acknowledged when on
disk.

Rows that arrive while a commit is under way wait and go together in the next one (group commit). Exactly
once: before a commit the requests that it holds are noted in ingestion's database under the commit's number;
the Delta commit carries the same number. After a crash the table says which number was committed last, and
notes of later numbers do not count, so a caller that sends again is written if and only if it was not
before. A note is made when the one before has come true: a table that is more than one number behind has
lost rows, and nothing is written to it until they are back.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import sqlalchemy as sa
from boarfish.errors import (
    BoarfishError,
    FailedPrecondition,
    FieldViolation,
    InvalidArgument,
    ResourceExhausted,
)

from services.common.lake import SEQUENCE
from services.common.storage import ROWS_MISSING, writing_to
from services.ingestion.delta import DeltaFile
from services.ingestion.notes import Notes, Written
from services.ingestion.settings import IngestionSettings

logger = logging.getLogger(__name__)

RETRY_AFTER_S = 0.5
# One query names the requests of a group; SQLite's own bound is 32,766 values.
MOST_PUTS = 10_000


@dataclass
class _Put:
    rows: pa.Table
    size_bytes: int
    done: "asyncio.Future[Written]"
    request_id: str = ""
    spool_id: str = ""
    offset: int = 0
    after: "_Put | None" = None
    written: Written | None = None
    error: Exception | None = None

    def settle(self) -> None:
        """Tells the caller."""
        self.after = None
        if self.done.done():
            return
        if self.error is not None:
            self.done.set_exception(self.error)
        elif self.written is not None:
            self.done.set_result(self.written)


class Spooled:
    """The puts of one stream of a spool, in order. After one that failed, none of the stream is taken.

    A later offset that is written marks every earlier one as written; so the sender must begin again at what
    failed.
    """

    def __init__(self) -> None:
        self._last: dict[TableWriter, _Put] = {}

    def link(self, writer: "TableWriter", put: _Put) -> None:
        """Puts `put` behind what the stream sent before."""
        put.after, self._last[writer] = self._last.get(writer), put


class TableWriter:
    """Writes one table. `put` and `put_spooled` return when the rows are on disk."""

    def __init__(self, name: str, folder: Path, engine: sa.Engine, settings: IngestionSettings) -> None:
        self.name = name
        self._delta = DeltaFile(folder)
        self._notes = Notes(name, engine)
        self._settings = settings
        self._waiting: list[_Put] = []
        self._waiting_bytes = 0
        self._arrived = asyncio.Event()
        self._at_work = asyncio.Lock()
        self._ready = False
        self._noted = 0
        self._number = 0
        self._last_sequence = 0
        self._offsets: dict[str, int] = {}

    async def put(self, request_id: str, rows: pa.Table) -> Written:
        """Adds the rows of one request. The same `request_id` again is acknowledged and not written again."""
        return await self._enter(_Put(rows, rows.nbytes, self._future(), request_id=request_id))

    async def put_spooled(self, stream: Spooled, spool_id: str, offset: int, rows: pa.Table) -> Written:
        """Adds rows of a spool.

        An offset at or below the spool's last one in this table is acknowledged and not written again.
        """
        put = _Put(rows, rows.nbytes, self._future(), spool_id=spool_id, offset=offset)
        stream.link(self, put)
        return await self._enter(put)

    async def run(self) -> None:
        """Commits what arrives, for ever."""
        while True:
            await self._arrived.wait()
            async with self._at_work:
                group = self._take_group()
                await asyncio.to_thread(self._commit, group)
                self._waiting_bytes -= sum(put.size_bytes for put in group)
                for put in group:
                    put.settle()
                await asyncio.to_thread(self._tidy)

    @asynccontextmanager
    async def held(self) -> AsyncIterator[int]:
        """Holds the table's commits back; gives the `_sequence` of its last row, which is on disk."""
        async with self._at_work:
            await asyncio.to_thread(self._look)
            yield self._last_sequence

    def _look(self) -> None:
        with writing_to(self._delta.folder):
            self._recover()

    def _future(self) -> "asyncio.Future[Written]":
        return asyncio.get_running_loop().create_future()

    async def _enter(self, put: _Put) -> Written:
        if self._waiting_bytes + put.size_bytes > self._settings.queue_bytes and self._waiting:
            put.error = ResourceExhausted(
                f"{self.name} has {self._waiting_bytes} bytes of rows waiting for the disk, and takes at "
                f"most {self._settings.queue_bytes}. Send again a little later.",
                retry_after_s=RETRY_AFTER_S,
                reason="QUEUE_FULL",
            )
            raise put.error
        self._waiting.append(put)
        self._waiting_bytes += put.size_bytes
        self._arrived.set()
        # A caller that goes away must not undo what others wait for in the same commit.
        return await asyncio.shield(put.done)

    def _take_group(self) -> list[_Put]:
        rows, count = 0, 0
        for put in self._waiting:
            rows += put.rows.num_rows
            if count and (rows > self._settings.group_rows or count >= MOST_PUTS):
                break
            count += 1
        group, self._waiting = self._waiting[:count], self._waiting[count:]
        if not self._waiting:
            self._arrived.clear()
        return group

    def _commit(self, group: Sequence[_Put]) -> None:
        """Writes a group. Each put has its place or its error afterwards.

        What cannot be explained by the disk may be the fault of one put: then each is tried alone.
        """
        try:
            self._write_group(group)
        except BoarfishError as error:
            _fail(group, error)
        except Exception as error:
            logger.exception("commit failed", extra={"table": self.name})
            if len(group) == 1:
                _fail(group, error)
                return
            for put in group:
                self._commit([put])

    def _write_group(self, group: Sequence[_Put]) -> None:
        with writing_to(self._delta.folder):
            self._recover()
            kept, schema = self._sort_out(group)
            if not kept:
                return
            try:
                self._write(kept, schema)
            except FileNotFoundError:
                self._recover()  # says so when the folder has gone
                raise

    def _recover(self) -> None:
        """Makes memory and database agree with the table, which alone says what was committed."""
        if self._ready:
            return
        self._delta.open()
        number = self._delta.committed()
        self._noted = self._notes.newest()
        self._require_whole(number)
        self._offsets = self._notes.offsets(number)
        self._number, self._last_sequence = number, self._delta.row_count()
        self._ready = True

    def _require_whole(self, number: int) -> None:
        """Refuses a table whose newest commit, `number`, is older than one that has been made."""
        certain = max(self._number, self._noted - 1)
        if number < certain or (self._noted and not self._delta.has_folders()):
            raise FailedPrecondition(
                f"{self._delta.folder} lacks rows that were acknowledged: it holds {number} commits of at "
                f"least {max(certain, 1)}. Bring the folder back as it was; the service goes on by itself.",
                reason=ROWS_MISSING,
                metadata={"folder": str(self._delta.folder)},
            )
        if number > self._noted:
            logger.warning(
                "the database is older than the table: what was written since may be written again",
                extra={"table": self.name, "commits": number, "noted": self._noted},
            )

    def _sort_out(self, group: Sequence[_Put]) -> tuple[list[_Put], pa.Schema]:
        """The puts that are new and fit the table, and the schema that holds them all.

        What was written before is marked as a duplicate; what clashes with the table's types gets an error
        of its own.
        """
        known = self._notes.known([put.request_id for put in group if put.request_id], self._number)
        offsets = dict(self._offsets)
        present = self._delta.schema()
        fields = {one.name: one for one in present if one.name != SEQUENCE} if present is not None else {}
        sequence, kept = self._last_sequence, []
        for put in group:
            count = put.rows.num_rows
            if put.after is not None and put.after.error is not None:
                put.error = put.after.error
            elif put.spool_id and put.offset <= offsets.get(put.spool_id, 0):
                put.written = Written(sequence, count, duplicate=True)
            elif put.request_id and put.request_id in known:
                put.written = known[put.request_id]
            elif problem := _clash(put.rows.schema, fields, self.name):
                put.error = InvalidArgument.of(problem)
            else:
                for one in put.rows.schema:
                    kind = pa.utf8() if pa.types.is_null(one.type) else one.type
                    fields.setdefault(one.name, pa.field(one.name, kind))
                sequence += count
                put.written = Written(sequence, count, duplicate=False)
                kept.append(put)
                if put.spool_id:
                    offsets[put.spool_id] = put.offset
                else:
                    known[put.request_id] = Written(sequence, count, duplicate=True)
        return kept, pa.schema(list(fields.values()))

    def _write(self, kept: Sequence[_Put], schema: pa.Schema) -> None:
        table = pa.concat_tables([_cast(put.rows, schema) for put in kept])
        first, number = self._last_sequence + 1, self._number + 1
        last = first + table.num_rows - 1
        table = table.append_column(SEQUENCE, pa.array(np.arange(first, last + 1)))
        self._ready = False  # when one of the next steps fails, the next commit looks at the disk first
        prepared = self._delta.prepare(table)
        try:
            requests = {put.request_id: put.written for put in kept if put.request_id and put.written}
            offsets = {put.spool_id: put.offset for put in kept if put.spool_id}
            self._notes.add(number, last, requests, offsets, again=self._noted >= number)
            self._noted = number
        except BaseException:
            self._delta.discard(prepared.file)
            raise
        self._delta.commit(prepared, number)
        self._number, self._last_sequence = number, last
        self._offsets.update(offsets)
        self._ready = True

    def _tidy(self) -> None:
        """Puts small files together and sums the log up when either is due.

        What fails is tried again later.
        """
        if not self._ready:
            return
        try:
            replaced = self._delta.compact(self._settings.small_file_bytes, self._settings.small_file_limit)
            self._delta.checkpoint()
            self._delta.remove_strays()
        except Exception as error:
            self._ready = False  # the next commit looks at the disk first
            logger.warning("tidying failed", extra={"table": self.name, "error": str(error)})
            return
        if replaced:
            logger.info("compacted", extra={"table": self.name, "files": replaced})


def _fail(group: Sequence[_Put], error: Exception) -> None:
    """Gives the puts that have no error of their own this one, duplicates too: their first may be in the
    same group.
    """
    for put in group:
        put.error = put.error or error


def _clash(schema: pa.Schema, fields: Mapping[str, pa.Field], table: str) -> FieldViolation | None:
    """What keeps rows of `schema` out of a table with the columns `fields`."""
    lower = {name.lower(): name for name in fields}
    for given in schema:
        present = fields.get(given.name)
        if present is None:
            if other := lower.get(given.name.lower()):
                text = f"differs from the column {other} of {table} in upper and lower case alone"
                return FieldViolation(given.name, text)
        elif given.type != present.type and not pa.types.is_null(given.type):
            text = f"has type {given.type}; {table} holds {present.type} there"
            return FieldViolation(given.name, text)
    return None


def _cast(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    columns = [
        rows.column(one.name).cast(one.type)
        if one.name in rows.column_names
        else pa.nulls(rows.num_rows, one.type)
        for one in schema
    ]
    return pa.table(columns, schema=schema)
