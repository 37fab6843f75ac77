"""Adult by every peer: 26,061 rows to train on and 6,500 to judge by, 8 embeddings, layers of 200 and 100,
batch 64.

The plain loop is over tensors in memory: once over the usual net, a look-up a column, and once over
Boarfish's own net, which shows what the engine costs.
"""

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.datasets import ADULT_SCHEMA, adult
from benchmarks.peers import Arguments, Outcome, Work, by_fastai
from models.configs import TabularNetConfig
from models.data.tabular import TabularRows
from models.nets.tabular import TabularNet, TabularNetSpec, embedding_size, rows_of
from models.schedules import cyclical_momentum, one_cycle
from models.tabular import fit_tabular_net

TRAIN_ROWS, BATCH, RATE, DECAY = 26_061, 64, 0.005, 0.01


class UsualNet(nn.Module):
    """The same layers with an `nn.Embedding` for each column."""

    def __init__(self, spec: TabularNetSpec) -> None:
        super().__init__()
        sizes = [len(values) + 2 for values in spec.category_values]
        self.embeddings = nn.ModuleList(nn.Embedding(size, embedding_size(size)) for size in sizes)
        width = sum(embedding_size(size) for size in sizes) + 2 * len(spec.means)
        self.means, self.deviations = torch.tensor(spec.means), torch.tensor(spec.deviations)
        layers: list[nn.Module] = []
        for size in spec.hidden_sizes:
            layers += [nn.Linear(width, size), nn.ReLU(), nn.BatchNorm1d(size)]
            width = size
        self.layers = nn.Sequential(*layers, nn.Linear(width, 1))

    def forward(self, numeric: Tensor, index: Tensor) -> Tensor:
        """As `TabularNet.forward`."""
        missing = numeric.isnan()
        scaled = torch.where(missing, 0.0, (numeric - self.means) / self.deviations)
        embedded = [embed(index[:, j]) for j, embed in enumerate(self.embeddings)]
        logits: Tensor = self.layers(torch.cat([*embedded, scaled, missing.float()], 1))
        return logits.squeeze(1)


def boarfish(train: TabularRows, valid: TabularRows, epochs: int) -> Outcome:
    """A whole fit with all that comes with it."""
    config = TabularNetConfig(epochs, BATCH, RATE, dropout=0.0, weight_decay=DECAY)
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        model = fit_tabular_net(
            train, valid, ADULT_SCHEMA, config, seed=1, device="cpu", checkpoint_folder=Path(folder)
        )
        seconds = time.perf_counter() - began
    return seconds / epochs, _accuracy(model.predict(valid) >= 0.5, valid)


def plain_loop(net: nn.Module, tensors: Any, valid: TabularRows, epochs: int) -> Outcome:
    """Nothing but batches, loss, step and one-cycle; validation after each epoch."""
    (numeric, index, label), (valid_numeric, valid_index, _) = tensors
    optimizer = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=DECAY, fused=True)
    steps, step = epochs * -(-len(label) // BATCH), 0
    began = time.perf_counter()
    for _ in range(epochs):
        net.train()
        order = torch.randperm(len(label))
        for start in range(0, len(label), BATCH):
            group = optimizer.param_groups[0]
            group["lr"], group["betas"] = (
                one_cycle(step / steps, RATE),
                (cyclical_momentum(step / steps), 0.999),
            )
            chosen = order[start : start + BATCH]
            loss = nn.functional.binary_cross_entropy_with_logits(
                net(numeric[chosen], index[chosen]), label[chosen]
            )
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            step += 1
        net.eval()
        with torch.no_grad():
            logits = net(valid_numeric, valid_index)
    return (time.perf_counter() - began) / epochs, _accuracy(logits.numpy() >= 0, valid)


def work(arguments: Arguments) -> Work:
    """The peers over the same rows."""
    rows = adult()
    order = np.random.default_rng(42).permutation(len(rows))
    train, valid = rows.take(order[:TRAIN_ROWS]), rows.take(order[TRAIN_ROWS:])
    spec = _spec(train)
    tensors = (_tensors(train, spec), _tensors(valid, spec))
    epochs = arguments.epochs or 3

    def fastai() -> Outcome:
        return by_fastai(
            arguments.fastai,
            "adult",
            {
                "numeric": np.concatenate([train.numeric, valid.numeric]),
                "category": np.concatenate([train.category, valid.category]).astype(str),
                "label": np.concatenate([_label(train), _label(valid)]),
            },
            {"train": len(train), "epochs": epochs, "batch": BATCH, "rate": RATE, "decay": DECAY},
        )

    return Work(
        f"Adult: {len(train):,} rows, batch {BATCH}, {epochs} epochs",
        len(train),
        "accuracy",
        {
            "plain loop": lambda: plain_loop(UsualNet(spec), tensors, valid, epochs),
            "plain loop, Boarfish's net": lambda: plain_loop(TabularNet(spec), tensors, valid, epochs),
            "Boarfish": lambda: boarfish(train, valid, epochs),
            "fastai": fastai,
        },
    )


def _spec(train: TabularRows) -> TabularNetSpec:
    return TabularNetSpec(
        means=tuple(train.numeric.mean(0, dtype=float).tolist()),
        deviations=tuple(train.numeric.std(0, dtype=float).tolist()),
        code_values=(),
        category_values=tuple(
            tuple(sorted({text for text in column if text})) for column in train.category.T
        ),
        hidden_sizes=(200, 100),
        dropout=0.0,
    )


def _tensors(rows: TabularRows, spec: TabularNetSpec) -> tuple[Tensor, Tensor, Tensor]:
    index = rows_of(torch.from_numpy(rows.code), [column.tolist() for column in rows.category.T], spec)
    return torch.from_numpy(rows.numeric), index, torch.from_numpy(_label(rows))


def _label(rows: TabularRows) -> np.ndarray:
    if rows.label is None:
        raise ValueError("the rows have no labels")
    return rows.label


def _accuracy(positive: np.ndarray, rows: TabularRows) -> float:
    return float(np.mean(positive == (_label(rows) > 0.5)))
