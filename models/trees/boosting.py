"""Gradient boosting on histograms, by scikit-learn, behind the same face as the net.

Codes and categories enter as numbers; missing values have a branch of their own. A fit is repeatable to the
bit from its seed and takes seconds, so a fit that was killed is done again from its first round and gives the
same trees: it keeps no checkpoint.
"""

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.configs import GradientBoostingConfig
from models.data.table_spec import TableSpec, TabularData, label_of
from models.data.tabular import TabularRows, TabularSchema
from models.progress import Progress, TrainingFailed, TrainingStopped
from models.recipe import BINARY, REGRESSION, FitContext, Problem
from models.trees.features import TreeFeatures
from models.trees.fitted import FittedTrees, TreeProgress, learnt_column, refuse_labels, training_matrix
from models.trees.nodes import LEAF, TreeNodes, rounded_down

KIND = "gradient_boosting"
ROUNDS_A_STEP = 10
# What the softmax of a class without training rows starts from: no probability at all.
NEVER = -1e9


class GradientBoosting:
    """The recipe."""

    name = KIND

    def __init__(self, config: GradientBoostingConfig) -> None:
        self.config = config

    def fit(
        self, problem: Problem, train: pa.Table, valid: pa.Table, context: FitContext
    ) -> "FittedGradientBoosting":
        """Fits trees: see `models.recipe.Recipe.fit`."""
        return self.fit_rows(TabularData.of(problem, train, valid), context)

    def fit_rows(self, data: TabularData, context: FitContext) -> "FittedGradientBoosting":
        """Fits trees round by round to rows that have been read."""
        spec = data.spec
        refuse_labels(KIND, spec.target)
        if spec.target.kind == REGRESSION and spec.target.width > 1:
            raise TrainingFailed(f"{KIND} learns one number a row; choose xgboost or random_forest.")
        train, label = spec.expand(data.train), learnt_column(spec.target, label_of(data.train))
        features = TreeFeatures.of(spec, train)
        matrix = training_matrix(features, train)
        fitted = FittedGradientBoosting(spec, features, self._estimator(spec, context.seed))
        progress = TreeProgress(fitted, spec.expand(data.valid), len(train), self.config.iterations, context)
        total = self.config.iterations
        for rounds in (*range(ROUNDS_A_STEP, total, ROUNDS_A_STEP), total):
            if context.should_stop():
                raise TrainingStopped
            fitted.estimator.set_params(max_iter=rounds)
            fitted.estimator.fit(matrix, label.reshape(-1))
            progress.tell(rounds, "round")
        return fitted

    def _estimator(self, spec: TableSpec, seed: int) -> Any:
        from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

        regression = spec.target.kind == REGRESSION
        return (HistGradientBoostingRegressor if regression else HistGradientBoostingClassifier)(
            learning_rate=self.config.learning_rate,
            max_leaf_nodes=self.config.leaf_count,
            max_iter=1,
            early_stopping=False,
            warm_start=True,
            random_state=seed % 2**32,
        )


class FittedGradientBoosting(FittedTrees):
    """Fitted trees; `estimator` is scikit-learn's."""

    kind: ClassVar[str] = KIND

    def __init__(self, spec: TableSpec, features: TreeFeatures, estimator: Any) -> None:
        super().__init__(spec, features)
        self.estimator = estimator
        self.link = {REGRESSION: "", BINARY: "sigmoid"}.get(spec.target.kind, "softmax")

    def learnt_of_matrix(self, matrix: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """See `FittedTrees.learnt_of_matrix`."""
        if self.spec.target.kind == REGRESSION:
            return self.estimator.predict(matrix)[:, None].astype(np.float32)  # type: ignore[no-any-return]
        probability = self.estimator.predict_proba(matrix)
        if self.spec.target.kind == BINARY:
            return probability[:, 1:].astype(np.float32)  # type: ignore[no-any-return]
        found = np.zeros((len(matrix), self.spec.target.width), np.float32)
        found[:, self.estimator.classes_.astype(int)] = probability
        return found

    def nodes(self) -> TreeNodes:
        """See `FittedTrees.nodes`."""
        width = self.spec.target.width
        outputs = [0] if self.link != "softmax" else _softmax_outputs(self.estimator)
        base = np.full(width, NEVER if self.link == "softmax" else 0.0)
        base[outputs] = np.ravel(self.estimator._baseline_prediction)
        trees = []
        for round_ in self.estimator._predictors:
            for output, tree in zip(outputs, round_, strict=True):
                nodes = tree.nodes
                leaf = nodes["is_leaf"].astype(bool)
                value = np.zeros((len(nodes), width))
                value[leaf, output] = nodes["value"][leaf]
                trees.append(
                    {
                        "feature": np.where(leaf, LEAF, nodes["feature_idx"].astype(np.int64)),
                        "threshold": rounded_down(np.where(leaf, 0.0, nodes["num_threshold"])),
                        "left": nodes["left"].astype(np.int64),
                        "right": nodes["right"].astype(np.int64),
                        "missing_left": nodes["missing_go_to_left"],
                        "value": value,
                        "weight": nodes["count"],
                    }
                )
        return TreeNodes.joined(trees, base, strict=False)

    def about(self) -> dict[str, Any]:
        """Rounds and what the columns of the trees' matrix are."""
        return {"iterations": self.estimator.n_iter_, **self.features.about()}


def _softmax_outputs(estimator: Any) -> list[int]:
    """The class that each tree of a round adds to."""
    return [int(place) for place in estimator.classes_]


def fit_gradient_boosting(
    train: TabularRows,
    valid: TabularRows,
    schema: TabularSchema,
    config: GradientBoostingConfig,
    *,
    seed: int,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> FittedGradientBoosting:
    """Fits trees to rows of a binary target: see `GradientBoosting.fit`."""
    context = FitContext(seed, on_progress=on_progress, should_stop=should_stop)
    return GradientBoosting(config).fit_rows(TabularData.binary(train, valid, schema), context)
