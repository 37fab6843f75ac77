"""Requests to ingestion, and a server that answers them in the test's own process."""

import asyncio
import datetime as dt
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
from boarfish.client import Client
from boarfish.task_file import load_task
from boarfish.v1 import common_pb2, ingestion_pb2, task_pb2

from services.common.server import serving
from services.ingestion.__main__ import start
from services.ingestion.settings import IngestionSettings

EMPLOYMENT = Path(__file__).resolve().parents[3] / "examples" / "employment" / "task.yaml"
NOON = dt.datetime(2018, 3, 1, 12, tzinfo=dt.UTC)


def employment() -> task_pb2.Task:
    """The demo's task."""
    return load_task(EMPLOYMENT)


def task_of(kind: str, model: str, metric: str, features: dict[str, str], **target: Any) -> task_pb2.Task:
    """A task of any kind with an id column: features by name and type, named as in a task file."""
    task = employment()
    for name in ("features", "sensitive", "target", "decision", "watch", "training", "time_column", "gates"):
        task.ClearField(name)  # type: ignore[arg-type]
    task.kind = task_pb2.TaskKind.Value(f"TASK_KIND_{kind.upper()}")
    for name, one in features.items():
        task.features.add(name=name, type=task_pb2.FeatureType.Value(f"FEATURE_TYPE_{one.upper()}"))
    if target:
        task.target.CopyFrom(task_pb2.Target(**target))
    task.split.method, task.split.column = task_pb2.SPLIT_METHOD_RANDOM, ""
    getattr(task.training.models.add(), model).SetInParent()
    task.training.metric = task_pb2.SelectionMetric.Value(f"SELECTION_METRIC_{metric.upper()}")
    return task


def people(count: int, first: int = 0) -> pa.Table:
    """Rows of the demo's task; `id` counts from `first`."""
    task = employment()
    columns: dict[str, Any] = {
        task.id_column: pa.array([f"p{number}" for number in range(first, first + count)]),
        task.time_column: pa.array([2015] * count),
        task.target.name: pa.array([number % 2 for number in range(count)]),
    }
    for one in [*task.features, *task.sensitive]:
        code = int(min(one.values)) if one.values and min(one.values).isdigit() else 1
        columns.setdefault(one.name, pa.array([code] * count))
    return pa.table(columns)


def ipc(table: pa.Table) -> bytes:
    """`table` as an Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def records(
    table: pa.Table, request_id: str = "", dataset: str = "people"
) -> ingestion_pb2.PutRecordsRequest:
    """A message of records."""
    return ingestion_pb2.PutRecordsRequest(
        request_id=request_id or uuid.uuid4().hex,
        dataset=dataset,
        batch=common_pb2.RowBatch(arrow_ipc=ipc(table)),
    )


def events(ids: list[str], role: str = "CHAMPION", **more: Any) -> pa.Table:
    """Prediction events."""
    count = len(ids)
    time = pa.array([NOON] * count, pa.timestamp("us", "UTC"))
    return pa.table(
        {
            "prediction_id": ids,
            "model_version": ["a" * 64] * count,
            "role": [role] * count,
            "event_time": time,
            "logged_time": time,
            "score": [0.5] * count,
            "decision": ["at work"] * count,
            "latency_us": [40] * count,
            "simulation": [""] * count,
            **more,
        }
    )


def predictions(
    offset: int, table: pa.Table, spool_id: str = "spool", deployment: str = "employment"
) -> ingestion_pb2.LogPredictionsRequest:
    """A message of prediction events."""
    return ingestion_pb2.LogPredictionsRequest(
        spool_id=spool_id, offset=offset, deployment=deployment, arrow_ipc=ipc(table)
    )


def labels(ids: list[str], request_id: str = "") -> ingestion_pb2.LogLabelsRequest:
    """Labels, column by column."""
    return ingestion_pb2.LogLabelsRequest(
        request_id=request_id or uuid.uuid4().hex,
        deployment="employment",
        columns=ingestion_pb2.LabelColumns(
            prediction_ids=ids, values=["1"] * len(ids), source=common_pb2.LABEL_SOURCE_OBSERVED
        ),
    )


@contextmanager
def ingestion(home: Path, **changes: Any) -> Iterator[Client]:
    """A client of a real server on a free port, over the state in `home`."""
    settings = IngestionSettings(home=home, ingestion_metrics_address="", drain_s=2.0, **changes)
    started, port = threading.Event(), 0
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serve() -> None:
        nonlocal port
        async with serving("ingestion", "127.0.0.1:0", settings, start) as harness:
            port = harness.port
            started.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    try:
        assert started.wait(20)
        with Client(ingestion=f"127.0.0.1:{port}") as client:
            yield client
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(20)
        loop.close()
