"""All of Boarfish on one machine: the four services and the dashboards as child processes of one.

Each child is in a process group of its own, so that Ctrl-C reaches this process alone, which stops them in order; and
asks the kernel to be ended with its parent, so that even `kill -9` of this process leaves no orphan.
"""

import ctypes
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.common.settings import SERVICES, Settings

logger = logging.getLogger(__name__)

ROOT = Path(__file__).resolve().parent.parent
DASHBOARDS = "dashboards"
READY_WITHIN_S = 60.0
STOP_WITHIN_S = 20.0
RESTARTS, RESTARTS_WITHIN_S = 5, 60.0
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


class SuiteError(Exception):
    """Boarfish could not be started or kept up; the message says what to do."""


def default_commands(settings: Settings) -> dict[str, list[str]]:
    """What each child runs."""
    commands = {name: [sys.executable, "-m", f"services.{name}"] for name in SERVICES}
    host, _, port = settings.dashboards_address.rpartition(":")
    commands[DASHBOARDS] = [
        *(sys.executable, "-m", "streamlit", "run", str(ROOT / "dashboards" / "app.py")),
        *("--server.headless=true", f"--server.address={host}", f"--server.port={port}"),
        *("--browser.gatherUsageStats=false", "--server.fileWatcherType=none", "--client.toolbarMode=minimal"),
    ]
    return commands


class Suite:
    """The running suite. Use it as a context manager: everything is ready inside the block and stopped after it."""

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
        self._commands = commands or default_commands(settings)
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._restarts: dict[str, deque[float]] = {name: deque() for name in self._names}
        self._stopping, self._stopped = threading.Event(), threading.Event()
        self._spawning = threading.Lock()
        self._failed: SuiteError | None = None
        self._watcher = threading.Thread(target=self._watch, name="supervisor", daemon=True)

    def __enter__(self) -> "Suite":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Starts every child and returns when all are ready. Raises `SuiteError` and leaves nothing behind."""
        for name in self._names:
            self._check_port(name)
        self._settings.logs_path.mkdir(parents=True, exist_ok=True)
        try:
            for name in self._names:
                self._spawn(name)
            for name in self._names:
                self._wait_ready(name)
        except BaseException:
            self.stop()
            raise
        self._watcher.start()

    def pid(self, name: str) -> int:
        """Process id of a child."""
        return self._children[name].pid

    def wait(self) -> None:
        """Blocks until a signal interrupts it or a child cannot be kept up (`SuiteError`)."""
        while not self._stopping.wait(0.5):
            pass
        if self._failed:
            raise self._failed

    def stop(self) -> None:
        """Stops the children, last started first; what does not stop in time is killed."""
        with self._spawning:
            self._stopping.set()
        for name in reversed(self._names):
            child = self._children.get(name)
            if child is not None:
                _stop_group(child)
        self._stopped.set()
        if self._watcher.is_alive():
            self._watcher.join()

    def _spawn(self, name: str) -> None:
        with (self._settings.logs_path / f"{name}.log").open("ab") as log:
            self._children[name] = subprocess.Popen(
                self._commands[name],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=end_with_parent(),
                env={**os.environ, "BOARFISH_HOME": str(self._settings.home)},
            )

    def _check_port(self, name: str) -> None:
        address = self._settings.address(name)
        host, _, port = address.rpartition(":")
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host.strip("[]"), int(port)))
            except OSError as error:
                raise SuiteError(
                    f"{name} should listen on {address}, but port {port} is in use. Stop what listens there, or set "
                    f"BOARFISH_{name.upper()}_ADDRESS to another address."
                ) from error

    def _wait_ready(self, name: str) -> None:
        deadline = time.monotonic() + READY_WITHIN_S
        pause_s = 0.05
        while not self._ready(name):
            log = self._settings.logs_path / f"{name}.log"
            if (status := self._children[name].poll()) is not None:
                raise SuiteError(f"{name} ended with status {status}. Its log, {log}, ends with:\n{_tail(log)}")
            if time.monotonic() > deadline:
                raise SuiteError(f"{name} was not ready within {READY_WITHIN_S:.0f} s. Its log is {log}.")
            time.sleep(pause_s)
            pause_s = min(1.5 * pause_s, 0.5)

    def _ready(self, name: str) -> bool:
        address = self._settings.address(name)
        if name == DASHBOARDS:
            try:
                with urllib.request.urlopen(f"http://{address}/_stcore/health", timeout=2) as answer:
                    return bool(answer.status == 200)
            except OSError:
                return False
        with grpc.insecure_channel(address) as channel:
            try:
                answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=2)
            except grpc.RpcError:
                return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    def _watch(self) -> None:
        while not self._stopping.wait(0.2):
            for name, child in list(self._children.items()):
                if child.poll() is not None and not self._stopping.is_set():
                    self._restart(name, child.returncode)
        # A child is ended with the thread that started it, so this one lives until all have been stopped in order.
        self._stopped.wait()

    def _restart(self, name: str, status: int) -> None:
        times = self._restarts[name]
        now = time.monotonic()
        while times and now - times[0] > RESTARTS_WITHIN_S:
            times.popleft()
        if len(times) >= RESTARTS:
            self._failed = SuiteError(
                f"{name} ended {RESTARTS + 1} times within a minute, last with status {status}. "
                f"Its log is {self._settings.logs_path / f'{name}.log'}."
            )
            self._stopping.set()
            return
        logger.warning("restarting", extra={"child": name, "status": status})
        if times:
            self._stopping.wait(min(0.25 * 2 ** len(times), 4.0))
        times.append(now)
        with self._spawning:
            if not self._stopping.is_set():
                self._spawn(name)


def end_with_parent() -> Callable[[], None]:
    """For `preexec_fn`: the child is killed by the kernel when the thread that started it ends."""
    parent = os.getpid()

    def ask() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)

    return ask


def _stop_group(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            logger.warning("killed, as it did not stop", extra={"pid": child.pid})
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    child.wait()


def _tail(log: Path, line_count: int = 12) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-line_count:])
