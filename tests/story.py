"""The demo's tenth, played once for a whole test run as a user would play it.

`make run FAST=1` in a folder of its own.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SERVICES = ("ingestion", "training", "inference", "monitoring", "dashboards")
PLAY_WITHIN_S = 420


@dataclass(frozen=True)
class Played:
    """A story that has been played and whose services still run."""

    home: Path
    environment: dict[str, str]
    addresses: dict[str, str]
    output: Path
    process: subprocess.Popen[bytes]

    def boarfish(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Runs the `boarfish` command against this story's services."""
        command = [str(Path(sys.executable).with_name("boarfish")), *arguments]
        return subprocess.run(
            command,
            env=self.environment,
            cwd=ROOT,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


def free_port() -> int:
    """A port that nothing listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment_for(home: Path, **extra: str) -> tuple[dict[str, str], dict[str, str]]:
    """Environment and addresses of a suite in `home`, every address on a free port."""
    addresses = {name: f"127.0.0.1:{free_port()}" for name in SERVICES}
    environment = dict(os.environ, BOARFISH_HOME=str(home), PYTHONUNBUFFERED="1", COLUMNS="160", **extra)
    for name, address in addresses.items():
        environment[f"BOARFISH_{name.upper()}_ADDRESS"] = address
        environment[f"BOARFISH_{name.upper()}_METRICS_ADDRESS"] = ""
    return environment, addresses


def wait_for(process: subprocess.Popen[bytes], output: Path, text: str, within_s: float) -> None:
    """Waits until `text` has been printed.

    Fails with what was printed when the process ends or time runs out.
    """
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if text in output.read_text(errors="replace"):
            return
        if process.poll() is not None:
            break
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    pytest.fail(
        f"{text!r} was not printed (exit status "
        f"{process.poll()}):\n{output.read_text(errors='replace')[-6000:]}"
    )


@pytest.fixture(scope="session")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    """The story at its end, services and dashboards running; stopped by Ctrl-C when the tests are through."""
    home = tmp_path_factory.mktemp("story")
    environment, addresses = environment_for(home / "state", FAST="1")
    output = home / "output.txt"
    with output.open("wb") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "examples.employment"],
            env=environment,
            cwd=ROOT,
            stdout=sink,
            stderr=subprocess.STDOUT,
        )
    wait_for(process, output, "Ctrl-C stops everything", PLAY_WITHIN_S)
    yield Played(home / "state", environment, addresses, output, process)
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0, output.read_text(errors="replace")[-4000:]
