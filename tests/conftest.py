"""What tests of every kind share: settings with a test's own folder and free ports."""

import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from services.common.settings import SERVICES, Settings
from tests.story import story

__all__ = ["story"]

# Tests share the cores with each other and with the processes that they start: threads that wait for a core
# to meet at a barrier make all of them many times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_configure() -> None:
    """Hears Ctrl-C and a hang-up again: a run in the background ignores them, and so would its children."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keeps the tests of one file on one worker, so that what a file starts is started once."""
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.nodeid.split("::")[0]))


@pytest.fixture
def free_port() -> Callable[[], int]:
    """Gives a port of 127.0.0.1 that nothing listened on a moment ago, each time another one."""
    given: set[int] = set()

    def find() -> int:
        while True:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = int(probe.getsockname()[1])
            if port not in given:
                given.add(port)
                return port

    return find


@pytest.fixture
def settings(tmp_path: Path, free_port: Callable[[], int]) -> Settings:
    """For services that are really started: state under `tmp_path`, free ports, no metrics, a short drain."""
    addresses = {f"{name}_address": f"127.0.0.1:{free_port()}" for name in (*SERVICES, "dashboards")}
    metrics = {f"{name}_metrics_address": "" for name in SERVICES}
    return Settings(home=tmp_path / "home", drain_s=3.0, **addresses, **metrics)
