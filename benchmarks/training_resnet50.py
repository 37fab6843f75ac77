"""ResNet-50 at 224 pixels on a GPU by every peer: made-up PNGs of 500 by 375, batch 64, bfloat16.

The plain loop has its batches on the GPU already, in `channels_last`, compiled: the floor. Boarfish's fit is
asked twice, over its own batches and over one batch again and again, whose ratio is the share of time that
the GPU waits for input. fastai's loaders decode on the CPU.
"""

import io
import time

import numpy as np
import pyarrow as pa
import torch
from PIL import Image
from torch import Tensor, nn

from benchmarks.peers import Arguments, Outcome, Work, by_fastai
from models.configs import ConvNetConfig, FitConfig
from models.learner import Batch
from models.nets.heads import body_of
from models.recipe import MULTICLASS, FitContext, Input, Problem, Target
from models.training import fit_net
from models.vision import ConvNet

COUNT, CLASSES, SIZE, BATCH, RATE, DECAY = 4096, 10, 224, 64, 1e-3, 0.01
NAMES = tuple(f"class {place}" for place in range(CLASSES))


def pictures(count: int) -> tuple[list[bytes], np.ndarray]:
    """PNGs of noise under the colour of their class, and the classes."""
    random = np.random.default_rng(0)
    colours = random.integers(0, 256, (CLASSES, 3))
    label = random.integers(0, CLASSES, count)
    encoded = []
    for place in label:
        noise = random.integers(-20, 20, (25, 34, 3)).repeat(15, 0).repeat(15, 1)[:375, :500]
        buffer = io.BytesIO()
        Image.fromarray((colours[place] + noise).clip(0, 255).astype(np.uint8)).save(
            buffer, "PNG", compress_level=1
        )
        encoded.append(buffer.getvalue())
    return encoded, label


class ResNet(nn.Module):
    """The body with averaging and one layer to the classes; logits of pictures `(N, 3, S, S)`."""

    def __init__(self) -> None:
        super().__init__()
        body = body_of("resnet50")
        self.body, self.head = body.module, nn.Linear(body.channel_count, CLASSES)

    def forward(self, given: Tensor) -> Tensor:
        """Logits."""
        logits: Tensor = self.head(self.body(given).mean((2, 3)))
        return logits


class SameBatch:
    """One batch on the GPU, given `count` times an epoch."""

    def __init__(self, count: int) -> None:
        given = torch.randn(BATCH, 3, SIZE, SIZE, device="cuda").contiguous(memory_format=torch.channels_last)
        self._batches: list[Batch] = [(given, torch.randint(0, CLASSES, (BATCH,), device="cuda"))] * count

    def train(self, epoch: int) -> list[Batch]:
        """The same in each epoch."""
        return self._batches

    def valid(self) -> list[Batch]:
        """One."""
        return self._batches[:1]


def plain_loop(epochs: int, steps: int) -> Outcome:
    """Nothing but the step, its input there already."""
    net = ResNet().cuda().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    net.compile()
    optimizer = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=DECAY, fused=True)
    given, label = SameBatch(1).train(0)[0]

    def step() -> None:
        with torch.autocast("cuda", torch.bfloat16):
            loss = nn.functional.cross_entropy(net(given), label)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    step()
    torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(epochs * steps):
        step()
    torch.cuda.synchronize()
    return (time.perf_counter() - began) / epochs, float("nan")


def engine(epochs: int, steps: int) -> Outcome:
    """Boarfish's engine over an input that is there already."""
    fit = FitConfig(epochs=epochs, batch_size=BATCH, learning_rate=RATE, weight_decay=DECAY, compile="on")
    began = time.perf_counter()
    fit_net(
        ResNet(),
        SameBatch(steps),
        nn.functional.cross_entropy,
        fit,
        FitContext(device="cuda"),
        name="resnet50",
    )
    return (time.perf_counter() - began) / epochs, float("nan")


def boarfish(train: pa.Table, valid: pa.Table, epochs: int, threads: int) -> Outcome:
    """A whole fit of the recipe, PNGs decoded."""
    problem = Problem(MULTICLASS, (Input("picture", "image"),), Target(("class",), classes=NAMES), "accuracy")
    fit = FitConfig(epochs=epochs, batch_size=BATCH, learning_rate=RATE, weight_decay=DECAY, compile="on")
    began = time.perf_counter()
    model = ConvNet(ConvNetConfig(fit, "resnet50", image_size=SIZE)).fit(
        problem, train, valid, FitContext(seed=1, threads=threads)
    )
    seconds = time.perf_counter() - began
    return seconds / epochs, model.assess(train, valid).metrics["accuracy"].value


def work(arguments: Arguments) -> Work:
    """The peers over the same pictures.

    Raises:
        SystemExit: there is no GPU.
    """
    if not torch.cuda.is_available():
        raise SystemExit("resnet50 needs a GPU.")
    epochs, count = arguments.epochs or 3, max(int(COUNT * arguments.share), 4 * BATCH)
    encoded, label = pictures(count + 2 * BATCH)
    rows = pa.table({"picture": pa.array(encoded, pa.binary()), "class": [NAMES[place] for place in label]})
    steps = count // BATCH

    def fastai() -> Outcome:
        arrays = {
            "bytes": np.frombuffer(b"".join(encoded), np.uint8),
            "ends": np.cumsum([len(png) for png in encoded]),
            "label": label,
        }
        settings = {
            "train": count, "epochs": epochs, "batch": BATCH, "rate": RATE, "decay": DECAY, "size": SIZE,
            "net": "resnet50",
        }  # fmt: skip
        return by_fastai(arguments.fastai, "pictures", arrays, settings)

    return Work(
        f"ResNet-50 at {SIZE}: {count:,} pictures, batch {BATCH}, bfloat16, {epochs} epochs",
        count,
        "accuracy",
        {
            "plain loop, input there": lambda: plain_loop(epochs, steps),
            "Boarfish, input there": lambda: engine(epochs, steps),
            "Boarfish": lambda: boarfish(rows.slice(0, count), rows.slice(count), epochs, 16),
            "fastai": fastai,
        },
        unit="pictures",
    )
