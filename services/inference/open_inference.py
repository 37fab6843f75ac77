"""The Open Inference Protocol on the same port: any of its clients can call a deployment as a model of that
name.

One input for each feature (NUMERIC FP64, CODE INT64, CATEGORY BYTES, shape `[N]` or `[N, 1]`; neighbouring
number types are taken as well), and the sensitive attributes as optional inputs. Outputs: `probability`
FP32, `decision` BYTES, `prediction_id` BYTES. A missing number is NaN. The way through checks, event log
and shadow is that of `Predict`.
"""

import asyncio
import importlib.metadata
import time
from typing import Any

import numpy as np
import pyarrow as pa
from boarfish.errors import FieldViolation, InvalidArgument, NotFound
from inference import open_inference_pb2, open_inference_pb2_grpc

from services.common.rows import CATEGORY, CODE, NUMERIC
from services.inference.deployments import ONNX, Deployments, LiveDeployment
from services.inference.events import encode_batch
from services.inference.prediction import Answer, CheckedRequest, Predictor
from services.inference.prediction_ids import texts
from services.inference.tensors import add_output, to_table

OUTPUTS = {"probability": "FP32", "decision": "BYTES", "prediction_id": "BYTES"}
SHOWN_VIOLATIONS = 100
_DATATYPES: dict[int, str] = {NUMERIC: "FP64", CODE: "INT64", CATEGORY: "BYTES"}


class OpenInferenceService(open_inference_pb2_grpc.GRPCInferenceServiceServicer):
    """Answers `inference.GRPCInferenceService`."""

    def __init__(self, deployments: Deployments, predictor: Predictor) -> None:
        self._deployments = deployments
        self._predictor = predictor

    async def ServerLive(
        self, request: open_inference_pb2.ServerLiveRequest, context: Any
    ) -> open_inference_pb2.ServerLiveResponse:
        return open_inference_pb2.ServerLiveResponse(live=True)

    async def ServerReady(
        self, request: open_inference_pb2.ServerReadyRequest, context: Any
    ) -> open_inference_pb2.ServerReadyResponse:
        return open_inference_pb2.ServerReadyResponse(ready=True)

    async def ModelReady(
        self, request: open_inference_pb2.ModelReadyRequest, context: Any
    ) -> open_inference_pb2.ModelReadyResponse:
        runtime = self._model(request.name, request.version).champion.runtime
        return open_inference_pb2.ModelReadyResponse(ready=runtime is not None and runtime.ready)

    async def ServerMetadata(
        self, request: open_inference_pb2.ServerMetadataRequest, context: Any
    ) -> open_inference_pb2.ServerMetadataResponse:
        return open_inference_pb2.ServerMetadataResponse(
            name="boarfish", version=importlib.metadata.version("boarfish-suite")
        )

    async def ModelMetadata(
        self, request: open_inference_pb2.ModelMetadataRequest, context: Any
    ) -> open_inference_pb2.ModelMetadataResponse:
        live = self._model(request.name, request.version)
        response = open_inference_pb2.ModelMetadataResponse(
            name=live.name,
            versions=[live.champion.model_version],
            platform="onnxruntime_onnx" if live.champion.kind == ONNX else "pytorch_torchserve",
        )
        for name, kind in live.layout.packing.columns:
            response.inputs.add(name=name, datatype=_DATATYPES[kind], shape=[-1])
        for name, datatype in OUTPUTS.items():
            response.outputs.add(name=name, datatype=datatype, shape=[-1])
        return response

    async def ModelInfer(
        self, request: open_inference_pb2.ModelInferRequest, context: Any
    ) -> open_inference_pb2.ModelInferResponse:
        live = self._model(request.model_name, request.model_version)
        wanted = [output.name for output in request.outputs] or list(OUTPUTS)
        for name in wanted:
            if name not in OUTPUTS:
                raise InvalidArgument.of(
                    FieldViolation(f"outputs[{name}]", f"is not known; there are {', '.join(OUTPUTS)}")
                )
        checked = await asyncio.to_thread(_check, live, request)
        answer = await self._predictor.compute(live, checked, context.time_remaining())
        return await asyncio.to_thread(_response, live, request, wanted, answer)

    def _model(self, name: str, version: str) -> LiveDeployment:
        live = self._deployments.get(name)
        if version and not live.champion.model_version.startswith(version):
            raise NotFound(
                f"Deployment {name} serves version {live.champion.model_version}, not {version}.",
                reason="MODEL_VERSION_NOT_FOUND",
            )
        return live


def _check(live: LiveDeployment, request: open_inference_pb2.ModelInferRequest) -> CheckedRequest:
    """The request's rows, fit to be predicted. Raises `InvalidArgument` naming the input."""
    table = to_table(request)
    try:
        checked = live.schema.check_table(table)
    except InvalidArgument as error:
        raise InvalidArgument.of(
            *(FieldViolation(_input_of(field), description) for field, description in error.violations)
        ) from error
    if checked.rejected:
        raise InvalidArgument.of(
            *(
                FieldViolation(f"inputs[{row.column}]", f"row {row.row_index}: {row.reason}")
                for row in checked.rejected[:SHOWN_VIOLATIONS]
            )
        )
    return CheckedRequest(
        live.layout.from_batch(checked.rows), encode_batch(checked.rows), time.time_ns() // 1000, ""
    )


def _input_of(field: str) -> str:
    return f"inputs[{field.removeprefix('batch.')}]"


def _response(
    live: LiveDeployment, request: open_inference_pb2.ModelInferRequest, wanted: list[str], answer: Answer
) -> open_inference_pb2.ModelInferResponse:
    response = open_inference_pb2.ModelInferResponse(
        model_name=live.name, model_version=live.champion.model_version, id=request.id
    )
    count, scores = len(answer.scores), np.asarray(answer.scores)
    positive = scores >= live.champion.source.threshold
    words = np.array(["", ""] if live.withholds else live.words, object)
    columns = {
        "probability": pa.array(np.full(count, np.nan) if live.withholds else scores),
        "decision": pa.array(words[positive.astype(int)], pa.utf8()),
        "prediction_id": texts(np.frombuffer(answer.ids, np.uint8).reshape(count, 16)),
    }
    for name in wanted:
        add_output(response, name, columns[name], raw=bool(request.raw_input_contents))
    return response
