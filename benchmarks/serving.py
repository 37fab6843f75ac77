"""Serving beside its peers: `python -m benchmarks.serving [--seconds 5] [--home STATE]`.

One row a request from 1 and from 32 callers: a bare `grpc.aio` server that runs the same ONNX model and
does nothing else, Boarfish's `Predict` (validation, row checks, event log on disk, ids, routing),
TorchServe over REST. Then rows in bulk, the demo's people as the demo sends them: ONNX Runtime alone on one
core, a bare `grpc.aio` stream that runs the model on packed numbers, and `PredictStream` with Arrow messages,
end to end. Servers are processes of their own; the caller is this process, on the same machine. Peers take
turns in short rounds, so that what else the machine does meets all of them. Ratios are medians over rounds,
each round's peers measured one after the other. Ingestion is away: events are written and kept.

The model is the employment net of a played story (`--home`, its state folder), or one that is trained here
on some of the people of 2015.

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
import pyarrow.parquet as pq
import uvloop
from boarfish import load_task
from boarfish.v1 import common_pb2, inference_pb2, inference_pb2_grpc, profile_pb2, task_pb2, training_pb2
from google.protobuf import json_format
from grpc_health.v1 import health_pb2, health_pb2_grpc

from examples.employment import replay
from examples.employment.story import NAME, TASK_FILE, to_ipc
from services.common.model_store import ModelStore, StoredModel
from services.common.processes import ended_with_parent, stop_group
from services.common.rows import RowSchema
from services.inference.inputs import InputLayout, ModelInputs
from services.inference.runtimes.onnx import OnnxRuntime
from services.inference.runtimes.torchserve import TorchServeRuntime
from services.inference.runtimes.torchserve_process import TorchServeProcess

ROW = TASK_FILE.parent / "row.json"
BARE_METHOD, BARE_STREAM = "/bare.Bare/Predict", "/bare.Bare/PredictStream"
TRAINING_ROWS = 20_000
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
    layout = InputLayout(employment())
    session = OnnxRuntime(model, layout)._session
    numeric, code = len(layout.numeric), len(layout.code)

    async def predict(request: bytes, context: Any) -> bytes:
        count = len(request) // (4 * numeric + 8 * code)
        numbers = np.frombuffer(request, np.float32, count * numeric).reshape(count, numeric)
        codes = np.frombuffer(request, np.int64, count * code, numbers.nbytes).reshape(count, code)
        scores: np.ndarray = session.run(["probability"], {"numeric": numbers, "code": codes})[0]
        return scores.tobytes()

    async def predict_stream(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        async for request in requests:
            yield await predict(request, context)

    server = grpc.aio.server()
    handler = grpc.method_handlers_generic_handler(
        "bare.Bare",
        {
            "Predict": grpc.unary_unary_rpc_method_handler(predict, None, None),
            "PredictStream": grpc.stream_stream_rpc_method_handler(predict_stream, None, None),
        },
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


def employment() -> task_pb2.Task:
    """The demo's task."""
    return load_task(TASK_FILE)


def people(count: int) -> pa.Table:
    """The first `count` people whom the demo predicts, in the narrow columns that it sends."""
    table = pq.read_table(replay.DATA / "2016_2018.parquet").slice(0, count)
    return table.drop_columns(["id", "year", "employed"]).combine_chunks()


def model_inputs(layout: InputLayout, count: int) -> ModelInputs:
    """These people as the model takes them."""
    return layout.from_batch(RowSchema.for_predictions(employment()).check_table(people(count)).rows)


def packed(inputs: ModelInputs) -> bytes:
    """The same as the bare server takes them."""
    assert inputs.numeric is not None
    assert inputs.code is not None
    return inputs.numeric.tobytes() + inputs.code.tobytes()


def train(home: Path) -> None:
    """Trains the employment net for one epoch on some people of 2015 and puts it into the model store."""
    from models.configs import TabularNetConfig
    from models.data.split import random_split
    from models.data.tabular import TabularRows, TabularSchema
    from models.tabular import fit_tabular_net

    task, layout = employment(), InputLayout(employment())
    schema = TabularSchema(
        layout.numeric, layout.code, layout.category, task.target.name, task.target.positive_value,
        task.target.negative_value,
    )  # fmt: skip
    rows = TabularRows.from_arrow(replay.records_2015().slice(0, TRAINING_ROWS), schema)
    training, held_out = random_split(len(rows), 0.2, 42)
    fitted = fit_tabular_net(
        rows.take(training), rows.take(held_out), schema, TabularNetConfig(epochs=1), seed=42, device="cpu"
    )
    folder = home / "trained"
    folder.mkdir()
    fitted.export_onnx(folder / "model.onnx")
    fitted.export_archive(folder / "model.mar", name=NAME, version="benchmark")
    (folder / "task.json").write_text(json_format.MessageToJson(task))
    (folder / "reference_profile.binpb").write_bytes(profile_pb2.Profile().SerializeToString())
    (folder / "model_card.md").write_text("# Trained for a benchmark of serving\n")
    (folder / "evaluation.json").write_text("{}")
    manifest = training_pb2.ModelVersion(
        task_name=task.name, model="tabular_net", training_job_id="benchmark"
    )
    ModelStore(home / "models").add(folder, manifest)


def find_model(models: Path) -> StoredModel:
    """The newest employment net of a model store. Ends the program when there is none."""
    for found in ModelStore(models).list(employment().name):
        if found.manifest.model == "tabular_net":
            return found
    raise SystemExit(f"There is no employment net under {models}.")


async def bulk(
    call: Callable[[AsyncIterator[Any]], Any], request: Any, row_count: int, seconds: float
) -> float:
    """Rows a second through one stream of `request` again and again."""
    began = time.perf_counter()

    async def requests() -> AsyncIterator[Any]:
        while time.perf_counter() - began < seconds:
            yield request

    answered = 0
    async for _ in call(requests()):
        answered += row_count
    return answered / (time.perf_counter() - began)


def alone(runtime: OnnxRuntime, inputs: ModelInputs, seconds: float) -> float:
    """ONNX Runtime alone on one thread: rows a second."""
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        runtime.score(inputs)
        count += 1
    return count * inputs.row_count / (time.perf_counter() - began)


async def run(seconds: float, story: Path | None) -> None:
    """Measures everything and prints it."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        if story is None:
            command = [sys.executable, "-m", "benchmarks.serving", "--train", str(home)]
            await asyncio.to_thread(subprocess.run, command, check=True)
        else:
            (home / "models").symlink_to(story.absolute() / "models", target_is_directory=True)
        model = find_model(home / "models")
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
            await _bulk(stub, bare_channel, OnnxRuntime(path, layout), layout, seconds)


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
    one = model_inputs(layout, 1)
    one_packed = packed(one)
    bare = bare_channel.unary_unary(BARE_METHOD, request_serializer=None, response_deserializer=None)
    body = TorchServeRuntime(torchserve, "peer", layout)._body(one)
    client = httpx.AsyncClient(trust_env=False, limits=httpx.Limits(max_connections=64))
    url = f"{torchserve._url('inference')}/predictions/peer"
    peers: dict[str, Call] = {
        "bare grpc.aio + ONNX Runtime": lambda: bare(one_packed),
        "Boarfish Predict": lambda: stub.Predict(request),
        "TorchServe REST": lambda: client.post(url, content=body),
    }
    print(f"{'one row a request':32}{'callers':>8}{'p50 ms':>9}{'p99 ms':>9}{'calls/s':>10}{'to bare':>9}")
    for callers in (1, 32):
        found = {name: Figures() for name in peers}
        for call in peers.values():
            await measure(call, callers, min(seconds, 1.0), Figures())
        for _ in range(ROUNDS):
            for name, call in peers.items():
                await measure(call, callers, seconds / ROUNDS, found[name])
        floor, ours, torch = found.values()
        for name, figures in found.items():
            print(
                f"{name:32}{callers:8}{figures.quantile_ms(0.5):9.2f}{figures.quantile_ms(0.99):9.2f}"
                f"{figures.rate:10,.0f}{_ratio(figures.rates, floor.rates):8.2f}x"
            )
        print(
            f"  latency {ours.quantile_ms(0.5) / floor.quantile_ms(0.5):.2f} of the bare server's; "
            f"{_ratio(ours.rates, torch.rates):.1f} times TorchServe's calls/s"
        )
    await client.aclose()


async def _bulk(
    stub: Any, bare_channel: grpc.aio.Channel, runtime: OnnxRuntime, layout: InputLayout, seconds: float
) -> None:
    bare = bare_channel.stream_stream(BARE_STREAM, request_serializer=None, response_deserializer=None)
    names = ("ONNX Runtime alone, one thread", "bare grpc.aio stream", "Boarfish PredictStream, Arrow")
    print(f"\n{'rows in bulk':32}{'rows a message':>15}{'rows/s':>12}{'to ONNX Runtime':>17}{'to bare':>9}")
    batches = await asyncio.to_thread(alone, runtime, model_inputs(layout, 32), 1.0)
    print(f"{names[0]:32}{32:15,}{batches:12,.0f}{1:16.2f}x")
    for row_count in BULK_ROWS:
        inputs = model_inputs(layout, row_count)
        batch = common_pb2.RowBatch(arrow_ipc=to_ipc(people(row_count)))
        request = inference_pb2.PredictStreamRequest(
            request=inference_pb2.PredictRequest(deployment="employment", batch=batch)
        )
        streams: tuple[tuple[Any, Any], ...] = ((bare, packed(inputs)), (stub.PredictStream, request))
        for call, message in streams:
            await bulk(call, message, row_count, 0.5)
        rates: list[list[float]] = [[], [], []]
        for _ in range(ROUNDS):
            rates[0].append(await asyncio.to_thread(alone, runtime, inputs, seconds / ROUNDS))
            for kept, (call, message) in zip(rates[1:], streams, strict=True):
                kept.append(await bulk(call, message, row_count, seconds / ROUNDS))
        for name, found in zip(names, rates, strict=True):
            print(
                f"{name:32}{row_count:15,}{statistics.median(found):12,.0f}{_ratio(found, rates[0]):16.2f}x"
                f"{_ratio(found, rates[1]):8.2f}x"
            )
    rate = await asyncio.to_thread(alone, runtime, model_inputs(layout, 1), 0.5)
    print(f"\nONNX Runtime alone, one row: {1e6 / rate:.0f} microseconds")


def _ratio(rates: list[float], floors: list[float]) -> float:
    """The median round's share of its floor."""
    return statistics.median(rate / floor for rate, floor in zip(rates, floors, strict=True))


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.serving", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="time for each peer and number of callers")
    parser.add_argument("--home", type=Path, help="state folder of a played story, whose net is served")
    parser.add_argument("--train", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--bare", nargs=2, metavar=("MODEL", "PORT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.bare:
        uvloop.run(serve_bare(Path(arguments.bare[0]), int(arguments.bare[1])))
    elif arguments.train:
        train(arguments.train)
    else:
        uvloop.run(run(arguments.seconds, arguments.home))


if __name__ == "__main__":
    main()
