"""Several processes of this machine, `python -m services.training.compute.process FOLDER COUNT`.

The process itself is the first of them and the job's worker; it starts the others, by the environment that
torchrun gives (so that torchrun may start them as well), and dies when one of them dies: then the service
takes the job up again from its checkpoint.
"""

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

from services.common.processes import ended_with_parent
from services.training.compute.member import fit_along
from services.training.job_folder import JobFolder, send
from services.training.worker import claim_stdout, leave, listen, work
from services.training.worker_process import STOPPED_EXIT_CODE

logger = logging.getLogger(__name__)

# A process that failed on the rows fails as the first one does, who tells why: it has so long to say it.
LAST_WORDS_S = 15.0


def environment(rank: int, count: int, port: int) -> dict[str, str]:
    """What torch.distributed reads, for the process `rank` of `count`."""
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def start_members(folder: Path, count: int, port: int) -> list["subprocess.Popen[bytes]"]:
    """The processes 1 to `count - 1`. They end with this one, `kill -9` included."""
    command = [sys.executable, "-m", "services.training.compute.process", str(folder), str(count)]
    return [
        subprocess.Popen(
            ended_with_parent(command),
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr.fileno(),
            env={**os.environ, **environment(rank, count, port)},
        )
        for rank in range(1, count)
    ]


def watch(member: "subprocess.Popen[bytes]") -> None:
    """Waits for a member; when it died, the fit cannot go on, and this process dies too."""
    code = member.wait()
    if code in (0, STOPPED_EXIT_CODE):
        return
    logger.error("a process of the job ended with %d", code)
    if code > 0:
        time.sleep(LAST_WORDS_S)
    os.kill(os.getpid(), signal.SIGKILL)


def main(arguments: list[str]) -> int:
    """Runs this process's part of the job; the exit status."""
    folder, count = JobFolder(Path(arguments[0])), int(arguments[1])
    if "RANK" not in os.environ:
        port = free_port()
        for member in start_members(folder.path, count, port):
            threading.Thread(target=watch, args=(member,), daemon=True).start()
        os.environ.update(environment(0, count, port))
    descriptor = claim_stdout()
    stopped = listen()
    from models.distributed import joined

    with joined() as group:
        if group.first:
            return work(folder, partial(send, descriptor), stopped)
        return fit_along(folder, stopped)


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
