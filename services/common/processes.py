"""Child processes that never outlive the process that started them.

Used by the supervisor for the services, and by services for their own children. Linux ends such a child with
`SIGKILL` when the thread that started it ends, `kill -9` of the parent included: prctl(2), PR_SET_PDEATHSIG.
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence

# Runs between fork and exec of the child's own program, in an interpreter of its own: `preexec_fn` would run
# Python in a fork of a process with threads, which may hang. The setting survives exec. The parent may have
# died before it was made.
_LAUNCHER = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() != int(sys.argv[1]):
    os.kill(os.getpid(), signal.SIGKILL)
os.execvp(sys.argv[2], sys.argv[2:])
"""


def ended_with_parent(command: Sequence[str]) -> list[str]:
    """`command` as one whose process ends with the thread that starts it.

    It keeps its process id and its arguments. Costs about 15 ms of start time. Start it from a thread that
    lives as long as the child should.
    """
    return [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid()), *command]


def stop_group(child: "subprocess.Popen[bytes]", within_s: float) -> bool:
    """Stops a child that leads its process group: SIGTERM, then SIGKILL to the group.

    It has `within_s` between the two. What the child itself left running in its group is gone afterwards.
    False when the child had to be killed.
    """
    stopped = True
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(within_s)
        except subprocess.TimeoutExpired:
            stopped = False
    kill_group(child.pid)
    child.wait()
    return stopped


def kill_group(group: int) -> None:
    """SIGKILL to every process of a group; nothing when none is left."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
