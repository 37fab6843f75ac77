"""The loop that follows the lake: takes up what is new, looks at what is closed, and tells who listens.

The lake's tables are asked for their newest version about twice a second; when nothing has come for a while,
less often. Counting and looking run in a thread, one batch at a time, so that calls are answered meanwhile.
An error (a full disk, a damaged file) is logged and tried again with growing pauses: monitoring is late
then, and loses nothing.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence

from boarfish.v1 import monitoring_pb2

from services.common.lake import Lake, TableKind
from services.monitoring.consumer import Consumer
from services.monitoring.detection import Detection
from services.monitoring.windows import Windows

logger = logging.getLogger(__name__)

RETRY_LIMIT_S = 30.0
WARMED_WINDOWS = 8
BACK_OFF = 1.5


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
        poll_interval_s: float,
        idle_interval_s: float,
    ) -> None:
        self._lake = lake
        self._consumer = consumer
        self._detection = detection
        self._windows = windows
        self._publish = publish
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
                    busy, changed = await asyncio.to_thread(self.turn)
                    self._publish(changed)
                    pause_s = 0.0 if busy else min(max(self._poll_s, pause_s * BACK_OFF), self._idle_s)
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

    def turn(self) -> tuple[bool, list[monitoring_pb2.Alert]]:
        """One batch and the looks that are due, of every deployment.

        Whether there was any, and the alerts that changed.
        """
        self._consumer.refresh_references()
        busy = False
        changed: dict[str, monitoring_pb2.Alert] = {}
        names = self._lake.names(TableKind.PREDICTIONS)
        for name in names:
            busy = self._consumer.step(name) > 0 or busy
            more, alerts = self._detection.step(name)
            busy = more or busy
            changed.update({alert.id: alert for alert in alerts})
        if not busy:
            for name in names:
                busy = self._windows.warm(name, WARMED_WINDOWS) or busy
        return busy, list(changed.values())

    async def _rest(self, pause_s: float) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), pause_s)
        except TimeoutError:
            return
