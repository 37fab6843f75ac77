"""What fitted trees have in common, whichever library grew them."""

import math
import time
from abc import abstractmethod
from typing import Any

import numpy as np
import numpy.typing as npt

from models.assess import quick_metrics, row_losses
from models.configs import TabularNetConfig
from models.data.table_spec import TableSpec, TabularData, label_of
from models.data.tabular import TabularRows
from models.data.targets import TargetSpec, Values
from models.progress import Progress, TrainingFailed
from models.recipe import MULTILABEL, FitContext
from models.tabular_model import TabularModel, share_of
from models.trees.features import TreeFeatures
from models.trees.nodes import TreeNodes


class FittedTrees(TabularModel):
    """Trees over the matrix of `features`. `link` makes learnt numbers of what the trees sum to: "sigmoid",
    "softmax" or "" (they are the same).
    """

    link = ""

    def __init__(self, spec: TableSpec, features: TreeFeatures) -> None:
        super().__init__(spec)
        self.features = features

    @abstractmethod
    def learnt_of_matrix(self, matrix: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """The learnt numbers of at least one row of the matrix, float32 `(N, W)`."""

    @abstractmethod
    def nodes(self) -> TreeNodes:
        """The trees as arrays."""

    def learnt(self, rows: TabularRows) -> npt.NDArray[np.float32]:
        """See `TabularModel.learnt`."""
        if not len(rows):
            return np.empty((0, self.spec.target.width), np.float32)
        return self.learnt_of_matrix(self.features.matrix(rows))

    def add_to(self, graph: Any) -> str:
        """See `TabularModel.add_to`."""
        from models.export.onnx_trees import add_trees

        return add_trees(graph, self.features.add_to(graph), self.nodes(), self.link)


class TreeProgress:
    """Tells how far the trees are, with their loss and metrics on the validation rows."""

    def __init__(
        self, model: FittedTrees, rows: TabularRows, train_count: int, total: int, context: FitContext
    ) -> None:
        self._model = model
        self._matrix = model.features.matrix(rows)
        self._label = label_of(rows)
        self._train_count = train_count
        self._total = total
        self._context = context
        self._began = time.monotonic()

    def tell(self, done: int, unit: str) -> None:
        """`done` of all rounds or trees are done; `unit` is what they are called."""
        model, problem = self._model, self._model.spec.problem
        elapsed_s = time.monotonic() - self._began
        loss, metrics = math.nan, {}
        if len(self._label):
            prediction = model.spec.target.finish(model.learnt_of_matrix(self._matrix))
            loss = float(row_losses(problem, self._label, prediction).mean())
            metrics = quick_metrics(problem, self._label, prediction)
        self._context.on_progress(
            Progress(
                model=model.kind,
                stage=f"{model.kind}: {unit} {done} of {self._total}",
                epoch=done,
                epoch_count=self._total,
                step=done,
                validation_loss=loss,
                metrics=metrics,
                rows_per_s=self._train_count * done / elapsed_s if elapsed_s > 0 else math.nan,
                fraction_done=done / self._total,
                time_left_s=elapsed_s / done * (self._total - done),
            )
        )


def features_for(
    kind: str, data: TabularData, embeddings: TabularNetConfig | None, context: FitContext
) -> tuple[TreeFeatures, FitContext]:
    """What the trees divide, and the context that is left for them: with `embeddings` a net is fitted first,
    where there are codes or categories to embed, which is taken for half of the work.
    """
    spec = data.spec
    train = spec.expand(data.train)
    if embeddings is None or not (spec.expanded_schema.code or spec.expanded_schema.category):
        return TreeFeatures.of(spec, train), context
    from models.tabular import TabularNet

    net = TabularNet(embeddings).fit_rows(data, share_of(context, 0.0, 0.5, kind))
    return TreeFeatures.of(spec, train, net), share_of(context, 0.5, 1.0, kind)


def training_matrix(features: TreeFeatures, train: TabularRows) -> npt.NDArray[np.float32]:
    """The matrix with columns that hold no value at all set to 0: scikit-learn cannot bin them, and a
    constant is never divided on.
    """
    matrix = features.matrix(train)
    matrix[:, np.isnan(matrix).all(0)] = 0.0
    return matrix


def refuse_labels(kind: str, target: TargetSpec) -> None:
    """Raises `TrainingFailed` for a target that trees of this kind do not learn."""
    if target.kind == MULTILABEL:
        raise TrainingFailed(
            f"{kind} learns one label a row; for several labels choose tabular_net, or a task for each label."
        )


def learnt_column(target: TargetSpec, label: Values) -> Values:
    """A regression's values as they are learnt, `(N, K)`; other labels as they are."""
    return target.learnt(label) if target.means else label
