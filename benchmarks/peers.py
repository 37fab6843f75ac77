"""What benchmarks of training share: peers that take turns over the same work, a table of them, fastai next
door.
"""

import json
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

Outcome = tuple[float, float]
"""Seconds an epoch, and the metric on rows held out."""


@dataclass(frozen=True)
class Arguments:
    """What was asked for. `epochs` 0: the work's own number. `fastai`: an interpreter with it, or ""."""

    epochs: int = 0
    share: float = 1.0
    fastai: str = ""


@dataclass(frozen=True)
class Work:
    """A piece of training; the first peer is what others are measured by. `count`: samples an epoch."""

    title: str
    count: int
    metric: str
    peers: Mapping[str, Callable[[], Outcome]]
    unit: str = "rows"


def compare(work: Work, rounds: int) -> None:
    """Prints a line a peer. Peers take turns, so that what else the machine does meets all; figures are
    medians.
    """
    outcomes: dict[str, list[Outcome]] = {name: [] for name in work.peers}
    for _ in range(rounds):
        for name, peer in work.peers.items():
            outcomes[name].append(peer())
    base = statistics.median(seconds for seconds, _ in next(iter(outcomes.values())))
    print(f"{work.title}, {torch.get_num_threads()} thread(s)")
    print(f"{'':28}{'s an epoch':>12}{work.unit + '/s':>12}{work.metric:>12}{'x the first':>14}")
    for name, found in outcomes.items():
        seconds = statistics.median(one for one, _ in found)
        metric = statistics.median(one for _, one in found)
        print(
            f"{name:28}{seconds:12.2f}{work.count / seconds:12,.0f}{metric:12.3f}{seconds / base:14.2f}",
            flush=True,
        )


def by_fastai(python: str, name: str, arrays: dict[str, np.ndarray], settings: dict[str, Any]) -> Outcome:
    """The same work in the interpreter that has fastai: see `benchmarks/training_fastai.py`."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "data.npz"
        np.savez(file, allow_pickle=False, **arrays)
        settings = {**settings, "threads": torch.get_num_threads()}
        script = Path(__file__).with_name("training_fastai.py")
        command = [python, str(script), name, str(file), json.dumps(settings)]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    seconds, metric = map(float, output.split()[-2:])
    return seconds, metric
