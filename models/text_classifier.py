"""A trained classifier of texts: what it says of a text, how well, and what it looked at."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.data.tokens import TokenIds, Tokens, WordTokens, write_tokens
from models.figures import Figure
from models.recipe import BINARY, Assessment, Parity, Problem

if TYPE_CHECKING:
    from torch import Tensor

    from models.nets.awd_lstm import TextNet

KIND = "text_classifier"
WEIGHTS, SPEC = "model.safetensors", "text_classifier.json"
PREDICT_TEXTS = 64
PARITY_TEXTS = 500
TOLERANCE = 1e-4


class FittedTextClassifier:
    """A trained classifier; `net` is in evaluation mode on the CPU. Of a text the first `longest` tokens are
    read.
    """

    kind = KIND

    def __init__(self, net: "TextNet", tokens: Tokens, problem: Problem, *, longest: int) -> None:
        self.net = net
        self.tokens = tokens
        self.problem = problem
        self.longest = longest

    def predict(self, table: pa.Table) -> npt.NDArray[np.float32]:
        """Probabilities, float32: of the positive class `(N,)` for BINARY, else of each class `(N, C)`. An
        empty text is answered too: by what the classifier says knowing nothing.
        """
        return self.probabilities(self.encode(table))

    def probabilities(self, texts: TokenIds) -> npt.NDArray[np.float32]:
        """`predict` of encoded texts."""
        import torch

        from models.data.text import by_length

        found = np.empty((len(texts), len(class_names(self.problem))), np.float32)
        with torch.inference_mode():
            for rows, tokens, lengths in by_length(texts, PREDICT_TEXTS):
                found[rows] = self.net(tokens, lengths).softmax(1).numpy()
        return found[:, 1] if self.problem.kind == BINARY else found

    def assess(self, train: pa.Table, valid: pa.Table) -> Assessment:
        """Beside always saying the most frequent class. Rows without a text are left out and named."""
        from dataclasses import replace

        from models.assess import assess
        from models.data.targets import read_target
        from models.data.text import has_text, with_text

        known, told = with_text(train, self.problem, "training")
        held_out, warnings = with_text(valid, self.problem, "validation")
        found = assess(
            self.problem,
            read_target(known, self.problem),
            read_target(held_out, self.problem),
            self.predict(held_out),
            (*told, *warnings),
        )
        there = has_text(valid, self.problem)
        return replace(
            found, score=_spread(found.score, there), row_quality=_spread(found.row_quality, there)
        )

    def save(self, folder: Path) -> None:
        """Writes `model.safetensors`, `text_classifier.json` and the tokens."""
        from safetensors.torch import save_file

        save_file(self.net.state_dict(), folder / WEIGHTS)
        spec = {
            "encoder": self.net.encoder.spec.as_json(),
            "classes": class_names(self.problem),
            "piece": self.net.piece,
            "longest": self.longest,
        }
        (folder / SPEC).write_text(json.dumps(spec, indent=1, ensure_ascii=False), encoding="utf-8")
        write_tokens(self.tokens, folder)

    def export_onnx(self, path: Path) -> None:
        """Writes one graph that takes texts (subwords: ids) and gives probability and label."""
        from models.export.onnx import save_model
        from models.export.onnx_text import classifier_graph

        graph = classifier_graph(self.net, self.tokens, self.problem, longest=self.longest)
        save_model(graph, path)

    def check_onnx(self, path: Path, valid: pa.Table, *, threads: int) -> Parity:
        """From the text itself where tokens are words."""
        from models.data.text import texts_of
        from models.export.onnx_text import run_classifier

        rows = valid.slice(0, PARITY_TEXTS)
        given = texts_of(rows, self.problem) if isinstance(self.tokens, WordTokens) else self.encode(rows)
        theirs = run_classifier(path, given, threads=threads)
        apart = np.abs(theirs - self.predict(rows)).reshape(rows.num_rows, -1).max(1)
        worst = int(np.nan_to_num(apart, nan=np.inf).argmax())
        return Parity(float(apart[worst]), TOLERANCE, rows.num_rows, where=f"validation row {worst}")

    def figures(self, train: pa.Table, valid: pa.Table) -> list[Figure]:
        """Confusion, hardest texts and the words that decided them, and words on a plane."""
        from models.interpret.texts import classifier_figures

        return classifier_figures(self, train, valid)

    def files(self) -> dict[str, bytes]:
        """None: the tokens are among what `save` writes."""
        return {}

    def encode(self, table: pa.Table) -> TokenIds:
        """The texts' tokens, of each the first `longest`."""
        from models.data.text import texts_of

        return self.tokens.encode(texts_of(table, self.problem)).cut(self.longest)


def class_names(problem: Problem) -> tuple[str, ...]:
    """The classes in the net's order; of a BINARY problem the negative one first."""
    target = problem.target
    return (target.negative_value, target.positive_value) if problem.kind == BINARY else target.classes


def loss(logits: "Tensor", label: "Tensor") -> "Tensor":
    """Cross-entropy of logits `(N, C)` and labels int64 `(N,)`."""
    from torch.nn import functional

    return functional.cross_entropy(logits.float(), label)


def metrics_of(problem: Problem) -> "Callable[[Tensor, Tensor], dict[str, float]]":
    """What is told after each epoch."""
    from models.assess import quick_metrics

    def metrics(logits: "Tensor", label: "Tensor") -> dict[str, float]:
        probability = logits.softmax(1).cpu().numpy()
        given = probability[:, 1] if problem.kind == BINARY else probability
        return quick_metrics(problem, label.cpu().numpy(), given)

    return metrics


def _spread(values: npt.NDArray[Any] | None, there: npt.NDArray[np.bool_]) -> npt.NDArray[Any] | None:
    """Values of the rows that have a text as values of all rows, NaN for the others."""
    if values is None:
        return None
    found = np.full(len(there), np.nan, values.dtype)
    found[there] = values
    return found
