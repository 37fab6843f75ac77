"""A trained language model: what it says next, how well, and what classifiers take over from it."""

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.baseline import compare_statistic
from models.data.tokens import BEGIN, PAD, UNKNOWN, TokenIds, Tokens, read_tokens, write_tokens
from models.figures import Figure
from models.metrics import bootstrap_estimate
from models.progress import TrainingFailed
from models.recipe import Assessment, Parity, Problem

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from models.nets.awd_lstm import LanguageNet

KIND = "language_model"
WEIGHTS, SPEC = "model.safetensors", "language_model.json"
# Texts that are read together, and tokens of each at a time: bounds what the logits take.
PREDICT_TEXTS, PREDICT_TOKENS = 16, 70
PARITY_TEXTS = 64
PARITY_TOKENS = 50
TOLERANCE = 1e-4
RULE = "always the tokens' frequencies"
# Unknown tokens past this share of the validation texts are worth a warning.
MANY_UNKNOWN = 0.05

Floats = npt.NDArray[np.float64]

# Columns of what is summed over each text, float64 `(N, 3)`.
LOSS, COUNT, RIGHT = range(3)


class FittedLanguageModel:
    """A trained language model; `net` is in evaluation mode on the CPU."""

    kind = KIND

    def __init__(self, net: "LanguageNet", tokens: Tokens, problem: Problem) -> None:
        self.net = net
        self.tokens = tokens
        self.problem = problem

    @classmethod
    def load(cls, folder: Path, problem: Problem) -> Self:
        """What `save` wrote.

        Raises:
            TrainingFailed: the folder does not hold a language model.
        """
        net, tokens = read_language_net(folder)
        return cls(net.eval(), tokens, problem)

    def assess(self, train: pa.Table, valid: pa.Table) -> Assessment:
        """Perplexity, and the share of tokens that are the likeliest, beside the training texts' frequencies.

        Each validation text is read from its begin; every token after `xxbos` counts. Intervals and
        comparison resample texts, since the tokens of one are alike.
        """
        from models.data.text import with_text

        known, told = with_text(train, self.problem, "training")
        held_out, warnings = with_text(valid, self.problem, "validation")
        texts = self._encode(held_out)
        sums = self._sums(texts)
        rule = frequency_sums(self._encode(known), texts, len(self.tokens.vocabulary))
        by_accuracy = self.problem.metric == "accuracy"
        comparison = compare_statistic(
            RULE,
            "accuracy" if by_accuracy else "perplexity",
            share_right if by_accuracy else perplexity_of,
            sums,
            rule,
        )
        unknown = float(np.mean(texts.ids == UNKNOWN))
        if unknown > MANY_UNKNOWN:
            warnings += (f"{unknown:.0%} of the validation texts' tokens are unknown words",)
        return Assessment(
            {
                "perplexity": bootstrap_estimate(perplexity_of, sums, low=1.0),
                "accuracy": bootstrap_estimate(share_right, sums, low=0.0, high=1.0),
            },
            comparison,
            row_quality=self._row_quality(valid, sums),
            row_quality_name="loss_a_token",
            warnings=(*told, *warnings),
        )

    def save(self, folder: Path) -> None:
        """Writes `model.safetensors`, `language_model.json` and the tokens."""
        from safetensors.torch import save_file

        save_file(self.net.state_dict(), folder / WEIGHTS)
        (folder / SPEC).write_text(json.dumps(self.net.encoder.spec.as_json(), indent=1))
        write_tokens(self.tokens, folder)

    def export_onnx(self, path: Path) -> None:
        """Writes one graph: ids and a state in, probabilities of the next token and the state behind out."""
        from models.export.onnx import save_model
        from models.export.onnx_text import language_graph

        save_model(language_graph(self.net, self.tokens), path)

    def check_onnx(self, path: Path, valid: pa.Table, *, threads: int) -> Parity:
        """Reads pieces of the validation texts with both; ONNX Runtime in two halves, between which it is
        handed its state.
        """
        from models.export.onnx_text import run_language_model

        stream = self._encode(valid).ids.astype(np.int64)
        length = min(PARITY_TOKENS, len(stream))
        ids = stream[: PARITY_TEXTS * length][: len(stream) // length * length].reshape(-1, length)
        own = self.next_probabilities(ids)
        halves = np.array_split(ids, 2, axis=1) if length > 1 else [ids]
        apart = np.abs(run_language_model(path, halves, threads=threads) - own).max(1)
        worst = int(apart.argmax())
        where = f"after {self.tokens.decode(ids[worst])[-60:]!r}"
        return Parity(float(apart[worst]), TOLERANCE, len(ids), where=where)

    def figures(self, train: pa.Table, valid: pa.Table) -> list[Figure]:
        """Samples at several temperatures, the words that are hardest to guess, and words on a plane."""
        from models.interpret.texts import language_figures

        return language_figures(self, train, valid)

    def files(self) -> dict[str, bytes]:
        """None: the tokens are among what `save` writes."""
        return {}

    def next_probabilities(self, ids: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Of what follows each row of `ids` `(N, T)`, float32 `(N, V)`."""
        import torch

        with torch.inference_mode():
            state = self.net.encoder.zero_state(len(ids))
            logits, _ = self.net.next_logits(torch.from_numpy(ids), state)
            found: npt.NDArray[np.float32] = logits.softmax(1).numpy()
        return found

    def generate(self, begin: str, count: int, *, temperature: float, generator: "Generator") -> str:
        """`begin` and `count` tokens that follow it, drawn from the probabilities at `temperature`: near 0
        the likeliest, 1 as learnt, above 1 more surprising. Never padding, an unknown word or a begin.
        """
        import torch

        ids = self.tokens.encode(pa.array([begin]))[0].tolist()
        never = torch.tensor([PAD, UNKNOWN, BEGIN])
        with torch.inference_mode():
            state = self.net.encoder.zero_state(1)
            new = torch.tensor([ids])
            for _ in range(count):
                logits, state = self.net.next_logits(new, state)
                logits[:, never] = -torch.inf
                chance = (logits / max(temperature, 1e-6)).softmax(1)
                new = torch.multinomial(chance, 1, generator=generator)
                ids.append(int(new))
        return self.tokens.decode(ids)

    def token_losses(self, texts: TokenIds) -> Iterator[tuple[npt.NDArray[np.int64], "Tensor", "Tensor"]]:
        """By groups of texts: their places `(B,)`, the loss of each token after the first and whether it is
        the likeliest, `(B, T)`; NaN and false behind a text's end.
        """
        import torch
        from torch.nn import functional

        from models.data.text import by_length

        with torch.inference_mode():
            for rows, ids, _ in by_length(texts, PREDICT_TEXTS):
                state = self.net.encoder.zero_state(len(rows))
                losses, right = [], []
                for start in range(0, ids.shape[1] - 1, PREDICT_TOKENS):
                    piece = ids[:, start : start + PREDICT_TOKENS + 1]
                    features, state = self.net.encoder(piece[:, :-1], state)
                    logits = self.net.logits(features)
                    following = piece[:, 1:]
                    loss = functional.cross_entropy(
                        logits.flatten(0, 1), following.flatten(), reduction="none"
                    )
                    losses.append(loss.view_as(following).masked_fill(following == PAD, torch.nan))
                    right.append((logits.argmax(2) == following) & (following != PAD))
                if losses:
                    yield rows, torch.cat(losses, 1), torch.cat(right, 1)

    def _sums(self, texts: TokenIds) -> Floats:
        """Loss, tokens and tokens guessed right of each text, float64 `(N, 3)`."""
        found = np.zeros((len(texts), 3))
        for rows, losses, right in self.token_losses(texts):
            found[rows, LOSS] = losses.double().nansum(1).numpy()
            found[rows, COUNT] = (~losses.isnan()).sum(1).numpy()
            found[rows, RIGHT] = right.sum(1).numpy()
        return found

    def _row_quality(self, valid: pa.Table, sums: Floats) -> Floats:
        from models.data.text import has_text

        found = np.full(valid.num_rows, np.nan)
        found[has_text(valid, self.problem)] = sums[:, LOSS] / np.maximum(sums[:, COUNT], 1)
        return found

    def _encode(self, table: pa.Table) -> TokenIds:
        from models.data.text import texts_of

        return self.tokens.encode(texts_of(table, self.problem))


def perplexity_of(sums: Floats) -> float:
    """exp of the mean loss a token over all texts of `sums`, `(N, 3)`: loss, tokens, tokens guessed right."""
    count = sums[:, COUNT].sum()
    return float(np.exp(min(sums[:, LOSS].sum() / count, 700.0))) if count else math.nan


def share_right(sums: Floats) -> float:
    """Share of the tokens that were guessed right, 0 to 1; `sums` as in `perplexity_of`."""
    count = sums[:, COUNT].sum()
    return float(sums[:, RIGHT].sum() / count) if count else math.nan


def frequency_sums(train: TokenIds, texts: TokenIds, vocabulary_size: int) -> Floats:
    """What a rule that knows the training tokens' frequencies alone gets on `texts`, float64 `(N, 3)`.

    Frequencies are smoothed by one (Laplace); its guess is the most frequent token.
    """
    counts = np.bincount(train.ids, minlength=vocabulary_size).astype(float)
    counts[[PAD, BEGIN]] = 0
    losses = -np.log((counts + 1) / (counts.sum() + vocabulary_size))
    inside = texts.ids != BEGIN
    row = np.repeat(np.arange(len(texts)), texts.lengths)[inside]
    ids = texts.ids[inside]
    values = (losses[ids], None, (ids == counts.argmax()).astype(float))
    return np.stack([np.bincount(row, value, minlength=len(texts)) for value in values], 1).astype(float)


def read_language_net(folder: Path, *, dropout_scale: float | None = None) -> tuple["LanguageNet", Tokens]:
    """The net and the tokens of a language model that was saved in `folder`; `dropout_scale` in place of its
    own.

    Raises:
        TrainingFailed: the folder does not hold one.
    """
    from safetensors.torch import load_file

    from models.nets.awd_lstm import AwdLstmSpec, LanguageNet

    if not (folder / SPEC).is_file():
        raise TrainingFailed(
            f"The weights {folder.name} are not a language model's. Name a version of one, or no weights."
        )
    spec = AwdLstmSpec(**json.loads((folder / SPEC).read_text()))
    net = LanguageNet(spec if dropout_scale is None else replace(spec, dropout_scale=dropout_scale))
    net.load_state_dict(load_file(folder / WEIGHTS))
    return net, read_tokens(folder)


def with_vocabulary(net: "LanguageNet", tokens: Tokens, coming: Tokens) -> "LanguageNet":
    """The net for another vocabulary: words that both have keep what was learnt, new ones begin at the mean
    (Howard and Gugger, chapter 10).
    """
    import torch

    from models.nets.awd_lstm import LanguageNet

    known = {word: place for place, word in enumerate(tokens.vocabulary)}
    places = torch.tensor([known.get(word, -1) for word in coming.vocabulary])
    new = places < 0
    other = LanguageNet(replace(net.encoder.spec, vocabulary_size=len(coming.vocabulary)))
    state = net.state_dict()
    for name in ("encoder.embedding", "bias"):
        rows = state[name][places.clamp(min=0)]
        rows[new] = state[name].mean(0)
        state[name] = rows
    other.load_state_dict(state)
    return other
