"""The RPCs of `IngestionService`: checks what comes, hands rows to the writers, reads datasets back."""

import asyncio
import datetime as dt
from collections import deque
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from boarfish.errors import FieldViolation, InvalidArgument, NotFound
from boarfish.task_checks import check_task
from boarfish.v1 import ingestion_pb2, ingestion_pb2_grpc, task_pb2

from services.common import pages
from services.common.arrow_ipc import parts, read_arrow, to_ipc
from services.common.lake import PROFILES, Lake, TableKind
from services.common.rows import RowSchema
from services.ingestion.amending import Amending
from services.ingestion.catalogue import Catalogue
from services.ingestion.events import check_events
from services.ingestion.labels import label_rows
from services.ingestion.notes import Written
from services.ingestion.writer import Spooled
from services.ingestion.writers import Writers

MAX_LISTED_REJECTIONS = 1000
IN_FLIGHT = 16
IN_FLIGHT_BYTES = 32 * 1024 * 1024
READ_BYTES = 4 * 1024 * 1024


class IngestionService(ingestion_pb2_grpc.IngestionServiceServicer):
    """See `protos/boarfish/v1/ingestion.proto`."""

    def __init__(self, engine: sa.Engine, lake: Lake, writers: Writers) -> None:
        self._catalogue = Catalogue(engine, lake)
        self._lake = lake
        self._writers = writers
        self._schemas: dict[str, RowSchema] = {}
        self._amending: set[asyncio.Task[ingestion_pb2.AmendRecordsResponse]] = set()

    async def PutRecords(
        self, request_iterator: AsyncIterator[ingestion_pb2.PutRecordsRequest], context: Any
    ) -> ingestion_pb2.PutRecordsResponse:
        answer = ingestion_pb2.PutRecordsResponse()
        waiting: deque[tuple[int, str, asyncio.Task[Written]]] = deque()
        newest: dict[str, int] = {}
        row_base = 0

        async def settle() -> None:
            _, dataset, task = waiting.popleft()
            written = await task
            if written.duplicate:
                answer.duplicate_count += written.row_count
            else:
                answer.accepted_count += written.row_count
            newest[dataset] = max(newest.get(dataset, 0), written.last_sequence)

        try:
            async for request in request_iterator:
                schema = await self._schema(request.dataset)
                checked = await asyncio.to_thread(schema.decode, request.batch)
                answer.rejected_count += checked.rejected_count
                for row in checked.rejected[: MAX_LISTED_REJECTIONS - len(answer.rejected_rows)]:
                    row.row_index += row_base
                    answer.rejected_rows.append(row)
                row_base += checked.row_count
                if checked.rows.num_rows:
                    writer = self._writers.of(TableKind.RECORDS, request.dataset)
                    rows = pa.Table.from_batches([checked.rows])
                    put = asyncio.create_task(writer.put(request.request_id, rows))
                    waiting.append((rows.nbytes, request.dataset, put))
                while len(waiting) >= IN_FLIGHT or sum(size for size, _, _ in waiting) > IN_FLIGHT_BYTES:
                    await settle()
            while waiting:
                await settle()
        finally:
            for _, _, task in waiting:
                task.cancel()
        for dataset, record in newest.items():
            history = await asyncio.to_thread(self._catalogue.reader(dataset).history)
            answer.dataset_version = max(answer.dataset_version, history.version_of(record))
        return answer

    async def LogPredictions(
        self, request_iterator: AsyncIterator[ingestion_pb2.LogPredictionsRequest], context: Any
    ) -> AsyncIterator[ingestion_pb2.LogPredictionsResponse]:
        under_way: asyncio.Queue[tuple[ingestion_pb2.LogPredictionsRequest, asyncio.Task[Written]] | None]
        under_way = asyncio.Queue(IN_FLIGHT)
        stream = Spooled()

        async def take_in() -> None:
            async for request in request_iterator:
                rows = await asyncio.to_thread(_events, request)
                writer = self._writers.of(TableKind.PREDICTIONS, request.deployment)
                put = asyncio.create_task(writer.put_spooled(stream, request.spool_id, request.offset, rows))
                await under_way.put((request, put))

        async def take_all_in() -> None:
            try:
                await take_in()
            finally:
                await under_way.put(None)

        reader = asyncio.create_task(take_all_in())
        try:
            while (entry := await under_way.get()) is not None:
                request, put = entry
                await put
                yield ingestion_pb2.LogPredictionsResponse(
                    spool_id=request.spool_id, acknowledged_offset=request.offset
                )
            await reader
        finally:
            reader.cancel()
            while not under_way.empty():
                if (entry := under_way.get_nowait()) is not None:
                    entry[1].cancel()

    async def LogLabels(
        self, request: ingestion_pb2.LogLabelsRequest, context: Any
    ) -> ingestion_pb2.LogLabelsResponse:
        rows = await asyncio.to_thread(label_rows, request)
        written = await self._writers.of(TableKind.LABELS, request.deployment).put(request.request_id, rows)
        return ingestion_pb2.LogLabelsResponse(accepted_count=written.row_count, duplicate=written.duplicate)

    async def CreateDataset(
        self, request: ingestion_pb2.CreateDatasetRequest, context: Any
    ) -> ingestion_pb2.CreateDatasetResponse:
        if found := [*check_task(request.task), *_names_that_clash(request.task)]:
            raise InvalidArgument.of(*(FieldViolation(f"task.{one.field}", one.description) for one in found))
        await asyncio.to_thread(self._catalogue.create, request.name, request.task)
        return ingestion_pb2.CreateDatasetResponse(dataset=await self._find(request.name))

    async def GetDataset(
        self, request: ingestion_pb2.GetDatasetRequest, context: Any
    ) -> ingestion_pb2.GetDatasetResponse:
        return ingestion_pb2.GetDatasetResponse(dataset=await self._find(request.name))

    async def ListDatasets(
        self, request: ingestion_pb2.ListDatasetsRequest, context: Any
    ) -> ingestion_pb2.ListDatasetsResponse:
        names = await asyncio.to_thread(self._catalogue.names)
        start = pages.position_of(request, request.page_token) or 0
        end = start + pages.page_size(request.page_size)
        found = [await self._find(name) for name in names[start:end]]
        token = pages.next_token(request, end if end < len(names) else None)
        return ingestion_pb2.ListDatasetsResponse(datasets=found, next_page_token=token)

    async def ListDatasetVersions(
        self, request: ingestion_pb2.ListDatasetVersionsRequest, context: Any
    ) -> ingestion_pb2.ListDatasetVersionsResponse:
        await self._find(request.dataset)
        before = pages.position_of(request, request.page_token)
        size = pages.page_size(request.page_size)
        found = await asyncio.to_thread(self._catalogue.versions, request.dataset, before, size + 1)
        token = pages.next_token(request, found[size - 1].version if len(found) > size else None)
        return ingestion_pb2.ListDatasetVersionsResponse(versions=found[:size], next_page_token=token)

    async def ReadDataset(
        self, request: ingestion_pb2.ReadDatasetRequest, context: Any
    ) -> AsyncIterator[ingestion_pb2.ReadDatasetResponse]:
        newest = (await self._find(request.dataset)).latest_version
        version = request.version or newest
        if version > newest:
            raise NotFound(f"{request.dataset} has no version {version}; its newest is {newest}.")
        if newest == 0:
            return
        reader = self._catalogue.reader(request.dataset)
        names = (await asyncio.to_thread(reader.schema)).names
        if unknown := [name for name in request.columns if name not in names]:
            raise InvalidArgument.of(
                FieldViolation(
                    "columns", f"{unknown[0]} is not a column of {request.dataset}; it has {', '.join(names)}"
                )
            )
        batches = reader.scan(version, list(request.columns) or names)
        while (batch := await asyncio.to_thread(next, batches, None)) is not None:
            for part in parts(batch, READ_BYTES):
                yield ingestion_pb2.ReadDatasetResponse(arrow_ipc=to_ipc(part), version=version)

    async def AmendRecords(
        self, request: ingestion_pb2.AmendRecordsRequest, context: Any
    ) -> ingestion_pb2.AmendRecordsResponse:
        amending = asyncio.create_task(self._amend(request))
        self._amending.add(amending)
        amending.add_done_callback(self._amending.discard)
        # Records must be held back until it is on disk, even when the caller goes away.
        return await asyncio.shield(amending)

    async def UploadProfile(
        self, request: ingestion_pb2.UploadProfileRequest, context: Any
    ) -> ingestion_pb2.UploadProfileResponse:
        problems = []
        if request.kind == ingestion_pb2.PROFILE_KIND_REFERENCE and not request.HasField("task"):
            problems.append(
                FieldViolation("task", "is missing; a reference profile needs the task of its model version")
            )
        if request.kind == ingestion_pb2.PROFILE_KIND_WINDOW and not request.deployment:
            problems.append(
                FieldViolation(
                    "deployment", "is missing; a window's profile needs the deployment that predicted"
                )
            )
        if problems:
            raise InvalidArgument.of(*problems)
        rows = pa.table(
            {
                "request_id": [request.request_id],
                "subject": [request.subject],
                "kind": [ingestion_pb2.ProfileKind.Name(request.kind).removeprefix("PROFILE_KIND_")],
                "model_version": [request.model_version],
                "deployment": [request.deployment],
                "profile": pa.array([request.profile.SerializeToString()], pa.binary()),
                "task": pa.array(
                    [request.task.SerializeToString() if request.HasField("task") else b""], pa.binary()
                ),
                "logged_time": pa.array([dt.datetime.now(dt.UTC)], pa.timestamp("us", "UTC")),
            }
        )
        written = await self._writers.of(TableKind.PROFILES, PROFILES).put(request.request_id, rows)
        return ingestion_pb2.UploadProfileResponse(duplicate=written.duplicate)

    async def _amend(self, request: ingestion_pb2.AmendRecordsRequest) -> ingestion_pb2.AmendRecordsResponse:
        amending = Amending(request, (await self._find(request.dataset)).task, self._lake)
        reader = self._catalogue.reader(request.dataset)
        seen = await asyncio.to_thread(self._lake.table(TableKind.RECORDS, request.dataset).last_sequence)
        early = await asyncio.to_thread(amending.find, 0, seen)
        async with self._writers.of(TableKind.RECORDS, request.dataset).held() as newest:
            if (before := await asyncio.to_thread(amending.done_before)) is not None:
                return before
            found = early + await asyncio.to_thread(amending.find, seen, newest)
            rows = await asyncio.to_thread(amending.rows, found, reader, newest)
            writer = self._writers.of(TableKind.AMENDMENTS, request.dataset)
            written = await writer.put(request.request_id, rows)
        return amending.answer(rows, newest + written.last_sequence)

    async def _find(self, dataset: str) -> ingestion_pb2.Dataset:
        return await asyncio.to_thread(self._catalogue.find, dataset)

    async def _schema(self, dataset: str) -> RowSchema:
        if dataset not in self._schemas:
            self._schemas[dataset] = RowSchema.for_records((await self._find(dataset)).task)
        return self._schemas[dataset]


def _names_that_clash(task: task_pb2.Task) -> Iterator[FieldViolation]:
    """Columns that the lake cannot hold beside each other or beside its own."""
    free = {"id_column": task.id_column, "time_column": task.time_column, "split.column": task.split.column}
    for field, name in free.items():
        if name.startswith("_"):
            yield FieldViolation(field, "begins with an underscore; such columns are the lake's own")
    seen: dict[str, str] = {}
    for column in RowSchema.for_records(task).columns:
        other = seen.setdefault(column.name.lower(), column.name)
        if other != column.name:
            text = f"{column.name} and {other} differ in upper and lower case alone; rename one"
            yield FieldViolation("features", text)


def _events(request: ingestion_pb2.LogPredictionsRequest) -> pa.Table:
    return check_events(read_arrow(request.arrow_ipc, "arrow_ipc"))
