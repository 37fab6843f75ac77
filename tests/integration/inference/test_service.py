import asyncio
import math
from collections.abc import AsyncIterator
from typing import Any

import grpc
import numpy as np
import onnxruntime as ort
import pyarrow as pa
import pytest
from boarfish.errors import (
    AlreadyExists,
    BoarfishError,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    Unimplemented,
    from_rpc_error,
)
from boarfish.v1 import common_pb2, inference_pb2, task_pb2

from services.common.server import serving
from services.inference.__main__ import start
from services.inference.inputs import InputLayout
from services.inference.settings import InferenceSettings
from tests.integration.inference.requests import (
    PERSON,
    arrow_request,
    deployment_request,
    people,
    rows_request,
)
from tests.integration.inference.small_models import add_model, employment


async def refused(call: Any, kind: type[BoarfishError]) -> Any:
    """The error that a call ends with, which must be of `kind`."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    error = from_rpc_error(caught.value)
    assert isinstance(error, kind), error
    return error


@pytest.fixture
async def served(stub: Any, inference_settings: InferenceSettings) -> Any:
    """A stub whose service has the deployment `employment`."""
    model = add_model(inference_settings.models_path, employment())
    await stub.CreateDeployment(deployment_request(model.id[:12]))
    return stub


async def test_answers_are_those_of_the_model(served: Any, inference_settings: InferenceSettings) -> None:
    table = people(300)
    bulk = await served.Predict(arrow_request(table))
    answers = pa.ipc.open_stream(bulk.arrow_ipc).read_all()
    few = await served.Predict(rows_request(*table.slice(0, 40).to_pylist()))
    (path,) = inference_settings.models_path.glob("*/model.onnx")
    batch = table.select([feature.name for feature in employment().features]).combine_chunks().to_batches()[0]
    expected = ort.InferenceSession(str(path)).run(
        None, InputLayout(employment()).from_batch(batch).by_name()
    )[0]
    np.testing.assert_allclose(answers["score"].to_numpy(), expected, rtol=1e-5)
    np.testing.assert_allclose([one.score for one in few.predictions], expected[:40], rtol=1e-5)
    assert answers["positive"].to_pylist() == (expected >= 0.5).tolist()
    assert {one.decision for one in few.predictions} <= {"at work", "offer counselling"}
    ids = answers["prediction_id"].to_pylist() + [one.prediction_id for one in few.predictions]
    assert ids == sorted(set(ids))
    assert few.model_version == path.parent.name
    assert few.rung == inference_pb2.RUNG_FULL
    assert few.latency.ToNanoseconds() > 0
    shown = (await served.GetDeployment(inference_pb2.GetDeploymentRequest(name="employment"))).deployment
    assert shown.prediction_count == 340
    assert shown.pending_event_count == 340


@pytest.mark.parametrize(
    ("change", "column", "words"),
    [
        ({"AGEP": 200}, "AGEP", "must be at most 120"),
        ({"AGEP": math.nan}, "AGEP", "missing"),
        ({"AGEP": math.inf}, "AGEP", "finite"),
        ({"AGEP": "old"}, "AGEP", "must be a number"),
        ({"DIS": 7}, "DIS", "must be one of 1, 2"),
        ({"DIS": 1.5}, "DIS", "whole number"),
        ({"DIS": None}, "DIS", "missing"),
        ({"NONSENSE": 1}, "NONSENSE", "not a column"),
    ],
)
async def test_a_bad_row_is_named(served: Any, change: dict[str, Any], column: str, words: str) -> None:
    error = await refused(served.Predict(rows_request(PERSON, {**PERSON, **change})), InvalidArgument)
    assert error.violations[0].field == f"batch.rows[1].{column}"
    assert words in error.violations[0].description


async def test_a_bad_arrow_row_is_named(served: Any) -> None:
    table = people(200)
    ages = table["AGEP"].to_pylist()
    ages[150] = math.inf
    error = await refused(
        served.Predict(arrow_request(table.set_column(0, "AGEP", pa.array(ages)))), InvalidArgument
    )
    assert [one.field for one in error.violations] == ["batch.rows[150].AGEP"]
    broken = inference_pb2.PredictRequest(
        deployment="employment", batch=common_pb2.RowBatch(arrow_ipc=b"no arrow at all")
    )
    assert (await refused(served.Predict(broken), InvalidArgument)).violations[0].field == "batch.arrow_ipc"
    lacking = arrow_request(table.drop_columns(["DIS"]))
    assert "DIS" in (await refused(served.Predict(lacking), InvalidArgument)).violations[0].field


async def test_an_impossible_event_time_is_refused(served: Any) -> None:
    request = rows_request(PERSON)
    request.event_time.seconds = 2**62
    assert (await refused(served.Predict(request), InvalidArgument)).violations[0].field == "event_time"


async def test_a_stream_answers_in_order_and_ends_at_the_first_bad_request(served: Any) -> None:
    async def requests() -> AsyncIterator[inference_pb2.PredictStreamRequest]:
        for count in (1000, 1, 500, 2):
            yield inference_pb2.PredictStreamRequest(request=arrow_request(people(count)))
        yield inference_pb2.PredictStreamRequest(request=rows_request({**PERSON, "DIS": 7}))

    counts = []

    async def read() -> None:
        async for answer in served.PredictStream(requests()):
            counts.append(pa.ipc.open_stream(answer.response.arrow_ipc).read_all().num_rows)

    await refused(read(), InvalidArgument)
    assert counts == [1000, 1, 500, 2]


async def test_creating_is_idempotent_by_its_request(
    served: Any, inference_settings: InferenceSettings
) -> None:
    (path,) = inference_settings.models_path.glob("*/model.onnx")
    identity = path.parent.name
    again = await served.CreateDeployment(deployment_request(identity[:12]))
    assert again.deployment.champion.model_version == identity
    assert again.deployment.champion.ready
    other = deployment_request(identity[:12], request_id="another")
    assert (await refused(served.CreateDeployment(other), AlreadyExists)).reason == "DEPLOYMENT_EXISTS"
    mixed = deployment_request(identity[:12], name="second", request_id="create-employment")
    assert (await refused(served.CreateDeployment(mixed), AlreadyExists)).reason == "REQUEST_ID_TAKEN"
    await refused(served.CreateDeployment(deployment_request("0" * 8, name="third")), NotFound)


async def test_both_versions_are_of_one_task(stub: Any, inference_settings: InferenceSettings) -> None:
    other = task_pb2.Task()
    other.CopyFrom(employment())
    other.name = "other"
    champion = add_model(inference_settings.models_path, employment())
    shadow = add_model(inference_settings.models_path, other)
    error = await refused(stub.CreateDeployment(deployment_request(champion.id, shadow.id)), InvalidArgument)
    assert error.violations[0].field == "shadow.model_version"


async def test_above_shadow_somebody_answers_for_it(stub: Any, inference_settings: InferenceSettings) -> None:
    model = add_model(inference_settings.models_path, employment())
    request = deployment_request(model.id)
    request.ClearField("requested_by")
    await refused(stub.CreateDeployment(request), InvalidArgument)


async def test_at_rung_shadow_the_answer_is_withheld(
    stub: Any, inference_settings: InferenceSettings
) -> None:
    model = add_model(inference_settings.models_path, employment())
    made = await stub.CreateDeployment(deployment_request(model.id, rung=inference_pb2.RUNG_UNSPECIFIED))
    assert made.deployment.rung == inference_pb2.RUNG_SHADOW
    answer = await stub.Predict(rows_request(PERSON))
    (one,) = answer.predictions
    assert one.prediction_id
    assert math.isnan(one.score)
    assert not one.decision
    assert answer.rung == inference_pb2.RUNG_SHADOW
    table = pa.ipc.open_stream((await stub.Predict(arrow_request(people(2)))).arrow_ipc).read_all()
    assert all(math.isnan(score) for score in table["score"].to_pylist())
    assert table["decision"].to_pylist() == ["", ""]


async def test_a_damaged_model_is_refused_and_after_a_restart_says_so(
    inference_settings: InferenceSettings,
) -> None:
    good = add_model(inference_settings.models_path, employment(), 1)
    bad = add_model(inference_settings.models_path, employment(), 2)
    async with connected(inference_settings) as stub:
        await stub.CreateDeployment(deployment_request(good.id, name="good"))
        await stub.CreateDeployment(deployment_request(bad.id, name="bad"))
    damaged = bad.path / "model.onnx"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    async with connected(inference_settings) as stub:
        listed = (await stub.ListDeployments(inference_pb2.ListDeploymentsRequest())).deployments
        assert [(one.name, one.champion.ready) for one in listed] == [("bad", False), ("good", True)]
        assert "SHA-256" in listed[0].champion.status
        await stub.Predict(rows_request(PERSON, name="good"))
        error = await refused(stub.Predict(rows_request(PERSON, name="bad")), BoarfishError)
        assert error.code == grpc.StatusCode.UNAVAILABLE
        await refused(stub.CreateDeployment(deployment_request(bad.id, name="worse")), FailedPrecondition)


async def test_a_model_that_gives_no_probability_is_not_believed(
    stub: Any, inference_settings: InferenceSettings
) -> None:
    model = add_model(inference_settings.models_path, employment(), nan=True)
    await stub.CreateDeployment(deployment_request(model.id))
    error = await refused(stub.Predict(rows_request(PERSON)), BoarfishError)
    assert error.code == grpc.StatusCode.INTERNAL


async def test_a_full_spool_refuses_and_says_when_to_come_back(inference_settings: InferenceSettings) -> None:
    settings = inference_settings.model_copy(update={"spool_max_bytes": 1024 * 1024})
    model = add_model(settings.models_path, employment())
    async with connected(settings) as stub:
        await stub.CreateDeployment(deployment_request(model.id))
        request = arrow_request(people(2000))
        for _ in range(200):
            try:
                await stub.Predict(request)
            except grpc.aio.AioRpcError as caught:
                error = from_rpc_error(caught)
                break
        assert isinstance(error, ResourceExhausted)
        assert error.reason == "SPOOL_FULL"
        assert error.retry_after_s


async def test_pages(served: Any, inference_settings: InferenceSettings) -> None:
    (path,) = inference_settings.models_path.glob("*/model.onnx")
    for name in ("a", "b"):
        await served.CreateDeployment(deployment_request(path.parent.name, name=name))
    first = await served.ListDeployments(inference_pb2.ListDeploymentsRequest(page_size=2))
    second = await served.ListDeployments(
        inference_pb2.ListDeploymentsRequest(page_size=2, page_token=first.next_page_token)
    )
    assert [one.name for one in [*first.deployments, *second.deployments]] == ["a", "b", "employment"]
    assert not second.next_page_token


async def test_what_comes_later_is_unimplemented(served: Any) -> None:
    await refused(
        served.RollbackDeployment(inference_pb2.RollbackDeploymentRequest(request_id="1", name="x")),
        Unimplemented,
    )
    await refused(
        served.Explain(inference_pb2.ExplainRequest(deployment="x", prediction_id="y")), Unimplemented
    )
    await refused(served.Predict(rows_request(PERSON, name="nobody")), NotFound)


async def test_many_callers_at_once_get_their_own_answers(served: Any) -> None:
    rows = people(64).to_pylist()
    alone = [(await served.Predict(rows_request(row))).predictions[0].score for row in rows]
    together = await asyncio.gather(*(served.Predict(rows_request(row)) for row in rows))
    assert [answer.predictions[0].score for answer in together] == alone


def connected(settings: InferenceSettings) -> Any:
    """A stub of a service that is started and stopped around the block."""
    from contextlib import asynccontextmanager

    from boarfish.v1 import inference_pb2_grpc

    @asynccontextmanager
    async def connect() -> AsyncIterator[Any]:
        async with (
            serving("inference", "127.0.0.1:0", settings, start) as harness,
            grpc.aio.insecure_channel(f"127.0.0.1:{harness.port}") as channel,
        ):
            yield inference_pb2_grpc.InferenceServiceStub(channel)

    return connect()
