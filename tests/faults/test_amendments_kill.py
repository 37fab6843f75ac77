"""Ingestion as a real process, killed at random points while rows are put and amended: each amendment that
was acknowledged is in the lake once, at the version that was told, and what was deleted stays deleted.

`BOARFISH_FAULT_POINTS` kills (4 when it is not set).
"""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import pyarrow as pa
import pytest
from boarfish.client import AsyncClient
from boarfish.errors import DeadlineExceeded, Unavailable
from boarfish.v1 import ingestion_pb2

from services.common.datasets import Dataset
from services.common.lake import Lake, TableKind
from services.common.settings import Settings
from tests.faults.ingestion_process import Service
from tests.integration.ingestion.running_ingestion import employment, people, records

POINTS = int(os.environ.get("BOARFISH_FAULT_POINTS", "4"))
Answer = TypeVar("Answer")


class Callers:
    """One who puts rows and one who amends them, again under the same id until it is acknowledged."""

    def __init__(self, client: AsyncClient) -> None:
        self.client = client
        self.stop = asyncio.Event()
        self.untouched: list[str] = []
        self.deleted: dict[str, int] = {}
        self.relabelled: dict[str, int] = {}
        self.sent_again = 0

    async def put(self) -> None:
        number = 0
        while not self.stop.is_set():
            number += 1
            table = people(random.randint(1, 100))
            ids = [f"{number}-{row}" for row in range(table.num_rows)]
            table = table.set_column(table.schema.get_field_index("id"), "id", pa.array(ids))
            request = records(table, f"put-{number}")
            await self._acknowledged(
                lambda r=request: self.client.ingestion.PutRecords(iter([r]), timeout=10)
            )
            self.untouched += ids

    async def amend(self) -> None:
        number = 0
        while not self.stop.is_set():
            if len(self.untouched) < 2:
                await asyncio.sleep(0.01)
                continue
            number += 1
            gone, other = self.untouched.pop(), self.untouched.pop(0)
            request = ingestion_pb2.AmendRecordsRequest(
                request_id=f"amend-{number}",
                dataset="people",
                amendments=[
                    ingestion_pb2.Amendment(row_id=gone, delete=True),
                    ingestion_pb2.Amendment(row_id=other, label="1"),
                ],
                amended_by="Ada",
                reason="a test",
            )
            answer = await self._acknowledged(
                lambda r=request: self.client.ingestion.AmendRecords(r, timeout=10)
            )
            assert (answer.relabelled_count, answer.deleted_count) == (1, 1)
            self.deleted[gone] = answer.dataset_version - 1
            self.relabelled[other] = answer.dataset_version

    async def _acknowledged(self, call: Callable[[], Awaitable[Answer]]) -> Answer:
        while True:
            try:
                return await call()
            except (Unavailable, DeadlineExceeded):
                pass
            except asyncio.CancelledError:
                # grpc.aio says so when a stream's connection is gone while it writes.
                this = asyncio.current_task()
                if this is None or this.cancelling():
                    raise
            self.sent_again += 1
            await asyncio.sleep(0.02)


@pytest.fixture
async def service(settings: Settings) -> AsyncIterator[Service]:
    running = Service(settings)
    try:
        await running.start()
        yield running
    finally:
        running.stop()


@pytest.mark.timeout(3600)
async def test_killed_at_any_point_an_acknowledged_amendment_is_there_once(service: Service) -> None:
    async with AsyncClient(ingestion=service.settings.ingestion_address) as client:
        request = ingestion_pb2.CreateDatasetRequest(request_id="c", name="people", task=employment())
        await client.ingestion.CreateDataset(request)
        callers = Callers(client)
        running = [asyncio.create_task(callers.put()), asyncio.create_task(callers.amend())]
        for _ in range(POINTS):
            await asyncio.sleep(random.uniform(0.1, 0.6))
            service.kill()
            await service.start()
            assert not any(task.done() for task in running)
        await asyncio.sleep(0.5)
        callers.stop.set()
        await asyncio.wait_for(asyncio.gather(*running), 60)
    lake = Lake(service.settings.lake_path)
    amended = lake.table(TableKind.AMENDMENTS, "people").read(columns=["row_id"])["row_id"].to_pylist()
    assert sorted(amended) == sorted([*callers.deleted, *callers.relabelled])
    assert len(callers.deleted) > POINTS
    dataset = Dataset(lake, "people")
    rows = dataset.read(dataset.latest_version(), ["id", "employed"]).to_pylist()
    present = {row["id"]: row["employed"] for row in rows}
    assert len(rows) == len(present) == len(callers.untouched) + len(callers.relabelled)
    assert not callers.deleted.keys() & present.keys()
    assert all(present[row_id] == "1" for row_id in callers.relabelled)
    for row_id, version in random.sample(sorted(callers.deleted.items()), POINTS):
        before, after = dataset.read(version - 1, ["id"]), dataset.read(version, ["id"])
        assert before.num_rows == after.num_rows + 1
        assert row_id in before["id"].to_pylist()
    assert callers.sent_again >= POINTS / 2
    assert "Traceback" not in service.log()
