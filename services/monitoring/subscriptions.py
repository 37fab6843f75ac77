"""Who is told of alerts as they change: one subscription a WatchAlerts stream.

A subscriber that reads slowly gets the newest state of each alert and not every state between, so that what
waits for it is bounded by the number of alerts. Used from the event loop alone.
"""

import asyncio
from collections.abc import Iterable

from boarfish.errors import ResourceExhausted
from boarfish.v1 import monitoring_pb2


class Subscription:
    """Alerts that one stream has not been told of yet, oldest change first."""

    def __init__(self, deployment: str) -> None:
        self.deployment = deployment
        self._ended = False
        self._waiting: dict[str, monitoring_pb2.Alert] = {}
        self._changed = asyncio.Event()

    def offer(self, alert: monitoring_pb2.Alert) -> None:
        """Queues `alert`, in place of an older state of the same alert."""
        if self.deployment in ("", alert.deployment):
            self._waiting.pop(alert.id, None)
            self._waiting[alert.id] = alert
            self._changed.set()

    def end(self) -> None:
        """Nothing more will come."""
        self._ended = True
        self._changed.set()

    async def next(self) -> monitoring_pb2.Alert | None:
        """The next change; waits for one. None once the service stops."""
        while not self._waiting:
            if self._ended:
                return None
            self._changed.clear()
            await self._changed.wait()
        return self._waiting.pop(next(iter(self._waiting)))


class Subscriptions:
    """All open subscriptions, at most `limit`."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._open: set[Subscription] = set()

    def open(self, deployment: str) -> Subscription:
        """A new subscription to the alerts of `deployment` (empty: of all).

        Raises:
            ResourceExhausted: `limit` streams are open already.
        """
        if len(self._open) >= self._limit:
            raise ResourceExhausted(
                f"{self._limit} alert streams are open already; try again later", retry_after_s=5.0
            )
        subscription = Subscription(deployment)
        self._open.add(subscription)
        return subscription

    def close(self, subscription: Subscription) -> None:
        """Forgets `subscription`."""
        self._open.discard(subscription)

    def end(self) -> None:
        """Ends every subscription, so that a service that stops need not wait for its streams."""
        for subscription in self._open:
            subscription.end()

    def publish(self, alerts: Iterable[monitoring_pb2.Alert]) -> None:
        """Offers each of `alerts` to every subscription."""
        for alert in alerts:
            for subscription in self._open:
                subscription.offer(alert)
