"""MovieLens by every peer: 100,004 ratings, a fifth of them held out at random, 50 factors, batch 64, one
cycle.
"""

import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from benchmarks.peers import Arguments, Outcome, Work, by_fastai
from examples.movielens.data import table
from models.collaborative import Collaborative
from models.configs import CollaborativeConfig, FitConfig
from models.recipe import REGRESSION, FitContext, Input, Problem, Target
from models.schedules import cyclical_momentum, one_cycle

USER, ITEM, RATING = "user", "film", "rating"
BATCH, RATE, DECAY, FACTORS = 64, 5e-3, 0.1, 50
LOW, HIGH = 0.5, 5.0
TARGET = Target((RATING,), minimum=LOW, maximum=HIGH)
PROBLEM = Problem(REGRESSION, (Input(USER, "code"), Input(ITEM, "category")), TARGET, "rmse")


class DotProduct(nn.Module):
    """Factors and biases of users and items, squeezed into the range of ratings."""

    def __init__(self, users: int, items: int) -> None:
        super().__init__()
        self.factors = nn.ModuleList(nn.Embedding(count, FACTORS) for count in (users, items))
        self.biases = nn.ModuleList(nn.Embedding(count, 1) for count in (users, items))
        for embedding in (*self.factors, *self.biases):
            nn.init.trunc_normal_(embedding.weight, std=0.01)

    def forward(self, user: Tensor, item: Tensor) -> Tensor:
        """Ratings `(N,)`."""
        product = (self.factors[0](user) * self.factors[1](item)).sum(1)
        biases = (self.biases[0](user) + self.biases[1](item)).squeeze(1)
        return LOW - 0.5 + (HIGH - LOW + 1) * torch.sigmoid(product + biases)


def boarfish(train: pa.Table, valid: pa.Table, epochs: int) -> Outcome:
    """A whole fit with all that comes with it."""
    fit = FitConfig(epochs=epochs, batch_size=BATCH, learning_rate=RATE, weight_decay=DECAY)
    with tempfile.TemporaryDirectory() as folder:
        context = FitContext(seed=1, device="cpu", checkpoint_folder=Path(folder))
        began = time.perf_counter()
        model = Collaborative(CollaborativeConfig(fit, factor_count=FACTORS)).fit(
            PROBLEM, train, valid, context
        )
        seconds = time.perf_counter() - began
    return seconds / epochs, model.assess(train, valid).metrics["rmse"].value


def plain_loop(train: list[Tensor], valid: list[Tensor], counts: tuple[int, int], epochs: int) -> Outcome:
    """Nothing but batches, loss, step and one-cycle; validation after each epoch."""
    net = DotProduct(*counts)
    optimizer = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=DECAY, fused=True)
    steps, step = epochs * -(-len(train[2]) // BATCH), 0
    began = time.perf_counter()
    for _ in range(epochs):
        order = torch.randperm(len(train[2]))
        for start in range(0, len(order), BATCH):
            group = optimizer.param_groups[0]
            group["lr"] = one_cycle(step / steps, RATE)
            group["betas"] = (cyclical_momentum(step / steps), 0.999)
            user, item, rating = (part[order[start : start + BATCH]] for part in train)
            nn.functional.mse_loss(net(user, item), rating).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            step += 1
        with torch.no_grad():
            error = (net(valid[0], valid[1]) - valid[2]).square().mean().sqrt()
    return (time.perf_counter() - began) / epochs, float(error)


def work(arguments: Arguments) -> Work:
    """The peers over the same rows."""
    rows = table(arguments.share)
    rows = rows.take(np.random.default_rng(42).permutation(rows.num_rows))
    count, epochs = rows.num_rows * 4 // 5, arguments.epochs or 3
    train, valid = rows.slice(0, count), rows.slice(count)
    coded = [np.unique(rows[name].to_numpy(), return_inverse=True) for name in (USER, ITEM)]
    rating = torch.from_numpy(rows[RATING].to_numpy().astype(np.float32))
    columns = [*(torch.from_numpy(place) for _, place in coded), rating]
    counts = (len(coded[0][0]), len(coded[1][0]))

    def fastai() -> Outcome:
        arrays = {name: rows[name].to_numpy() for name in (USER, RATING)} | {ITEM: coded[1][1]}
        settings = {
            "train": count,
            "epochs": epochs,
            "batch": BATCH,
            "rate": RATE,
            "decay": DECAY,
            "factors": FACTORS,
        }
        return by_fastai(arguments.fastai, "movielens", arrays, settings)

    return Work(
        f"MovieLens: {count:,} ratings, {FACTORS} factors, batch {BATCH}, {epochs} epochs",
        count,
        "rmse",
        {
            "plain loop": lambda: plain_loop(
                [part[:count] for part in columns], [part[count:] for part in columns], counts, epochs
            ),
            "Boarfish": lambda: boarfish(train, valid, epochs),
            "fastai": fastai,
        },
        unit="ratings",
    )
