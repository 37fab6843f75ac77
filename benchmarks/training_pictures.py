"""ResNet-18 at 128 pixels by every peer: emoji told by category, from scratch, batch 32, one cycle.

Boarfish decodes the PNGs in workers once a fit and changes pictures on the device; fastai decodes and changes
them in its loaders, anew each epoch; the plain loop has them decoded in memory and changes nothing.
"""

import io
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from PIL import Image
from torch import Tensor, nn

from benchmarks.peers import Arguments, Outcome, Work, by_fastai
from examples.emoji.data import table
from models.configs import ConvNetConfig, FitConfig
from models.nets.heads import body_of
from models.recipe import MULTICLASS, FitContext, Input, Problem, Target
from models.schedules import cyclical_momentum, one_cycle
from models.vision import ConvNet

PICTURE, CLASS = "picture", "category"
SIZE, BATCH, RATE, DECAY = 128, 32, 3e-3, 0.01


class ResNet(nn.Module):
    """The body with averaging and one layer to the classes."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        body = body_of("resnet18")
        self.body, self.head = body.module, nn.Linear(body.channel_count, classes)

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits `(N, classes)` of pictures uint8 `(N, 3, S, S)`."""
        features: Tensor = self.body(pictures.float() / 127.5 - 1)
        logits: Tensor = self.head(features.mean((2, 3)))
        return logits


def boarfish(train: pa.Table, valid: pa.Table, classes: tuple[str, ...], epochs: int) -> Outcome:
    """A whole fit with all that comes with it."""
    problem = Problem(MULTICLASS, (Input(PICTURE, "image"),), Target((CLASS,), classes=classes), "accuracy")
    fit = FitConfig(epochs=epochs, batch_size=BATCH, learning_rate=RATE, weight_decay=DECAY)
    with tempfile.TemporaryDirectory() as folder:
        context = FitContext(
            seed=1, device="cpu", checkpoint_folder=Path(folder), threads=torch.get_num_threads()
        )
        began = time.perf_counter()
        model = ConvNet(ConvNetConfig(fit, "resnet18", image_size=SIZE)).fit(problem, train, valid, context)
        seconds = time.perf_counter() - began
    return seconds / epochs, model.assess(train, valid).metrics["accuracy"].value


def plain_loop(pictures: Tensor, label: Tensor, count: int, classes: int, epochs: int) -> Outcome:
    """Nothing but batches, loss, step and one-cycle; validation after each epoch."""
    net = ResNet(classes)
    optimizer = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=DECAY, fused=True)
    steps, step = epochs * -(-count // BATCH), 0
    began = time.perf_counter()
    for _ in range(epochs):
        net.train()
        for chosen in torch.split(torch.randperm(count), BATCH):
            group = optimizer.param_groups[0]
            group["lr"] = one_cycle(step / steps, RATE)
            group["betas"] = (cyclical_momentum(step / steps), 0.999)
            loss = nn.functional.cross_entropy(net(pictures[chosen]), label[chosen])
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            step += 1
        net.eval()
        with torch.no_grad():
            right = [net(part).argmax(1) for part in torch.split(pictures[count:], 128)]
        accuracy = (torch.cat(right) == label[count:]).float().mean()
    return (time.perf_counter() - began) / epochs, float(accuracy)


def decoded(png: bytes) -> Tensor:
    """uint8 `(3, S, S)`."""
    picture = Image.open(io.BytesIO(png)).convert("RGB").resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)


def work(arguments: Arguments) -> Work:
    """The peers over the same pictures."""
    rows = table(arguments.share).combine_chunks()
    rows = rows.take(np.random.default_rng(42).permutation(rows.num_rows))
    count, epochs = rows.num_rows * 4 // 5, arguments.epochs or 3
    classes, label = np.unique(rows[CLASS].to_numpy(zero_copy_only=False).astype(str), return_inverse=True)
    pngs = rows[PICTURE].to_pylist()
    pictures = torch.stack([decoded(png) for png in pngs])

    def fastai() -> Outcome:
        ends = np.cumsum([len(png) for png in pngs])
        arrays = {"bytes": np.frombuffer(b"".join(pngs), np.uint8), "ends": ends, "label": label}
        settings = {
            "train": count,
            "epochs": epochs,
            "batch": BATCH,
            "rate": RATE,
            "decay": DECAY,
            "size": SIZE,
        }
        return by_fastai(arguments.fastai, "pictures", arrays, settings)

    return Work(
        f"Emoji: {count:,} pictures, ResNet-18 at {SIZE}, batch {BATCH}, {epochs} epochs",
        count,
        "accuracy",
        {
            "plain loop, in memory": lambda: plain_loop(
                pictures, torch.from_numpy(label), count, len(classes), epochs
            ),
            "Boarfish": lambda: boarfish(
                rows.slice(0, count), rows.slice(count), tuple(classes.tolist()), epochs
            ),
            "fastai": fastai,
        },
        unit="pictures",
    )
