"""The one server harness: what every service is run by, from its first bind to its last acknowledged call.

Readiness decides health; stopping is NOT_SERVING, drain, close. Signals belong to `run`, the entry point.
"""

import asyncio
import logging
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import grpc
from boarfish.errors import BoarfishError
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc

from services.common import telemetry
from services.common.calls import Calls
from services.common.settings import Settings

logger = logging.getLogger(__name__)

EXIT_FAILED, EXIT_PORT_IN_USE = 1, 2


class PortInUse(Exception):
    """The address that a service should listen on is taken."""


class Harness:
    """What a service's start function is given: a server, and a say in readiness and stopping.

    `port` is bound before the start function runs; calls are taken when it has returned. `stopping` is set
    when the stop begins.
    """

    def __init__(self, name: str, settings: Settings, server: grpc.aio.Server, calls: Calls) -> None:
        self.name = name
        self.settings = settings
        self.port = 0
        self.stopping = asyncio.Event()
        self.failure: BaseException | None = None
        self._server = server
        self._calls = calls
        self._health = health.aio.HealthServicer()  # type: ignore[attr-defined]
        self._names = [""]
        self._ready: bool | None = None
        self._telling = asyncio.Lock()
        self._callbacks: list[Callable[[], Awaitable[None]]] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        self.add_service(
            health_pb2_grpc.add_HealthServicer_to_server,
            self._health,
            health_pb2.DESCRIPTOR.services_by_name["Health"],
        )

    def add_service(
        self,
        add_to_server: Callable[[Any, Any], None],
        servicer: Any,
        descriptor: ServiceDescriptor,
    ) -> None:
        """Serves `servicer` by its generated `add_..._to_server`; reflection and health follow.

        A server-streaming method whose name begins with `Watch` counts as endless: a stop ends it at once
        (UNAVAILABLE). A bidirectional one gets no more requests when the stop begins, and may still answer
        those that it took.
        """
        add_to_server(servicer, self._calls)
        self._names.append(descriptor.full_name)

    def set_ready(self, ready: bool, reason: str = "") -> asyncio.Task[None]:
        """What health checks answer from now on, for the server and each of its services.

        A start function that does not call it is ready when it returns. What is returned may be awaited: it
        is done when those that watch have been told.
        """
        if ready != self._ready:
            logger.info("ready" if ready else "not ready", extra={"reason": reason} if reason else {})
        self._ready = ready
        return asyncio.get_running_loop().create_task(self._tell())

    def on_stop(self, callback: Callable[[], Awaitable[None]]) -> None:
        """Runs `callback` after the drain; the last one added runs first. Background tasks still run then."""
        self._callbacks.append(callback)

    def spawn(self, coroutine: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Runs a background task until the service stops. When it fails, the service stops with status 1."""
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._task_ended)
        return task

    def _task_ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        logger.error("background task failed", exc_info=error, extra={"task": task.get_name()})
        self.failure = error
        self.stopping.set()

    async def _tell(self) -> None:
        async with self._telling:
            state = (
                health_pb2.HealthCheckResponse.SERVING
                if self._ready
                else health_pb2.HealthCheckResponse.NOT_SERVING
            )
            for name in self._names:
                await self._health.set(name, state)

    async def _bind(self, address: str) -> None:
        try:
            self.port = self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise PortInUse(
                f"{self.name} cannot listen on {address}: the port is in use. Stop what listens there, or "
                f"set BOARFISH_{self.name.upper()}_ADDRESS to another address."
            ) from error

    async def _start(self) -> None:
        names = [*self._names[1:], reflection.SERVICE_NAME]
        self.add_service(
            reflection_pb2_grpc.add_ServerReflectionServicer_to_server,
            reflection.aio.ReflectionServicer(service_names=names),  # type: ignore[attr-defined]
            reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"],
        )
        self._server.add_generic_rpc_handlers((self._calls,))
        await self._tell()
        await self._server.start()
        if self._ready is None:
            await self.set_ready(True)

    async def _stop(self) -> None:
        await self.set_ready(False, "stopping")
        self.stopping.set()
        self._calls.streams.end()
        await self._server.stop(self.settings.drain_s)
        for callback in reversed(self._callbacks):
            try:
                await callback()
            except Exception:
                logger.exception("stopping was not clean")
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def serving(
    name: str, address: str, settings: Settings, start: Callable[[Harness], Awaitable[None]]
) -> AsyncIterator[Harness]:
    """Serves while the block runs. `start` adds the services and may spawn tasks.

    Port 0 takes a free one (`Harness.port`). The port is bound before `start` runs, so that a taken one is
    found before anything is touched. Raises `PortInUse`, or what `start` raises.
    """
    options = [
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        ("grpc.max_send_message_length", settings.max_message_bytes),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 5000),
    ]
    calls = Calls(name, settings)
    server = grpc.aio.server(options=options)
    harness = Harness(name, settings, server, calls)
    try:
        await harness._bind(address)
        await start(harness)
        await harness._start()
        yield harness
    finally:
        await harness._stop()


def run(name: str, address: str, settings: Settings, start: Callable[[Harness], Awaitable[None]]) -> None:
    """Runs one service until SIGTERM or SIGINT, then exits: 0 as asked, 1 it failed, 2 its port is taken."""
    import uvloop

    telemetry.set_up_logging(name, settings)
    telemetry.set_up_tracing(name, settings)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sys.exit(runner.run(_run(name, address, settings, start)))


async def _run(
    name: str, address: str, settings: Settings, start: Callable[[Harness], Awaitable[None]]
) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    close_metrics: Callable[[], None] | None = None
    try:
        if metrics := settings.metrics_address(name):
            close_metrics = _serve_metrics(name, metrics)
        async with serving(name, address, settings, start) as harness:
            logger.info("serving", extra={"address": address, "port": harness.port})
            waits = [loop.create_task(stop.wait()), loop.create_task(harness.stopping.wait())]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
        return EXIT_FAILED if harness.failure else 0
    except PortInUse as error:
        print(error, file=sys.stderr)
        return EXIT_PORT_IN_USE
    except BoarfishError as error:
        logger.debug("could not start", exc_info=error)
        print(f"{name} could not start: {error.message}", file=sys.stderr)
        return EXIT_FAILED
    except Exception:
        logger.exception("could not start")
        return EXIT_FAILED
    finally:
        if close_metrics is not None:
            close_metrics()


def _serve_metrics(name: str, address: str) -> Callable[[], None]:
    try:
        return telemetry.serve_metrics(address)
    except OSError as error:
        raise PortInUse(
            f"{name} cannot show its metrics on {address}: the port is in use. Set "
            f"BOARFISH_{name.upper()}_METRICS_ADDRESS to another address, or to nothing to turn them off."
        ) from error
