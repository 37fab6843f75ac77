import asyncio
import json
import struct
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from boarfish.errors import InvalidArgument, NotFound, from_rpc_error
from boarfish.v1 import inference_pb2_grpc, task_pb2
from inference import open_inference_pb2 as oip
from inference import open_inference_pb2_grpc

from services.common.server import serving
from services.inference.__main__ import start
from services.inference.settings import InferenceSettings
from tests.integration.inference.requests import PERSON, deployment_request, rows_request
from tests.integration.inference.small_models import add_model, employment

CALLER = str(Path(__file__).parent / "triton_caller.py")


@pytest.fixture
async def served(inference_settings: InferenceSettings) -> AsyncIterator[Any]:
    """Both stubs of a service with the deployments `employment` and `towns`, and its port."""
    model = add_model(inference_settings.models_path, employment())
    towns = task_pb2.Task()
    towns.CopyFrom(employment())
    towns.name = "towns"
    del towns.features[1:]
    del towns.sensitive[:]
    towns.features.add(name="TOWN", type=task_pb2.FEATURE_TYPE_CATEGORY, description="Town")
    town_model = add_model(inference_settings.models_path, towns)
    async with (
        serving("inference", "127.0.0.1:0", inference_settings, start) as harness,
        grpc.aio.insecure_channel(f"127.0.0.1:{harness.port}") as channel,
    ):
        stub = inference_pb2_grpc.InferenceServiceStub(channel)
        await stub.CreateDeployment(deployment_request(model.id))
        await stub.CreateDeployment(deployment_request(town_model.id, name="towns"))
        yield stub, open_inference_pb2_grpc.GRPCInferenceServiceStub(channel), harness.port


def towns_request(ages: list[float], towns: list[bytes]) -> oip.ModelInferRequest:
    request = oip.ModelInferRequest(model_name="towns", id="a")
    request.inputs.add(name="AGEP", datatype="FP64", shape=[len(ages)]).contents.fp64_contents.extend(ages)
    request.inputs.add(name="TOWN", datatype="BYTES", shape=[len(towns), 1]).contents.bytes_contents.extend(
        towns
    )
    return request


async def test_tritonclient_gets_the_answers_of_predict(served: Any) -> None:
    stub, _, port = served
    rows = [{**PERSON, "AGEP": age} for age in (20, 50, 80)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, CALLER, f"127.0.0.1:{port}", "employment", json.dumps(rows),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    found = json.loads(out)
    ours = await stub.Predict(rows_request(*rows))
    assert found["probability"] == pytest.approx([one.score for one in ours.predictions])
    assert found["decision"] == [one.decision for one in ours.predictions]
    assert len(set(found["prediction_id"])) == 3
    assert found["versions"] == [ours.model_version]
    assert (found["live"], found["ready"], found["model_ready"]) == (True, True, True)
    assert (found["server"], found["id"]) == ("boarfish", "seven")
    assert "INVALID_ARGUMENT" in found["refused"]
    assert "inputs[SCHL]" in found["refused"]


async def test_typed_and_raw_contents_agree(served: Any) -> None:
    _, model, _ = served
    typed = towns_request([30.0, 60.0], [b"a", "Łódź".encode()])
    raw = oip.ModelInferRequest()
    raw.CopyFrom(typed)
    for tensor in raw.inputs:
        tensor.ClearField("contents")
    texts = b"".join(struct.pack("<I", len(text)) + text for text in (b"a", "Łódź".encode()))
    raw.raw_input_contents.extend([struct.pack("<2d", 30.0, 60.0), texts])
    one, two = await model.ModelInfer(typed), await model.ModelInfer(raw)
    assert one.outputs[0].name == "probability"
    assert struct.unpack("<2f", two.raw_output_contents[0]) == tuple(one.outputs[0].contents.fp32_contents)
    assert not two.outputs[0].HasField("contents")
    typed.outputs.add(name="decision")
    assert [output.name for output in (await model.ModelInfer(typed)).outputs] == ["decision"]


async def refusal(call: Any) -> Any:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return from_rpc_error(caught.value)


def _bad_requests() -> dict[str, tuple[oip.ModelInferRequest, str]]:
    made: dict[str, tuple[oip.ModelInferRequest, str]] = {}

    def add(name: str, field: str) -> oip.ModelInferRequest:
        request = towns_request([30.0], [b"a"])
        made[name] = (request, field)
        return request

    add("shape", "inputs[AGEP]").inputs[0].shape[:] = [2]
    add("rank", "inputs[AGEP]").inputs[0].shape[:] = [1, 1, 1]
    add("negative", "inputs[AGEP]").inputs[0].shape[:] = [-1]
    add("huge", "inputs[AGEP]").inputs[0].shape[:] = [2**60]
    add("datatype", "inputs[AGEP]").inputs[0].datatype = "FP8"
    add("text for number", "inputs[AGEP]").inputs[0].CopyFrom(
        oip.ModelInferRequest.InferInputTensor(
            name="AGEP", datatype="BYTES", shape=[1], contents=oip.InferTensorContents(bytes_contents=[b"x"])
        )
    )
    add("not utf-8", "inputs[TOWN]").inputs[1].contents.bytes_contents[:] = [b"\xff"]
    add("out of range", "inputs[AGEP]").inputs[0].contents.fp64_contents[:] = [500.0]
    add("infinite", "inputs[AGEP]").inputs[0].contents.fp64_contents[:] = [float("inf")]
    add("unknown", "inputs[OTHER]").inputs.add(
        name="OTHER", datatype="FP64", shape=[1]
    ).contents.fp64_contents.append(1)
    add("twice", "inputs[AGEP]").inputs.add().CopyFrom(towns_request([30.0], [b"a"]).inputs[0])
    del add("lacking", "inputs[TOWN]").inputs[1:]
    del add("none", "inputs").inputs[:]
    add("raw and typed", "inputs[AGEP]").raw_input_contents.extend([b"", b""])
    add("raw count", "raw_input_contents").raw_input_contents.append(b"")
    short = add("raw length", "inputs[AGEP]")
    for tensor in short.inputs:
        tensor.ClearField("contents")
    short.raw_input_contents.extend([b"1234", b"\x01\0\0\0a"])
    torn = add("raw text", "inputs[TOWN]")
    for tensor in torn.inputs:
        tensor.ClearField("contents")
    torn.raw_input_contents.extend([struct.pack("<d", 30.0), b"\xff\xff\xff\xffa"])
    add("output", "outputs[other]").outputs.add(name="other")
    return made


@pytest.mark.parametrize("case", sorted(_bad_requests()))
async def test_a_wrong_input_is_named(served: Any, case: str) -> None:
    _, model, _ = served
    request, field = _bad_requests()[case]
    error = await refusal(model.ModelInfer(request))
    assert isinstance(error, InvalidArgument)
    assert error.violations[0].field == field
    assert error.violations[0].description


async def test_unknown_models_and_versions_are_not_found(served: Any) -> None:
    _, model, _ = served
    assert isinstance(await refusal(model.ModelReady(oip.ModelReadyRequest(name="nobody"))), NotFound)
    wrong = oip.ModelMetadataRequest(name="towns", version="1")
    assert isinstance(await refusal(model.ModelMetadata(wrong)), NotFound)
    metadata = await model.ModelMetadata(oip.ModelMetadataRequest(name="towns"))
    assert [(one.name, one.datatype, list(one.shape)) for one in metadata.inputs] == [
        ("AGEP", "FP64", [-1]),
        ("TOWN", "BYTES", [-1]),
    ]
