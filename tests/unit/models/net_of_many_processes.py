"""Run by torchrun in `test_distributed.py`: fits a small net together; the first process writes what came of
it.
"""

import json
import os
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from models.configs import FitConfig
from models.distributed import group, joined
from models.progress import Progress, TrainingStopped
from models.recipe import FitContext
from models.training import fit_net
from tests.unit.models.small_nets import Batches, accuracy, loss


def fit(folder: Path, process_count: int, stop_after: int | None = None) -> None:
    """A fit by all that processes must agree on: a found rate, frozen epochs, accumulated and clipped
    gradients.
    """
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(10, 16), nn.Sequential(nn.Tanh(), nn.Linear(16, 1), nn.Flatten(0)))
    config = FitConfig(
        epochs=3, frozen_epochs=1, rate_division=4.0, accumulated_batches=2, gradient_clip=0.5,
        process_count=process_count,
    )  # fmt: skip
    told: list[Progress] = []
    asked = iter(range(10**6 if stop_after is None else stop_after))
    # In the second process alone: the first must hear of it.
    hears = group().rank == process_count - 1
    context = FitContext(
        device="cpu",
        checkpoint_folder=folder / f"checkpoints-{process_count}",
        on_progress=told.append,
        should_stop=lambda: hears and next(asked, None) is None,
    )
    # 7 batches of 33 rows and one of 25: parts are of unequal size.
    fit_net(
        net, Batches(256, 64, size=33), loss, config, context, name="net", metrics=accuracy,
        groups=[part.parameters() for part in net],
    )  # fmt: skip
    if group().first:
        save_file(net.state_dict(), folder / f"{process_count}.safetensors")
        (folder / f"{process_count}.json").write_text(json.dumps(told[-1].metrics))
    else:
        assert not told


if __name__ == "__main__":
    with joined() as among:
        fit(Path(sys.argv[1]), among.size)
        if among.first:
            assert os.listdir(Path(sys.argv[1]) / f"checkpoints-{among.size}")
        stopped = False
        try:
            fit(Path(sys.argv[1]) / "stopped", among.size, stop_after=20)
        except TrainingStopped:
            stopped = True
        assert stopped
        fit(Path(sys.argv[1]) / "stopped", among.size)
