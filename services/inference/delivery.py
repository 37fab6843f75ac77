"""Sends the spool's events to ingestion and lets go of them once they are acknowledged.

One `LogPredictions` stream at a time. When it breaks, everything that was not acknowledged is sent again,
in the same groups under the same offsets, so that ingestion writes each once. Ingestion down costs lateness
and disk, never an event.
"""

import asyncio
import contextlib
import logging
import random
from collections import deque
from typing import Any

import grpc
from boarfish.errors import BoarfishError
from boarfish.v1 import ingestion_pb2, ingestion_pb2_grpc

from services.inference.events import Chunk, chunks
from services.inference.spool import Spool

logger = logging.getLogger(__name__)

IN_FLIGHT = 8
END: Any = grpc.aio.EOF  # type: ignore[attr-defined]
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 3.0
IDLE_S = 1.0


class Deliverer:
    """Delivers one spool over `channel`. `batch_s`: how long events are gathered; `sync_s`: how long they
    may wait for their fsync.
    """

    def __init__(self, spool: Spool, channel: grpc.aio.Channel, *, batch_s: float, sync_s: float) -> None:
        self._spool = spool
        self._stub: Any = ingestion_pb2_grpc.IngestionServiceStub(channel)
        self._batch_s = batch_s
        self._sync_s = sync_s
        self._to_send, self._to_sync = asyncio.Event(), asyncio.Event()
        self._refused: set[int] = set()
        loop = asyncio.get_running_loop()

        def wake_from_any_thread() -> None:
            loop.call_soon_threadsafe(self._wake)

        spool.on_event = wake_from_any_thread
        self._wake()

    def _wake(self) -> None:
        self._to_send.set()
        self._to_sync.set()

    async def sync(self) -> None:
        """Brings events to the disk, for ever, every `sync_s` while there are any."""
        while True:
            await self._to_sync.wait()
            self._to_sync.clear()
            while True:
                await asyncio.sleep(self._sync_s)
                try:
                    await asyncio.to_thread(self._spool.sync)
                except OSError:
                    logger.exception("the spool could not be synced")
                if not self._spool.has_unsealed():
                    break

    async def deliver(self) -> None:
        """Delivers for ever; run it in the background."""
        pause_s = FIRST_PAUSE_S
        while True:
            stream = _Stream(self._spool, self._to_send, self._batch_s, self._refused)
            try:
                await stream.run(self._stub)
            except grpc.aio.AioRpcError as error:
                if error.code() == grpc.StatusCode.INVALID_ARGUMENT and stream.unacknowledged:
                    await asyncio.to_thread(self._set_aside, stream.unacknowledged[0], error.details() or "")
                    continue
                pause_s = FIRST_PAUSE_S if stream.moved else min(2 * pause_s, LONGEST_PAUSE_S)
                logger.info("ingestion is away", extra={"error": error.details(), "pause_s": pause_s})
            except BoarfishError as error:
                pause_s = LONGEST_PAUSE_S
                logger.warning("the spool cannot be sent now", extra={"error": error.message})
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.5))

    def _set_aside(self, chunk: Chunk, reason: str) -> None:
        """Keeps events that ingestion will never take, out of the way of the others."""
        folder = self._spool.folder / "refused"
        folder.mkdir(exist_ok=True)
        path = folder / f"{chunk.offset:020d}-{chunk.deployment}.arrow"
        path.write_bytes(chunk.arrow_ipc)
        self._refused.add(chunk.offset)
        self._spool.acknowledge(chunk.offset)
        logger.error("ingestion refused events; they are kept", extra={"file": str(path), "reason": reason})


class _Stream:
    """One attempt: from the first group that is not acknowledged until the stream breaks."""

    def __init__(self, spool: Spool, to_send: asyncio.Event, batch_s: float, refused: set[int]) -> None:
        self._spool = spool
        self._to_send = to_send
        self._batch_s = batch_s
        self._refused = refused
        self._room = asyncio.Semaphore(IN_FLIGHT)
        self.unacknowledged: deque[Chunk] = deque()
        self.moved = False

    async def run(self, stub: Any) -> None:
        """Sends and takes acknowledgements until the stream ends. Raises `AioRpcError` when it breaks."""
        call = stub.LogPredictions()
        # Nothing is made ready for an ingestion that is away.
        await call.wait_for_connection()
        sender = asyncio.create_task(self._send(call))
        sender.add_done_callback(lambda _: call.cancel())
        try:
            while (answer := await call.read()) is not END:
                while self.unacknowledged and self.unacknowledged[0].offset <= answer.acknowledged_offset:
                    self.unacknowledged.popleft()
                    self._room.release()
                await asyncio.to_thread(self._spool.acknowledge, answer.acknowledged_offset)
                self.moved = True
        except asyncio.CancelledError:
            # The call was cancelled: by the sender that failed, or because this task is to end.
            if sender.done() and not sender.cancelled() and (error := sender.exception()):
                raise error from None
            raise
        finally:
            sender.cancel()
            call.cancel()

    async def _send(self, call: Any) -> None:
        after = 0
        while True:
            self._to_send.clear()
            if not self._spool.has_group(after):
                if not self._spool.has_unsealed():
                    await self._wait()
                    continue
                # What comes now goes with what is here: a group of one costs as much as one of many.
                await asyncio.sleep(self._batch_s)
            group = await asyncio.to_thread(self._spool.next_group, after)
            if group is None:
                continue
            for chunk in await asyncio.to_thread(chunks, group):
                if chunk.offset not in self._refused:
                    await self._room.acquire()
                    self.unacknowledged.append(chunk)
                    await call.write(
                        ingestion_pb2.LogPredictionsRequest(
                            spool_id=self._spool.spool_id,
                            offset=chunk.offset,
                            deployment=chunk.deployment,
                            arrow_ipc=chunk.arrow_ipc,
                        )
                    )
            after = group.last_offset

    async def _wait(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._to_send.wait(), IDLE_S)
