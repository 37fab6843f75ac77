"""What every kind of model has in common: how it is made from tables, and what can be asked of it afterwards.

A recipe is a kind of model with its settings (`models.configs`); `fit` makes a fitted model of it from two
tables with the task's columns. Training services know these two protocols and no kind of model by name.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.baseline import BaselineComparison
from models.figures import Figure
from models.metrics import Estimate
from models.progress import Progress

BINARY, MULTICLASS, MULTILABEL = "binary", "multiclass", "multilabel"
REGRESSION, SEGMENTATION, LANGUAGE = "regression", "segmentation", "language"


@dataclass(frozen=True)
class Input:
    """A model input. `type`: "numeric" (float64), "code" (int64), "category" (utf8), "time" (timestamp[us,
    UTC]), "text" (utf8), "image" (binary: PNG, JPEG, GIF, WebP, BMP), "audio" (binary: WAV), "series"
    (list<float32>), "bytes" (binary, looked at as a grey picture).
    """

    name: str
    type: str


@dataclass(frozen=True)
class Target:
    """What is predicted.

    BINARY: column `names[0]` holds `positive_value` or `negative_value` as text. MULTICLASS: one of
    `classes`, as text. MULTILABEL: any of `classes` joined by `separator`, "" for none. REGRESSION: a number
    in each of `names`, within `minimum` and `maximum` where those are set; `logarithmic`: its logarithm is
    what is learnt; `points`: `names` are x and y of points in turn, in pixels of the picture. SEGMENTATION: a
    grey PNG of the picture's size whose pixels are places in `classes`. LANGUAGE: none.
    """

    names: tuple[str, ...] = ()
    positive_value: str = ""
    negative_value: str = ""
    classes: tuple[str, ...] = ()
    separator: str = ";"
    minimum: float | None = None
    maximum: float | None = None
    logarithmic: bool = False
    points: bool = False


@dataclass(frozen=True)
class Problem:
    """What a model is to learn. `kind` is one of the constants of this module. `metric` is what versions are
    ranked by, one of `models.metrics.METRICS`; `id_column` and `group_column` are "" where there is none.
    """

    kind: str
    inputs: tuple[Input, ...]
    target: Target
    metric: str
    threshold: float = 0.5
    id_column: str = ""
    group_column: str = ""
    time_column: str = ""

    def of_type(self, *types: str) -> tuple[str, ...]:
        """Names of the inputs of these types, in order."""
        return tuple(one.name for one in self.inputs if one.type in types)


@dataclass(frozen=True)
class FitContext:
    """What surrounds a fit. `device`: "cuda", "cpu", ...; `None`: the GPU where there is one. `weights` is
    the file or folder that the plan's `weights` named, `None` without. `threads` are the CPU threads that may
    be used.
    """

    seed: int = 0
    device: str | None = None
    checkpoint_folder: Path | None = None
    on_progress: Callable[[Progress], None] = lambda progress: None
    should_stop: Callable[[], bool] = lambda: False
    # Figures that a fit itself can draw: the rate finder's sweep, activations over time.
    on_figure: Callable[[Figure], None] = lambda figure: None
    weights: Path | None = None
    threads: int = 2
    # Sweep the learning rate, raise `models.finder.RateFound`, and fit nothing.
    find_only: bool = False


@dataclass(frozen=True)
class Assessment:
    """How good a model is on the validation rows. `metrics` by name; `comparison` is with the trivial rule.

    `score`: BINARY alone, the positive class's probability, float32 `(N,)` in the order of the validation
    rows, NaN for one that could not be read. `row_quality`: of other kinds, how good each validation row's
    prediction is, float64 `(N,)`, NaN for one that could not be read; `row_quality_name` says what it is
    ("accuracy": 1 right, 0 wrong; "absolute_error"; "mean_iou"). Groups of people are compared by it.
    """

    metrics: dict[str, Estimate]
    comparison: BaselineComparison
    score: npt.NDArray[np.float32] | None = None
    row_quality: npt.NDArray[np.float64] | None = None
    row_quality_name: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Parity:
    """ONNX Runtime's answers against the model's own, on `count` validation rows."""

    largest_difference: float
    tolerance: float
    count: int
    # What was compared ("probability"), and where it differed most, for people.
    what: str = "probability"
    where: str = ""

    @property
    def equal(self) -> bool:
        """Whether they are the same within the tolerance; a NaN is not."""
        return self.largest_difference <= self.tolerance


class FittedModel(Protocol):
    """A model that has been trained."""

    @property
    def kind(self) -> str:
        """What it is ("tabular_net")."""

    def assess(self, train: pa.Table, valid: pa.Table) -> Assessment:
        """How good it is on `valid`, beside a rule made from `train`."""

    def save(self, folder: Path) -> None:
        """Writes the weights and what they mean into `folder`, without pickle."""

    def export_onnx(self, path: Path) -> None:
        """Writes one ONNX graph with pre- and postprocessing inside: see `models.export.onnx`."""

    def check_onnx(self, path: Path, valid: pa.Table, *, threads: int) -> Parity:
        """Runs the graph at `path` in ONNX Runtime on rows of `valid` and compares."""

    def figures(self, train: pa.Table, valid: pa.Table) -> list[Figure]:
        """The looks inside that this kind has, most telling first."""

    def files(self) -> dict[str, bytes]:
        """More files to keep with the version, by name ("tokenizer.json"); empty for none."""


class Archivable(Protocol):
    """A fitted model that TorchServe can serve."""

    def export_archive(self, path: Path, *, name: str, version: str) -> None:
        """Writes a TorchServe archive: see `models.export.mar`."""


class Recipe(Protocol):
    """A kind of model with its settings."""

    name: str

    def fit(self, problem: Problem, train: pa.Table, valid: pa.Table, context: FitContext) -> FittedModel:
        """Fits a model, or goes on from the checkpoint to the same weights (bit for bit on a CPU).

        Raises:
            TrainingStopped: `context.should_stop` said so; the checkpoint is on disk.
            TrainingFailed: it cannot be fitted from these rows; says why, naming the rows, and what to try.
        """
