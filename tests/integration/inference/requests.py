"""Requests that the tests of serving make."""

import json
from typing import Any

import pyarrow as pa
from boarfish.v1 import common_pb2, inference_pb2

from tests.integration.inference.small_models import EMPLOYMENT

PERSON: dict[str, Any] = json.loads((EMPLOYMENT.parent / "row.json").read_text())
ONNX = inference_pb2.RUNTIME_KIND_ONNX_RUNTIME
TORCHSERVE = inference_pb2.RUNTIME_KIND_TORCHSERVE


def deployment_request(
    champion: str, shadow: str = "", *, name: str = "employment", request_id: str = "", **more: Any
) -> inference_pb2.CreateDeploymentRequest:
    """A wish for a deployment at rung FULL on ONNX Runtime; with `shadow`, one on TorchServe behind it."""
    request = inference_pb2.CreateDeploymentRequest(
        request_id=request_id or f"create-{name}",
        name=name,
        champion=inference_pb2.ServedVersion(model_version=champion, runtime=more.pop("runtime", ONNX)),
        rung=more.pop("rung", inference_pb2.RUNG_FULL),
        override_reason="a test",
        requested_by="tester",
    )
    if shadow:
        request.shadow.model_version = shadow
        request.shadow.runtime = more.pop("shadow_runtime", TORCHSERVE)
    assert not more
    return request


def rows_request(*rows: dict[str, Any], name: str = "employment") -> inference_pb2.PredictRequest:
    """A request of JSON-like rows."""
    structs = common_pb2.StructRows()
    for row in rows:
        structs.rows.add().update(row)
    return inference_pb2.PredictRequest(deployment=name, batch=common_pb2.RowBatch(rows=structs))


def arrow_request(table: pa.Table, name: str = "employment") -> inference_pb2.PredictRequest:
    """A request of Arrow rows."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    data = sink.getvalue().to_pybytes()
    return inference_pb2.PredictRequest(deployment=name, batch=common_pb2.RowBatch(arrow_ipc=data))


def people(count: int) -> pa.Table:
    """Different people as Arrow."""
    columns = {name: [value] * count for name, value in PERSON.items()}
    columns["AGEP"] = [float(number % 90) for number in range(count)]
    columns["SCHL"] = [number % 25 for number in range(count)]
    return pa.table(columns)
