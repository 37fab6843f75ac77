"""What a service must tell another: written with its own change, delivered until acknowledged.

A neighbour that is down costs lateness, never a loss. Messages to one destination go in order; the receiver
is idempotent by the message's `request_id`, so a message that was delivered and not yet forgotten may go
twice. Pattern: "transactional outbox".
"""

import asyncio
import contextlib
import datetime as dt
import logging
import random
from collections.abc import Mapping
from typing import Any

import grpc
import sqlalchemy as sa
from boarfish.errors import BoarfishError, from_rpc_error
from google.protobuf.message import Message

from services.common.storage import STORAGE_REASONS

logger = logging.getLogger(__name__)

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 10.0
SHORTEST_IDLE_S, LONGEST_IDLE_S = 0.01, 1.0
CALL_TIMEOUT_S = 15.0
ATTEMPTS = 10
"""How often a message is tried over which its receiver fails, before it is parked: about a minute."""

# The neighbour's state, not the message's: tried for ever.
_PASSING = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED,
)
# May be either.
_DOUBTFUL = (grpc.StatusCode.INTERNAL, grpc.StatusCode.FAILED_PRECONDITION)

outbox_table = sa.Table(
    "outbox",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("service", sa.String, nullable=False),
    sa.Column("method", sa.String, nullable=False),
    sa.Column("request", sa.LargeBinary, nullable=False),
    sa.Column("create_time", sa.DateTime, nullable=False),
    sa.Column("refused", sa.String, nullable=True),
)


def create_table(op: Any) -> None:
    """Makes the outbox's table; a service's first revision calls it with Alembic's `op`."""
    op.create_table(
        "outbox",
        # AUTOINCREMENT: the id of a deleted row never comes back, so ids stay in the order of enqueuing.
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("service", sa.String, nullable=False),
        sa.Column("method", sa.String, nullable=False),
        sa.Column("request", sa.LargeBinary, nullable=False),
        sa.Column("create_time", sa.DateTime, nullable=False),
        sa.Column("refused", sa.String, nullable=True),
        sqlite_autoincrement=True,
    )


class Outbox:
    """The messages of one service that others have not acknowledged yet."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wakes: dict[str, asyncio.Event] = {}

    def enqueue(self, connection: sa.Connection, method: str, request: Message) -> None:
        """Adds a call of `method` to the caller's transaction.

        `method` is a path ("/boarfish.v1.MonitoringService/AppendLedgerEntry"). The request carries its
        `request_id`. Any thread may call this.
        """
        service = method.split("/")[1]
        connection.execute(
            outbox_table.insert().values(
                service=service,
                method=method,
                request=request.SerializeToString(),
                create_time=dt.datetime.now(dt.UTC).replace(tzinfo=None),
            )
        )
        loop, wake = self._loop, self._wakes.get(service)
        if loop is not None and wake is not None:
            with contextlib.suppress(RuntimeError):  # the loop has just been closed
                loop.call_soon_threadsafe(wake.set)

    def pending_count(self) -> int:
        """Messages neither acknowledged nor refused."""
        return self._count(outbox_table.c.refused.is_(None))

    def parked_count(self) -> int:
        """Messages that their receiver refused for good. They are kept with its words."""
        return self._count(outbox_table.c.refused.is_not(None))

    def retry_parked(self) -> int:
        """Puts every parked message back into its place in the order; how many there were."""
        with self._engine.begin() as connection:
            update = outbox_table.update().where(outbox_table.c.refused.is_not(None)).values(refused=None)
            return int(connection.execute(update).rowcount)

    async def deliver(self, channels: Mapping[str, grpc.aio.Channel]) -> None:
        """Delivers until it is cancelled; run it by `Harness.spawn`.

        `channels` are keyed by full service name ("boarfish.v1.MonitoringService").
        """
        self._wakes = {service: asyncio.Event() for service in channels}
        self._loop = asyncio.get_running_loop()
        try:
            async with asyncio.TaskGroup() as group:
                for service, channel in channels.items():
                    group.create_task(self._deliver_to(service, channel), name=f"outbox to {service}")
        finally:
            self._loop = None

    async def _deliver_to(self, service: str, channel: grpc.aio.Channel) -> None:
        attempts = 0
        while True:
            try:
                row = await self._next_when_there(service)
                if await self._settle(row, channel, attempts):
                    attempts = 0
                    continue
            except sa.exc.DBAPIError as error:
                # A full disk or a lock. What was delivered meanwhile goes again, and its receiver knows it by
                # its request id.
                logger.warning("the outbox cannot be read or written", extra={"error": str(error.orig)})
            attempts += 1
            longest_s = min(FIRST_PAUSE_S * 2 ** min(attempts - 1, 10), LONGEST_PAUSE_S)
            await asyncio.sleep(longest_s * random.uniform(0.5, 1.0))

    async def _next_when_there(self, service: str) -> Any:
        """The oldest message to `service`.

        A wake comes before its transaction is committed, so a look that was too early is soon repeated.
        """
        wake, idle_s = self._wakes[service], LONGEST_IDLE_S
        while True:
            wake.clear()
            row = await asyncio.to_thread(self._next, service)
            if row is not None:
                return row
            try:
                async with asyncio.timeout(idle_s):
                    await wake.wait()
                idle_s = SHORTEST_IDLE_S
            except TimeoutError:
                idle_s = min(2 * idle_s, LONGEST_IDLE_S)

    async def _settle(self, row: Any, channel: grpc.aio.Channel, attempts: int) -> bool:
        """Delivers or parks one message; False when it must be tried again."""
        try:
            await _call(channel, row.method, row.request)
        except BoarfishError as error:
            known = {"method": row.method, "outbox_id": row.id, "error": error.message}
            passing = error.code in _PASSING or error.reason in STORAGE_REASONS
            if passing or (error.code in _DOUBTFUL and attempts + 1 < ATTEMPTS):
                logger.log(
                    logging.WARNING if attempts == 0 else logging.DEBUG, "not delivered yet", extra=known
                )
                return False
            logger.error("message refused", extra=known)
            await asyncio.to_thread(self._park, row.id, f"{error.code.name}: {error.message}")
            return True
        await asyncio.to_thread(self._forget, row.id)
        return True

    def _count(self, which: sa.ColumnElement[bool]) -> int:
        query = sa.select(sa.func.count()).select_from(outbox_table).where(which)
        with self._engine.connect() as connection:
            return int(connection.execute(query).scalar_one())

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
            connection.execute(
                outbox_table.update().where(outbox_table.c.id == row_id).values(refused=reason)
            )


async def _call(channel: grpc.aio.Channel, method: str, request: bytes) -> None:
    call = channel.unary_unary(method, request_serializer=None, response_deserializer=None)
    try:
        await call(request, timeout=CALL_TIMEOUT_S)
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(error) from error
