"""A fit with frozen epochs, a found rate, accumulated and clipped gradients and cyclical momentum, killed in
the sweep, between two steps and in the last epoch, ends with the very weights of one that was not.
"""

import subprocess
import sys
from pathlib import Path

from models.finder import STEPS
from tests.golden.conv_net_that_is_killed import BATCHES, CONFIG

ROOT = Path(__file__).parents[2]


def run(checkpoints: Path, weights: Path, kill_after: int | None = None) -> int:
    """Runs the fit in a child, killed with SIGKILL after `kill_after` steps; how many it took."""
    command = [sys.executable, "-m", "tests.golden.conv_net_that_is_killed", str(checkpoints), str(weights)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        steps = 0
        for _ in child.stdout:
            steps += 1
            if steps == kill_after:
                child.kill()
        assert child.wait() == (0 if kill_after is None else -9)
    return steps


def test_killed_thrice_and_resumed_to_the_same_bytes(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", tmp_path / "expected")
    sweep = whole - (CONFIG.frozen_epochs + CONFIG.epochs) * BATCHES
    assert 10 < sweep <= STEPS
    run(tmp_path / "broken", tmp_path / "found", kill_after=sweep // 2)
    # Within the second epoch, between two batches whose gradients are summed.
    run(tmp_path / "broken", tmp_path / "found", kill_after=sweep + BATCHES + 8)
    run(tmp_path / "broken", tmp_path / "found", kill_after=BATCHES)
    assert not (tmp_path / "found").exists()
    assert run(tmp_path / "broken", tmp_path / "found") < 2 * BATCHES
    assert (tmp_path / "found").read_bytes() == (tmp_path / "expected").read_bytes()
