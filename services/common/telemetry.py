"""Logs, metrics and traces, the same for every service.

Logs are JSON lines on standard error, each with the request and trace id of the call that it belongs to.
Metrics are Prometheus counters and histograms behind an HTTP port. Traces go to an OpenTelemetry collector
when one is named and cost nothing otherwise.
"""

import contextvars
import datetime as dt
import json
import logging
import sys
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any

import grpc
from opentelemetry import trace
from opentelemetry.propagate import extract
from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, start_http_server

from services.common.settings import Settings

request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="")

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
CALLS = Counter("boarfish_calls", "RPCs answered.", ("service", "method", "code"), registry=REGISTRY)
LATENCY = Histogram(
    "boarfish_call_seconds",
    "Time from an RPC's arrival to its end.",
    ("service", "method"),
    registry=REGISTRY,
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)

# A collector that is away would otherwise hold a stop up for ten seconds.
EXPORT_TIMEOUT_S = 2

_STANDARD_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """One JSON object a line; `extra` fields stand beside the message."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "service": self._service,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if current := request_id.get():
            line["request_id"] = current
        span = trace.get_current_span().get_span_context()
        if span.is_valid:
            line["trace_id"] = format(span.trace_id, "032x")
        line.update({key: value for key, value in vars(record).items() if key not in _STANDARD_FIELDS})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def set_up_logging(service: str, settings: Settings) -> None:
    """Sends the process's log lines to standard error in the chosen form."""
    handler = logging.StreamHandler(sys.stderr)
    console = logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    handler.setFormatter(JsonFormatter(service) if settings.log_format == "json" else console)
    logging.basicConfig(level=settings.log_level, handlers=[handler], force=True)
    for chatty in ("httpx", "httpcore", "alembic", "py4j"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def set_up_tracing(service: str, settings: Settings) -> None:
    """Sends spans to the collector that the settings name; does nothing when they name none."""
    if not settings.otlp_endpoint:
        return
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": f"boarfish-{service}"}))
    provider.add_span_processor(
        BatchSpanProcessor(
            OTLPSpanExporter(endpoint=settings.otlp_endpoint, insecure=True, timeout=EXPORT_TIMEOUT_S)
        )
    )
    trace.set_tracer_provider(provider)


def server_span(
    tracer: trace.Tracer, path: str, request: str, received: Iterable[tuple[str, Any]]
) -> AbstractContextManager[Any]:
    """The span of a call of method `path`, which continues the trace that the `received` metadata tell of."""
    service, _, method = path[1:].partition("/")
    return tracer.start_as_current_span(
        path[1:],
        context=extract({key: value for key, value in received if isinstance(value, str)}),
        kind=trace.SpanKind.SERVER,
        attributes={
            "rpc.system": "grpc",
            "rpc.service": service,
            "rpc.method": method,
            "boarfish.request_id": request,
        },
    )


def end_server_span(code: grpc.StatusCode) -> None:
    """Notes on the current span how its call ended."""
    span = trace.get_current_span()
    span.set_attribute("rpc.grpc.status_code", code.value[0])
    if code is not grpc.StatusCode.OK:
        span.set_status(trace.StatusCode.ERROR, code.name)


def serve_metrics(address: str) -> Callable[[], None]:
    """Answers Prometheus at `host:port` until what it returns is called; `OSError` when the port is taken."""
    host, _, port = address.rpartition(":")
    server, thread = start_http_server(int(port), addr=host.strip("[]"), registry=REGISTRY)

    def close() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return close
