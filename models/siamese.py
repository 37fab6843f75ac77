"""Pairs of pictures, to one of two classes (the same thing or not): the recipe `Siamese` and what it fits.

Rows are read and changed in `models.data.picture_pairs`, the net is in `models.nets.siamese`.
"""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from models.assess import assess, quick_metrics
from models.configs import SiameseConfig
from models.data.batches import ShuffledBatches
from models.data.picture_pairs import (
    PairChanges,
    PairSource,
    PicturePairs,
    Pixels,
    as_input,
    columns_of,
)
from models.data.targets import Values, check_target, read_target
from models.figures import Figure
from models.nets.heads import body_of
from models.nets.siamese import SiameseNet
from models.progress import TrainingFailed
from models.recipe import BINARY, Assessment, FitContext, Parity, Problem
from models.training import device_for, fit_net

KIND = "siamese"
WEIGHTS, SPEC = "model.safetensors", "siamese.json"
VALID_BATCH_ROWS = 64


class Siamese:
    """The recipe: BINARY of two pictures."""

    name = KIND

    def __init__(self, config: SiameseConfig) -> None:
        self.config = config

    def fit(self, problem: Problem, train: pa.Table, valid: pa.Table, context: FitContext) -> "FittedSiamese":
        """See `models.recipe.Recipe`. Rows of which a picture cannot be read are left out, up to a tenth of a
        part. With `context.weights` the body starts from them.
        """
        config = self.config
        if problem.kind != BINARY:
            raise TrainingFailed(
                f"A siamese net does not learn a {problem.kind} task: its answer is yes or no."
            )
        columns_of(problem)
        train_rows = PicturePairs.read(train, problem, config, part="training", size=0, context=context)
        valid_rows = PicturePairs.read(
            valid, problem, config, part="validation", size=config.image_size, context=context
        )
        warnings = [train_rows.check("training"), valid_rows.check("validation")]
        if config.fit.frozen_epochs and context.weights is None:
            warnings.append(
                "frozen_epochs trained the head alone on a body without pretrained weights, seldom a help."
            )
        labels = [
            read_target(table.take(pa.array(rows.readable)), problem)
            for table, rows in ((train, train_rows), (valid, valid_rows))
        ]
        check_target(problem, labels[0])
        torch.manual_seed(context.seed)
        body = body_of(config.architecture, context.weights)
        net = SiameseNet(body, keeps_statistics=context.weights is not None)
        batches = ShuffledBatches(
            PairSource(train_rows, torch.from_numpy(labels[0])),
            PairSource(valid_rows, torch.from_numpy(labels[1])),
            config.fit.batch_size,
            seed=context.seed,
            transform=PairChanges(config, device_for(context)),
            always=as_input,
            valid_batch_size=VALID_BATCH_ROWS,
        )

        def metrics(logits: Tensor, target: Tensor) -> dict[str, float]:
            return quick_metrics(problem, target.cpu().numpy(), torch.sigmoid(logits).cpu().numpy())

        fit_net(net, batches, loss, config.fit, context, name=KIND, metrics=metrics, groups=net.groups)
        model = FittedSiamese(net, problem, config, warnings=tuple(filter(None, warnings)))
        model.keep(valid, valid_rows)
        return model


class FittedSiamese:
    """A fitted net, in evaluation mode on the CPU. `warnings` are said with its assessment."""

    kind = KIND

    def __init__(
        self, net: SiameseNet, problem: Problem, config: SiameseConfig, *, warnings: tuple[str, ...] = ()
    ) -> None:
        self.net = net.eval()
        self.problem = problem
        self.config = config
        self.warnings = warnings
        self._kept: tuple[pa.Table, PicturePairs] | None = None

    @property
    def classes(self) -> tuple[str, str]:
        """The negative class, then the positive one."""
        return self.problem.target.negative_value, self.problem.target.positive_value

    def keep(self, table: pa.Table, rows: PicturePairs) -> None:
        """Remembers how `table` was read: a job asks several things of the same rows."""
        self._kept = (table, rows)

    def rows(self, table: pa.Table) -> PicturePairs:
        """The rows of `table` at the size that the net takes."""
        if self._kept is None or self._kept[0] is not table:
            size = self.config.image_size
            read = PicturePairs.read(
                table, self.problem, self.config, part="validation", size=size, context=FitContext()
            )
            self.keep(table, read)
        assert self._kept is not None
        return self._kept[1]

    def predict(self, rows: PicturePairs) -> npt.NDArray[np.float32]:
        """Probability of the positive class of the readable rows, float32 `(M,)`."""
        parts = [np.empty(0, np.float32)]
        for start in range(0, len(rows.readable), VALID_BATCH_ROWS):
            chosen = rows.readable[start : start + VALID_BATCH_ROWS]
            parts.append(self.probability(rows.first[chosen], rows.second[chosen]))
        return np.concatenate(parts)

    @torch.inference_mode()
    def probability(self, first: Pixels, second: Pixels) -> npt.NDArray[np.float32]:
        """Of pictures uint8 `(B, S, S, 3)`, few enough for one batch: float32 `(B,)`."""
        batch = as_input((torch.from_numpy(first), torch.from_numpy(second), torch.empty(0)))
        found: npt.NDArray[np.float32] = torch.sigmoid(self.net(*batch[:2])).numpy()
        return found

    def labels(self, table: pa.Table, rows: PicturePairs) -> Values:
        """Labels of the readable rows of `table`."""
        return read_target(table.take(pa.array(rows.readable)), self.problem)

    def assess(self, train: pa.Table, valid: pa.Table) -> Assessment:
        """How good it is on `valid`, beside always saying the majority class of `train`."""
        rows = self.rows(valid)
        probability = self.predict(rows)
        label = self.labels(valid, rows)
        found = assess(self.problem, read_target(train, self.problem), label, probability, self.warnings)
        return replace(found, score=rows.spread(probability))

    def save(self, folder: Path) -> None:
        """Writes `model.safetensors`, whose tensors named `body.` serve as weights of another net, and
        `siamese.json`.
        """
        from safetensors.torch import save_file

        state = {name: value.contiguous() for name, value in self.net.state_dict().items()}
        save_file(state, folder / WEIGHTS)
        about = {"config": asdict(self.config), "inputs": columns_of(self.problem), "classes": self.classes}
        (folder / SPEC).write_text(json.dumps(about, indent=1, ensure_ascii=False))

    def export_onnx(self, path: Path) -> None:
        """Writes one ONNX graph: see `models.export.onnx_pairs`."""
        from models.export.onnx import save_model
        from models.export.onnx_pairs import pair_graph

        save_model(pair_graph(self), path)

    def check_onnx(self, path: Path, valid: pa.Table, *, threads: int) -> Parity:
        """Runs the graph on rows of `valid`: see `models.export.onnx_pairs.parity`."""
        from models.export.onnx_pairs import parity

        return parity(self, path, valid, threads=threads)

    def figures(self, train: pa.Table, valid: pa.Table) -> list[Figure]:
        """The pairs that it finds hardest, and what is taken for what: see `models.interpret.pairs`."""
        from models.interpret.pairs import figures_of

        return figures_of(self, valid)

    def files(self) -> dict[str, bytes]:
        """None."""
        return {}


def loss(logits: Tensor, label: Tensor) -> Tensor:
    """Mean negative log likelihood of a pair's class."""
    return binary_cross_entropy_with_logits(logits.float(), label)
