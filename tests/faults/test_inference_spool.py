"""Inference and ingestion as real processes: killed, away, fed with what nobody should send. What was
answered is in the lake once.
"""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import psutil
import pyarrow as pa
import pytest
from boarfish.errors import BoarfishError, InvalidArgument, from_rpc_error
from boarfish.v1 import common_pb2, inference_pb2, inference_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.common.lake import Lake, TableKind
from services.common.processes import ended_with_parent, stop_group
from services.common.settings import Settings
from tests.integration.inference.requests import (
    ONNX,
    PERSON,
    arrow_request,
    deployment_request,
    people,
    rows_request,
)
from tests.integration.inference.small_models import add_model, employment

POINTS = int(os.environ.get("BOARFISH_FAULT_POINTS", "3"))


class Services:
    """Real service processes on free ports over one home."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    async def start(self, name: str) -> None:
        """Starts a service and waits until it is ready."""
        self.settings.logs_path.mkdir(parents=True, exist_ok=True)
        values = self.settings.model_dump(exclude_defaults=True)
        environment = {f"BOARFISH_{key.upper()}": str(value) for key, value in values.items()}
        with (self.settings.logs_path / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                ended_with_parent([sys.executable, "-m", f"services.{name}"]),
                stdout=log, stderr=log, start_new_session=True, env={**os.environ, **environment},
            )  # fmt: skip
        deadline = time.monotonic() + 40
        async with grpc.aio.insecure_channel(self.settings.address(name)) as channel:
            while time.monotonic() < deadline:
                try:
                    answer = await health_pb2_grpc.HealthStub(channel).Check(
                        health_pb2.HealthCheckRequest(), timeout=2, wait_for_ready=True
                    )
                except grpc.aio.AioRpcError:
                    continue
                if answer.status == health_pb2.HealthCheckResponse.SERVING:
                    return
                await asyncio.sleep(0.05)
        log_text = (self.settings.logs_path / f"{name}.log").read_text()[-2000:]
        raise AssertionError(f"{name} is not ready: {log_text}")

    def kill(self, name: str) -> None:
        """`kill -9`."""
        child = self._running.pop(name)
        child.send_signal(signal.SIGKILL)
        child.wait()

    def pid(self, name: str) -> int:
        """Process id of a running service."""
        return self._running[name].pid

    def stop(self) -> None:
        """Stops what runs."""
        for child in self._running.values():
            stop_group(child, 20.0)

    @asynccontextmanager
    async def stub(self) -> AsyncIterator[Any]:
        """A stub of inference, with the room that a hostile caller takes."""
        options = [
            ("grpc.max_send_message_length", 256 * 1024 * 1024),
            ("grpc.max_reconnect_backoff_ms", 200),
        ]
        async with grpc.aio.insecure_channel(self.settings.inference_address, options=options) as channel:
            yield inference_pb2_grpc.InferenceServiceStub(channel)

    def predictions(self) -> Counter[tuple[str, str]]:
        """How often each prediction stands in the lake, by id and role."""
        table = Lake(self.settings.lake_path).table(TableKind.PREDICTIONS, "employment")
        if not table.exists():
            return Counter()
        rows = table.read(columns=["prediction_id", "role"])
        return Counter(zip(rows["prediction_id"].to_pylist(), rows["role"].to_pylist(), strict=True))

    async def all_delivered(self, stub: Any) -> None:
        """Waits until ingestion has acknowledged every event."""
        deadline = time.monotonic() + 60
        request = inference_pb2.GetDeploymentRequest(name="employment")
        while (await stub.GetDeployment(request)).deployment.pending_event_count:
            assert time.monotonic() < deadline, "events were not delivered"
            await asyncio.sleep(0.05)


@pytest.fixture
async def services(settings: Settings) -> AsyncIterator[Services]:
    """Ingestion and inference, running, with a deployment that has a shadow."""
    running = Services(settings)
    champion = add_model(settings.models_path, employment(), 1)
    shadow = add_model(settings.models_path, employment(), 2)
    try:
        await running.start("ingestion")
        await running.start("inference")
        async with running.stub() as stub:
            await stub.CreateDeployment(deployment_request(champion.id, shadow.id, shadow_runtime=ONNX))
        yield running
    finally:
        running.stop()


async def predict_for_ever(
    stub: Any, answered: list[str], errors: list[BoarfishError], stop: asyncio.Event
) -> None:
    """Asks for one row, or for many, and notes the ids of what was answered."""
    while not stop.is_set():
        try:
            if random.random() < 0.2:
                answer = await stub.Predict(arrow_request(people(50)), timeout=5)
                answered += pa.ipc.open_stream(answer.arrow_ipc).read_all()["prediction_id"].to_pylist()
            else:
                answer = await stub.Predict(rows_request(PERSON), timeout=5)
                answered.append(answer.predictions[0].prediction_id)
        except grpc.aio.AioRpcError as error:
            errors.append(from_rpc_error(error))
            await asyncio.sleep(0.02)


@pytest.mark.timeout(3600)
async def test_killed_at_any_point_every_answer_is_in_the_lake_once(services: Services) -> None:
    answered: list[str] = []
    errors: list[BoarfishError] = []
    stop = asyncio.Event()
    async with services.stub() as stub:
        callers = [asyncio.create_task(predict_for_ever(stub, answered, errors, stop)) for _ in range(8)]
        for _ in range(POINTS):
            await asyncio.sleep(random.uniform(0.05, 0.6))
            services.kill("inference")
            await services.start("inference")
            await asyncio.sleep(0.2)
        await asyncio.sleep(0.5)
        stop.set()
        await asyncio.gather(*callers)
        await services.all_delivered(stub)
    found = services.predictions()
    assert len(answered) == len(set(answered)) > 50
    assert not [one for one in answered if found[one, "CHAMPION"] != 1]
    assert not [key for key, count in found.items() if count != 1]
    assert {error.code for error in errors} <= {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
    }


@pytest.mark.timeout(3600)
async def test_predictions_go_on_without_ingestion_and_arrive_later_once(services: Services) -> None:
    answered: list[str] = []
    errors: list[BoarfishError] = []
    stop = asyncio.Event()
    async with services.stub() as stub:
        callers = [asyncio.create_task(predict_for_ever(stub, answered, errors, stop)) for _ in range(4)]
        for _ in range(POINTS):
            await asyncio.sleep(random.uniform(0.05, 0.5))
            services.kill("ingestion")
            before = len(answered)
            await asyncio.sleep(0.3)
            assert len(answered) > before
            await services.start("ingestion")
        stop.set()
        await asyncio.gather(*callers)
        await services.all_delivered(stub)
    found = services.predictions()
    assert not errors
    assert not [one for one in answered if found[one, "CHAMPION"] != 1]
    assert not [key for key, count in found.items() if count != 1]
    assert sum(1 for _, role in found if role == "SHADOW") == len(answered)


async def test_a_torn_tail_is_cut_at_start_and_the_rest_arrives(services: Services) -> None:
    services.kill("ingestion")
    async with services.stub() as stub:
        answered = [
            (await stub.Predict(rows_request(PERSON))).predictions[0].prediction_id for _ in range(50)
        ]
        services.kill("inference")
        newest = max((services.settings.home / "spool" / "inference").glob("*.segment"))
        with newest.open("ab") as file:
            file.write(os.urandom(333))
        await services.start("ingestion")
        await services.start("inference")
        await services.all_delivered(stub)
    found = services.predictions()
    assert all(found[one, "CHAMPION"] == 1 for one in answered)


async def test_hostile_messages_are_refused_and_forgotten(services: Services) -> None:
    """Random bytes, broken Arrow, 100 MB: the service says so, lives, and its memory comes back."""
    generator = random.Random(7)
    good = arrow_request(people(200)).batch.arrow_ipc
    process = psutil.Process(services.pid("inference"))
    async with (
        services.stub() as stub,
        grpc.aio.insecure_channel(
            services.settings.inference_address, options=[("grpc.max_send_message_length", 256 * 1024 * 1024)]
        ) as channel,
    ):
        raw = channel.unary_unary("/boarfish.v1.InferenceService/Predict", None, None)
        await stub.Predict(arrow_request(people(20_000)))
        before = process.memory_info().rss
        codes = set()
        for number in range(400):
            if number % 2:
                call = raw(generator.randbytes(generator.randint(0, 300)), timeout=10)
            else:
                broken = bytearray(good)
                for _ in range(generator.randint(1, 20)):
                    broken[generator.randrange(len(broken))] = generator.randrange(256)
                batch = common_pb2.RowBatch(arrow_ipc=bytes(broken[: generator.randint(8, len(broken))]))
                call = stub.Predict(
                    inference_pb2.PredictRequest(deployment="employment", batch=batch), timeout=10
                )
            codes.add(await call.code())
        assert codes <= {grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT}
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await raw(bytes(100 * 1024 * 1024), timeout=30)
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert (await stub.Predict(rows_request(PERSON))).predictions
        await services.all_delivered(stub)
    assert process.memory_info().rss - before < 150 * 1024 * 1024


async def test_numbers_that_are_none_are_refused_in_bulk(services: Services) -> None:
    async with services.stub() as stub:
        for value in (float("nan"), float("inf"), -float("inf"), 1e300):
            ages = [30.0] * 99 + [value]
            request = arrow_request(people(100).set_column(0, "AGEP", pa.array(ages)))
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.Predict(request)
            error = from_rpc_error(caught.value)
            assert isinstance(error, InvalidArgument)
            assert error.violations[0].field == "batch.rows[99].AGEP"
