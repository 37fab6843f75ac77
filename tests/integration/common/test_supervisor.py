"""The suite of child processes, with small stand-ins for the services."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from services import supervisor
from services.common.settings import Settings
from services.supervisor import Suite, SuiteError

STAND_IN = str(Path(__file__).parent / "stand_in_service.py")
TWO = ("ingestion", "training")


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))


def commands(**modes: str) -> dict[str, list[str]]:
    return {name: [sys.executable, STAND_IN, name, modes.get(name, "serve")] for name in TWO}


def until(holds: Callable[[], bool], within_s: float = 15.0) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.02)


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_all_are_ready_inside_and_stopped_in_reverse_order_after(settings: Settings) -> None:
    with Suite(settings, TWO, commands=commands(training="late")) as suite:
        pids = [suite.pid(name) for name in TWO]
        assert all(psutil.pid_exists(pid) for pid in pids)
        assert '"warming up"' in suite.log("training").read_text()
        assert '"message": "ready"' in suite.log("training").read_text()
    assert all(gone(pid) for pid in pids)
    stops = [suite.log(name).read_text().count(f"{name} stopped\n") for name in TWO]
    assert stops == [1, 1]
    assert suite.log("training").stat().st_mtime_ns <= suite.log("ingestion").stat().st_mtime_ns


def test_the_children_read_the_suites_settings(settings: Settings) -> None:
    with Suite(settings, TWO, commands=commands()) as suite:
        environment = psutil.Process(suite.pid("ingestion")).environ()
        assert environment["BOARFISH_HOME"] == str(settings.home)
        assert environment["BOARFISH_TRAINING_ADDRESS"] == settings.training_address


def test_one_that_is_killed_is_started_again(settings: Settings) -> None:
    with Suite(settings, TWO, commands=commands(training="child")) as suite:
        other, first = suite.pid("ingestion"), suite.pid("training")
        grandchild = int(suite.log("training").read_text().split("child ")[1].split()[0])
        assert psutil.pid_exists(grandchild)
        os.kill(first, signal.SIGKILL)
        until(lambda: suite.pid("training") != first)
        suite.wait_ready("training")
        until(lambda: gone(grandchild))
        assert suite.pid("ingestion") == other


def test_one_that_ends_at_once_is_an_error_with_its_log(settings: Settings) -> None:
    suite = Suite(settings, TWO, commands=commands(training="end"))
    with pytest.raises(SuiteError, match=r"training ended with status 7(.|\n)*no use"):
        suite.start()
    assert all(gone(suite.pid(name)) for name in TWO)


def test_one_that_keeps_dying_is_given_up(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "RESTARTS", 1)
    wanted = commands()
    with Suite(settings, TWO, commands=wanted) as suite:
        suite._commands["training"] = commands(training="end")["training"]
        os.kill(suite.pid("training"), signal.SIGKILL)
        with pytest.raises(SuiteError, match=r"training ended 2 times within a minute, last with status 7"):
            suite.wait()


def test_one_that_does_not_stop_is_killed(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "STOP_MARGIN_S", 0.2)
    quick = settings.model_copy(update={"drain_s": 0.1})
    with Suite(quick, TWO, commands=commands(training="stubborn")) as suite:
        pid = suite.pid("training")
    assert gone(pid)


@pytest.mark.parametrize("field", ["training_address", "training_metrics_address", "dashboards_address"])
def test_a_port_in_use_is_named_before_anything_is_started(settings: Settings, field: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        wrong = settings.model_copy(update={field: f"127.0.0.1:{port}"})
        with pytest.raises(SuiteError, match=rf"port {port} .*BOARFISH_{field.upper()}"):
            Suite(wrong, TWO, dashboards=True, commands=commands()).start()
    assert not settings.home.exists()


def test_a_home_that_cannot_be_made_is_an_error(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SuiteError, match="BOARFISH_HOME"):
        Suite(
            settings.model_copy(update={"home": tmp_path / "file" / "home"}), TWO, commands=commands()
        ).start()


def test_the_dashboards_are_waited_for(settings: Settings, tmp_path: Path) -> None:
    page = tmp_path / "page.py"
    page.write_text("import streamlit as st\nst.write('hello')\n")
    command = [
        str(page) if part.endswith("app.py") else part
        for part in supervisor.default_commands(settings)["dashboards"]
    ]
    with Suite(settings, (), dashboards=True, commands={"dashboards": command}) as suite:
        pid = suite.pid("dashboards")
        assert "serve_forever" not in suite.log("dashboards").read_text()
    assert gone(pid)


SUPERVISE = """
import sys
from services.common.settings import Settings
from services.supervisor import Suite
modes = {"ingestion": "serve", "training": "child"}
commands = {name: [sys.executable, sys.argv[1], name, mode] for name, mode in modes.items()}
try:
    with Suite(Settings(), tuple(modes), commands=commands) as suite:
        print(*[suite.pid(name) for name in modes], flush=True)
        suite.wait()
except KeyboardInterrupt:
    print("stopped", flush=True)
"""


def supervise(settings: Settings) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", SUPERVISE, STAND_IN],
        env={**os.environ, **settings.environment()},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_control_c_stops_everything(settings: Settings) -> None:
    with supervise(settings) as process:
        assert process.stdout is not None
        pids = [int(pid) for pid in process.stdout.readline().split()]
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=30)
    assert out == "stopped\n"
    assert all(gone(pid) for pid in pids)


def test_kill_9_of_the_supervisor_leaves_no_orphan(settings: Settings) -> None:
    with supervise(settings) as process:
        assert process.stdout is not None
        pids = [int(pid) for pid in process.stdout.readline().split()]
        grandchildren = [child.pid for pid in pids for child in psutil.Process(pid).children(recursive=True)]
        assert grandchildren
        process.kill()
        process.wait()
        until(lambda: all(gone(pid) for pid in [*pids, *grandchildren]))
