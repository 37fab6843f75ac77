"""Trains a net for tables, and is the trained net: vocabulary, normalisation, loss, export."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.assess import quick_metrics
from models.configs import FitConfig, TabularNetConfig
from models.data.table_spec import TableSpec, TabularData, label_of
from models.data.tabular import MISSING_CODE, TabularRows, TabularSchema, known_texts
from models.data.targets import TargetSpec, Values, unseen_classes
from models.progress import Progress
from models.recipe import BINARY, MULTICLASS, MULTILABEL, REGRESSION, FitContext, Problem
from models.tabular_model import TabularModel

KIND = "tabular_net"
PREDICT_ROWS = 16_384
WEIGHTS, SPEC = "model.safetensors", "tabular_net.json"


class TabularNet:
    """The recipe: entity embeddings and fully connected layers; see `models.nets.tabular`."""

    name = KIND

    def __init__(self, config: TabularNetConfig) -> None:
        self.config = config

    def fit(
        self, problem: Problem, train: pa.Table, valid: pa.Table, context: FitContext
    ) -> "FittedTabularNet":
        """Fits a net: see `models.recipe.Recipe.fit`. Raises `TrainingFailed` for a target or a column that
        leaves nothing to learn.
        """
        return self.fit_rows(TabularData.of(problem, train, valid), context)

    def fit_rows(self, data: TabularData, context: FitContext) -> "FittedTabularNet":
        """Fits a net to rows that have been read."""
        import torch

        from models.data.batches import InMemory, ShuffledBatches
        from models.training import device_for, fit_net

        config, spec = self.config, data.spec
        train, valid = spec.expand(data.train), spec.expand(data.valid)
        torch.manual_seed(context.seed)
        net = _new_net(train, spec.target, config)
        device = device_for(context)
        numeric, index = _tensors(train, net.spec)
        batches = ShuffledBatches(
            InMemory(numeric, index, _learnt_target(label_of(train), spec.target), device=device),
            InMemory(*_tensors(valid, net.spec), _learnt_target(label_of(valid), spec.target), device=device),
            config.batch_size,
            seed=context.seed,
            valid_batch_size=PREDICT_ROWS,
        )

        def metrics(outputs: Any, target: Any) -> dict[str, float]:
            prediction = spec.target.finish(learnt_of(outputs, spec.target).cpu().numpy())
            return quick_metrics(spec.problem, label_of(valid), prediction)

        settings = FitConfig(
            epochs=config.epochs,
            batch_size=config.batch_size,
            learning_rate=config.learning_rate,
            weight_decay=config.weight_decay,
            compile="off",
        )
        fit_net(net, batches, _loss_of(spec.target), settings, context, name=KIND, metrics=metrics)
        net.settle_unseen(index)
        if unseen := unseen_classes(spec.target, label_of(train)):
            net.silence([spec.target.classes.index(name) for name in unseen])
        return FittedTabularNet(net, spec)


class FittedTabularNet(TabularModel):
    """A trained net. `net` is in evaluation mode on the CPU."""

    kind: ClassVar[str] = KIND

    def __init__(self, net: Any, spec: TableSpec) -> None:
        super().__init__(spec)
        self.net = net

    def learnt(self, rows: TabularRows) -> npt.NDArray[np.float32]:
        """See `TabularModel.learnt`."""
        import torch

        parts = [np.empty((0, self.spec.target.width), np.float32)]
        with torch.inference_mode():
            for start in range(0, len(rows), PREDICT_ROWS):
                part = rows.take(np.arange(start, min(start + PREDICT_ROWS, len(rows))))
                parts.append(learnt_of(self.net(*_tensors(part, self.net.spec)), self.spec.target).numpy())
        return np.concatenate(parts)

    def embed(self, rows: TabularRows) -> npt.NDArray[np.float32]:
        """The embeddings of the codes and categories of rows whose times are expanded, float32 `(N, E)`."""
        import torch

        with torch.inference_mode():
            found: npt.NDArray[np.float32] = self.net.embed(_tensors(rows, self.net.spec)[1]).numpy()
        return found

    def add_to(self, graph: Any) -> str:
        """See `TabularModel.add_to`."""
        from models.export.onnx_net import add_net

        return add_net(graph, self.net, self.spec.target)

    def about(self) -> dict[str, Any]:
        """The net's spec."""
        return {"spec": self.net.spec.as_json()}

    def save(self, folder: Path) -> None:
        """Writes `model.safetensors` and `tabular_net.json`."""
        from safetensors.torch import save_file

        save_file(self.net.state_dict(), folder / WEIGHTS)
        super().save(folder)

    def export_archive(self, path: Path, *, name: str, version: str) -> None:
        """Writes a TorchServe archive that runs a binary net in PyTorch, and any other as its ONNX graph."""
        from models.export.mar import NET_CODE, write_archive

        if self.spec.target.kind != BINARY or self.spec.calendar.names:
            super().export_archive(path, name=name, version=version)
            return
        with TemporaryDirectory() as made:
            folder = Path(made)
            self.save(folder)
            write_archive(path, [folder / WEIGHTS, folder / SPEC, NET_CODE], name=name, version=version)


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
    """Fits a net to rows of a binary target, or goes on from the checkpoint in `checkpoint_folder`: see
    `TabularNet.fit`.
    """
    context = FitContext(seed, device, checkpoint_folder, on_progress, should_stop)
    return TabularNet(config).fit_rows(TabularData.binary(train, valid, schema), context)


def learnt_of(outputs: Any, target: TargetSpec) -> Any:
    """The learnt numbers, a tensor `(N, W)`, of what the net gives: see `TargetSpec`."""
    import torch

    if target.kind in (BINARY, MULTILABEL):
        return torch.sigmoid(outputs).reshape(len(outputs), -1)
    if target.kind == MULTICLASS:
        return torch.softmax(outputs, 1)
    outputs = outputs.reshape(len(outputs), -1)
    if target.bounds is not None:
        low, high = target.bounds
        return low + (high - low) * torch.sigmoid(outputs)
    deviations, means = (
        outputs.new_tensor(values, dtype=torch.float32) for values in (target.deviations, target.means)
    )
    return outputs * deviations + means


def _loss_of(target: TargetSpec) -> Callable[[Any, Any], Any]:
    """What is minimised: the negative log likelihood, of a regression the squared error in deviations."""
    from torch.nn import functional

    if target.kind in (BINARY, MULTILABEL):
        return lambda outputs, label: functional.binary_cross_entropy_with_logits(
            outputs.float().reshape(label.shape), label
        )
    if target.kind == MULTICLASS:
        return lambda outputs, label: functional.cross_entropy(outputs.float(), label)

    def squared(outputs: Any, label: Any) -> Any:
        apart = learnt_of(outputs.float(), target) - label
        return (apart / apart.new_tensor(target.deviations)).square().mean()

    return squared


def _learnt_target(label: Values, target: TargetSpec) -> Any:
    import torch

    return torch.from_numpy(
        target.learnt(label).astype(np.float32) if target.kind == REGRESSION else np.asarray(label)
    )


def _new_net(train: TabularRows, target: TargetSpec, config: TabularNetConfig) -> Any:
    from models.nets.tabular import TabularNet as Net
    from models.nets.tabular import TabularNetSpec

    numbers = [column[~np.isnan(column)].astype(np.float64) for column in train.numeric.T]
    return Net(
        TabularNetSpec(
            means=tuple(_float32(present.mean()) if len(present) else 0.0 for present in numbers),
            deviations=tuple(
                (_float32(present.std()) if len(present) else 0.0) or 1.0 for present in numbers
            ),
            code_values=tuple(
                tuple(int(value) for value in np.unique(column[column != MISSING_CODE]))
                for column in train.code.T
            ),
            category_values=tuple(known_texts(column) for column in train.category.T),
            hidden_sizes=config.hidden_sizes or TabularNetConfig.hidden_sizes,
            dropout=config.dropout,
            medians=tuple(_float32(np.median(present)) if len(present) else 0.0 for present in numbers),
            output_count=target.width,
        )
    )


def _float32(value: Any) -> float:
    return float(np.float32(value))


def _tensors(rows: TabularRows, spec: Any) -> tuple[Any, Any]:
    """Numbers float32 `(N, n)` and rows of embeddings int64 `(N, C)`."""
    import torch

    from models.nets.tabular import rows_of

    codes = torch.from_numpy(np.ascontiguousarray(rows.code))
    return torch.from_numpy(np.ascontiguousarray(rows.numeric)), rows_of(codes, rows.category.T, spec)
