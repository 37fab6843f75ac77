"""Gradient boosting on histograms, by scikit-learn, behind the same face as the net.

Codes and categories enter as numbers; missing values have a branch of their own. A fit is repeatable to the
bit from its seed and takes seconds, so a fit that was killed is done again from its first round and gives the
same trees: it keeps no checkpoint.
"""

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.configs import GradientBoostingConfig
from models.data.tabular import MISSING_CODE, TabularRows, TabularSchema
from models.progress import Progress, TrainingFailed, TrainingStopped

KIND = "gradient_boosting"
ROUNDS_A_STEP = 10
SPEC = "gradient_boosting.json"


class FittedTrees:
    """Fitted trees. `category_values`: the known texts of each category column, numbered by their place."""

    kind = KIND

    def __init__(
        self, classifier: Any, schema: TabularSchema, category_values: tuple[tuple[str, ...], ...]
    ) -> None:
        self.classifier = classifier
        self.schema = schema
        self.category_values = category_values

    def predict(self, rows: TabularRows) -> npt.NDArray[np.float32]:
        """Probability of the positive class, float32 `(N,)`."""
        if not len(rows):
            return np.empty(0, np.float32)
        inputs = matrix(rows, self.category_values)
        return self.classifier.predict_proba(inputs)[:, 1].astype(np.float32)  # type: ignore[no-any-return]

    def save(self, folder: Path) -> None:
        """Writes `gradient_boosting.json`: columns and settings. The trees themselves are in `model.onnx`."""
        about = {
            "columns": {
                "numeric": self.schema.numeric,
                "code": self.schema.code,
                "category": self.schema.category,
            },
            "category_values": self.category_values,
            "iterations": self.classifier.n_iter_,
        }
        (folder / SPEC).write_text(json.dumps(about, indent=1))

    def export_onnx(self, path: Path) -> None:
        """Writes one ONNX graph with all preprocessing inside."""
        from models.export.onnx import save_model
        from models.export.onnx_trees import trees_graph

        save_model(trees_graph(self.classifier, self.schema, self.category_values), path)

    def export_archive(self, path: Path, *, name: str, version: str) -> None:
        """Writes a TorchServe archive that runs the ONNX graph."""
        from tempfile import TemporaryDirectory

        from models.export.mar import write_archive

        with TemporaryDirectory() as folder:
            graph = Path(folder) / "model.onnx"
            self.export_onnx(graph)
            self.save(Path(folder))
            write_archive(path, [graph, Path(folder) / SPEC], name=name, version=version)


def fit_gradient_boosting(
    train: TabularRows,
    valid: TabularRows,
    schema: TabularSchema,
    config: GradientBoostingConfig,
    *,
    seed: int,
    device: str | None = None,
    checkpoint_folder: Path | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> FittedTrees:
    """Fits trees round by round; the same seed and rows give the same trees. `device` and `checkpoint_folder`
    are not used.

    Raises:
        TrainingStopped: `should_stop` said so.
        TrainingFailed: no rows, or one class only.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    del device, checkpoint_folder
    if train.label is None or valid.label is None or not len(train):
        raise TrainingFailed("There are no labelled rows to train on.")
    if train.label.min() == train.label.max():
        raise TrainingFailed(
            "Every training row has the same label, so there is nothing to tell apart. "
            "Add rows of the other class."
        )
    values = tuple(tuple(sorted({text for text in column if text})) for column in train.category.T)
    inputs, labels = matrix(train, values), train.label.astype(np.int64)
    # scikit-learn cannot bin a column without a single value; a constant is never split on, so any will do.
    inputs[:, np.isnan(inputs).all(0)] = 0.0
    classifier = HistGradientBoostingClassifier(
        learning_rate=config.learning_rate,
        max_leaf_nodes=config.leaf_count,
        max_iter=1,
        early_stopping=False,
        warm_start=True,
        random_state=seed % 2**32,
    )
    fitted = FittedTrees(classifier, schema, values)
    began = time.monotonic()
    for rounds in (*range(ROUNDS_A_STEP, config.iterations, ROUNDS_A_STEP), config.iterations):
        if should_stop():
            raise TrainingStopped
        classifier.set_params(max_iter=rounds)
        classifier.fit(inputs, labels)
        elapsed_s = time.monotonic() - began
        on_progress(
            _progress(fitted, valid, rounds, config.iterations, elapsed_s=elapsed_s, row_count=len(train))
        )
    return fitted


def matrix(rows: TabularRows, category_values: tuple[tuple[str, ...], ...]) -> npt.NDArray[np.float32]:
    """Inputs of the trees, float32 `(N, F)`: numbers, codes, places of categories; NaN for missing and
    unknown.
    """
    codes = np.where(rows.code == MISSING_CODE, np.nan, rows.code).astype(np.float32)
    columns = [rows.numeric, codes]
    for column, values in zip(rows.category.T, category_values, strict=True):
        place = {text: number for number, text in enumerate(values)}
        columns.append(np.array([[place.get(text, np.nan)] for text in column], np.float32).reshape(-1, 1))
    return np.concatenate(columns, axis=1)


def _progress(
    fitted: FittedTrees, valid: TabularRows, rounds: int, total: int, *, elapsed_s: float, row_count: int
) -> Progress:
    from models.metrics import auc, log_loss

    assert valid.label is not None
    score = fitted.predict(valid)
    loss = log_loss(valid.label, score).value
    metrics = {"auc": auc(valid.label, score).value}
    metrics["accuracy"] = float(np.mean((score >= 0.5) == (valid.label > 0.5))) if len(score) else math.nan
    return Progress(
        model=KIND,
        stage=f"{KIND}: round {rounds} of {total}",
        epoch=rounds,
        epoch_count=total,
        step=rounds,
        validation_loss=loss,
        metrics={name: value for name, value in metrics.items() if not math.isnan(value)},
        rows_per_s=row_count * rounds / elapsed_s if elapsed_s > 0 else math.nan,
        fraction_done=rounds / total,
        time_left_s=elapsed_s / rounds * (total - rounds),
    )
