"""Ingestion as a real process, killed at random points: what was acknowledged is in the lake once.

Four callers send records, labels and spooled predictions and send again, under the same ids and offsets,
what was not acknowledged. `BOARFISH_FAULT_POINTS` kills (12 when it is not set).
"""

import asyncio
import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable

import pyarrow as pa
import pytest
from boarfish.client import AsyncClient
from boarfish.errors import DeadlineExceeded, Internal, Unavailable
from boarfish.v1 import ingestion_pb2

from services.common.lake import SEQUENCE, Lake, TableKind
from services.common.settings import Settings
from tests.faults.ingestion_process import Service
from tests.integration.ingestion.running_ingestion import (
    employment,
    events,
    labels,
    people,
    predictions,
    records,
)

POINTS = int(os.environ.get("BOARFISH_FAULT_POINTS", "12"))


class Callers:
    """Four who send without an end, and what was acknowledged to them."""

    def __init__(self, client: AsyncClient) -> None:
        self.client = client
        self.stop = asyncio.Event()
        self.acknowledged: dict[TableKind, list[str]] = {
            kind: [] for kind in (TableKind.RECORDS, TableKind.LABELS, TableKind.PREDICTIONS)
        }
        self.sent_again = 0

    async def run(self) -> None:
        """Sends until `stop` is set; what is under way then is still brought to its end."""
        await asyncio.gather(
            self._records("left"), self._records("right"), self._labels(), self._predictions()
        )

    async def _until_acknowledged(self, call: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await call()
            except (Unavailable, DeadlineExceeded):
                self.sent_again += 1
                await asyncio.sleep(0.02)
            except (Internal, asyncio.CancelledError) as error:
                # grpc.aio says either when a stream's connection is gone while it writes.
                if not _of_a_broken_connection(error):
                    raise
                self.sent_again += 1
            else:
                return

    async def _records(self, name: str) -> None:
        number = 0
        while not self.stop.is_set():
            number += 1
            table = people(random.randint(1, 300))
            ids = [f"{name}-{number}-{row}" for row in range(table.num_rows)]
            position = table.schema.get_field_index("id")
            request = records(table.set_column(position, "id", pa.array(ids)), f"{name}-{number}")

            async def call(request: ingestion_pb2.PutRecordsRequest = request) -> None:
                await self.client.ingestion.PutRecords(iter([request]), timeout=10)

            await self._until_acknowledged(call)
            self.acknowledged[TableKind.RECORDS] += ids

    async def _labels(self) -> None:
        number = 0
        while not self.stop.is_set():
            number += 1
            ids = [f"label-{number}-{row}" for row in range(random.randint(1, 20))]
            request = labels(ids, f"labels-{number}")

            async def call(request: ingestion_pb2.LogLabelsRequest = request) -> None:
                await self.client.ingestion.LogLabels(request, timeout=10)

            await self._until_acknowledged(call)
            self.acknowledged[TableKind.LABELS] += ids

    async def _predictions(self) -> None:
        """Like a spool: a few messages on their way at once; after an error all that is not acknowledged
        again.
        """
        offset = 0
        while not self.stop.is_set():
            waiting: dict[int, tuple[ingestion_pb2.LogPredictionsRequest, list[str]]] = {}
            for _ in range(random.randint(1, 6)):
                offset += random.randint(1, 3)
                ids = [f"event-{offset}-{row}" for row in range(random.randint(1, 30))]
                waiting[offset] = predictions(offset, events(ids)), ids

            async def call(
                waiting: dict[int, tuple[ingestion_pb2.LogPredictionsRequest, list[str]]] = waiting,
            ) -> None:
                sent = [request for request, _ in waiting.values()]
                async for answer in self.client.ingestion.LogPredictions(iter(sent), timeout=10):
                    for one in [one for one in waiting if one <= answer.acknowledged_offset]:
                        self.acknowledged[TableKind.PREDICTIONS] += waiting.pop(one)[1]
                assert not waiting

            await self._until_acknowledged(call)


def _of_a_broken_connection(error: Internal | asyncio.CancelledError) -> bool:
    if isinstance(error, Internal):
        return error.message == "Internal error from Core"
    this = asyncio.current_task()
    return this is not None and not this.cancelling()


@pytest.fixture
async def service(settings: Settings) -> AsyncIterator[Service]:
    running = Service(settings)
    try:
        await running.start()
        yield running
    finally:
        running.stop()


@pytest.mark.timeout(3600)
async def test_killed_at_any_point_what_was_acknowledged_is_there_once(service: Service) -> None:
    async with AsyncClient(ingestion=service.settings.ingestion_address) as client:
        request = ingestion_pb2.CreateDatasetRequest(request_id="c", name="people", task=employment())
        await client.ingestion.CreateDataset(request)
        callers = Callers(client)
        running = asyncio.create_task(callers.run())
        for _ in range(POINTS):
            await asyncio.sleep(random.uniform(0.02, 0.5))
            service.kill()
            await service.start()
            assert not running.done(), running.exception()
        await asyncio.sleep(0.5)
        callers.stop.set()
        await asyncio.wait_for(running, 60)
    lake = Lake(service.settings.lake_path)
    for kind, name, column in (
        (TableKind.RECORDS, "people", "id"),
        (TableKind.LABELS, "employment", "prediction_id"),
        (TableKind.PREDICTIONS, "employment", "prediction_id"),
    ):
        rows = lake.table(kind, name).read(columns=[column, SEQUENCE])
        assert rows[SEQUENCE].to_pylist() == list(range(1, rows.num_rows + 1))
        found, wanted = Counter(rows[column].to_pylist()), callers.acknowledged[kind]
        assert len(wanted) > 10 * POINTS
        # Everything is sent until it is acknowledged, so that nothing else may be there.
        assert found == Counter(wanted)
    assert callers.sent_again >= POINTS / 2
    assert "Traceback" not in service.log()
