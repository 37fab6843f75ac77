"""Trains a tabular net, and is the trained net: vocabulary, normalisation, loop, export."""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.configs import TabularNetConfig
from models.data.tabular import MISSING_CODE, TabularRows, TabularSchema
from models.progress import Progress, TrainingFailed

KIND = "tabular_net"
PREDICT_ROWS = 16_384
WEIGHTS, SPEC = "model.safetensors", "tabular_net.json"


class FittedTabularNet:
    """A trained net. `net` is in evaluation mode on the CPU."""

    kind = KIND

    def __init__(self, net: Any, schema: TabularSchema) -> None:
        self.net = net
        self.schema = schema

    def predict(self, rows: TabularRows) -> npt.NDArray[np.float32]:
        """Probability of the positive class, float32 `(N,)`."""
        import torch

        parts = []
        with torch.inference_mode():
            for start in range(0, len(rows), PREDICT_ROWS):
                part = rows.take(np.arange(start, min(start + PREDICT_ROWS, len(rows))))
                numeric, index = _tensors(part, self.net.spec)
                parts.append(torch.sigmoid(self.net(numeric, index)).numpy())
        return np.concatenate(parts) if parts else np.empty(0, np.float32)

    def save(self, folder: Path) -> None:
        """Writes `model.safetensors` and `tabular_net.json`."""
        from safetensors.torch import save_file

        save_file(self.net.state_dict(), folder / WEIGHTS)
        names = {
            "numeric": self.schema.numeric,
            "code": self.schema.code,
            "category": self.schema.category,
        }
        (folder / SPEC).write_text(json.dumps({"spec": self.net.spec.as_json(), "columns": names}, indent=1))

    def export_onnx(self, path: Path) -> None:
        """Writes one ONNX graph with all preprocessing inside."""
        from models.export.onnx import save_model
        from models.export.onnx_net import net_graph

        save_model(net_graph(self.net, self.schema), path)

    def export_archive(self, path: Path, *, name: str, version: str) -> None:
        """Writes a TorchServe archive that runs the net in PyTorch."""
        from tempfile import TemporaryDirectory

        from models.export.mar import NET_CODE, write_archive

        with TemporaryDirectory() as folder:
            self.save(Path(folder))
            write_archive(
                path, [Path(folder) / WEIGHTS, Path(folder) / SPEC, NET_CODE], name=name, version=version
            )


def fit_tabular_net(
    train: TabularRows,
    valid: TabularRows,
    schema: TabularSchema,
    config: TabularNetConfig,
    *,
    seed: int,
    device: str | None = None,
    checkpoint_folder: Path | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> FittedTabularNet:
    """Trains a net, or goes on from the checkpoint in `checkpoint_folder` to the same weights (bit for bit on
    a CPU).

    `device`: "cuda", "cpu", ...; by default the GPU where there is one, in bfloat16 where it can.

    Raises:
        TrainingStopped: `should_stop` said so; the checkpoint is on disk.
        TrainingFailed: too few rows, one class only, or a loss that is no number.
    """
    import torch

    from models.callbacks.checkpoint import Checkpoint
    from models.callbacks.report import Report
    from models.callbacks.schedule import OneCycle
    from models.learner import Learner

    _check(train, valid)
    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    torch.manual_seed(seed)
    net = _new_net(train, config).to(place)
    batches = _Batches(train, valid, net.spec, config.batch_size, seed=seed, place=place)
    optimizer = torch.optim.AdamW(
        net.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
    )
    learner = Learner(
        net,
        _loss,
        optimizer,
        train_batches=batches.train,
        valid_batches=batches.valid,
        callbacks=[
            OneCycle(config.learning_rate, config.epochs * batches.count),
            Report(KIND, on_progress, _metrics),
            Checkpoint(checkpoint_folder, should_stop),
        ],
    )
    with torch.autocast(
        place.type, torch.bfloat16, enabled=place.type == "cuda" and torch.cuda.is_bf16_supported()
    ):
        learner.fit(config.epochs)
    net.settle_unseen(batches.train_index)
    return FittedTabularNet(net.cpu().eval(), schema)


class _Batches:
    """Rows as tensors on the device, cut into batches by a fresh order each epoch."""

    def __init__(
        self, train: TabularRows, valid: TabularRows, spec: Any, batch_size: int, *, seed: int, place: Any
    ) -> None:
        import torch

        assert train.label is not None
        assert valid.label is not None
        numeric, self.train_index = _tensors(train, spec)
        self._train = _on(place, numeric, self.train_index, torch.from_numpy(train.label))
        self._valid = _on(place, *_tensors(valid, spec), torch.from_numpy(valid.label))
        self.train_index = self._train[1]
        self._batch_size = batch_size
        self._seed = seed
        rows = len(train)
        # A last batch of one row cannot be normalised by its own spread: it is left out.
        self.count = max(rows // batch_size + (rows % batch_size > 1), 1)

    def train(self, epoch: int) -> "_Epoch":
        """Batches of an epoch; their order depends on seed and epoch alone."""
        import torch

        order = torch.randperm(
            len(self._train[2]), generator=torch.Generator().manual_seed(self._seed * 100_003 + epoch)
        )
        return _Epoch(self._train, order.to(self._train[2].device), self._batch_size, range(self.count))

    def valid(self) -> Any:
        """Validation rows in order."""
        for start in range(0, len(self._valid[2]), PREDICT_ROWS):
            yield tuple(part[start : start + PREDICT_ROWS] for part in self._valid)


class _Epoch(Sequence[Any]):
    """The batches of one epoch, gathered when they are asked for."""

    def __init__(self, tensors: Any, order: Any, batch_size: int, numbers: range) -> None:
        self._tensors = tensors
        self._order = order
        self._batch_size = batch_size
        self._numbers = numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, position: Any) -> Any:
        if isinstance(position, slice):
            return _Epoch(self._tensors, self._order, self._batch_size, self._numbers[position])
        number = self._numbers[position]
        chosen = self._order[number * self._batch_size : (number + 1) * self._batch_size]
        return tuple(part[chosen] for part in self._tensors)


def _check(train: TabularRows, valid: TabularRows) -> None:
    for part, rows in (("training", train), ("validation", valid)):
        if rows.label is None:
            raise TrainingFailed(f"The {part} rows have no labels.")
    assert train.label is not None
    if len(train) < 2:
        raise TrainingFailed(f"There are {len(train)} training rows; a net needs two at least.")
    if train.label.min() == train.label.max():
        raise TrainingFailed(
            "Every training row has the same label, so there is nothing to tell apart. "
            "Add rows of the other class."
        )


def _new_net(train: TabularRows, config: TabularNetConfig) -> Any:
    from models.nets.tabular import TabularNet, TabularNetSpec

    return TabularNet(
        TabularNetSpec(
            means=tuple(_mean(column) for column in train.numeric.T),
            deviations=tuple(_deviation(column) for column in train.numeric.T),
            code_values=tuple(
                tuple(int(value) for value in np.unique(column[column != MISSING_CODE]))
                for column in train.code.T
            ),
            category_values=tuple(
                tuple(sorted({text for text in column if text})) for column in train.category.T
            ),
            hidden_sizes=config.hidden_sizes or TabularNetConfig.hidden_sizes,
            dropout=config.dropout,
        )
    )


def _mean(column: npt.NDArray[np.float32]) -> float:
    present = column[~np.isnan(column)].astype(np.float64)
    return float(np.float32(present.mean())) if len(present) else 0.0


def _deviation(column: npt.NDArray[np.float32]) -> float:
    present = column[~np.isnan(column)].astype(np.float64)
    spread = float(np.float32(present.std())) if len(present) else 0.0
    return spread if spread > 0 else 1.0


def _tensors(rows: TabularRows, spec: Any) -> tuple[Any, Any]:
    """Numbers float32 `(N, n)` and rows of embeddings int64 `(N, C)`."""
    import torch

    from models.nets.tabular import rows_of

    categories = [column.tolist() for column in rows.category.T]
    codes = torch.from_numpy(np.ascontiguousarray(rows.code))
    return torch.from_numpy(np.ascontiguousarray(rows.numeric)), rows_of(codes, categories, spec)


def _on(place: Any, *tensors: Any) -> tuple[Any, ...]:
    if place.type != "cuda":
        return tensors
    return tuple(tensor.pin_memory().to(place, non_blocking=True) for tensor in tensors)


def _loss(logits: Any, label: Any) -> Any:
    import torch

    return torch.nn.functional.binary_cross_entropy_with_logits(logits.float(), label)


def _metrics(score: np.ndarray, label: np.ndarray) -> dict[str, float]:
    from models.metrics import auc

    found = {"auc": auc(label, score).value, "accuracy": float(np.mean((score >= 0.5) == (label > 0.5)))}
    return {name: value for name, value in found.items() if not math.isnan(value)}
