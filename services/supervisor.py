"""All of Boarfish on one machine: the four services and the dashboards as child processes of one.

Each child is in a process group of its own, so that Ctrl-C reaches this process alone, which stops them in
order; and the kernel ends each with this process, so that even `kill -9` of it leaves no orphan. Readiness is
heard from gRPC's health watch.
"""

import logging
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.common.processes import ended_with_parent, kill_group, stop_group
from services.common.settings import SERVICES, Settings

logger = logging.getLogger(__name__)

ROOT = Path(__file__).resolve().parent.parent
DASHBOARDS = "dashboards"
READY_WITHIN_S = 60.0
STOP_MARGIN_S = 10.0
RESTARTS, RESTARTS_WITHIN_S = 5, 60.0


class SuiteError(Exception):
    """Boarfish could not be started or kept up; the message says what to do."""


def default_commands(settings: Settings) -> dict[str, list[str]]:
    """What each child runs."""
    commands = {name: [sys.executable, "-m", f"services.{name}"] for name in SERVICES}
    host, _, port = settings.dashboards_address.rpartition(":")
    commands[DASHBOARDS] = [
        *(sys.executable, "-m", "streamlit", "run", str(ROOT / "dashboards" / "app.py")),
        *("--server.headless=true", f"--server.address={host.strip('[]')}", f"--server.port={port}"),
        *(
            "--browser.gatherUsageStats=false",
            "--server.fileWatcherType=none",
            "--client.toolbarMode=minimal",
        ),
    ]
    return commands


class Suite:
    """The running suite, as a context manager: all is ready inside the block and stopped after it.

    The children read `settings`, whatever the environment says. `commands` gives other programs than
    `default_commands`, by name.
    """

    def __init__(
        self,
        settings: Settings,
        services: Sequence[str] = SERVICES,
        *,
        dashboards: bool = False,
        commands: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self._settings = settings
        self._names = [*services, *([DASHBOARDS] if dashboards else [])]
        self._commands = {**default_commands(settings), **(commands or {})}
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._restarts: dict[str, deque[float]] = {name: deque() for name in self._names}
        self._stopping = threading.Event()
        self._failed: SuiteError | None = None
        # The kernel ends a child with the thread that started it, so that one lives on.
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="starter")
        self._watcher = threading.Thread(target=self._watch, name="supervisor", daemon=True)

    def __enter__(self) -> "Suite":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Starts every child and returns when all are ready. On `SuiteError` nothing is left behind."""
        try:
            for name in self._names:
                self._check_ports(name)
            self._make_log_folder()
            for name in self._names:
                self._start_child(name)
            for name in self._names:
                self.wait_ready(name)
        except BaseException:
            self.stop()
            raise
        self._watcher.start()

    def pid(self, name: str) -> int:
        """Process id of a child; after a restart, that of the new one."""
        return self._children[name].pid

    def log(self, name: str) -> Path:
        """The file that a child's output goes to."""
        return self._settings.logs_path / f"{name}.log"

    def wait(self) -> None:
        """Blocks until a signal interrupts it or a child cannot be kept up (`SuiteError`)."""
        self._stopping.wait()
        if self._failed:
            raise self._failed

    def wait_ready(self, name: str, within_s: float = READY_WITHIN_S) -> None:
        """Returns when the child is ready. Raises `SuiteError` when it ended, or is not `within_s`.

        While the suite is being watched, one that ended is being restarted, and waited for.
        """
        deadline = time.monotonic() + within_s
        answers = self._dashboards_ready if name == DASHBOARDS else self._service_ready
        while not answers(self._settings.address(name), deadline):
            status = self._children[name].poll()
            if status is not None and not self._watcher.is_alive():
                raise SuiteError(
                    f"{name} ended with status {status}. Its log, {self.log(name)}, ends with:\n"
                    f"{_tail(self.log(name))}"
                )
            if self._failed:
                raise self._failed
            if time.monotonic() > deadline:
                raise SuiteError(
                    f"{name} was not ready within {within_s:.0f} s. Its log is {self.log(name)}."
                )

    def stop(self) -> None:
        """Stops the children, last started first; what does not stop in time is killed."""
        self._stopping.set()
        if self._watcher.is_alive() and threading.current_thread() is not self._watcher:
            self._watcher.join()
        for name in reversed(self._names):
            child = self._children.get(name)
            if child is not None and not stop_group(child, self._settings.drain_s + STOP_MARGIN_S):
                logger.warning("killed, as it did not stop in time", extra={"child": name})
        self._starter.shutdown()

    def _make_log_folder(self) -> None:
        try:
            self._settings.logs_path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SuiteError(
                f"{self._settings.home} cannot be written ({error.strerror}). Set BOARFISH_HOME to another "
                "folder."
            ) from error

    def _start_child(self, name: str) -> None:
        self._starter.submit(self._spawn, name).result()

    def _spawn(self, name: str) -> None:
        with self.log(name).open("ab") as log:
            self._children[name] = subprocess.Popen(
                ended_with_parent(self._commands[name]),
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, **self._settings.environment()},
            )

    def _check_ports(self, name: str) -> None:
        _check_port(name, self._settings.address(name), f"BOARFISH_{name.upper()}_ADDRESS")
        if name != DASHBOARDS and (metrics := self._settings.metrics_address(name)):
            _check_port(f"{name}'s metrics", metrics, f"BOARFISH_{name.upper()}_METRICS_ADDRESS")

    def _service_ready(self, address: str, deadline: float) -> bool:
        """Listens to the service's health for up to a second."""
        options = [("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 250)]
        with grpc.insecure_channel(address, options=options) as channel:
            changes = health_pb2_grpc.HealthStub(channel).Watch(
                health_pb2.HealthCheckRequest(),
                timeout=max(0.05, min(1.0, deadline - time.monotonic())),
                wait_for_ready=True,
            )
            try:
                return any(change.status == health_pb2.HealthCheckResponse.SERVING for change in changes)
            except grpc.RpcError:
                return False
            finally:
                changes.cancel()

    def _dashboards_ready(self, address: str, deadline: float) -> bool:
        """Asks for up to a second, at growing intervals: Streamlit has no way to be told."""
        pause_s, until = 0.02, min(deadline, time.monotonic() + 1.0)
        while True:
            try:
                with urllib.request.urlopen(f"http://{address}/_stcore/health", timeout=2) as answer:
                    return bool(answer.status == 200)
            except OSError:
                pass
            if time.monotonic() > until or self._stopping.wait(pause_s):
                return False
            pause_s *= 2

    def _watch(self) -> None:
        while not self._stopping.wait(0.1):
            for name, child in list(self._children.items()):
                if child.poll() is not None:
                    self._restart(name, child)

    def _restart(self, name: str, child: "subprocess.Popen[bytes]") -> None:
        kill_group(child.pid)  # what it left behind would hold its port or its files
        times = self._restarts[name]
        now = time.monotonic()
        while times and now - times[0] > RESTARTS_WITHIN_S:
            times.popleft()
        if len(times) >= RESTARTS:
            self._failed = SuiteError(
                f"{name} ended {RESTARTS + 1} times within a minute, last with status {child.returncode}. "
                f"Its log, {self.log(name)}, ends with:\n{_tail(self.log(name))}"
            )
            self._stopping.set()
            return
        logger.warning("restarting", extra={"child": name, "status": child.returncode})
        if times and self._stopping.wait(0.25 * 2 ** len(times)):
            return
        times.append(time.monotonic())
        self._start_child(name)


def _check_port(what: str, address: str, setting: str) -> None:
    host, _, port = address.rpartition(":")
    if int(port) == 0:
        raise SuiteError(f"{setting} is {address}: the suite needs a port that others can know, not 0.")
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]"), int(port)))
        except OSError as error:
            raise SuiteError(
                f"{what} should listen on {address}, but port {port} cannot be had ({error.strerror}). "
                f"Stop what listens there, or set {setting} to another address."
            ) from error


def _tail(log: Path, line_count: int = 12) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-line_count:])
