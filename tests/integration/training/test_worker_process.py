"""A worker process as the service sees it: what it says, how it ends, how it is stopped."""

import asyncio
import signal
import sys
import time

import psutil
import pytest
from boarfish.v1 import training_pb2

from services.training.worker_process import Failed, Finished, Killed, WorkerProcess


async def follow(program: str, log, *, seen: list | None = None):
    async def note(progress: training_pb2.TrainingProgress) -> None:
        if seen is not None:
            seen.append(progress)

    worker = await WorkerProcess.start([sys.executable, "-c", program], log, threads=1)
    return await worker.follow(note)


async def test_progress_and_result(tmp_path):
    seen = []
    program = """
import os
os.write(1, b'{"progress": {"stage": "a", "fractionDone": 0.5, "validationLoss": "NaN"}}\\n')
os.write(1, b'not json\\n{"progress": {"unknown": 1}}\\n')
os.write(1, b'{"finished": ["x", "y"]}\\n')
"""
    assert await follow(program, tmp_path / "log", seen=seen) == Finished(("x", "y"))
    assert [(progress.stage, progress.fraction_done) for progress in seen] == [("a", 0.5)]


async def test_a_worker_that_says_why_has_failed(tmp_path):
    assert await follow('print(\'{"failed": "no rows"}\')', tmp_path / "log") == Failed("no rows")


async def test_a_worker_that_ends_without_a_word_has_failed_with_its_last_line(tmp_path):
    end = await follow("raise SystemExit('no torch here')", tmp_path / "log")
    assert isinstance(end, Failed)
    assert "exit code 1" in end.reason
    assert "no torch here" in end.reason
    assert str(tmp_path / "log") in end.reason


@pytest.mark.parametrize(
    ("number", "words"),
    [(signal.SIGKILL, "ran out of memory"), (signal.SIGSEGV, "crashed"), (signal.SIGHUP, "SIGHUP")],
)
async def test_a_killed_worker_is_told_from_a_failed_one(tmp_path, number, words):
    end = await follow(f"import os; os.kill(os.getpid(), {int(number)})", tmp_path / "log")
    assert isinstance(end, Killed)
    assert words in end.how


async def test_a_worker_that_does_not_stop_is_killed(tmp_path):
    program = (
        "import signal, time; signal.signal(15, signal.SIG_IGN); print('{}', flush=True); time.sleep(60)"
    )
    worker = await WorkerProcess.start([sys.executable, "-c", program], tmp_path / "log", threads=1)
    began = time.monotonic()
    ended = asyncio.create_task(worker.follow(lambda progress: asyncio.sleep(0)))
    await asyncio.sleep(0.3)
    await worker.stop(0.3)
    assert isinstance(await ended, Killed)
    assert time.monotonic() - began < 5


async def test_a_worker_does_not_outlive_a_service_that_is_killed(tmp_path):
    program = f"""
import asyncio, sys
from pathlib import Path
from services.training.worker_process import WorkerProcess
async def main():
    sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
    worker = await WorkerProcess.start(sleep, Path({str(tmp_path / "log")!r}), threads=1)
    print(worker.pid, flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""
    service = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE
    )
    pid = int(await service.stdout.readline())
    assert psutil.pid_exists(pid)
    service.kill()
    await service.wait()
    deadline = time.monotonic() + 10
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "the worker lives on"
        await asyncio.sleep(0.05)
