"""A language model by every peer: Shakespeare in words, AWD-LSTM of two layers of 400, batch 32, 70 tokens in
time.
"""

import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from benchmarks.peers import Arguments, Outcome, Work, by_fastai
from examples.shakespeare.data import table
from models.configs import AwdLstmConfig, FitConfig, LanguageModelConfig
from models.data.text import StreamBatches
from models.data.tokens import TokenIds, learn_tokens
from models.nets.awd_lstm import AwdLstmSpec, LanguageNet, StatefulLoss
from models.recipe import LANGUAGE, FitContext, Input, Problem, Target
from models.schedules import cyclical_momentum, one_cycle
from models.text import LanguageModel

BATCH, RATE, DECAY = 32, 3e-3, 0.01
ENCODER = AwdLstmConfig()
PROBLEM = Problem(LANGUAGE, (Input("text", "text"),), Target(), "perplexity")


def boarfish(train: pa.Table, valid: pa.Table, epochs: int) -> Outcome:
    """A whole fit with all that comes with it, tokens too; its last validation's perplexity."""
    fit = FitConfig(epochs=epochs, batch_size=BATCH, learning_rate=RATE, weight_decay=DECAY)
    perplexity = [float("nan")]
    with tempfile.TemporaryDirectory() as folder:
        context = FitContext(
            seed=1,
            device="cpu",
            checkpoint_folder=Path(folder),
            on_progress=lambda progress: perplexity.append(progress.metrics.get("perplexity", float("nan"))),
        )
        began = time.perf_counter()
        LanguageModel(LanguageModelConfig(fit, ENCODER)).fit(PROBLEM, train, valid, context)
        seconds = time.perf_counter() - began
    return seconds / epochs, perplexity[-1]


def plain_loop(train: TokenIds, valid: TokenIds, vocabulary: int, epochs: int) -> Outcome:
    """Boarfish's net and streams, with nothing but loss, step and one-cycle; validation after each epoch."""
    spec = AwdLstmSpec(
        vocabulary, ENCODER.embedding_size, ENCODER.hidden_size, ENCODER.layer_count, ENCODER.dropout_scale
    )
    net = StatefulLoss(
        LanguageNet(spec),
        BATCH,
        activation_penalty=ENCODER.activation_penalty,
        change_penalty=ENCODER.change_penalty,
    )
    batches = StreamBatches(train, valid, stream_count=BATCH, sequence_length=ENCODER.sequence_length, seed=1)
    optimizer = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=DECAY, fused=True)
    steps, step = epochs * len(batches.train(0)), 0
    began = time.perf_counter()
    for epoch in range(epochs):
        net.train()
        epoch_batches = batches.train(epoch)
        for place in range(len(epoch_batches)):
            group = optimizer.param_groups[0]
            group["lr"] = one_cycle(step / steps, RATE)
            group["betas"] = (cyclical_momentum(step / steps), 0.999)
            net(*epoch_batches[place][:-1]).mean().backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            step += 1
        net.eval()
        with torch.no_grad():
            losses = torch.cat([net(*batch[:-1]).flatten() for batch in batches.valid()])
    return (time.perf_counter() - began) / epochs, float(losses.mean().exp())


def work(arguments: Arguments) -> Work:
    """The peers over the same texts; plain loop and fastai get them as tokens."""
    rows = table(arguments.share)
    rows = rows.take(np.random.default_rng(42).permutation(rows.num_rows))
    count, epochs = rows.num_rows * 9 // 10, arguments.epochs or 1
    train, valid = rows.slice(0, count), rows.slice(count)
    tokens = learn_tokens(
        ENCODER.tokens, train["text"], size=ENCODER.vocabulary_size, minimum_count=ENCODER.minimum_count
    )
    train_ids, valid_ids = tokens.encode(train["text"]), tokens.encode(valid["text"])
    vocabulary = len(tokens.vocabulary)

    def fastai() -> Outcome:
        arrays = {"train": train_ids.ids, "valid": valid_ids.ids}
        settings = {
            "vocabulary": vocabulary, "epochs": epochs, "batch": BATCH, "rate": RATE, "decay": DECAY,
            "length": ENCODER.sequence_length, "embedding": ENCODER.embedding_size,
            "hidden": ENCODER.hidden_size,
            "layers": ENCODER.layer_count, "dropout": ENCODER.dropout_scale,
        }  # fmt: skip
        return by_fastai(arguments.fastai, "text", arrays, settings)

    return Work(
        f"Shakespeare: {len(train_ids.ids):,} tokens, {vocabulary:,} words, batch {BATCH}, {epochs} epoch(s)",
        len(train_ids.ids),
        "perplexity",
        {
            "plain loop, Boarfish's net": lambda: plain_loop(train_ids, valid_ids, vocabulary, epochs),
            "Boarfish": lambda: boarfish(train, valid, epochs),
            "fastai": fastai,
        },
        unit="tokens",
    )
