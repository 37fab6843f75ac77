"""What a service must tell another: written in the transaction of its own change, delivered until acknowledged.

A neighbour that is down costs lateness, never a loss. Messages to one destination go in order; the receiver is
idempotent by the message's `request_id`, so a message that was delivered and not yet forgotten may go twice.
Pattern: "transactional outbox".
"""

import asyncio
import datetime as dt
import logging
import random
from collections.abc import Mapping
from typing import Any

import grpc
import sqlalchemy as sa
from boarfish.errors import BoarfishError, from_rpc_error
from google.protobuf.message import Message

logger = logging.getLogger(__name__)

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 10.0
IDLE_S = 0.5
CALL_TIMEOUT_S = 15.0
_PASSING = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.FAILED_PRECONDITION,
)

metadata = sa.MetaData()
outbox_table = sa.Table(
    "outbox",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("service", sa.String, nullable=False),
    sa.Column("method", sa.String, nullable=False),
    sa.Column("request", sa.LargeBinary, nullable=False),
    sa.Column("create_time", sa.DateTime, nullable=False),
    sa.Column("refused", sa.String, nullable=True),
)


def create_table(op: Any) -> None:
    """Makes the outbox's table; called by a service's first Alembic revision with its `op`."""
    outbox_table.create(op.get_bind())


class Outbox:
    """The messages of one service that others have not acknowledged yet."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._wake = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def enqueue(self, connection: sa.Connection, method: str, request: Message) -> None:
        """Adds a call of `method` ("/boarfish.v1.MonitoringService/AppendLedgerEntry") to the caller's transaction."""
        connection.execute(
            outbox_table.insert().values(
                service=method.split("/")[1],
                method=method,
                request=request.SerializeToString(),
                create_time=dt.datetime.now(dt.UTC).replace(tzinfo=None),
            )
        )
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._wake.set)

    def pending_count(self) -> int:
        """Messages neither acknowledged nor refused."""
        query = sa.select(sa.func.count()).where(outbox_table.c.refused.is_(None))
        with self._engine.connect() as connection:
            return int(connection.execute(query).scalar_one())

    async def deliver(self, channels: Mapping[str, grpc.aio.Channel]) -> None:
        """Delivers for ever; `channels` by full service name ("boarfish.v1.MonitoringService"). Run it by `Harness.spawn`."""
        self._loop = asyncio.get_running_loop()
        await asyncio.gather(*(self._deliver_to(service, channel) for service, channel in channels.items()))

    async def _deliver_to(self, service: str, channel: grpc.aio.Channel) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            row = await asyncio.to_thread(self._next, service)
            if row is None:
                self._wake.clear()
                try:
                    await asyncio.wait_for(self._wake.wait(), IDLE_S)
                except TimeoutError:
                    pass
                continue
            try:
                await _call(channel, row.method, row.request)
            except BoarfishError as error:
                if error.code not in _PASSING:
                    logger.error("message refused", extra={"method": row.method, "outbox_id": row.id, "error": error.message})
                    await asyncio.to_thread(self._park, row.id, error.message)
                    continue
                logger.info("neighbour away", extra={"service": service, "error": error.message})
                await asyncio.sleep(pause_s * random.uniform(0.5, 1.5))
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
                continue
            pause_s = FIRST_PAUSE_S
            await asyncio.to_thread(self._forget, row.id)

    def _next(self, service: str) -> Any:
        query = (
            sa.select(outbox_table)
            .where(outbox_table.c.service == service, outbox_table.c.refused.is_(None))
            .order_by(outbox_table.c.id)
            .limit(1)
        )
        with self._engine.connect() as connection:
            return connection.execute(query).first()

    def _forget(self, row_id: int) -> None:
        with self._engine.begin() as connection:
            connection.execute(outbox_table.delete().where(outbox_table.c.id == row_id))

    def _park(self, row_id: int, reason: str) -> None:
        with self._engine.begin() as connection:
            connection.execute(outbox_table.update().where(outbox_table.c.id == row_id).values(refused=reason))


async def _call(channel: grpc.aio.Channel, method: str, request: bytes) -> None:
    call = channel.unary_unary(method, request_serializer=None, response_deserializer=None)
    try:
        await call(request, timeout=CALL_TIMEOUT_S)
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(error) from error
