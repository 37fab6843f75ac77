"""A small service for tests of the process around it: `python stand_in_service.py NAME [MODE]`.

Its settings come from the environment. MODE: `serve`; `end` exits with status 7 at once; `stubborn` ignores
SIGTERM; `child` also keeps a child process, whose id it prints; `late` is ready half a second after it
serves; `fail` breaks in the background.
"""

import asyncio
import signal
import subprocess
import sys

from boarfish.errors import FailedPrecondition

from services.common.processes import ended_with_parent
from services.common.server import Harness, run
from services.common.settings import Settings, read_settings

NAME, MODE = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "serve"


async def start(harness: Harness) -> None:
    """Behaves as MODE says."""
    if MODE == "refuse":
        raise FailedPrecondition("The lake cannot be written.")
    if MODE == "stubborn":
        asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if MODE == "child":
        child = subprocess.Popen(ended_with_parent(["sleep", "600"]))
        print(f"child {child.pid}", flush=True)
    if MODE == "late":
        harness.set_ready(False, "warming up")
        harness.spawn(_ready_later(harness), "warm up")
    if MODE == "fail":
        harness.spawn(_fail(), "broken")

    async def stopped() -> None:
        print(f"{NAME} stopped", flush=True)

    harness.on_stop(stopped)


async def _ready_later(harness: Harness) -> None:
    await asyncio.sleep(0.5)
    await harness.set_ready(True)


async def _fail() -> None:
    raise ValueError("broken")


if __name__ == "__main__":
    if MODE == "end":
        print("no use", flush=True)
        sys.exit(7)
    settings = read_settings(Settings)
    run(NAME, settings.address(NAME), settings, start)
