"""What every model of a table can do, whatever it is inside: predict, be judged, be exported and looked into.

A kind of model gives its learnt numbers (`learnt`) and the nodes that compute them in a graph (`add_to`); all
else follows from these two and the `TableSpec`.
"""

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.assess import assess
from models.data.table_spec import TableSpec, label_of
from models.data.tabular import MISSING_CODE, TabularRows
from models.data.targets import unseen_classes
from models.figures import Figure
from models.progress import Progress
from models.recipe import REGRESSION, Assessment, FitContext, Parity

PARITY_TOLERANCE = 1e-4
"""Of a probability; of a regression, in deviations of the target over the validation rows."""
ROWS_A_RUN = 65_536
ROWS_CHECKED = 20_000
MODEL_ONNX = "model.onnx"


class TabularModel(ABC):
    """A fitted model of a table."""

    kind: ClassVar[str]

    def __init__(self, spec: TableSpec) -> None:
        self.spec = spec

    @abstractmethod
    def learnt(self, rows: TabularRows) -> npt.NDArray[np.float32]:
        """The learnt numbers of rows whose times are expanded, float32 `(N, W)`: see `TargetSpec`."""

    @abstractmethod
    def add_to(self, graph: Any) -> str:
        """Adds the nodes that compute `learnt` to a `TableGraph`; gives the name of their output."""

    @abstractmethod
    def about(self) -> dict[str, Any]:
        """What the model is, for `save`, as JSON can hold it."""

    def predict(self, rows: TabularRows) -> npt.NDArray[np.float32]:
        """Predictions: BINARY and a single number float32 `(N,)`, others `(N, W)`: `TargetSpec.finish`."""
        return self.spec.target.finish(self.learnt(self.spec.expand(rows)))

    def assess(self, train: pa.Table, valid: pa.Table) -> Assessment:
        """How good it is on `valid`, beside a rule made from `train`."""
        problem = self.spec.problem
        train_rows, rows = (TabularRows.of(table, problem) for table in (train, valid))
        label = label_of(train_rows)
        return assess(problem, label, label_of(rows), self.predict(rows), self._warnings(train_rows))

    def save(self, folder: Path) -> None:
        """Writes `{kind}.json`: columns and settings. What was learnt is in `model.onnx`."""
        text = json.dumps({"columns": self.spec.schema.columns(), **self.about()}, indent=1)
        (folder / f"{self.kind}.json").write_text(text)

    def export_onnx(self, path: Path) -> None:
        """Writes one ONNX graph with all pre- and postprocessing inside: see `models.export.onnx_table`."""
        from models.export.onnx import save_model
        from models.export.onnx_table import TableGraph

        graph = TableGraph(self.spec)
        words = self.kind.replace("_", " ")
        save_model(graph.finished(self.add_to(graph), f"{words.capitalize()} with its preprocessing"), path)

    def check_onnx(self, path: Path, valid: pa.Table, *, threads: int) -> Parity:
        """Compares the graph at `path` with `predict` on at most 20,000 rows, evenly spaced."""
        rows = TabularRows.of(valid, self.spec.problem)
        rows = rows.take(np.arange(0, len(rows), max(len(rows) // ROWS_CHECKED, 1)))
        return parity(self, path, rows, threads=threads)

    def export_archive(self, path: Path, *, name: str, version: str) -> None:
        """Writes a TorchServe archive that runs the ONNX graph."""
        from models.export.mar import write_archive

        with TemporaryDirectory() as made:
            folder = Path(made)
            self.export_onnx(folder / MODEL_ONNX)
            self.save(folder)
            write_archive(
                path, [folder / MODEL_ONNX, folder / f"{self.kind}.json"], name=name, version=version
            )

    def figures(self, train: pa.Table, valid: pa.Table) -> list[Figure]:
        """The looks inside, most telling first: see `models.interpret.tabular`."""
        from models.interpret.tabular import figures_of

        return figures_of(self, train, valid)

    def files(self) -> dict[str, bytes]:
        """None."""
        return {}

    def _warnings(self, train: TabularRows) -> tuple[str, ...]:
        """What whoever uses the model should know of its training rows."""
        spec = self.spec
        found = []
        for name in spec.schema.names:
            if is_missing(train.column(spec.schema, name)).all():
                found.append(f"{name} is missing in every training row, so nothing was learnt from it.")
        if unseen := unseen_classes(spec.target, label_of(train)):
            named = ", ".join(unseen[:10]) + (f" and {len(unseen) - 10} more" if len(unseen) > 10 else "")
            found.append(f"No training row has the class {named}: it is never predicted.")
        return tuple(found)


def share_of(context: FitContext, start: float, end: float, kind: str) -> FitContext:
    """The context of a part of a fit: its progress goes from `start` to `end` of the whole, which is a model
    of this kind.
    """

    def on_progress(part: Progress) -> None:
        context.on_progress(
            replace(
                part,
                model=kind,
                stage=f"{kind}: {part.stage}",
                fraction_done=start + (end - start) * part.fraction_done,
                time_left_s=math.nan if end < 1 else part.time_left_s,
            )
        )

    return replace(context, on_progress=on_progress)


def is_missing(values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Which values of a column of `TabularRows` are missing."""
    if values.dtype == object:
        return np.asarray(values == "", bool)
    return np.asarray(np.isnan(values) if values.dtype.kind == "f" else values == MISSING_CODE)


def run_graph(
    path: Path, rows: TabularRows, outputs: Sequence[str], *, threads: int
) -> list[npt.NDArray[Any]]:
    """What ONNX Runtime gives for `rows`: each of `outputs`."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    inputs = [one.name for one in session.get_inputs()]
    parts = []
    for start in range(0, max(len(rows), 1), ROWS_A_RUN):
        part = rows.take(np.arange(start, min(start + ROWS_A_RUN, len(rows))))
        parts.append(session.run(list(outputs), {name: getattr(part, name) for name in inputs}))
    return [np.concatenate(found) for found in zip(*parts, strict=True)]


def parity(model: TabularModel, path: Path, rows: TabularRows, *, threads: int) -> Parity:
    """The graph's answers against the model's own on `rows`."""
    from models.export.onnx_table import MAIN_OUTPUT

    target = model.spec.target
    what = MAIN_OUTPUT[target.kind]
    expected = model.predict(rows).astype(np.float64)
    tolerance = PARITY_TOLERANCE
    if target.kind == REGRESSION and rows.label is not None and len(rows):
        tolerance *= max(float(np.max(rows.label.std(0))), float(np.finfo(np.float32).tiny))
    if not len(rows):
        return Parity(0.0, tolerance, 0, what)
    (found,) = run_graph(path, rows, [what], threads=threads)
    difference = np.nan_to_num(np.abs(found - expected).reshape(len(rows), -1).max(1), nan=math.inf)
    row = int(difference.argmax())
    return Parity(float(difference[row]), tolerance, len(rows), what, f"validation row {row}")
