"""`python -m examples.text_peers NAME`: what simple models of texts reach on an example's rows and split.

A classifier's peer is scikit-learn's logistic regression on TF-IDF of words and pairs of words; a language
model's is a mixture of the frequencies of tokens alone, after one and after two others (Jelinek and Mercer,
1980).
"""

import importlib
from collections import Counter
from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow as pa
import typer
from boarfish import load_task

from models.data.tokens import BEGIN, TokenIds, learn_tokens
from models.recipe import LANGUAGE
from services.training.plan import planned_models
from services.training.prepare import Prepared, prepare

FOLDER = Path(__file__).parent
# How often each mixture is refined on the validation texts' own likelihood: this favours the peer.
ROUNDS = 20


def tf_idf_accuracy(prepared: Prepared) -> float:
    """Share of validation rows that logistic regression on TF-IDF tells right."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    text, target = prepared.problem.of_type("text")[0], prepared.problem.target.names[0]

    def columns(rows: pa.Table) -> tuple[list[str], list[str]]:
        return rows.column(text).to_pylist(), rows.column(target).to_pylist()

    peer = make_pipeline(
        TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), min_df=2),
        LogisticRegression(C=10, max_iter=500),
    )
    return float(peer.fit(*columns(prepared.train)).score(*columns(prepared.valid)))


def trigram_perplexity(prepared: Prepared) -> float:
    """Perplexity of validation texts, in the tokens of the task's first model, under a mixture of n-grams."""
    config = planned_models(prepared.task)[0].recipe().config.encoder  # type: ignore[attr-defined]
    text = prepared.problem.of_type("text")[0]
    tokens = learn_tokens(
        config.tokens,
        prepared.train.column(text),
        size=config.vocabulary_size,
        minimum_count=config.minimum_count,
    )
    train, valid = (tokens.encode(rows.column(text)) for rows in (prepared.train, prepared.valid))
    size = len(tokens.vocabulary)
    chances = np.stack([_chances(train, valid, size, order) for order in (1, 2, 3)], 1)
    chances = np.column_stack([np.full(len(chances), 1 / size), chances])
    weights = np.full(4, 0.25)
    for _ in range(ROUNDS):
        share = chances * weights
        weights = (share / share.sum(1, keepdims=True)).mean(0)
    return float(np.exp(-np.log(chances @ weights).mean()))


def _chances(train: TokenIds, valid: TokenIds, size: int, order: int) -> np.ndarray:
    """Frequency in `train` of each validation token after those `order - 1` that stand before it, `(M,)`."""
    seen, seen_before = _grams(train, size, order)
    counts, before = Counter(seen.tolist()), Counter(seen_before.tolist())
    asked, asked_before = _grams(valid, size, order)
    return np.array([
        counts[gram] / before[context] if before[context] else 0.0
        for gram, context in zip(asked.tolist(), asked_before.tolist(), strict=True)
    ])  # fmt: skip


def _grams(texts: TokenIds, size: int, order: int) -> tuple[np.ndarray, np.ndarray]:
    """A number for each token with those before it, and one for those before it alone, of all but `xxbos`."""
    ids = texts.ids.astype(np.int64)
    padded = np.concatenate([np.full(order - 1, BEGIN, np.int64), ids])
    before = np.zeros(len(ids), np.int64)
    for back in range(order - 1, 0, -1):
        before = before * size + padded[order - 1 - back : len(padded) - back]
    inside = ids != BEGIN
    return (before * size + ids)[inside], before[inside]


def main(
    name: Annotated[str, typer.Argument(help="An example of texts.")],
    share: Annotated[float, typer.Option(help="Of its rows.")] = 1.0,
) -> None:
    """Prints the peer's figure for an example of texts."""
    task = load_task(FOLDER / name / "task.yaml")
    prepared = prepare(importlib.import_module(f"examples.{name}.data").table(share), task)
    rows = f"{prepared.train.num_rows:,} rows of training, {prepared.valid.num_rows:,} of validation"
    if prepared.problem.kind == LANGUAGE:
        print(f"{rows}: mixture of trigrams, perplexity {trigram_perplexity(prepared):.1f}")
    else:
        print(f"{rows}: TF-IDF and logistic regression, accuracy {tf_idf_accuracy(prepared):.3f}")


if __name__ == "__main__":
    typer.run(main)
