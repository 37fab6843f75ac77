"""The harness over a real socket: checks, errors, ids, deadlines, health, and a stop that loses nothing."""

# ruff: noqa: N802 - gRPC names the methods

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from boarfish.errors import (
    BoarfishError,
    DeadlineExceeded,
    Internal,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    Unavailable,
    Unimplemented,
    from_rpc_error,
)
from boarfish.v1 import ingestion_pb2 as pb
from boarfish.v1 import ingestion_pb2_grpc, monitoring_pb2, monitoring_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from services.common import telemetry
from services.common.server import Harness, PortInUse, serving
from services.common.settings import Settings

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Ingestion(ingestion_pb2_grpc.IngestionServiceServicer):
    """A stand-in whose behaviour a test sets by `get`."""

    def __init__(self) -> None:
        self.get: Callable[[Any], Any] = lambda name: None
        self.acknowledged: list[int] = []
        self.entered, self.go_on = asyncio.Event(), asyncio.Event()
        self.seen_request_id = ""

    async def GetDataset(self, request: pb.GetDatasetRequest, context: Any) -> pb.GetDatasetResponse:
        self.seen_request_id = telemetry.request_id.get()
        result = self.get(request.name)
        if asyncio.iscoroutine(result):
            await result
        return pb.GetDatasetResponse(dataset=pb.Dataset(name=request.name))

    async def LogPredictions(
        self, requests: AsyncIterator[pb.LogPredictionsRequest], context: Any
    ) -> AsyncIterator[pb.LogPredictionsResponse]:
        async for request in requests:
            self.entered.set()
            await self.go_on.wait()
            self.acknowledged.append(request.offset)
            yield pb.LogPredictionsResponse(spool_id=request.spool_id, acknowledged_offset=request.offset)

    async def PutRecords(
        self, requests: AsyncIterator[pb.PutRecordsRequest], context: Any
    ) -> pb.PutRecordsResponse:
        return pb.PutRecordsResponse(accepted_count=len([one async for one in requests]))

    async def ReadDataset(
        self, request: pb.ReadDatasetRequest, context: Any
    ) -> AsyncIterator[pb.ReadDatasetResponse]:
        yield pb.ReadDatasetResponse(version=1)
        raise NotFound("the file of version 2 is gone")


class Monitoring(monitoring_pb2_grpc.MonitoringServiceServicer):
    def __init__(self) -> None:
        self.ended = False

    async def WatchAlerts(
        self, request: Any, context: Any
    ) -> AsyncIterator[monitoring_pb2.WatchAlertsResponse]:
        yield monitoring_pb2.WatchAlertsResponse()
        try:
            await asyncio.Event().wait()
        finally:
            self.ended = True


class Served:
    """A served stand-in, and stubs to call it by."""

    def __init__(
        self, harness: Harness, ingestion: Ingestion, monitoring: Monitoring, channel: grpc.aio.Channel
    ) -> None:
        self.harness = harness
        self.ingestion = ingestion
        self.monitoring = monitoring
        self.channel = channel
        self.stub = ingestion_pb2_grpc.IngestionServiceStub(channel)
        self.health = health_pb2_grpc.HealthStub(channel)


@asynccontextmanager
async def stand_in(settings: Settings) -> AsyncIterator[Served]:
    ingestion, monitoring = Ingestion(), Monitoring()

    async def start(harness: Harness) -> None:
        harness.add_service(
            ingestion_pb2_grpc.add_IngestionServiceServicer_to_server,
            ingestion,
            pb.DESCRIPTOR.services_by_name["IngestionService"],
        )
        harness.add_service(
            monitoring_pb2_grpc.add_MonitoringServiceServicer_to_server,
            monitoring,
            monitoring_pb2.DESCRIPTOR.services_by_name["MonitoringService"],
        )

    async with (
        serving("ingestion", "127.0.0.1:0", settings, start) as harness,
        grpc.aio.insecure_channel(f"127.0.0.1:{harness.port}") as channel,
    ):
        yield Served(harness, ingestion, monitoring, channel)


async def refusal(call: Any) -> BoarfishError:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return from_rpc_error(raised.value)


def get(name: str = "people") -> pb.GetDatasetRequest:
    return pb.GetDatasetRequest(name=name)


def prediction(offset: int) -> pb.LogPredictionsRequest:
    return pb.LogPredictionsRequest(spool_id="a", offset=offset, deployment="d", arrow_ipc=b"12345678")


async def test_a_wrong_field_is_named(settings: Settings) -> None:
    async with stand_in(settings) as served:
        error = await refusal(served.stub.GetDataset(get("")))
        assert isinstance(error, InvalidArgument)
        assert [violation.field for violation in error.violations] == ["name"]
        nested = pb.LogLabelsRequest(request_id="1", deployment="d")
        nested.rows.labels.add(prediction_id="p", source=1)
        error = await refusal(served.stub.LogLabels(nested))
        assert isinstance(error, InvalidArgument)
        assert [violation.field for violation in error.violations] == ["rows.labels[0].value"]


async def test_every_message_of_a_stream_is_checked(settings: Settings) -> None:
    async with stand_in(settings) as served:
        served.ingestion.go_on.set()
        call = served.stub.LogPredictions(iter([prediction(1), prediction(0)]))
        assert (await call.read()).acknowledged_offset == 1
        error = await refusal(call.read())
        assert isinstance(error, InvalidArgument)
        assert error.violations[0].field == "offset"


@pytest.mark.parametrize("kind", ["unary_unary", "stream_unary", "unary_stream", "stream_stream"])
async def test_bytes_that_are_no_message_are_an_invalid_argument(settings: Settings, kind: str) -> None:
    method = {
        "unary_unary": "/boarfish.v1.IngestionService/GetDataset",
        "stream_unary": "/boarfish.v1.IngestionService/PutRecords",
        "unary_stream": "/boarfish.v1.IngestionService/ReadDataset",
        "stream_stream": "/boarfish.v1.IngestionService/LogPredictions",
    }[kind]
    async with stand_in(settings) as served:
        for data in (b"\x0a\xff", b"\xff" * 40, b"\x0a\x02\xc3\x28"):
            request: Any = iter([data]) if kind.startswith("stream") else data
            call = getattr(served.channel, kind)(method)(request)
            error = await refusal(call.read() if kind.endswith("stream") else call)
            assert isinstance(error, InvalidArgument)
        await served.stub.GetDataset(get())


async def test_an_unexpected_error_keeps_its_insides(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    async with stand_in(settings) as served:
        served.ingestion.get = lambda name: {}["secret"]
        error = await refusal(served.stub.GetDataset(get(), metadata=(("x-request-id", "abc"),)))
        assert isinstance(error, Internal)
        assert "secret" not in error.message
        assert "abc" in error.message
        logged = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert logged[0].exc_info is not None


async def test_a_full_disk_is_told_with_its_folder(settings: Settings) -> None:
    async with stand_in(settings) as served:

        def full(name: str) -> None:
            raise OSError(28, "No space left on device", "/data/lake/part-1.parquet")

        served.ingestion.get = full
        error = await refusal(served.stub.GetDataset(get()))
        assert isinstance(error, ResourceExhausted)
        assert error.metadata == {"folder": "/data/lake"}


async def test_an_error_after_the_first_message_of_a_stream(settings: Settings) -> None:
    async with stand_in(settings) as served:
        call = served.stub.ReadDataset(pb.ReadDatasetRequest(dataset="people"))
        assert (await call.read()).version == 1
        assert isinstance(await refusal(call.read()), NotFound)


async def test_what_is_not_there_is_unimplemented(settings: Settings) -> None:
    async with stand_in(settings) as served:
        listed = await refusal(served.stub.ListDatasets(pb.ListDatasetsRequest()))
        assert isinstance(listed, Unimplemented)
        assert listed.reason == "NOT_IMPLEMENTED"
        unknown = await refusal(served.channel.unary_unary("/boarfish.v1.Nowhere/Nothing")(b""))
        assert isinstance(unknown, Unimplemented)
        assert unknown.reason == "UNKNOWN_METHOD"


async def test_request_ids_are_kept_made_and_given_back(settings: Settings) -> None:
    async with stand_in(settings) as served:
        call = served.stub.GetDataset(get(), metadata=(("x-request-id", "mine"),))
        await call
        assert served.ingestion.seen_request_id == "mine"
        assert ("x-request-id", "mine") in tuple(await call.trailing_metadata())
        for given in ((), (("x-request-id", "x" * 129),)):
            call = served.stub.GetDataset(get(), metadata=given)
            await call
            assert len(served.ingestion.seen_request_id) == 32
            assert ("x-request-id", served.ingestion.seen_request_id) in tuple(await call.trailing_metadata())
        refused = served.stub.GetDataset(get(""), metadata=(("x-request-id", "mine"),))
        await refusal(refused)
        assert ("x-request-id", "mine") in tuple(await refused.trailing_metadata())


async def test_a_caller_without_a_deadline_gets_the_default_one(settings: Settings) -> None:
    short = settings.model_copy(update={"default_deadline_s": 0.05})
    async with stand_in(short) as served:
        served.ingestion.get = lambda name: asyncio.sleep(0.3)
        assert isinstance(await refusal(served.stub.GetDataset(get())), DeadlineExceeded)
        await served.stub.GetDataset(get(), timeout=5)
        assert isinstance(await refusal(served.stub.GetDataset(get(), timeout=0.05)), DeadlineExceeded)


async def test_calls_at_once_are_bounded(settings: Settings) -> None:
    bounded = settings.model_copy(update={"max_concurrent_calls": 2})
    async with stand_in(bounded) as served:
        release = asyncio.Event()
        served.ingestion.get = lambda name: release.wait()
        held = [asyncio.ensure_future(served.stub.GetDataset(get())) for _ in range(2)]
        while served.harness._calls._unary_calls.count < 2:
            await asyncio.sleep(0)
        error = await refusal(served.stub.GetDataset(get()))
        assert isinstance(error, ResourceExhausted)
        assert error.retry_after_s
        assert error.reason == "TOO_MANY_CALLS"
        release.set()
        await asyncio.gather(*held)
        await served.stub.GetDataset(get())
        assert served.harness._calls._unary_calls.count == 0


async def test_a_message_past_the_limit_is_refused_and_the_next_one_is_not(settings: Settings) -> None:
    small = settings.model_copy(update={"max_message_bytes": 1024 * 1024})
    async with stand_in(small) as served:
        served.ingestion.go_on.set()
        large = prediction(1)
        large.arrow_ipc = bytes(2 * 1024 * 1024)
        call = served.stub.LogPredictions(iter([large]))
        assert isinstance(await refusal(call.read()), ResourceExhausted)
        assert isinstance(
            await refusal(served.stub.GetDataset(get("x" * 2 * 1024 * 1024))), ResourceExhausted
        )
        await served.stub.GetDataset(get())


async def test_health_follows_readiness(settings: Settings) -> None:
    async with stand_in(settings) as served:
        for name in ("", "boarfish.v1.IngestionService", "grpc.health.v1.Health"):
            answer = await served.health.Check(health_pb2.HealthCheckRequest(service=name))
            assert answer.status == SERVING
        watch = served.health.Watch(health_pb2.HealthCheckRequest(service="boarfish.v1.IngestionService"))
        assert (await watch.read()).status == SERVING
        served.harness.set_ready(False, "the lake cannot be written")
        assert (await watch.read()).status == NOT_SERVING
        served.harness.set_ready(True)
        assert (await watch.read()).status == SERVING
        watch.cancel()
        unknown = await refusal(served.health.Check(health_pb2.HealthCheckRequest(service="nothing")))
        assert isinstance(unknown, NotFound)


async def test_a_start_function_may_hold_readiness_back(settings: Settings) -> None:
    async def start(harness: Harness) -> None:
        harness.set_ready(False, "waiting for a model")

    async with (
        serving("inference", "127.0.0.1:0", settings, start) as harness,
        grpc.aio.insecure_channel(f"127.0.0.1:{harness.port}") as channel,
    ):
        health = health_pb2_grpc.HealthStub(channel)
        assert (await health.Check(health_pb2.HealthCheckRequest())).status == NOT_SERVING
        await harness.set_ready(True)
        assert (await health.Check(health_pb2.HealthCheckRequest())).status == SERVING


async def test_reflection_lists_the_services(settings: Settings) -> None:
    async with stand_in(settings) as served:
        stub = reflection_pb2_grpc.ServerReflectionStub(served.channel)
        asked = [
            reflection_pb2.ServerReflectionRequest(list_services=""),
            reflection_pb2.ServerReflectionRequest(file_containing_symbol="boarfish.v1.IngestionService"),
        ]
        answers = [answer async for answer in stub.ServerReflectionInfo(iter(asked))]
        names = {service.name for service in answers[0].list_services_response.service}
        assert "boarfish.v1.IngestionService" in names
        assert "grpc.health.v1.Health" in names
        assert answers[1].file_descriptor_response.file_descriptor_proto


async def test_a_stop_finishes_what_is_in_hand_and_ends_what_never_ends(settings: Settings) -> None:
    patient = settings.model_copy(update={"drain_s": 30.0})
    order: list[str] = []

    async def note(what: str) -> None:
        order.append(what)

    standing = stand_in(patient)
    served = await standing.__aenter__()
    served.harness.on_stop(lambda: note("opened first, closed last"))
    served.harness.on_stop(lambda: note("opened last, closed first"))
    background = served.harness.spawn(asyncio.Event().wait(), "background")
    # Its own channel, as the stand-in closes that of the served when it stops.
    async with grpc.aio.insecure_channel(f"127.0.0.1:{served.harness.port}") as channel:
        stub = ingestion_pb2_grpc.IngestionServiceStub(channel)
        alerts = monitoring_pb2_grpc.MonitoringServiceStub(channel)
        watch = alerts.WatchAlerts(monitoring_pb2.WatchAlertsRequest())
        await watch.read()
        health = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert (await health.read()).status == SERVING
        idle = stub.LogPredictions()
        await idle.wait_for_connection()
        busy = stub.LogPredictions()
        await busy.write(prediction(7))
        await served.ingestion.entered.wait()
        release = asyncio.Event()
        served.ingestion.get = lambda name: release.wait()
        unary = asyncio.ensure_future(stub.GetDataset(get()))
        while served.harness._calls._unary_calls.count < 1:
            await asyncio.sleep(0)

        stop = asyncio.ensure_future(standing.__aexit__(None, None, None))
        assert (await health.read()).status == NOT_SERVING
        assert isinstance(await refusal(watch.read()), Unavailable)
        assert served.monitoring.ended
        assert isinstance(await refusal(idle.read()), Unavailable)
        assert not stop.done()
        served.ingestion.go_on.set()
        assert (await busy.read()).acknowledged_offset == 7
        assert isinstance(await refusal(busy.read()), Unavailable)
        release.set()
        assert (await unary).dataset.name == "people"
        async with asyncio.timeout(5):
            await stop
    assert served.ingestion.acknowledged == [7]
    assert order == ["opened last, closed first", "opened first, closed last"]
    assert background.cancelled()


async def test_a_failed_background_task_asks_for_a_stop(settings: Settings) -> None:
    async def fail() -> None:
        raise ValueError("the loop broke")

    async with stand_in(settings) as served:
        served.harness.spawn(fail(), "loop")
        async with asyncio.timeout(5):
            await served.harness.stopping.wait()
        assert isinstance(served.harness.failure, ValueError)


async def test_a_taken_port_is_named_with_its_setting(settings: Settings) -> None:
    started = False

    async def start(harness: Harness) -> None:
        nonlocal started
        started = True

    async with stand_in(settings) as served:
        with pytest.raises(PortInUse, match=f"{served.harness.port}.*BOARFISH_TRAINING_ADDRESS"):
            async with serving("training", f"127.0.0.1:{served.harness.port}", settings, start):
                pass
    assert not started


async def test_log_lines_carry_the_request_id(settings: Settings) -> None:
    async with stand_in(settings) as served:
        lines: list[str] = []
        formatter = telemetry.JsonFormatter("ingestion")
        record = logging.makeLogRecord({"msg": "half of %s", "args": ("it",), "levelname": "INFO", "rows": 3})
        served.ingestion.get = lambda name: lines.append(formatter.format(record))
        await served.stub.GetDataset(get(), metadata=(("x-request-id", "abc"),))
        line = json.loads(lines[0])
        assert (line["request_id"], line["message"], line["rows"]) == ("abc", "half of it", 3)
