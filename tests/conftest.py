"""What tests of every kind share: settings with a test's own folder and free ports."""

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from services.common.settings import SERVICES, Settings


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
