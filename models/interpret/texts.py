"""Looking inside models of texts: what they say next, what they find hard, and which words decided.

The gradient times the input (Shrikumar and others, "Not Just a Black Box", 2016) splits a class's logit over
the words of a text, to a first order.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.data.tokens import SPECIAL, TokenIds, Tokens
from models.figures import Bars, Figure, Points, Table
from models.interpret.confusion import class_rates, confusion_counts, confusion_matrix, most_confused
from models.interpret.losses import hardest, top_losses
from models.metrics import cross_entropy_rows
from models.recipe import BINARY

if TYPE_CHECKING:
    from models.language_model import FittedLanguageModel
    from models.text_classifier import FittedTextClassifier

Floats = npt.NDArray[np.float64]

TEMPERATURES = (0.3, 0.7, 1.0, 1.3)
SAMPLES, SAMPLE_TOKENS, BEGIN_TOKENS = 3, 60, 4
SHOWN_WORDS = 200
HARD_TOKENS, FEWEST_TOKENS = 25, 5
EXPLAINED_TEXTS, EXPLAINED_WORDS = 12, 8
# Looks need no more rows than these.
MOST_TEXTS = 2_000


def language_figures(model: "FittedLanguageModel", train: pa.Table, valid: pa.Table) -> list[Figure]:
    """Figures "samples", "hard_tokens" and "words_plane"."""
    from models.data.text import texts_of, with_text

    known, _ = with_text(train, model.problem, "training")
    held_out, _ = with_text(valid, model.problem, "validation")
    texts = model.tokens.encode(texts_of(held_out.slice(0, MOST_TEXTS), model.problem))
    counts = _counts(model.tokens, model.tokens.encode(texts_of(known.slice(0, MOST_TEXTS), model.problem)))
    return [
        samples(model, texts),
        hard_tokens(model, texts),
        words_plane(model.tokens.vocabulary, model.net.encoder.embedding.detach().numpy(), counts),
    ]


def samples(model: "FittedLanguageModel", texts: TokenIds, *, seed: int = 0) -> Figure:
    """Figure "samples": how the first words of some texts go on, at several temperatures."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    rows = []
    for text in range(min(SAMPLES, len(texts))):
        begin = model.tokens.decode(texts[text][: 1 + BEGIN_TOKENS].tolist())
        for temperature in TEMPERATURES:
            said = model.generate(begin, SAMPLE_TOKENS, temperature=temperature, generator=generator)
            rows.append((begin, temperature, said))
    return Figure(
        "samples",
        "What it writes",
        "How it goes on from the first words of validation texts: a low temperature repeats what is likely, "
        "a high one surprises.",
        Table(("begin", "temperature", "text"), tuple(rows)),
    )


def hard_tokens(model: "FittedLanguageModel", texts: TokenIds) -> Figure:
    """Figure "hard_tokens": the tokens whose guess costs most in all, by their mean loss in nats."""
    size = len(model.tokens.vocabulary)
    total, count = np.zeros(size), np.zeros(size)
    for rows, losses, _ in model.token_losses(texts):
        ids = texts.take(rows).padded()[:, 1:]
        there = ~losses.isnan().numpy()
        total += np.bincount(ids[there], losses.numpy()[there], minlength=size)
        count += np.bincount(ids[there], minlength=size)
    shown = np.argsort(-np.where(count >= FEWEST_TOKENS, total, 0.0), kind="stable")[:HARD_TOKENS]
    shown = shown[count[shown] >= FEWEST_TOKENS]
    mean = total[shown] / count[shown]
    order = np.argsort(-mean, kind="stable")
    names = [_readable(model.tokens.vocabulary[one]) for one in shown[order]]
    share = float(total[shown].sum() / total.sum()) if total.sum() > 0 else 0.0
    return Figure(
        "hard_tokens",
        "Where the loss comes from",
        f"These {len(shown)} tokens make {share:.0%} of the loss on validation texts; the bar is the mean "
        "loss of each time that one was to be guessed.",
        Bars(tuple(names), tuple(mean[order].tolist()), axis="mean loss, nats"),
    )


def classifier_figures(model: "FittedTextClassifier", train: pa.Table, valid: pa.Table) -> list[Figure]:
    """Figures "confusion", "most_confused" (of several classes), "recall", "precision", "top_losses",
    "deciding_words" and "words_plane".
    """
    from models.data.targets import read_target
    from models.data.text import row_ids, texts_of, with_text
    from models.text_classifier import class_names

    known, _ = with_text(train, model.problem, "training")
    held_out, _ = with_text(valid, model.problem, "validation")
    names = class_names(model.problem)
    label = read_target(held_out, model.problem).astype(np.int64)
    texts = model.encode(held_out)
    chance = model.probabilities(texts)
    if model.problem.kind == BINARY:
        said = (chance >= model.problem.threshold).astype(np.int64)
        chance = np.stack([1 - chance, chance], 1)
    else:
        said = chance.argmax(1)
    counts = confusion_counts(label, said, len(names))
    ids = row_ids(held_out, model.problem)
    hard = hardest(cross_entropy_rows(label, chance), EXPLAINED_TEXTS)
    seen = _counts(model.tokens, model.tokens.encode(texts_of(known.slice(0, MOST_TEXTS), model.problem)))
    return [
        confusion_matrix(counts, names),
        *([most_confused(counts, names)] if len(names) > 2 else []),
        *class_rates(counts, names),
        top_losses(label, chance, names, ids, held_out.select([model.problem.of_type("text")[0]])),
        deciding_words(model, texts.take(hard), said[hard], names, [ids[row] for row in hard]),
        words_plane(model.tokens.vocabulary, model.net.encoder.embedding.detach().numpy(), seen),
    ]


def contributions(model: "FittedTextClassifier", texts: TokenIds, classes: npt.ArrayLike) -> list[Floats]:
    """What each token of a text adds to the logit of its class in `classes`, float64 `(L,)` a text."""
    import torch

    tokens, lengths = torch.from_numpy(texts.padded()), torch.from_numpy(texts.lengths)
    embedded = torch.nn.functional.embedding(tokens, model.net.encoder.embedding.detach())
    embedded.requires_grad_(True)
    logits = model.net.of_embedded(embedded, lengths)
    chosen = torch.from_numpy(np.asarray(classes, np.int64))
    (gradient,) = torch.autograd.grad(logits.gather(1, chosen[:, None]).sum(), embedded)
    parts = (gradient * embedded).detach().sum(2).double().numpy()
    return [part[:length] for part, length in zip(parts, texts.lengths, strict=True)]


def deciding_words(
    model: "FittedTextClassifier",
    texts: TokenIds,
    said: npt.NDArray[np.int64],
    names: Sequence[str],
    row_ids: Sequence[str],
) -> Figure:
    """Figure "deciding_words": of the hardest texts, the words that spoke most for and against the answer."""
    rows = []
    parts = contributions(model, texts, said) if len(texts) else []
    for place, part in enumerate(parts):
        words = [_readable(model.tokens.vocabulary[token]) for token in texts[place]]
        order = np.argsort(-part, kind="stable")
        speaking = [[one for one in order if part[one] > 0], [one for one in order[::-1] if part[one] < 0]]
        shown = [
            ", ".join(f"{words[one]} {part[one]:+.2f}" for one in side[:EXPLAINED_WORDS]) for side in speaking
        ]
        rows.append((row_ids[place], names[said[place]], *shown))
    return Figure(
        "deciding_words",
        "Which words decided",
        "For the hardest validation texts, what each word adds to the score of the class that was said, by "
        "the gradient times the input; words act together too, which this does not show.",
        Table(("row", "said", "for it", "against it"), tuple(rows)),
    )


def words_plane(vocabulary: Sequence[str], embedding: npt.NDArray[np.float32], counts: Floats) -> Figure:
    """Figure "words_plane": the most frequent words on the plane that keeps most of their differences."""
    shown = np.argsort(-counts, kind="stable")[:SHOWN_WORDS]
    shown = shown[counts[shown] > 0]
    centred = embedding[shown].astype(float) - embedding[shown].mean(0, dtype=float)
    _, sizes, directions = np.linalg.svd(centred, full_matrices=False)
    places = centred @ directions[:2].T
    places = np.pad(places, ((0, 0), (0, 2 - places.shape[1])))
    total = float((sizes**2).sum())
    kept = float((sizes[:2] ** 2).sum()) / total if total > 0 else 1.0
    return Figure(
        "words_plane",
        "Words by meaning",
        f"Of the {len(shown)} most frequent tokens, those that lie near each other are used alike. The plane "
        f"keeps {kept:.0%} of the differences among their embeddings.",
        Points(
            tuple(places[:, 0].tolist()),
            tuple(places[:, 1].tolist()),
            tuple(_readable(vocabulary[one]) for one in shown),
            (),
            x_axis="first principal component",
            y_axis="second principal component",
        ),
    )


def _counts(tokens: Tokens, texts: TokenIds) -> Floats:
    """How often each token is there, `(V,)`; special ones not at all."""
    counts = np.bincount(texts.ids, minlength=len(tokens.vocabulary)).astype(float)
    counts[: len(SPECIAL)] = 0
    return counts


def _readable(token: str) -> str:
    """A token as a figure shows it; byte-level subwords write a blank as Ġ and a line's end as Ċ."""
    return "line end" if token in ("\n", "Ċ") else token.replace("Ġ", " ").strip() or token
