"""One worker process as the service sees it: started, listened to, stopped, and how it ended in words."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from boarfish.v1 import training_pb2

from services.common.processes import ended_with_parent
from services.common.storage import writing_to
from services.training.job_folder import decode

STOPPED_EXIT_CODE = 3
LINE_LIMIT_BYTES = 1024 * 1024
TAIL_BYTES = 2000


@dataclass(frozen=True)
class Finished:
    """The versions are in the model store, best first."""

    versions: tuple[str, ...]


@dataclass(frozen=True)
class Failed:
    """It said why, or ended by itself without a word; it would fail again."""

    reason: str


@dataclass(frozen=True)
class Killed:
    """It was ended from outside, or crashed: `how` in words ("was killed by SIGKILL") and what one may do."""

    how: str
    advice: str


@dataclass(frozen=True)
class Found:
    """What the learning-rate finder found."""

    response: training_pb2.FindLearningRateResponse


End = Finished | Found | Failed | Killed


class WorkerProcess:
    """A started worker."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process = process
        self._log = log

    @classmethod
    async def start(cls, command: Sequence[str], log: Path, *, threads: int) -> "WorkerProcess":
        """Starts `command`.

        Its standard error is added to the file `log`, its standard output carries its
        reports. It ends with the event loop's thread, `kill -9` of the service included.
        """
        with writing_to(log.parent):
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("ab") as errors:
                process = await asyncio.create_subprocess_exec(
                    *ended_with_parent(command),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=errors,
                    limit=LINE_LIMIT_BYTES,
                    env={**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONUNBUFFERED": "1"},
                )
        return cls(process, log)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    async def follow(self, on_progress: Callable[[training_pb2.TrainingProgress], Awaitable[None]]) -> End:
        """Passes its progress on until it has ended; how it ended."""
        assert self._process.stdout is not None
        end: Finished | Found | Failed | None = None
        stage = ""
        try:
            async for line in self._process.stdout:
                report = decode(line)
                if report.progress is not None:
                    stage = report.progress.stage
                    await on_progress(report.progress)
                if report.finished is not None:
                    end = Finished(report.finished)
                if report.failed is not None:
                    end = Failed(report.failed)
                if report.found is not None:
                    end = Found(report.found)
        except asyncio.CancelledError:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            raise
        code = await self._process.wait()
        return end or how_it_ended(code, stage, self._log)

    async def stop(self, grace_s: float) -> None:
        """Asks it to stop, and kills it when it has not after `grace_s` seconds."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
            try:
                await asyncio.wait_for(self._process.wait(), grace_s)
            except TimeoutError:
                self._process.kill()


def how_it_ended(code: int, stage: str, log: Path) -> Failed | Killed:
    """What an exit code without a last word means."""
    during = f" during {stage!r}" if stage else " while it was starting"
    if code == STOPPED_EXIT_CODE:
        return Killed(f"was asked to stop{during}", "Create the job again.")
    if code < 0:
        number = -code
        try:
            name = signal.Signals(number).name
        except ValueError:
            name = f"signal {number}"
        if number == signal.SIGKILL:
            return Killed(
                f"was killed by {name}{during}, most likely because the machine ran out of memory",
                "Give the machine more memory, or train on fewer rows, with a smaller batch_size or smaller "
                "hidden_sizes, and create the job again.",
            )
        if number in (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE):
            return Killed(f"crashed with {name}{during}", "Report it with the log file.")
        return Killed(f"was killed by {name}{during}", "Create the job again.")
    return Failed(
        f"The worker ended{during} with exit code {code} and gave no reason. Its last words are in {log}: "
        f"{_last_line(log)}"
    )


def _last_line(log: Path) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - TAIL_BYTES))
            lines = file.read().decode(errors="replace").strip().splitlines()
    except OSError:
        return "(none)"
    return lines[-1][:300] if lines else "(none)"
