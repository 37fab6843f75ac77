"""Serving beside its peers: `python -m benchmarks.serving [--seconds 5]`.

One row a request from 1 and from 32 callers: a bare `grpc.aio` server that runs the same ONNX model and
does nothing else, Boarfish's `Predict` (validation, row checks, event log on disk, ids, routing),
TorchServe over REST. Then rows in bulk: ONNX Runtime alone on one core beside `PredictStream` with Arrow
messages, end to end. Servers are processes of their own; the caller is this process, on the same machine.
Peers take turns in short rounds, so that what else the machine does meets all of them.

TorchServe's gRPC is not measured: its protos are not in its wheel.
"""

import argparse
import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import pyarrow as pa
import uvloop
from boarfish.v1 import common_pb2, inference_pb2, inference_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.common.processes import ended_with_parent, stop_group
from services.inference.inputs import InputLayout
from services.inference.runtimes.onnx import OnnxRuntime
from services.inference.runtimes.torchserve import TorchServeRuntime
from services.inference.runtimes.torchserve_process import TorchServeProcess
from tests.integration.inference.small_models import add_model, employment

ROW = Path(__file__).parent.parent / "examples" / "employment" / "row.json"
BARE_METHOD = "/bare.Bare/Predict"
ROUNDS = 5
BULK_ROWS = (256, 1024, 4096)
Call = Callable[[], Awaitable[Any]]


@dataclass
class Figures:
    """What one peer did with one number of callers, over all rounds."""

    latencies_s: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Calls a second: the median round."""
        return statistics.median(self.rates)

    def quantile_ms(self, share: float) -> float:
        """Latency that `share` of the calls stayed under, in milliseconds."""
        return float(np.quantile(self.latencies_s, share) * 1000)


async def measure(call: Call, callers: int, seconds: float, figures: Figures) -> None:
    """Calls for `seconds` from `callers` at once, each waiting for its answer before it asks again."""
    end = time.perf_counter() + seconds
    count = 0

    async def one() -> None:
        nonlocal count
        while (began := time.perf_counter()) < end:
            await call()
            figures.latencies_s.append(time.perf_counter() - began)
            count += 1

    began = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(callers)))
    figures.rates.append(count / (time.perf_counter() - began))


async def serve_bare(model: Path, port: int) -> None:
    """The floor: bytes in, one row through ONNX Runtime, bytes out."""
    runtime = OnnxRuntime(model, InputLayout(employment()))
    session = runtime._session

    async def predict(request: bytes, context: Any) -> bytes:
        numbers = np.frombuffer(request, np.float32, 1).reshape(1, 1)
        codes = np.frombuffer(request, np.int64, 13, 4).reshape(1, 13)
        scores: np.ndarray = session.run(["probability"], {"numeric": numbers, "code": codes})[0]
        return scores.tobytes()

    server = grpc.aio.server()
    handler = grpc.method_handlers_generic_handler(
        "bare.Bare", {"Predict": grpc.unary_unary_rpc_method_handler(predict, None, None)}
    )
    server.add_generic_rpc_handlers((handler,))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


@asynccontextmanager
async def process(command: list[str], log: Path, environment: dict[str, str]) -> AsyncIterator[None]:
    """Runs a server while the block runs."""
    with log.open("wb") as out:
        child = subprocess.Popen(
            ended_with_parent(command),
            stdout=out,
            stderr=out,
            start_new_session=True,
            env={**os.environ, **environment},
        )
    try:
        yield
    finally:
        await asyncio.to_thread(stop_group, child, 20.0)


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def rows_of(count: int) -> pa.RecordBatch:
    """`count` different people, all columns of the demo's task."""
    rng = np.random.default_rng(0)
    row = json.loads(ROW.read_text())
    columns = {name: np.full(count, value) for name, value in row.items()}
    columns["AGEP"] = rng.integers(0, 95, count)
    columns["SCHL"] = rng.integers(0, 25, count)
    return pa.RecordBatch.from_pydict({name: pa.array(column) for name, column in columns.items()})


def ipc(batch: pa.RecordBatch) -> bytes:
    """`batch` as an Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue().to_pybytes())


async def bulk(stub: Any, message: bytes, row_count: int, seconds: float) -> float:
    """Rows a second through one `PredictStream`."""
    request = inference_pb2.PredictStreamRequest(
        request=inference_pb2.PredictRequest(
            deployment="employment", batch=common_pb2.RowBatch(arrow_ipc=message)
        )
    )
    began = time.perf_counter()

    async def requests() -> AsyncIterator[inference_pb2.PredictStreamRequest]:
        while time.perf_counter() - began < seconds:
            yield request

    answered = 0
    async for _ in stub.PredictStream(requests()):
        answered += row_count
    return answered / (time.perf_counter() - began)


def alone(runtime: OnnxRuntime, layout: InputLayout, row_count: int, seconds: float) -> tuple[float, float]:
    """ONNX Runtime alone on one thread: seconds a call, rows a second."""
    inputs = layout.from_batch(_wide(rows_of(row_count)))
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        runtime.score(inputs)
        count += 1
    took = (time.perf_counter() - began) / count
    return took, row_count / took


def _wide(batch: pa.RecordBatch) -> pa.RecordBatch:
    return batch.set_column(0, "AGEP", batch.column("AGEP").cast(pa.float64()))


async def run(seconds: float) -> None:
    """Measures everything and prints it."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        model = add_model(home / "models", employment())
        path = model.path_of("model.onnx")
        bare_port, port = free_port(), free_port()
        environment = {
            "BOARFISH_HOME": str(home),
            "BOARFISH_INFERENCE_ADDRESS": f"127.0.0.1:{port}",
            "BOARFISH_INFERENCE_METRICS_ADDRESS": "",
            "BOARFISH_SPOOL_MAX_BYTES": str(16 * 1024**3),
            "BOARFISH_INGESTION_ADDRESS": f"127.0.0.1:{free_port()}",
            "BOARFISH_MONITORING_ADDRESS": f"127.0.0.1:{free_port()}",
        }
        layout = InputLayout(employment())
        torchserve = TorchServeProcess(home / "peer")
        async with (
            process(
                [sys.executable, "-m", "benchmarks.serving", "--bare", str(path), str(bare_port)],
                home / "bare.log",
                {},
            ),
            process([sys.executable, "-m", "services.inference"], home / "inference.log", environment),
            grpc.aio.insecure_channel(f"127.0.0.1:{bare_port}") as bare_channel,
            grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
        ):
            await asyncio.wait_for(bare_channel.channel_ready(), 60)
            await asyncio.wait_for(channel.channel_ready(), 60)
            await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=60)
            stub = inference_pb2_grpc.InferenceServiceStub(channel)
            await stub.CreateDeployment(
                inference_pb2.CreateDeploymentRequest(
                    request_id="benchmark", name="employment", rung=inference_pb2.RUNG_FULL,
                    override_reason="benchmark", requested_by="benchmark",
                    champion=inference_pb2.ServedVersion(
                        model_version=model.id, runtime=inference_pb2.RUNTIME_KIND_ONNX_RUNTIME
                    ),
                )
            )  # fmt: skip
            await torchserve.add("peer", lambda: model.path_of("model.mar"))
            if not await torchserve.wait_ready("peer", 60):
                raise SystemExit(f"TorchServe is not ready: {torchserve.status_of('peer')}")
            try:
                await _single(stub, bare_channel, torchserve, layout, seconds)
            finally:
                await torchserve.close()
            await _bulk(stub, OnnxRuntime(path, layout), layout, seconds)


async def _single(
    stub: Any,
    bare_channel: grpc.aio.Channel,
    torchserve: TorchServeProcess,
    layout: InputLayout,
    seconds: float,
) -> None:
    rows = common_pb2.StructRows()
    rows.rows.add().update(json.loads(ROW.read_text()))
    request = inference_pb2.PredictRequest(deployment="employment", batch=common_pb2.RowBatch(rows=rows))
    packed = np.float32(41).tobytes() + np.ones(13, np.int64).tobytes()
    bare = bare_channel.unary_unary(BARE_METHOD, request_serializer=None, response_deserializer=None)
    body = TorchServeRuntime(torchserve, "peer", layout)._body(layout.from_batch(_wide(rows_of(1))))
    client = httpx.AsyncClient(trust_env=False, limits=httpx.Limits(max_connections=64))
    url = f"{torchserve._url('inference')}/predictions/peer"
    peers: dict[str, Call] = {
        "bare grpc.aio + ONNX Runtime": lambda: bare(packed),
        "Boarfish Predict": lambda: stub.Predict(request),
        "TorchServe REST": lambda: client.post(url, content=body),
    }
    print(f"{'one row a request':32}{'callers':>8}{'p50 ms':>9}{'p99 ms':>9}{'calls/s':>10}{'to bare':>9}")
    for callers in (1, 32):
        found = {name: Figures() for name in peers}
        for name, call in peers.items():
            await measure(call, callers, min(seconds, 1.0), Figures())
            found[name] = Figures()
        for _ in range(ROUNDS):
            for name, call in peers.items():
                await measure(call, callers, seconds / ROUNDS, found[name])
        floor = found["bare grpc.aio + ONNX Runtime"].rate
        for name, figures in found.items():
            print(
                f"{name:32}{callers:8}{figures.quantile_ms(0.5):9.2f}{figures.quantile_ms(0.99):9.2f}"
                f"{figures.rate:10,.0f}{figures.rate / floor:8.2f}x"
            )
        ours, torch = found["Boarfish Predict"], found["TorchServe REST"]
        latency = ours.quantile_ms(0.5) / found["bare grpc.aio + ONNX Runtime"].quantile_ms(0.5)
        print(
            f"  latency {latency:.2f} of the bare server's; "
            f"{ours.rate / torch.rate:.1f} times TorchServe's calls/s"
        )
    await client.aclose()


async def _bulk(stub: Any, runtime: OnnxRuntime, layout: InputLayout, seconds: float) -> None:
    print(f"\n{'rows in bulk':32}{'rows a message':>15}{'rows/s':>12}{'to ONNX Runtime alone':>23}")
    for row_count in BULK_ROWS:
        message = ipc(rows_of(row_count))
        await bulk(stub, message, row_count, 0.5)
        floors, ours = [], []
        for _ in range(ROUNDS):
            floors.append((await asyncio.to_thread(alone, runtime, layout, row_count, seconds / ROUNDS))[1])
            ours.append(await bulk(stub, message, row_count, seconds / ROUNDS))
        floor, rate = statistics.median(floors), statistics.median(ours)
        print(f"{'ONNX Runtime alone, one thread':32}{row_count:15,}{floor:12,.0f}{1:22.2f}x")
        print(f"{'Boarfish PredictStream, Arrow':32}{row_count:15,}{rate:12,.0f}{rate / floor:22.2f}x")
    took, _ = await asyncio.to_thread(alone, runtime, layout, 1, 0.5)
    print(f"\nONNX Runtime alone, one row: {took * 1e6:.0f} microseconds")


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.serving", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="time for each peer and number of callers")
    parser.add_argument("--bare", nargs=2, metavar=("MODEL", "PORT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.bare:
        uvloop.run(serve_bare(Path(arguments.bare[0]), int(arguments.bare[1])))
    else:
        uvloop.run(run(arguments.seconds))


if __name__ == "__main__":
    main()
