"""Log lines and spans."""

import json
import logging
import sys
from typing import Any

import grpc
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from services.common import telemetry
from services.common.telemetry import JsonFormatter

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def tracer(exporter: InMemorySpanExporter) -> trace.Tracer:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider.get_tracer("test")


def line(**fields: Any) -> dict[str, Any]:
    return json.loads(JsonFormatter("training").format(logging.makeLogRecord(fields)))


def test_a_line_is_one_json_object_with_its_extras() -> None:
    logged = line(msg="job %s\nended", args=("7",), levelname="INFO", name="jobs", job="7", path=object)
    assert logged["message"] == "job 7\nended"
    assert (logged["level"], logged["service"], logged["logger"], logged["job"]) == (
        "INFO",
        "training",
        "jobs",
        "7",
    )
    assert "\n" not in JsonFormatter("training").format(logging.makeLogRecord({"msg": "a\nb"}))
    assert logged["time"].endswith("+00:00")
    assert "request_id" not in logged


def test_an_exception_is_kept_with_its_trace() -> None:
    try:
        raise ValueError("broken")
    except ValueError:
        logged = line(msg="no use", exc_info=sys.exc_info())
    assert "ValueError: broken" in logged["exception"]
    assert "Traceback" in logged["exception"]


@pytest.mark.parametrize("code", [grpc.StatusCode.OK, grpc.StatusCode.NOT_FOUND])
def test_a_span_goes_on_with_the_callers_trace(
    tracer: trace.Tracer, exporter: InMemorySpanExporter, code: grpc.StatusCode
) -> None:
    received = (("traceparent", f"00-{TRACE_ID}-00f067aa0ba902b7-01"), ("key-bin", b"\x00"))
    with telemetry.server_span(tracer, "/boarfish.v1.IngestionService/GetDataset", "abc", received):
        assert line(msg="inside")["trace_id"] == TRACE_ID
        telemetry.end_server_span(code)
    (span,) = exporter.get_finished_spans()
    assert span.name == "boarfish.v1.IngestionService/GetDataset"
    assert span.context is not None
    assert f"{span.context.trace_id:032x}" == TRACE_ID
    assert span.attributes is not None
    assert span.attributes["rpc.method"] == "GetDataset"
    assert span.attributes["rpc.grpc.status_code"] == code.value[0]
    assert span.attributes["boarfish.request_id"] == "abc"
    assert span.status.is_ok is (code is grpc.StatusCode.OK)
