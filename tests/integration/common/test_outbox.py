"""The outbox against a real server: down and up, refusing, failing, and a sender that is killed half-way."""

# ruff: noqa: N802 - gRPC names the methods

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
import sqlalchemy as sa
from boarfish.errors import Internal, InvalidArgument, Unavailable
from boarfish.v1 import ingestion_pb2, ingestion_pb2_grpc, monitoring_pb2, monitoring_pb2_grpc

from services.common import outbox as outbox_module
from services.common.channels import open_channel
from services.common.database import open_database
from services.common.outbox import Outbox, outbox_table
from services.common.server import Harness, serving
from services.common.settings import Settings

HERE = Path(__file__).parent
METHOD = "/boarfish.v1.MonitoringService/AppendLedgerEntry"
SERVICE = "boarfish.v1.MonitoringService"


class Ledger(monitoring_pb2_grpc.MonitoringServiceServicer):
    """Keeps an entry once by its request id, as monitoring does; `refuse` may raise for an entry."""

    def __init__(self) -> None:
        self.received: list[str] = []
        self.entries: dict[str, str] = {}
        self.refuse: Callable[[str], Any] = lambda subject: None

    async def AppendLedgerEntry(self, request: Any, context: Any) -> Any:
        self.refuse(request.subject)
        self.received.append(request.request_id)
        self.entries.setdefault(request.request_id, request.subject)
        return monitoring_pb2.AppendLedgerEntryResponse()


class Datasets(ingestion_pb2_grpc.IngestionServiceServicer):
    def __init__(self) -> None:
        self.received = 0

    async def GetDataset(self, request: Any, context: Any) -> Any:
        self.received += 1
        return ingestion_pb2.GetDatasetResponse()


@asynccontextmanager
async def ledger_server(settings: Settings, ledger: Ledger) -> AsyncIterator[Harness]:
    async def start(harness: Harness) -> None:
        harness.add_service(
            monitoring_pb2_grpc.add_MonitoringServiceServicer_to_server,
            ledger,
            monitoring_pb2.DESCRIPTOR.services_by_name["MonitoringService"],
        )

    async with serving("monitoring", settings.monitoring_address, settings, start) as harness:
        yield harness


@pytest.fixture
def engine(settings: Settings) -> Iterator[sa.Engine]:
    engine = open_database(settings.database("sender"), HERE / "outbox_migrations")
    yield engine
    engine.dispose()


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_module, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(outbox_module, "LONGEST_PAUSE_S", 0.1)


@asynccontextmanager
async def delivering(outbox: Outbox, settings: Settings, **others: grpc.aio.Channel) -> AsyncIterator[None]:
    channel = open_channel(settings.monitoring_address, settings)
    task = asyncio.create_task(outbox.deliver({SERVICE: channel, **others}))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await channel.close()


def entry(number: int) -> monitoring_pb2.AppendLedgerEntryRequest:
    return monitoring_pb2.AppendLedgerEntryRequest(
        request_id=f"request-{number:04}", actor="test", action="test.counted", subject=str(number)
    )


def enqueue(outbox: Outbox, engine: sa.Engine, numbers: range) -> None:
    for number in numbers:
        with engine.begin() as connection:
            outbox.enqueue(connection, METHOD, entry(number))


async def until(holds: Callable[[], bool | Awaitable[bool]], within_s: float = 15.0) -> None:
    deadline = time.monotonic() + within_s
    while True:
        held = holds()
        if held if isinstance(held, bool) else await held:
            return
        assert time.monotonic() < deadline, "it did not come about in time"
        await asyncio.sleep(0.01)


async def test_a_neighbour_that_is_down_gets_everything_in_order_when_it_is_up(
    settings: Settings, engine: sa.Engine
) -> None:
    outbox, ledger = Outbox(engine), Ledger()
    enqueue(outbox, engine, range(5))
    async with delivering(outbox, settings):
        await asyncio.to_thread(enqueue, outbox, engine, range(5, 10))
        assert outbox.pending_count() == 10
        for numbers in (range(10, 15), range(15, 20)):
            async with ledger_server(settings, ledger):
                await until(lambda: outbox.pending_count() == 0)
            await asyncio.to_thread(enqueue, outbox, engine, numbers)
        async with ledger_server(settings, ledger):
            await until(lambda: outbox.pending_count() == 0)
    assert list(ledger.entries.values()) == [str(number) for number in range(20)]


async def test_what_is_enqueued_while_it_runs_goes_at_once(settings: Settings, engine: sa.Engine) -> None:
    outbox, ledger = Outbox(engine), Ledger()
    async with ledger_server(settings, ledger), delivering(outbox, settings):
        await asyncio.to_thread(enqueue, outbox, engine, range(1))
        await until(lambda: len(ledger.entries) == 1)
        began = time.monotonic()
        await asyncio.to_thread(enqueue, outbox, engine, range(1, 2))
        await until(lambda: len(ledger.entries) == 2)
        assert time.monotonic() - began < outbox_module.LONGEST_IDLE_S


async def test_a_refused_message_is_parked_and_holds_nothing_up(
    settings: Settings, engine: sa.Engine
) -> None:
    outbox, ledger = Outbox(engine), Ledger()

    def refuse(subject: str) -> None:
        if subject == "1":
            raise InvalidArgument("subject 1 is not liked")

    ledger.refuse = refuse
    enqueue(outbox, engine, range(3))
    async with ledger_server(settings, ledger), delivering(outbox, settings):
        await until(lambda: outbox.pending_count() == 0)
        assert list(ledger.entries.values()) == ["0", "2"]
        assert outbox.parked_count() == 1
        with engine.connect() as connection:
            refused = connection.execute(sa.select(outbox_table.c.refused)).scalar_one()
        assert refused == "INVALID_ARGUMENT: subject 1 is not liked"
        ledger.refuse = lambda subject: None
        assert outbox.retry_parked() == 1
        await until(lambda: len(ledger.entries) == 3)


async def test_a_message_that_its_receiver_fails_over_is_parked_in_the_end(
    settings: Settings, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "ATTEMPTS", 4)
    outbox, ledger, tried = Outbox(engine), Ledger(), []

    def refuse(subject: str) -> None:
        if subject == "0":
            tried.append(subject)
            raise Internal("no one knows")

    ledger.refuse = refuse
    enqueue(outbox, engine, range(2))
    async with ledger_server(settings, ledger), delivering(outbox, settings):
        await until(lambda: outbox.pending_count() == 0)
    assert len(tried) == 4
    assert list(ledger.entries.values()) == ["1"]


async def test_one_destination_does_not_wait_for_another(settings: Settings, engine: sa.Engine) -> None:
    outbox, ledger, datasets = Outbox(engine), Ledger(), Datasets()

    def away(subject: str) -> None:
        raise Unavailable("not now")

    async def start(harness: Harness) -> None:
        harness.add_service(
            ingestion_pb2_grpc.add_IngestionServiceServicer_to_server,
            datasets,
            ingestion_pb2.DESCRIPTOR.services_by_name["IngestionService"],
        )

    ledger.refuse = away
    enqueue(outbox, engine, range(1))
    request = ingestion_pb2.GetDatasetRequest(name="people")
    with engine.begin() as connection:
        outbox.enqueue(connection, "/boarfish.v1.IngestionService/GetDataset", request)
    async with (
        ledger_server(settings, ledger),
        serving("ingestion", "127.0.0.1:0", settings, start) as harness,
        grpc.aio.insecure_channel(f"127.0.0.1:{harness.port}") as channel,
        delivering(outbox, settings, **{"boarfish.v1.IngestionService": channel}),
    ):
        await until(lambda: datasets.received == 1)
        await until(lambda: outbox.pending_count() == 1)


def test_a_transaction_that_is_undone_tells_nobody(engine: sa.Engine) -> None:
    outbox = Outbox(engine)
    with contextlib.suppress(ValueError), engine.begin() as connection:
        outbox.enqueue(connection, METHOD, entry(1))
        raise ValueError
    assert outbox.pending_count() == 0


def test_ids_of_delivered_messages_do_not_come_back(engine: sa.Engine) -> None:
    outbox = Outbox(engine)
    ids = []
    for number in range(3):
        enqueue(outbox, engine, range(number, number + 1))
        with engine.begin() as connection:
            ids.append(connection.execute(sa.select(outbox_table.c.id)).scalar_one())
            connection.execute(outbox_table.delete())
    assert ids == [1, 2, 3]


async def test_a_sender_that_is_killed_loses_and_doubles_nothing(settings: Settings) -> None:
    ledger, count, runs = Ledger(), 40, 4
    async with ledger_server(settings, ledger):
        for run in range(runs):
            sender = await asyncio.create_subprocess_exec(
                sys.executable, str(HERE / "outbox_sender.py"), settings.database("sender"),
                settings.monitoring_address, str(run * count), str(count),
                stdout=asyncio.subprocess.PIPE, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            )  # fmt: skip
            try:
                assert sender.stdout is not None
                assert await sender.stdout.readline() == b"enqueued\n"
                if run == runs - 1:
                    await until(lambda: len(ledger.entries) == runs * count)
            finally:
                sender.send_signal(signal.SIGKILL)
                await sender.wait()
    assert list(ledger.entries.values()) == [str(number) for number in range(runs * count)]
    doubled = len(ledger.received) - len(ledger.entries)
    assert 0 <= doubled <= runs, "at most the one in hand goes again after a kill"
