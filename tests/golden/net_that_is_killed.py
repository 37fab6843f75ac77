"""Run as a program by `test_models_resume.py`: fits a net with a checkpoint at every batch."""

import sys
from pathlib import Path

import torch

from models.callbacks import checkpoint
from models.configs import TabularNetConfig
from models.tabular import fit_tabular_net
from tests.unit.models.small_tables import SCHEMA, table


def main(checkpoints: Path, weights: Path) -> None:
    """Fits, or goes on, and saves the weights."""
    torch.set_num_threads(1)
    checkpoint.EVERY_S = -1.0

    def step() -> bool:
        print("step", flush=True)
        return False

    config = TabularNetConfig(epochs=3, batch_size=32, hidden_sizes=(16, 8), dropout=0.2)
    model = fit_tabular_net(
        table(1_000),
        table(200, seed=2),
        SCHEMA,
        config,
        seed=5,
        device="cpu",
        checkpoint_folder=checkpoints,
        should_stop=step,
    )
    weights.mkdir(parents=True, exist_ok=True)
    model.save(weights)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
