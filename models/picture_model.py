"""A net of pictures that has been fitted: it predicts, is judged beside trivial rules, exported, checked and
looked into.

`models.vision.ConvNet` makes it. What its outputs mean stands in `PictureSpec`; `finished` and
`TargetSpec.finish` turn them into predictions here, and `models.export.onnx_vision` does the same inside the
graph.
"""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch import Tensor

from models.assess import assess
from models.configs import ConvNetConfig
from models.data.picture_rows import IMAGE, VALID_BATCH_ROWS, PictureRows, as_input, picture_input
from models.data.targets import TargetSpec, Values, read_target, unseen_classes
from models.figures import Figure
from models.mean_picture import MeanPictures, harder
from models.nets.picture import PictureNet
from models.recipe import BINARY, MULTICLASS, REGRESSION, Assessment, Parity, Problem

KIND = "conv_net"
WEIGHTS, SPEC = "model.safetensors", "conv_net.json"
# Thresholds that are tried for several labels.
THRESHOLDS = np.arange(5, 96) / 100


@dataclass(frozen=True)
class PictureSpec:
    """What a net is built from, besides its weights, and what its numbers stand for."""

    problem: Problem
    config: ConvNetConfig
    target: TargetSpec
    # The input's name and type: "image", or what becomes a picture.
    name: str
    type: str
    points: bool

    @classmethod
    def of(cls, problem: Problem, config: ConvNetConfig, target: TargetSpec) -> Self:
        """From what is to be learnt and how."""
        given = picture_input(problem)
        return cls(problem, config, target, given.name, given.type, problem.target.points)

    def as_json(self) -> dict[str, Any]:
        """What a person or another program needs to know of the weights."""
        about = {"architecture": self.config.architecture, "image_size": self.config.image_size}
        signal = {} if self.type == IMAGE else {"signal": asdict(self.config.signal)}
        given = {"input": self.name, "input_type": self.type, "points": self.points}
        return about | given | signal | {"target": asdict(self.target)}


class PictureModel:
    """A fitted net, in evaluation mode on the CPU. `warnings` are said with its assessment."""

    kind = KIND

    def __init__(
        self,
        net: PictureNet,
        spec: PictureSpec,
        *,
        means: MeanPictures | None = None,
        warnings: tuple[str, ...] = (),
    ) -> None:
        self.net = net.eval()
        self.spec = spec
        self.means = means
        self.warnings = warnings
        self._kept: tuple[pa.Table, PictureRows] | None = None

    def keep(self, table: pa.Table, rows: PictureRows) -> None:
        """Remembers how `table` was read: a job asks several things of the same rows."""
        self._kept = (table, rows)

    def rows(self, table: pa.Table) -> PictureRows:
        """The rows of `table` at the size that the net takes."""
        if self._kept is None or self._kept[0] is not table:
            size = self.spec.config.image_size
            read = PictureRows.read(table, self.spec.problem, self.spec.config, part="validation", size=size)
            self.keep(table, read)
        assert self._kept is not None
        return self._kept[1]

    def predict(self, rows: PictureRows) -> npt.NDArray[np.float32]:
        """Predictions of the readable rows: BINARY and a single number float32 `(M,)`, others `(M, W)`;
        points in pixels of their picture.
        """
        return self.prediction(self.outputs(rows.values, rows.readable), rows.sizes[rows.readable])

    def prediction(self, outputs: Tensor, sizes: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
        """Predictions of the net's outputs `(M, W)`; `sizes` `(M, 2)` are those of the pictures."""
        target = self.spec.target
        found: npt.NDArray[np.float32] = target.finish(finished(target, outputs).numpy())
        if self.spec.points:
            found = (found + 1) / np.float32(2) * np.tile(sizes, target.width // 2).astype(np.float32)
        return found

    @torch.inference_mode()
    def outputs(self, values: npt.NDArray[Any], chosen: npt.NDArray[np.int64]) -> Tensor:
        """The net's outputs for the rows at `chosen` of `PictureRows.values`, float32 `(M, W)`."""
        parts = [
            self.net(as_input((torch.from_numpy(values[chosen[start : start + VALID_BATCH_ROWS]]),))[0])
            for start in range(0, len(chosen), VALID_BATCH_ROWS)
        ]
        return torch.cat(parts) if parts else torch.empty(0, self.spec.target.width)

    def labels(self, table: pa.Table, rows: PictureRows) -> Values:
        """Labels of the readable rows of `table`."""
        return read_target(table.take(pa.array(rows.readable)), self.spec.problem)

    def assess(self, train: pa.Table, valid: pa.Table) -> Assessment:
        """How good it is on `valid`, beside the better of two rules: one of `models.assess`, made from the
        labels of `train`, and, of classes, the nearest mean picture of the rows that it was fitted on.
        """
        rows = self.rows(valid)
        problem = replace(self.spec.problem, threshold=self.spec.target.threshold)
        train_label, label = read_target(train, problem), self.labels(valid, rows)
        prediction = self.predict(rows)
        found = assess(problem, train_label, label, prediction, self._warnings(train_label))
        if self.means is not None:
            nearness = self.means.nearness(rows.values[rows.readable])
            found = replace(found, comparison=harder(found.comparison, problem, label, prediction, nearness))
        return replace(
            found,
            score=None if found.score is None else rows.spread(found.score),
            row_quality=None if found.row_quality is None else rows.spread(found.row_quality),
        )

    def save(self, folder: Path) -> None:
        """Writes `model.safetensors`, whose tensors named `body.` serve as weights of another net, and
        `conv_net.json`.
        """
        from safetensors.torch import save_file

        state = {name: value.contiguous() for name, value in self.net.state_dict().items()}
        save_file(state, folder / WEIGHTS)
        (folder / SPEC).write_text(json.dumps(self.spec.as_json(), indent=1, ensure_ascii=False))

    def export_onnx(self, path: Path) -> None:
        """Writes one ONNX graph with all pre- and postprocessing inside: see `models.export.onnx_vision`."""
        from models.export.onnx import save_model
        from models.export.onnx_vision import picture_graph

        save_model(picture_graph(self.net, self.spec), path)

    def check_onnx(self, path: Path, valid: pa.Table, *, threads: int) -> Parity:
        """Runs the graph on rows of `valid` as they are: see `models.export.onnx_vision.parity`."""
        from models.export.onnx_vision import parity

        return parity(self, path, valid, threads=threads)

    def figures(self, train: pa.Table, valid: pa.Table) -> list[Figure]:
        """The looks inside, most telling first: see `models.interpret.picture_models`."""
        from models.interpret.picture_models import figures_of

        return figures_of(self, valid)

    def files(self) -> dict[str, bytes]:
        """None."""
        return {}

    def _warnings(self, train_label: Values) -> tuple[str, ...]:
        unseen = unseen_classes(self.spec.target, train_label)
        if not unseen:
            return self.warnings
        named = ", ".join(unseen[:10]) + (f" and {len(unseen) - 10} more" if len(unseen) > 10 else "")
        return (*self.warnings, f"No training row has the class {named}: it is never predicted.")


def finished(target: TargetSpec, outputs: Tensor) -> Tensor:
    """Outputs `(N, W)` as learnt numbers: probabilities, or numbers in the unit that is learnt."""
    if target.kind == MULTICLASS:
        return outputs.softmax(1)
    if target.kind == REGRESSION:
        return outputs * torch.tensor(target.deviations).to(outputs) + torch.tensor(target.means).to(outputs)
    return outputs.sigmoid()


def best_threshold(label: Values, probability: npt.NDArray[np.float32]) -> float:
    """The threshold at which the micro F1 of labels `(N, L)` is highest; where several are, the middle one.
    It is chosen on the validation rows, of which it is one number; one half where no row has a label.
    """
    scores = [f1_at(label, probability, threshold) for threshold in THRESHOLDS]
    if not np.any(label):
        return 0.5
    best = np.flatnonzero(np.isclose(scores, max(scores)))
    return float(THRESHOLDS[best[len(best) // 2]])


def f1_at(label: Values, probability: npt.NDArray[np.float32], threshold: float) -> float:
    """Micro F1 of labels `(N, L)` that are given at and above `threshold`; 0 where none is given."""
    there, given = label > 0.5, probability >= threshold
    either = there.sum() + given.sum()
    return 2 * float((there & given).sum()) / float(either) if either else 0.0


def class_names(problem: Problem) -> tuple[str, ...]:
    """Names of the classes by place; of BINARY the negative one first."""
    target = problem.target
    return (target.negative_value, target.positive_value) if problem.kind == BINARY else target.classes
