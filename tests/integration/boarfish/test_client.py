"""The clients against a real server: errors as they were raised, with deadlines, ids and retries."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from boarfish import AsyncClient, Client, errors
from boarfish.v1 import inference_pb2, ingestion_pb2, ingestion_pb2_grpc, monitoring_pb2, monitoring_pb2_grpc
from boarfish.v1.inference_pb2_grpc import InferenceServiceServicer, add_InferenceServiceServicer_to_server

from services.common.server import Harness, serving
from services.common.settings import Settings

RAISED = [
    errors.InvalidArgument(
        "two fields are wrong", [("a", "is bad"), ("b[1]", "is worse")], reason="TWO_WRONG"
    ),
    errors.NotFound("no such thing", metadata={"thing": "x"}),
    errors.AlreadyExists("it is there"),
    errors.FailedPrecondition("not now"),
    errors.ResourceExhausted("full", retry_after_s=1.5),
    errors.Unavailable("away", retry_after_s=0.25, reason="AWAY"),
    errors.DeadlineExceeded("late"),
    errors.Unimplemented("later"),
    errors.PermissionDenied("no"),
    errors.Unauthenticated("who?"),
]


class Monitoring(monitoring_pb2_grpc.MonitoringServiceServicer):
    def __init__(self) -> None:
        self.error: Exception | None = None
        self.failures = 0
        self.calls = 0
        self.request_ids: list[str] = []
        self.remaining_s: float | None = None

    async def GetHealth(self, request: Any, context: Any) -> monitoring_pb2.GetHealthResponse:  # noqa: N802
        self.calls += 1
        self.request_ids += [value for key, value in context.invocation_metadata() if key == "x-request-id"]
        self.remaining_s = context.time_remaining()
        if self.calls <= self.failures:
            raise errors.Unavailable("not yet", reason="STARTING")
        if self.error is not None:
            raise self.error
        return monitoring_pb2.GetHealthResponse()

    async def WatchAlerts(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        yield monitoring_pb2.WatchAlertsResponse()
        raise errors.ResourceExhausted("too many watch", retry_after_s=2.0)


class Inference(InferenceServiceServicer):
    calls = 0

    async def Predict(self, request: Any, context: Any) -> inference_pb2.PredictResponse:  # noqa: N802
        self.calls += 1
        raise errors.Unavailable("no runtime answers", reason="NO_RUNTIME")


class Ingestion(ingestion_pb2_grpc.IngestionServiceServicer):
    async def PutRecords(self, request_iterator: Any, context: Any) -> ingestion_pb2.PutRecordsResponse:  # noqa: N802
        count = 0
        async for request in request_iterator:
            count += len(request.batch.rows.rows)
        return ingestion_pb2.PutRecordsResponse(accepted_count=count)


@asynccontextmanager
async def served(settings: Settings) -> AsyncIterator[tuple[str, Monitoring, Inference]]:
    monitoring, inference = Monitoring(), Inference()

    async def start(harness: Harness) -> None:
        described = monitoring_pb2.DESCRIPTOR.services_by_name["MonitoringService"]
        harness.add_service(
            monitoring_pb2_grpc.add_MonitoringServiceServicer_to_server, monitoring, described
        )
        described = inference_pb2.DESCRIPTOR.services_by_name["InferenceService"]
        harness.add_service(add_InferenceServiceServicer_to_server, inference, described)
        described = ingestion_pb2.DESCRIPTOR.services_by_name["IngestionService"]
        harness.add_service(ingestion_pb2_grpc.add_IngestionServiceServicer_to_server, Ingestion(), described)

    async with serving("monitoring", "127.0.0.1:0", settings, start) as harness:
        yield f"127.0.0.1:{harness.port}", monitoring, inference


HEALTH = monitoring_pb2.GetHealthRequest()


@pytest.mark.parametrize("raised", RAISED, ids=lambda error: type(error).__name__)
async def test_an_error_comes_back_as_it_was_raised(settings, raised):
    async with served(settings) as (address, monitoring, _), AsyncClient(monitoring=address) as client:
        monitoring.error = raised
        with pytest.raises(type(raised)) as caught:
            await client.monitoring.GetHealth(HEALTH)
    got = caught.value
    assert (got.message, got.reason, got.metadata) == (raised.message, raised.reason, raised.metadata)
    assert getattr(got, "violations", ()) == getattr(raised, "violations", ())
    assert getattr(got, "retry_after_s", None) == getattr(raised, "retry_after_s", None)


async def test_the_blocking_client_hears_the_same(settings):
    async with served(settings) as (address, monitoring, _):
        monitoring.error = RAISED[0]

        def ask() -> None:
            with Client(monitoring=address) as client:
                client.health()

        with pytest.raises(errors.InvalidArgument) as caught:
            await asyncio.to_thread(ask)
    assert [violation.field for violation in caught.value.violations] == ["a", "b[1]"]


async def test_what_nobody_expected_is_internal_without_its_insides(settings):
    async with served(settings) as (address, monitoring, _), AsyncClient(monitoring=address) as client:
        monitoring.error = RuntimeError("secret path /etc/shadow")
        with pytest.raises(errors.Internal) as caught:
            await client.monitoring.GetHealth(HEALTH)
    assert "secret" not in caught.value.message


async def test_calls_carry_a_deadline_and_a_request_id(settings):
    async with served(settings) as (address, monitoring, _):
        async with AsyncClient(monitoring=address, deadline_s=7.0) as client:
            await client.monitoring.GetHealth(HEALTH)
            await client.monitoring.GetHealth(HEALTH, metadata=(("x-request-id", "mine"),))
        assert monitoring.remaining_s is not None
        assert monitoring.remaining_s < 7.5
        assert len(monitoring.request_ids[0]) == 32
        assert monitoring.request_ids[1] == "mine"


async def test_a_call_that_may_come_twice_is_tried_again(settings):
    async with served(settings) as (address, monitoring, _), AsyncClient(monitoring=address) as client:
        monitoring.failures = 2
        await client.monitoring.GetHealth(HEALTH)
        assert monitoring.calls == 3


async def test_a_prediction_is_not_tried_again(settings):
    async with served(settings) as (address, _, inference), AsyncClient(inference=address) as client:
        with pytest.raises(errors.Unavailable, match="no runtime answers"):
            await client.predict("employment", [{"AGEP": 41}])
        assert inference.calls == 1


async def test_an_error_in_a_stream_comes_after_its_answers(settings):
    async with served(settings) as (address, _, _), AsyncClient(monitoring=address) as client:
        answers = client.monitoring.WatchAlerts(monitoring_pb2.WatchAlertsRequest())
        await anext(answers)
        with pytest.raises(errors.ResourceExhausted) as caught:
            await anext(answers)
    assert caught.value.retry_after_s == 2.0


async def test_rows_go_in_by_both_clients(settings):
    rows = [{"a": 1}, {"a": 2}]
    async with served(settings) as (address, _, _):
        async with AsyncClient(ingestion=address) as client:
            assert (await client.put_records("employment", rows)).accepted_count == 2

        def put() -> int:
            with Client(ingestion=address) as blocking:
                return blocking.put_records("employment", rows).accepted_count

        assert await asyncio.to_thread(put) == 2


def test_where_nothing_answers_the_address_is_named(free_port):
    address = f"127.0.0.1:{free_port()}"
    began = time.monotonic()
    with Client(monitoring=address) as client, pytest.raises(errors.Unavailable, match=address):
        client.health()
    assert time.monotonic() - began < 10
