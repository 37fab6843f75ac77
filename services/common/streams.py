"""The streams that would outlive a server's stop: how each is ended without losing what it has acknowledged.

A `Watch...` stream never ends by itself, and the caller of a bidirectional stream may hold it open for days.
When a server stops, the first is ended where it waits, and the second gets no more requests, so that its
service can still acknowledge what it took. Both callers then hear UNAVAILABLE and come back.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any


class OpenStreams:
    """The tasks of a server that wait for something that may never come."""

    def __init__(self) -> None:
        self.stopping = False
        self._waiting: set[asyncio.Task[Any]] = set()
        self._ended: set[asyncio.Task[Any]] = set()

    def end(self) -> None:
        """Wakes every waiting task; from now on none begins to wait."""
        self.stopping = True
        for task in self._waiting:
            self._ended.add(task)
            task.cancel()

    def enter(self) -> asyncio.Task[Any]:
        """Notes that the current task waits; give the result to `leave`."""
        task = asyncio.current_task()
        assert task is not None, "streams are answered inside a task"
        self._waiting.add(task)
        return task

    def leave(self, task: asyncio.Task[Any]) -> None:
        """Notes that `task` waits no more."""
        self._waiting.discard(task)

    def was_ended(self, task: asyncio.Task[Any]) -> bool:
        """Whether the cancellation that `task` just met came from `end` alone. It is taken back if so."""
        if task not in self._ended:
            return False
        self._ended.discard(task)
        return task.uncancel() == 0


class Requests:
    """The requests of a bidirectional stream, until there are no more or the server stops (`cut`)."""

    def __init__(self, requests: AsyncIterator[Any], streams: OpenStreams) -> None:
        self.cut = False
        self._requests = requests
        self._streams = streams

    def __aiter__(self) -> "Requests":
        return self

    async def __anext__(self) -> Any:
        if self._streams.stopping:
            self.cut = True
            raise StopAsyncIteration
        task = self._streams.enter()
        try:
            return await anext(self._requests)
        except asyncio.CancelledError:
            if not self._streams.was_ended(task):
                raise
            self.cut = True
            raise StopAsyncIteration from None
        finally:
            self._streams.leave(task)
