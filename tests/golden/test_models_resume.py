"""A fit that is killed half-way, more than once, ends with the very weights of one that was not."""

import subprocess
import sys
from pathlib import Path

import pytest

from models.configs import TabularNetConfig
from models.progress import TrainingStopped
from models.tabular import fit_tabular_net
from tests.unit.models.small_tables import SCHEMA, table

ROOT = Path(__file__).parents[2]
STEPS = 3 * 32


def run(checkpoints: Path, weights: Path, kill_after: int | None = None) -> int:
    """Runs the fit in a child, killed with SIGKILL after `kill_after` steps; how many it took."""
    command = [sys.executable, "-m", "tests.golden.net_that_is_killed", str(checkpoints), str(weights)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        steps = 0
        for _ in child.stdout:
            steps += 1
            if steps == kill_after:
                child.kill()
        assert child.wait() == (0 if kill_after is None else -9)
    return steps


def test_killed_twice_and_resumed_to_the_same_bytes(tmp_path: Path) -> None:
    assert run(tmp_path / "whole", tmp_path / "expected") == STEPS
    run(tmp_path / "broken", tmp_path / "found", kill_after=20)
    assert not (tmp_path / "found").exists()
    run(tmp_path / "broken", tmp_path / "found", kill_after=25)
    assert run(tmp_path / "broken", tmp_path / "found") < STEPS - 40
    expected = (tmp_path / "expected" / "model.safetensors").read_bytes()
    assert (tmp_path / "found" / "model.safetensors").read_bytes() == expected


@pytest.mark.parametrize("stop_after", [1, 7, 16, 31])
def test_stopped_and_resumed_to_the_same_bytes(stop_after: int, tmp_path: Path) -> None:
    config = TabularNetConfig(epochs=2, batch_size=64, hidden_sizes=(16, 8), dropout=0.2)
    left = iter(range(stop_after))

    def stop() -> bool:
        return next(left, None) is None

    def fit(folder: str, **more: object) -> bytes:
        model = fit_tabular_net(
            table(1_000),
            table(200, seed=2),
            SCHEMA,
            config,
            seed=5,
            device="cpu",
            checkpoint_folder=tmp_path / folder,
            **more,  # type: ignore[arg-type]
        )
        model.save(tmp_path)
        return (tmp_path / "model.safetensors").read_bytes()

    with pytest.raises(TrainingStopped):
        fit("stopped", should_stop=stop)
    assert fit("stopped") == fit("whole")
