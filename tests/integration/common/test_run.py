"""One service as a process: signals, exit statuses, metrics and log lines."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from services.common.settings import Settings

STAND_IN = str(Path(__file__).parent / "stand_in_service.py")


def launch(settings: Settings, mode: str = "serve") -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, STAND_IN, "ingestion", mode],
        env={**os.environ, **settings.environment(), "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_serving(settings: Settings) -> None:
    options = [("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 200)]
    with grpc.insecure_channel(settings.ingestion_address, options=options) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(
            health_pb2.HealthCheckRequest(), wait_for_ready=True, timeout=20
        )
        for answer in watch:
            if answer.status == health_pb2.HealthCheckResponse.SERVING:
                watch.cancel()
                return


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_cleanly(settings: Settings, number: signal.Signals) -> None:
    with launch(settings) as process:
        wait_serving(settings)
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    assert out == "ingestion stopped\n"
    lines = [json.loads(line) for line in err.splitlines()]
    assert [line["message"] for line in lines] == ["ready", "serving", "not ready"]
    assert lines[-1]["reason"] == "stopping"


def test_a_background_failure_ends_it_with_status_one(settings: Settings) -> None:
    with launch(settings, "fail") as process:
        out, err = process.communicate(timeout=20)
    assert process.returncode == 1
    assert out == "ingestion stopped\n"
    assert "ValueError: broken" in err


def test_a_start_that_is_refused_says_why_in_a_line(settings: Settings) -> None:
    with launch(settings, "refuse") as process:
        _, err = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "ingestion could not start: The lake cannot be written.\n" in err
    assert "Traceback" not in err


def test_a_port_in_use_ends_it_with_status_two_and_one_line(settings: Settings) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for field in ("ingestion_address", "ingestion_metrics_address"):
            with launch(settings.model_copy(update={field: f"127.0.0.1:{port}"})) as process:
                _, err = process.communicate(timeout=20)
            assert process.returncode == 2
            assert str(port) in err
            assert f"BOARFISH_{field.upper()}" in err
            assert "Traceback" not in err


def test_metrics_are_shown_to_prometheus(settings: Settings, free_port: Callable[[], int]) -> None:
    metrics = f"127.0.0.1:{free_port()}"
    with launch(settings.model_copy(update={"ingestion_metrics_address": metrics})) as process:
        try:
            wait_serving(settings)
            # A call is counted when it has ended, which may be just after its answer came.
            deadline, text = time.monotonic() + 10, ""
            while 'boarfish_calls_total{code="' not in text and time.monotonic() < deadline:
                with urllib.request.urlopen(f"http://{metrics}/metrics", timeout=5) as answer:
                    text = answer.read().decode()
            assert 'boarfish_calls_total{code="' in text
            assert 'method="/grpc.health.v1.Health/Watch",service="ingestion"}' in text
            assert "process_resident_memory_bytes" in text
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=20)


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps the spans that are sent to it."""

    def __init__(self) -> None:
        self.spans: list[Any] = []

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC names the method
        self.spans += [
            span for one in request.resource_spans for scope in one.scope_spans for span in scope.spans
        ]
        return trace_service_pb2.ExportTraceServiceResponse()


def call_and_stop(settings: Settings, trace_id: str) -> float:
    """Makes one call inside a trace; how long the service took to stop after it, in seconds."""
    with launch(settings) as process:
        wait_serving(settings)
        with grpc.insecure_channel(settings.ingestion_address) as channel:
            metadata = (("traceparent", f"00-{trace_id}-00f067aa0ba902b7-01"),)
            health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), metadata=metadata)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    assert process.returncode == 0
    return time.monotonic() - began


def test_spans_reach_a_collector_before_the_service_ends(settings: Settings) -> None:
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    collector, server = Collector(), grpc.server(ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        call_and_stop(settings.model_copy(update={"otlp_endpoint": f"http://127.0.0.1:{port}"}), trace_id)
    finally:
        server.stop(None).wait()
    names = {span.name for span in collector.spans if span.trace_id.hex() == trace_id}
    assert names == {"grpc.health.v1.Health/Check"}


def test_a_collector_that_is_away_holds_nothing_up(settings: Settings, free_port: Callable[[], int]) -> None:
    away = settings.model_copy(update={"otlp_endpoint": f"http://127.0.0.1:{free_port()}"})
    assert call_and_stop(away, "0" * 31 + "1") < 8
