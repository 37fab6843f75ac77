"""A process that enqueues and delivers, for a test that kills it.

python outbox_sender.py DATABASE_URL ADDRESS FIRST_NUMBER COUNT
"""

import asyncio
import sys
from pathlib import Path

import grpc
import sqlalchemy as sa
from boarfish.v1 import monitoring_pb2

from services.common.database import open_database
from services.common.outbox import Outbox

METHOD = "/boarfish.v1.MonitoringService/AppendLedgerEntry"


def entry(number: int) -> monitoring_pb2.AppendLedgerEntryRequest:
    """Message `number` of a test."""
    return monitoring_pb2.AppendLedgerEntryRequest(
        request_id=f"request-{number:04}", actor="test", action="test.counted", subject=str(number)
    )


def enqueue(outbox: Outbox, engine: sa.Engine, numbers: range) -> None:
    """Each in a transaction of its own."""
    for number in numbers:
        with engine.begin() as connection:
            outbox.enqueue(connection, METHOD, entry(number))


async def _send(url: str, address: str, numbers: range) -> None:
    engine = open_database(url, Path(__file__).parent / "outbox_migrations")
    outbox = Outbox(engine)
    async with grpc.aio.insecure_channel(address) as channel:
        delivery = asyncio.create_task(outbox.deliver({"boarfish.v1.MonitoringService": channel}))
        await asyncio.to_thread(enqueue, outbox, engine, numbers)
        print("enqueued", flush=True)
        await delivery


if __name__ == "__main__":
    asyncio.run(_send(sys.argv[1], sys.argv[2], range(int(sys.argv[3]), int(sys.argv[3]) + int(sys.argv[4]))))
