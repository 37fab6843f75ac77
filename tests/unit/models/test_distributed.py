"""Two processes, started by torchrun, fit what one fits."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from models.distributed import ALONE, Group, agreed, from_first, group, stopped_when_lost
from models.progress import TrainingStopped
from tests.unit.models import net_of_many_processes

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def fits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what one process and two came to."""
    folder = tmp_path_factory.mktemp("fits")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    (folder / "stopped").mkdir()
    command = [*torchrun, "-m", "tests.unit.models.net_of_many_processes", str(folder)]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    net_of_many_processes.fit(folder, 1)
    return folder


def test_two_processes_come_to_the_weights_of_one(fits: Path) -> None:
    one, two = load_file(fits / "1.safetensors"), load_file(fits / "2.safetensors")
    for name, expected in one.items():
        torch.testing.assert_close(two[name], expected, rtol=1e-3, atol=1e-4)


def test_the_metric_is_the_same(fits: Path) -> None:
    one, two = (json.loads((fits / f"{count}.json").read_text())["accuracy"] for count in (1, 2))
    assert two == pytest.approx(one, abs=0.02)
    assert one > 0.8


def test_all_stop_when_one_should_and_go_on_to_the_same_weights(fits: Path) -> None:
    whole, stopped = load_file(fits / "2.safetensors"), load_file(fits / "stopped" / "2.safetensors")
    for name, expected in whole.items():
        torch.testing.assert_close(stopped[name], expected, rtol=1e-5, atol=1e-6)


def test_alone_nothing_is_asked_of_others() -> None:
    assert group() == ALONE == Group(0, 1)
    assert from_first(lambda: 3, ALONE) == 3

    def stop() -> bool:
        return True

    assert agreed(stop, ALONE) is stop


def test_a_lost_process_stops_the_fit_and_another_error_stays_what_it_is() -> None:
    two = Group(0, 2)
    with pytest.raises(TrainingStopped, match="Another process"), stopped_when_lost(two):
        raise RuntimeError("[gloo/transport/tcp/pair.cc] Connection closed by peer")
    with pytest.raises(RuntimeError, match="shapes"), stopped_when_lost(two):
        raise RuntimeError("shapes differ")
    with pytest.raises(RuntimeError, match="gloo"), stopped_when_lost(ALONE):
        raise RuntimeError("gloo")
