"""`kill -9` of each service while the demo's traffic runs: nothing acknowledged is lost, nothing is doubled.

The demo in small: some people of 2015 into the lake, a net and trees trained on them, one champion and one
shadow deployed; then records, days of predictions and their labels flow while the supervisor starts again
what is killed. `BOARFISH_FAULT_POINTS` sets how often each service is killed (default 2).
"""

import asyncio
import os
import random
import signal
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from boarfish import AsyncClient, errors, load_task
from boarfish.v1 import common_pb2, inference_pb2, ingestion_pb2, monitoring_pb2, task_pb2, training_pb2
from deltalake import DeltaTable

from examples.employment import replay
from examples.employment.story import NAME, TASK_FILE, patiently, timestamp, to_ipc
from services.common.settings import SERVICES, Settings
from services.supervisor import RESTARTS, RESTARTS_WITHIN_S, Suite

POINTS = int(os.environ.get("BOARFISH_FAULT_POINTS", "2"))
FIRST_RECORDS, RECORDS_A_MESSAGE = 4000, 200
THIN = 20
SETTLED_WITHIN_S = 90.0


def small_task() -> task_pb2.Task:
    """The demo's task with models that are trained in a moment."""
    task = load_task(TASK_FILE)
    for plan in task.training.models:
        if plan.HasField("tabular_net"):
            plan.tabular_net.epochs = 2
        else:
            plan.gradient_boosting.iterations = 10
    return task


class Traffic:
    """The demo's flows, which go on until `stop`, and what was acknowledged to them."""

    def __init__(self, client: AsyncClient) -> None:
        self.client = client
        self.stop = asyncio.Event()
        self.records: list[int] = []
        self.answered: list[str] = []
        self.labelled: dict[str, str] = {}
        self._to_label: asyncio.Queue[tuple[replay.Day, list[str]] | None] = asyncio.Queue()

    async def run(self) -> None:
        """All flows, until they are told to stop and have had their acknowledgements."""
        people = replay.records_2015()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._put_records(people))
            group.create_task(self._predict(list(replay.days(thin=THIN))))
            group.create_task(self._label())

    async def put(self, people: pa.Table, start: int, count: int) -> int:
        """Sends rows of 2015 as one message until they are acknowledged; the version that has them."""
        part = people.slice(start, count)

        async def message() -> AsyncIterator[ingestion_pb2.PutRecordsRequest]:
            yield ingestion_pb2.PutRecordsRequest(
                request_id=f"records-{start}",
                dataset=NAME,
                batch=common_pb2.RowBatch(arrow_ipc=to_ipc(part)),
            )

        answer = await patiently(lambda: self.client.ingestion.PutRecords(message()))
        assert answer.accepted_count + answer.duplicate_count == part.num_rows
        self.records += part.column("id").to_pylist()
        return int(answer.dataset_version)

    async def _put_records(self, people: pa.Table) -> None:
        for start in range(FIRST_RECORDS, people.num_rows - RECORDS_A_MESSAGE, RECORDS_A_MESSAGE):
            if self.stop.is_set():
                return
            await self.put(people, start, RECORDS_A_MESSAGE)
            await asyncio.sleep(0.05)

    async def _predict(self, days: list[replay.Day]) -> None:
        """Streams of days; one that broke is followed by one that begins at the first unanswered day."""
        done = 0
        while done < len(days) and not self.stop.is_set():
            try:
                async for answer in self.client.inference.PredictStream(self._days(days[done:])):
                    ids = (
                        pa.ipc.open_stream(answer.response.arrow_ipc).read_all()["prediction_id"].to_pylist()
                    )
                    self.answered += ids
                    self._to_label.put_nowait((days[done], ids))
                    done += 1
            except errors.Unavailable:
                await asyncio.sleep(0.1)
        self._to_label.put_nowait(None)

    async def _days(self, days: list[replay.Day]) -> AsyncIterator[inference_pb2.PredictStreamRequest]:
        for day in days:
            if self.stop.is_set():
                return
            yield inference_pb2.PredictStreamRequest(
                request=inference_pb2.PredictRequest(
                    deployment=NAME,
                    batch=common_pb2.RowBatch(arrow_ipc=to_ipc(day.people)),
                    event_time=timestamp(day.event_time),
                    simulation=day.simulation,
                )
            )
            await asyncio.sleep(0.02)

    async def _label(self) -> None:
        while (entry := await self._to_label.get()) is not None:
            day, ids = entry
            texts = [str(label) for label in day.labels]
            request = ingestion_pb2.LogLabelsRequest(
                request_id=f"labels-{day.date}",
                deployment=NAME,
                columns=ingestion_pb2.LabelColumns(
                    prediction_ids=ids,
                    values=texts,
                    source=common_pb2.LABEL_SOURCE_OBSERVED,
                    event_time=timestamp(day.label_time),
                ),
            )
            await patiently(lambda request=request: self.client.ingestion.LogLabels(request))
            self.labelled.update(zip(ids, texts, strict=True))


async def kill_each(suite: Suite, dice: random.Random) -> None:
    """Kills every service `POINTS` times, in random order at random moments, no oftener than is forgiven."""
    killed: dict[str, deque[float]] = {name: deque(maxlen=RESTARTS - 1) for name in SERVICES}
    order = [name for name in SERVICES for _ in range(POINTS)]
    dice.shuffle(order)
    for name in order:
        if len(killed[name]) == RESTARTS - 1:
            await asyncio.sleep(max(0.0, killed[name][0] + RESTARTS_WITHIN_S - time.monotonic()))
        await asyncio.sleep(dice.uniform(0.1, 1.0))
        before = suite.pid(name)
        os.kill(before, signal.SIGKILL)
        killed[name].append(time.monotonic())
        deadline = time.monotonic() + 30
        while suite.pid(name) == before:
            assert time.monotonic() < deadline, f"{name} was not started again"
            await asyncio.sleep(0.05)
        await asyncio.to_thread(suite.wait_ready, name)


async def train(client: AsyncClient, version: int, request_id: str) -> str:
    """Asks for a training job; its id."""
    request = training_pb2.CreateTrainingJobRequest(
        request_id=request_id, dataset=NAME, dataset_version=version, task=small_task()
    )
    return str((await patiently(lambda: client.training.CreateTrainingJob(request))).job.id)


async def trained(client: AsyncClient, job_id: str) -> list[str]:
    """The model versions of a job, once it has succeeded."""

    async def watch() -> training_pb2.TrainingJob:
        job = training_pb2.TrainingJob()
        async for update in client.training.WatchTrainingJob(training_pb2.WatchTrainingJobRequest(id=job_id)):
            job = update.job
        return job

    job = await patiently(watch)
    assert job.state == training_pb2.TRAINING_JOB_STATE_SUCCEEDED, job.error
    return [version.id for version in job.model_versions]


async def deploy(client: AsyncClient, champion: str, shadow: str) -> None:
    """Champion and shadow on ONNX Runtime: Java would be started again with every kill of inference."""
    runtime = inference_pb2.RUNTIME_KIND_ONNX_RUNTIME
    request = inference_pb2.CreateDeploymentRequest(
        request_id="deploy",
        name=NAME,
        champion=inference_pb2.ServedVersion(model_version=champion, runtime=runtime),
        shadow=inference_pb2.ServedVersion(model_version=shadow, runtime=runtime),
        rung=inference_pb2.RUNG_FULL,
        requested_by="a test",
        override_reason="a test",
    )
    await patiently(lambda: client.inference.CreateDeployment(request))


async def settled(client: AsyncClient, reached: Callable[[Any, Any], bool]) -> Any:
    """Health, once no event is left to deliver, nothing to count, and `reached` holds."""
    deadline = time.monotonic() + SETTLED_WITHIN_S
    while True:
        deployment = await patiently(
            lambda: client.inference.GetDeployment(inference_pb2.GetDeploymentRequest(name=NAME))
        )
        answer = await patiently(
            lambda: client.monitoring.GetHealth(monitoring_pb2.GetHealthRequest(deployment=NAME))
        )
        health = answer.deployments[0]
        waiting = deployment.deployment.pending_event_count + health.backlog_count
        if not waiting and reached(deployment.deployment, health):
            return health
        assert time.monotonic() < deadline, f"still under way: {deployment} {health}"
        await asyncio.sleep(0.2)


def lake(settings: Settings, kind: str, *columns: str) -> pa.Table:
    """Columns of a table of the lake, read by Delta's own reader."""
    return DeltaTable(settings.lake_path / kind / NAME).to_pyarrow_table(columns=list(columns))


@pytest.mark.timeout(240 + 60 * POINTS)
async def test_what_was_acknowledged_is_there_once_after_kills_of_every_service(settings: Settings) -> None:
    seed = random.SystemRandom().randrange(10**6)
    addresses = {name: settings.address(name) for name in SERVICES}
    suite = Suite(settings)
    await asyncio.to_thread(suite.start)
    try:
        async with AsyncClient(**addresses) as client:
            traffic = Traffic(client)
            task = small_task()
            await client.ingestion.CreateDataset(
                ingestion_pb2.CreateDatasetRequest(request_id="dataset", name=NAME, task=task)
            )
            version = await traffic.put(replay.records_2015(), 0, FIRST_RECORDS)
            champion, shadow = await trained(client, await train(client, version, "first"))
            await deploy(client, champion, shadow)
            second = await train(client, version, "second")
            flowing = asyncio.create_task(traffic.run())
            await kill_each(suite, random.Random(seed))
            await asyncio.sleep(0.5)
            traffic.stop.set()
            await flowing
            assert len(await trained(client, second)) == 2, seed
            health = await settled(
                client,
                lambda deployment, health: health.labelled_count >= len(traffic.labelled),
            )
            verdict = await client.monitoring.VerifyLedger(monitoring_pb2.VerifyLedgerRequest())
            entries = await client.monitoring.ListLedgerEntries(
                monitoring_pb2.ListLedgerEntriesRequest(page_size=1000)
            )
    finally:
        await asyncio.to_thread(suite.stop)
    assert len(traffic.answered) == len(set(traffic.answered)) > 200, seed
    assert len(traffic.records) > FIRST_RECORDS, seed

    in_lake = Counter(lake(settings, "records", "id")["id"].to_pylist())
    assert in_lake == Counter(traffic.records), seed

    predictions = lake(settings, "predictions", "prediction_id", "role")
    roles = np.asarray(predictions["role"])
    ids = np.asarray(predictions["prediction_id"])
    champions = Counter(ids[roles == "CHAMPION"].tolist())
    shadows = Counter(ids[roles == "SHADOW"].tolist())
    assert not [one for one in traffic.answered if champions[one] != 1], seed
    assert set(champions.values()) == {1}, seed
    assert set(shadows.values()) <= {1}, seed
    assert set(shadows) <= set(champions), seed

    labels = lake(settings, "labels", "prediction_id", "value")
    found = list(zip(labels["prediction_id"].to_pylist(), labels["value"].to_pylist(), strict=True))
    assert sorted(found) == sorted(traffic.labelled.items()), seed

    assert health.prediction_count == len(champions), seed
    assert health.labelled_count == len(traffic.labelled), seed
    assert verdict.valid, (seed, verdict.reason)
    actions = Counter(entry.action for entry in entries.entries)
    assert actions["deployment.created"] == 1, (seed, actions)
