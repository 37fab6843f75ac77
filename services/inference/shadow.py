"""The shadow of a deployment: computes on the same inputs behind the answer, shown to no one, written down
as events of its own.

A bounded queue stands between. A single call never waits for it: what finds no room is left out and
counted. A stream waits for room, which slows its sender down to what the shadow can follow. Small requests
are computed together.
"""

import asyncio
import logging
import time
from collections import deque
from typing import NamedTuple

import numpy as np
from boarfish.errors import BoarfishError

from services.inference.events import EventRows, EventSource, EventTimes, encode
from services.inference.inputs import ModelInputs, concatenate
from services.inference.runtimes import Runtime
from services.inference.spool import Spool

logger = logging.getLogger(__name__)

TOGETHER_ROWS = 8192
ANSWER_WITHIN_S = 10.0
DRAIN_S = 5.0


class ShadowWork(NamedTuple):
    """A request that was answered: its rows, and what its event needs. `ids` has 16 bytes a row."""

    inputs: ModelInputs
    events: list[EventRows]
    ids: bytes
    event_us: int
    simulation: str


class Shadow:
    """The queue before one shadow version and what takes from it. `dropped_count`: rows that were left
    out or failed.
    """

    def __init__(self, runtime: Runtime, source: EventSource, spool: Spool, queue_rows: int) -> None:
        self.dropped_count = 0
        self._runtime = runtime
        self._source = source
        self._spool = spool
        self._queue_rows = queue_rows
        self._queue: deque[ShadowWork] = deque()
        self._waiting_rows = 0
        self._computing = False
        self._come, self._taken = asyncio.Event(), asyncio.Event()

    def offer(self, work: ShadowWork) -> None:
        """Takes `work` in, or leaves it out when there is no room or no one to compute it. Never waits."""
        count = work.inputs.row_count
        full = self._queue and self._waiting_rows + count > self._queue_rows
        if full or not self._runtime.ready:
            self.dropped_count += count
            return
        self._queue.append(work)
        self._waiting_rows += count
        self._come.set()

    async def room(self) -> None:
        """Waits until the queue has room, for those who may wait."""
        while self._queue and self._waiting_rows >= self._queue_rows and self._runtime.ready:
            self._taken.clear()
            await self._taken.wait()

    async def run(self) -> None:
        """Computes for ever; run it in the background."""
        while True:
            while not self._queue:
                self._come.clear()
                await self._come.wait()
            works = self._take()
            self._computing = True
            try:
                await self._compute(works)
            except BoarfishError as error:
                self._lose(works)
                logger.warning(
                    "shadow left out", extra={"deployment": self._source.deployment, "error": error.message}
                )
            except Exception:
                self._lose(works)
                logger.exception("shadow failed", extra={"deployment": self._source.deployment})
            finally:
                self._computing = False
                self._taken.set()

    async def drain(self) -> None:
        """Waits a while for what is queued; counts the rest as left out."""
        deadline = time.monotonic() + DRAIN_S
        while (self._queue or self._computing) and time.monotonic() < deadline:
            self._taken.clear()
            try:
                await asyncio.wait_for(self._taken.wait(), max(deadline - time.monotonic(), 0.01))
            except TimeoutError:
                break
        self._lose(list(self._queue))

    def _take(self) -> list[ShadowWork]:
        works = [self._queue.popleft()]
        count = works[0].inputs.row_count
        while self._queue and count + self._queue[0].inputs.row_count <= TOGETHER_ROWS:
            works.append(self._queue.popleft())
            count += works[-1].inputs.row_count
        self._waiting_rows -= count
        return works

    def _lose(self, works: list[ShadowWork]) -> None:
        self.dropped_count += sum(work.inputs.row_count for work in works)

    async def _compute(self, works: list[ShadowWork]) -> None:
        began = time.perf_counter()
        inputs = concatenate([work.inputs for work in works])
        scores = await self._runtime.predict(inputs, ANSWER_WITHIN_S)
        latency_us = int((time.perf_counter() - began) * 1e6)
        await asyncio.to_thread(self._write, works, scores.astype("<f8"), latency_us)

    def _write(self, works: list[ShadowWork], scores: np.ndarray, latency_us: int) -> None:
        self._spool.check_room()
        start = 0
        for work in works:
            end = start + work.inputs.row_count
            write_events(
                self._spool,
                self._source,
                work.events,
                ids=work.ids,
                scores=scores[start:end].tobytes(),
                times=EventTimes(work.event_us, time.time_ns() // 1000, latency_us),
                simulation=work.simulation,
            )
            start = end


def write_events(
    spool: Spool,
    source: EventSource,
    events: list[EventRows],
    *,
    ids: bytes,
    scores: bytes,
    times: EventTimes,
    simulation: str,
) -> None:
    """Writes the events of one request into the spool: `ids` 16 bytes and `scores` a float64 a row, over
    all events.
    """
    row = 0
    for rows in events:
        end = row + rows.row_count
        content = encode(rows, ids[16 * row : 16 * end], scores[8 * row : 8 * end], times, simulation)
        spool.append(source.json, source.deployment, content, rows.row_count)
        row = end
