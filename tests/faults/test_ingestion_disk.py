"""A disk that takes no more and a folder that cannot be written, as the kernel says it to the real process:
callers are told which folder, and when the cause has gone the same process goes on.
"""

import resource
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pyarrow as pa
import pytest
from boarfish.client import AsyncClient
from boarfish.errors import FailedPrecondition, ResourceExhausted
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

# More than ingestion's database and log need, less than the large batch.
LARGEST_FILE = 8 * 2**20


@pytest.fixture
async def service(settings: Settings) -> AsyncIterator[Service]:
    running = Service(settings)
    try:
        await running.start()
        yield running
    finally:
        running.stop()


def large(count: int) -> pa.Table:
    """Rows that do not compress below `LARGEST_FILE`."""
    table = people(count)
    ids = pa.array([secrets.token_urlsafe(600) for _ in range(count)])
    return table.set_column(table.schema.get_field_index("id"), "id", ids)


async def test_a_file_that_may_not_grow_is_a_full_disk_and_passes(service: Service) -> None:
    pid = service.pid
    async with AsyncClient(ingestion=service.settings.ingestion_address) as client:
        await client.ingestion.CreateDataset(
            ingestion_pb2.CreateDatasetRequest(name="people", task=employment())
        )
        await client.ingestion.PutRecords(iter([records(people(10), "small")]))
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (LARGEST_FILE, resource.RLIM_INFINITY))
        request = records(large(20_000), "large")
        for _ in range(2):
            with pytest.raises(ResourceExhausted, match="lake/records/people is full") as caught:
                await client.ingestion.PutRecords(iter([request]), timeout=60)
            assert caught.value.retry_after_s
        # What fits is taken meanwhile, and nothing is left of what did not.
        await client.ingestion.PutRecords(iter([records(people(5), "fits")]))
        folder = Path(service.settings.lake_path) / "records" / "people"
        assert len(list(folder.glob("part-*.parquet"))) == 2
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        answer = await client.ingestion.PutRecords(iter([request]), timeout=60)
        assert (answer.accepted_count, answer.duplicate_count) == (20_000, 0)
        assert (await client.ingestion.PutRecords(iter([request]), timeout=60)).duplicate_count == 20_000
    assert service.pid == pid
    rows = Lake(service.settings.lake_path).table(TableKind.RECORDS, "people").read(columns=[SEQUENCE])
    assert rows[SEQUENCE].to_pylist() == list(range(1, 20_016))


async def test_a_folder_that_cannot_be_written_is_named_and_passes(service: Service) -> None:
    """A plain file stands where the folder was: root, too, is refused there, which permissions do not do."""
    lake = Path(service.settings.lake_path)
    async with AsyncClient(ingestion=service.settings.ingestion_address) as client:
        stub = client.ingestion
        assert (await stub.LogLabels(labels(["a"], "one"))).accepted_count == 1
        (lake / "labels").rename(lake / "away")
        for name in ("labels", "predictions"):
            (lake / name).touch()
        for _ in range(2):
            with pytest.raises(FailedPrecondition, match=r"lake/labels/employment (lacks|cannot)"):
                await stub.LogLabels(labels(["b"], "two"))
            with pytest.raises(FailedPrecondition, match="lake/predictions/employment cannot be written"):
                async for _ in stub.LogPredictions(iter([predictions(3, events(["a"]))])):
                    pass
        for name in ("labels", "predictions"):
            (lake / name).unlink()
        (lake / "away").rename(lake / "labels")
        assert not (await stub.LogLabels(labels(["b"], "two"))).duplicate
        assert (await stub.LogLabels(labels(["a"], "one"))).duplicate
        answers = [one async for one in stub.LogPredictions(iter([predictions(3, events(["a"]))]))]
        assert [one.acknowledged_offset for one in answers] == [3]
    found = Lake(lake).table(TableKind.LABELS, "employment").read(columns=["prediction_id"])
    assert found["prediction_id"].to_pylist() == ["a", "b"]
    assert Lake(lake).table(TableKind.PREDICTIONS, "employment").last_sequence() == 1
