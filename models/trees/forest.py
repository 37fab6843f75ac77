"""A random forest, by scikit-learn: its out-of-bag error, and how far its trees are apart.

Each tree sees a resample of the rows; those that it did not see judge it, so that the error out of bag needs
no validation rows (with a net's embeddings it flatters: the net has seen all rows). Source: Breiman, "Random
Forests", 2001. A fit that was killed is done again, as with boosting.
"""

import warnings
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.assess import measure
from models.configs import RandomForestConfig
from models.data.table_spec import TableSpec, TabularData, label_of
from models.data.tabular import TabularRows
from models.data.targets import Values
from models.metrics import Estimate
from models.progress import TrainingStopped
from models.recipe import BINARY, REGRESSION, Assessment, FitContext, Problem
from models.trees.features import TreeFeatures
from models.trees.fitted import (
    FittedTrees,
    TreeProgress,
    features_for,
    learnt_column,
    refuse_labels,
    training_matrix,
)
from models.trees.nodes import LEAF, TreeNodes, rounded_down

KIND = "random_forest"
TREES_A_STEP = 10


class RandomForest:
    """The recipe."""

    name = KIND

    def __init__(self, config: RandomForestConfig) -> None:
        self.config = config

    def fit(
        self, problem: Problem, train: pa.Table, valid: pa.Table, context: FitContext
    ) -> "FittedRandomForest":
        """Grows a forest: see `models.recipe.Recipe.fit`."""
        return self.fit_rows(TabularData.of(problem, train, valid), context)

    def fit_rows(self, data: TabularData, context: FitContext) -> "FittedRandomForest":
        """Grows a forest, ten trees at a time, from rows that have been read."""
        spec, total = data.spec, self.config.tree_count
        refuse_labels(KIND, spec.target)
        features, context = features_for(KIND, data, self.config.embeddings, context)
        label = label_of(data.train)
        learnt = learnt_column(spec.target, label)
        matrix = training_matrix(features, spec.expand(data.train))
        fitted = FittedRandomForest(spec, features, self._estimator(spec, context))
        progress = TreeProgress(fitted, spec.expand(data.valid), len(matrix), total, context)
        for trees in (*range(TREES_A_STEP, total, TREES_A_STEP), total):
            if context.should_stop():
                raise TrainingStopped
            fitted.estimator.set_params(n_estimators=trees, oob_score=trees == total)
            with warnings.catch_warnings():
                # Rows that every one of a few trees has seen; they are left out of the estimate below.
                warnings.filterwarnings("ignore", "Some inputs do not have OOB scores")
                fitted.estimator.fit(matrix, learnt[:, 0] if learnt.shape[1:] == (1,) else learnt)
            progress.tell(trees, "tree")
        fitted.out_of_bag = fitted.judged_out_of_bag(label)
        return fitted

    def _estimator(self, spec: TableSpec, context: FitContext) -> Any:
        from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

        regression = spec.target.kind == REGRESSION
        return (RandomForestRegressor if regression else RandomForestClassifier)(
            min_samples_leaf=self.config.leaf_rows,
            max_features=self.config.feature_share or "sqrt",
            warm_start=True,
            n_jobs=context.threads,
            random_state=context.seed % 2**32,
        )


class FittedRandomForest(FittedTrees):
    """A grown forest. `out_of_bag`: the problem's metric, of rows by the trees that did not see them."""

    kind: ClassVar[str] = KIND

    def __init__(self, spec: TableSpec, features: TreeFeatures, estimator: Any) -> None:
        super().__init__(spec, features)
        self.estimator = estimator
        self.out_of_bag: dict[str, Estimate] = {}

    def learnt_of_matrix(self, matrix: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """See `FittedTrees.learnt_of_matrix`."""
        if self.spec.target.kind == REGRESSION:
            return np.asarray(self.estimator.predict(matrix), np.float32).reshape(len(matrix), -1)
        return self._all_classes(self.estimator.predict_proba(matrix)).astype(np.float32)

    def nodes(self) -> TreeNodes:
        """See `FittedTrees.nodes`."""
        trees = []
        for grown in self.estimator.estimators_:
            tree = grown.tree_
            leaf = tree.children_left < 0
            # (M, K, 1) of a regression, (M, 1, C) of classes
            value = tree.value.reshape(len(leaf), -1)
            value = value if self.spec.target.kind == REGRESSION else self._all_classes(value)
            trees.append(
                {
                    "feature": np.where(leaf, LEAF, tree.feature),
                    "threshold": rounded_down(np.where(leaf, 0.0, tree.threshold)),
                    "left": tree.children_left,
                    "right": tree.children_right,
                    "missing_left": tree.missing_go_to_left,
                    "value": value / len(self.estimator.estimators_),
                }
            )
        return TreeNodes.joined(trees, np.zeros(self.spec.target.width), strict=False)

    def assess(self, train: pa.Table, valid: pa.Table) -> Assessment:
        """As of other models, with the error out of bag beside it (`out_of_bag_...`)."""
        assessment = super().assess(train, valid)
        return replace(assessment, metrics={**assessment.metrics, **self.out_of_bag})

    def judged_out_of_bag(self, label: Values) -> dict[str, Estimate]:
        """The problem's metric of the training rows, each judged by the trees that have not seen it."""
        problem = self.spec.problem
        if problem.kind == REGRESSION:
            judged = self.estimator.oob_prediction_.reshape(len(label), -1)
            # scikit-learn gives 0 for a row that no tree can judge.
            known = (judged != 0.0).any(1)
        else:
            shares = self.estimator.oob_decision_function_
            judged, known = self._all_classes(shares), shares.sum(1) > 0
        found = measure(problem, label[known], self.spec.target.finish(judged[known]))
        return {f"out_of_bag_{problem.metric}": found[problem.metric]}

    def spread(self, rows: TabularRows) -> npt.NDArray[np.float64]:
        """How far the trees are apart on rows whose times are expanded: the standard deviation over trees of
        the learnt numbers, `(N, W)`. 0: all trees say the same.
        """
        each = self.nodes().tree_values(self.features.matrix(rows)) * len(self.estimator.estimators_)
        return np.asarray(each.std(1))

    def about(self) -> dict[str, Any]:
        """Trees and what the columns of their matrix are."""
        return {"trees": len(self.estimator.estimators_), **self.features.about()}

    def _all_classes(self, known: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """`(N, W)` of the classes that the training rows have: 0 for others; of BINARY the second."""
        if self.spec.target.kind == BINARY:
            return known[:, 1:]
        found = np.zeros((len(known), self.spec.target.width))
        found[:, self.estimator.classes_.astype(int)] = known
        return found
