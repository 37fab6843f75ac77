"""The loop that follows the lake: takes up what is new, looks at what is closed, and tells who listens.

The lake's tables are asked for their newest version about twice a second; when nothing has come for a while,
less often. Counting and looking run in a thread, one batch at a time, so that calls are answered meanwhile.
An error (a full disk, a damaged file) is logged and tried again with growing pauses: monitoring is late
then, and loses nothing.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from enum import IntEnum

from boarfish.v1 import monitoring_pb2

from services.common.lake import Lake, TableKind
from services.monitoring.appeal_watch import AppealWatch
from services.monitoring.consumer import Consumer
from services.monitoring.detection import Detection
from services.monitoring.windows import Windows

logger = logging.getLogger(__name__)

RETRY_LIMIT_S = 30.0
WARMED_WINDOWS = 8
BACK_OFF = 1.5


class Pace(IntEnum):
    """How a turn went: nothing was new, all that was new is done, or more is waiting."""

    IDLE = 0
    STEADY = 1
    FULL = 2


class Worker:
    """Follows all deployments of a lake until it is stopped."""

    def __init__(
        self,
        lake: Lake,
        consumer: Consumer,
        detection: Detection,
        windows: Windows,
        publish: Callable[[Sequence[monitoring_pb2.Alert]], None],
        *,
        appeals: AppealWatch,
        full_rows: int,
        poll_interval_s: float,
        idle_interval_s: float,
    ) -> None:
        self._lake = lake
        self._consumer = consumer
        self._detection = detection
        self._appeals = appeals
        self._windows = windows
        self._publish = publish
        self._full_rows = full_rows
        self._poll_s = poll_interval_s
        self._idle_s = max(poll_interval_s, idle_interval_s)
        self._stopping = asyncio.Event()
        self._done = asyncio.Event()

    async def run(self) -> None:
        """Follows the lake until `stop`."""
        pause_s = self._poll_s
        try:
            while not self._stopping.is_set():
                try:
                    pace, changed = await asyncio.to_thread(self.turn)
                    self._publish(changed)
                    pause_s = self._pause(pace, pause_s)
                except Exception:
                    pause_s = min(max(self._poll_s, pause_s * 2), RETRY_LIMIT_S)
                    logger.exception("following the lake failed", extra={"retry_after_s": pause_s})
                await self._rest(pause_s)
        finally:
            self._done.set()

    async def stop(self) -> None:
        """Ends after the batch in hand, and returns when it has."""
        self._stopping.set()
        await self._done.wait()

    def turn(self) -> tuple[Pace, list[monitoring_pb2.Alert]]:
        """One batch and the looks that are due, of each deployment, and one at all appeals.

        How it went, and which alerts changed.
        """
        self._consumer.refresh_references()
        pace = Pace.IDLE
        changed: dict[str, monitoring_pb2.Alert] = {}
        names = self._lake.names(TableKind.PREDICTIONS)
        for name in names:
            count = self._consumer.step(name)
            more, alerts = self._detection.step(name)
            changed.update({alert.id: alert for alert in alerts})
            # A batch that is not full was all that there was: what comes next is left to gather.
            mine = Pace.FULL if more or count >= self._full_rows else Pace.STEADY if count else Pace.IDLE
            pace = max(pace, mine)
        changed.update({alert.id: alert for alert in self._appeals.look()})
        if pace is Pace.IDLE and any(self._windows.warm(name, WARMED_WINDOWS) for name in names):
            pace = Pace.FULL
        return pace, list(changed.values())

    def _pause(self, pace: Pace, before_s: float) -> float:
        if pace is Pace.FULL:
            return 0.0
        return (
            self._poll_s if pace is Pace.STEADY else min(max(self._poll_s, before_s * BACK_OFF), self._idle_s)
        )

    async def _rest(self, pause_s: float) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), pause_s)
        except TimeoutError:
            return
