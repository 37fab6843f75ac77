"""Run as a program by `test_models_engine_resume.py`: fits a small convolutional net with a checkpoint at
every batch, by all that a fit can be asked for, and writes its weights.
"""

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from models.callbacks import checkpoint
from models.configs import FitConfig
from models.recipe import FitContext
from models.training import fit_net

CONFIG = FitConfig(
    epochs=2,
    frozen_epochs=1,
    learning_rate=0.0,
    rate_division=10.0,
    optimizer="momentum",
    schedule="one_cycle",
    gradient_clip=1.0,
    accumulated_batches=3,
)
BATCHES = 20


class Pictures:
    """Noise of 8 by 8 with a bright half, upper or lower; noise is added anew in each epoch."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(1)
        self.targets = torch.randint(0, 2, (BATCHES * 16,), generator=generator)
        self.pictures = torch.randn(BATCHES * 16, 1, 8, 8, generator=generator)
        self.pictures[self.targets == 1, :, :4] += 0.5

    def train(self, epoch: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Batches of an order and of noise that are the epoch's."""
        generator = torch.Generator().manual_seed(epoch)
        order = torch.randperm(len(self.targets), generator=generator)
        noisy = self.pictures + torch.randn(self.pictures.shape, generator=generator) / 4
        return [(noisy[part], self.targets[part]) for part in order.split(16)]

    def valid(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """The pictures without noise."""
        return [(self.pictures, self.targets)]


def main(checkpoints: Path, weights: Path) -> None:
    """Fits, or goes on, and saves the weights."""
    torch.set_num_threads(1)
    checkpoint.EVERY_S = -1.0
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, 2), nn.ReLU()]
    net = nn.Sequential(
        nn.Sequential(*layers), nn.Sequential(nn.Flatten(), nn.Dropout(0.3), nn.Linear(72, 2))
    )

    def step() -> bool:
        print("step", flush=True)
        return False

    fit_net(
        net,
        Pictures(),
        nn.functional.cross_entropy,
        CONFIG,
        FitContext(seed=4, device="cpu", checkpoint_folder=checkpoints, should_stop=step),
        name="net",
        groups=[part.parameters() for part in net],
    )
    save_file(net.state_dict(), weights)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
