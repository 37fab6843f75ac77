"""Ingestion beside what stands below it: rows acknowledged a second, where acknowledged means on disk.

`python -m benchmarks.ingestion` starts the real service in a process of its own and lets four callers stream
batches of the employment data at once. In the same run, in turns, a bare loop appends the same batches to a
Delta table with a held handle (its files are not synced), and another appends the same bytes to a plain file
and syncs it after each batch. The table that comes out is read back and counted.
"""

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pyarrow as pa
import uvloop
from boarfish.client import AsyncClient
from boarfish.task_file import load_task
from boarfish.v1 import common_pb2, ingestion_pb2
from deltalake import DeltaTable, write_deltalake
from grpc_health.v1 import health_pb2, health_pb2_grpc
from rich.console import Console
from rich.table import Table

from benchmarks.serving import free_port, process
from examples.employment import replay
from services.common.lake import SEQUENCE, Lake, TableKind

TASK = Path(replay.__file__).parent / "task.yaml"
CALLERS = 4
ROUNDS = 3
STREAM = 8
TARGET = 100_000
MIB = 1024 * 1024


@dataclass
class Figures:
    """What one way of writing reached, round by round."""

    rates: list[float] = field(default_factory=list)
    latencies_s: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Rows a second, median of the rounds."""
        return statistics.median(self.rates)

    def latency_ms(self, share: float) -> float:
        """A quantile of what one batch took, in milliseconds."""
        ordered = sorted(self.latencies_s)
        return 1e3 * ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def batches(row_count: int) -> list[pa.Table]:
    """The records of 2015 with the task's columns, in batches of `row_count`."""
    task = load_task(TASK)
    names = [task.id_column, task.time_column, *(one.name for one in task.features), task.target.name]
    names += [one.name for one in task.sensitive]
    table = replay.records_2015().select(list(dict.fromkeys(name for name in names if name))).combine_chunks()
    count = max(1, table.num_rows // row_count)
    return [table.slice(number * row_count, row_count) for number in range(count)]


def ipc(table: pa.Table) -> bytes:
    """`table` as an Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


async def put(
    client: AsyncClient, messages: list[bytes], row_count: int, seconds: float, figures: Figures
) -> None:
    """Streams from `CALLERS` callers for `seconds`; each waits for the acknowledgement of its stream."""
    began = time.perf_counter()

    async def caller(number: int) -> int:
        accepted = 0
        while time.perf_counter() - began < seconds:
            requests = [
                ingestion_pb2.PutRecordsRequest(
                    request_id=uuid.uuid4().hex,
                    dataset="people",
                    batch=common_pb2.RowBatch(arrow_ipc=messages[(number + index) % len(messages)]),
                )
                for index in range(STREAM)
            ]
            answer = await client.ingestion.PutRecords(iter(requests), timeout=120)
            if answer.accepted_count != STREAM * row_count:
                raise SystemExit(f"{STREAM * row_count} rows sent, {answer.accepted_count} acknowledged")
            accepted += answer.accepted_count
        return accepted

    accepted = sum(await asyncio.gather(*map(caller, range(CALLERS))))
    figures.rates.append(accepted / (time.perf_counter() - began))


async def put_one_by_one(
    client: AsyncClient, messages: list[bytes], seconds: float, figures: Figures
) -> None:
    """One caller that waits for each acknowledgement: how long a batch takes."""
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        batch = common_pb2.RowBatch(arrow_ipc=messages[0])
        request = ingestion_pb2.PutRecordsRequest(request_id=uuid.uuid4().hex, dataset="people", batch=batch)
        start = time.perf_counter()
        await client.ingestion.PutRecords(iter([request]))
        figures.latencies_s.append(time.perf_counter() - start)


def repeat(write: Callable[[int], None], row_count: int, seconds: float, figures: Figures) -> None:
    """Calls `write` with 0, 1, 2 and so on for `seconds`."""
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        start = time.perf_counter()
        write(count)
        figures.latencies_s.append(time.perf_counter() - start)
        count += 1
    figures.rates.append(count * row_count / (time.perf_counter() - began))


async def run(row_count: int, seconds: float) -> None:
    """Measures everything and prints it."""
    parts = batches(row_count)
    row_count = parts[0].num_rows
    messages = [ipc(part) for part in parts]
    names = ("Boarfish PutRecords", "bare Delta append, not synced", "file append with fsync")
    ours, bare, plain = (Figures() for _ in names)
    single = Figures()
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".benchmark-") as folder:
        home = Path(folder)
        address = f"127.0.0.1:{free_port()}"
        environment = {
            "BOARFISH_HOME": str(home),
            "BOARFISH_INGESTION_ADDRESS": address,
            "BOARFISH_INGESTION_METRICS_ADDRESS": "",
        }
        command = [sys.executable, "-m", "services.ingestion"]
        with (home / "file").open("ab") as file:
            async with (
                process(command, home / "ingestion.log", environment),
                AsyncClient(ingestion=address) as client,
            ):
                service = await _ready(client, address)
                request = ingestion_pb2.CreateDatasetRequest(name="people", task=load_task(TASK))
                await client.ingestion.CreateDataset(request)
                write_deltalake(str(home / "bare"), parts[0])
                handle = DeltaTable(str(home / "bare"))

                def append_delta(number: int) -> None:
                    write_deltalake(handle, parts[number % len(parts)], mode="append")

                def append_file(number: int) -> None:
                    file.write(messages[number % len(messages)])
                    file.flush()
                    os.fsync(file.fileno())

                await put(client, messages, row_count, 1.0, Figures())
                idle = service.memory_info().rss
                for _ in range(ROUNDS):
                    await put(client, messages, row_count, seconds / ROUNDS, ours)
                    await asyncio.to_thread(repeat, append_delta, row_count, seconds / ROUNDS, bare)
                    await asyncio.to_thread(repeat, append_file, row_count, seconds / ROUNDS, plain)
                await put_one_by_one(client, messages, 2.0, single)
                peak = _peak_bytes(service.pid)
        table = Lake(home / "lake").table(TableKind.RECORDS, "people")
        sequence = table.read(columns=[SEQUENCE])[SEQUENCE].to_numpy()
        if not (sequence == range(1, len(sequence) + 1)).all():
            raise SystemExit("rows are missing or out of order")
        files = DeltaTable(table.uri).get_add_actions().num_rows
    _print(dict(zip(names, (ours, bare, plain), strict=True)), single, row_count)
    print(f"{len(sequence):,} rows acknowledged and read back in order, in {files} files.")
    print(f"The service held {idle / MIB:.0f} MiB after a warm-up and {peak / MIB:.0f} MiB at its peak.")
    print(f"Target {TARGET:,} rows/s: {'reached' if ours.rate >= TARGET else 'not reached'}.")


async def _ready(client: AsyncClient, address: str) -> psutil.Process:
    import grpc

    async with grpc.aio.insecure_channel(address) as channel:
        await asyncio.wait_for(channel.channel_ready(), 60)
        await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=60)
    for child in psutil.Process().children(recursive=True):
        if "services.ingestion" in child.cmdline():
            return child
    raise SystemExit("the service is not running")


def _peak_bytes(pid: int) -> int:
    """Most memory that a process has held."""
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def _print(found: dict[str, Figures], single: Figures, row_count: int) -> None:
    table = Table(title=f"{CALLERS} callers, batches of {row_count:,} rows, {os.cpu_count()} cores")
    for heading in ("", "rows/s", "beside Boarfish", "a batch, p50 ms", "p99 ms"):
        table.add_column(heading, justify="left" if not heading else "right")
    ours = next(iter(found.values()))
    for name, figures in found.items():
        shown = figures if figures.latencies_s else single
        note = " (one caller's batch)" if shown is single else ""
        table.add_row(
            name + note,
            f"{figures.rate:,.0f}",
            f"{figures.rate / ours.rate:.2f}x",
            f"{shown.latency_ms(0.5):.1f}",
            f"{shown.latency_ms(0.99):.1f}",
        )
    Console(width=110).print(table)


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.ingestion", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("--seconds", type=float, default=9.0, help="time for each way of writing")
    parser.add_argument("--rows", type=int, default=10_000, help="rows of a batch")
    arguments = parser.parse_args()
    uvloop.run(run(arguments.rows, arguments.seconds))


if __name__ == "__main__":
    main()
