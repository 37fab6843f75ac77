"""Gradient boosting by XGBoost, histogram method: Chen and Guestrin, "XGBoost: A Scalable Tree Boosting
System", 2016. A fit that was killed is done again, as with the other trees.
"""

import json
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.configs import XgboostConfig
from models.data.table_spec import TableSpec, TabularData, label_of
from models.progress import TrainingStopped
from models.recipe import BINARY, MULTICLASS, REGRESSION, FitContext, Problem
from models.trees.features import TreeFeatures
from models.trees.fitted import FittedTrees, TreeProgress, features_for, learnt_column, refuse_labels
from models.trees.nodes import LEAF, TreeNodes

KIND = "xgboost"
ROUNDS_A_STEP = 10
BOOSTER = "booster.json"
OBJECTIVES = {BINARY: "binary:logistic", MULTICLASS: "multi:softprob", REGRESSION: "reg:squarederror"}
LINKS = {BINARY: "sigmoid", MULTICLASS: "softmax", REGRESSION: ""}


class Xgboost:
    """The recipe."""

    name = KIND

    def __init__(self, config: XgboostConfig) -> None:
        self.config = config

    def fit(self, problem: Problem, train: pa.Table, valid: pa.Table, context: FitContext) -> "FittedXgboost":
        """Fits trees: see `models.recipe.Recipe.fit`."""
        return self.fit_rows(TabularData.of(problem, train, valid), context)

    def fit_rows(self, data: TabularData, context: FitContext) -> "FittedXgboost":
        """Fits trees round by round to rows that have been read."""
        import xgboost

        spec, total = data.spec, self.config.iterations
        refuse_labels(KIND, spec.target)
        features, context = features_for(KIND, data, self.config.embeddings, context)
        matrix = features.matrix(spec.expand(data.train))
        fitted = FittedXgboost(spec, features, None)
        progress = TreeProgress(fitted, spec.expand(data.valid), len(matrix), total, context)

        class Watch(xgboost.callback.TrainingCallback):
            """Asks after each round whether to stop, and tells of every tenth."""

            def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
                """True ends the fit."""
                fitted.booster = model
                if context.should_stop():
                    raise TrainingStopped
                if (epoch + 1) % ROUNDS_A_STEP == 0 or epoch + 1 == total:
                    progress.tell(epoch + 1, "round")
                return False

        settings = {
            "objective": OBJECTIVES[spec.target.kind],
            "tree_method": "hist",
            "eta": self.config.learning_rate,
            "max_depth": self.config.depth,
            "nthread": context.threads,
            "seed": context.seed % 2**31,
            **({"num_class": spec.target.width} if spec.target.kind == MULTICLASS else {}),
        }
        rows = xgboost.QuantileDMatrix(matrix, learnt_column(spec.target, label_of(data.train)))
        fitted.booster = xgboost.train(settings, rows, total, callbacks=[Watch()])
        return fitted


class FittedXgboost(FittedTrees):
    """Fitted trees; `booster` is XGBoost's."""

    kind: ClassVar[str] = KIND

    def __init__(self, spec: TableSpec, features: TreeFeatures, booster: Any) -> None:
        super().__init__(spec, features)
        self.booster = booster
        self.link = LINKS[spec.target.kind]

    def learnt_of_matrix(self, matrix: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """See `FittedTrees.learnt_of_matrix`."""
        found: npt.NDArray[np.float32] = self.booster.inplace_predict(matrix, validate_features=False)
        return found.reshape(len(matrix), -1)

    def nodes(self) -> TreeNodes:
        """See `FittedTrees.nodes`."""
        learner = json.loads(bytes(self.booster.save_raw("json")))["learner"]
        model = learner["gradient_booster"]["model"]
        base = np.array(json.loads(learner["learner_model_param"]["base_score"]), np.float64)
        if self.link == "sigmoid":
            base = np.log(base / (1 - base))
        trees = []
        for tree, output in zip(model["trees"], model["tree_info"], strict=True):
            left = np.array(tree["left_children"])
            leaf = left < 0
            # XGBoost keeps a leaf's value where an inner node's threshold is.
            number = np.array(tree["split_conditions"], np.float32)
            value = np.zeros((len(leaf), self.spec.target.width))
            value[leaf, output] = number[leaf]
            trees.append(
                {
                    "feature": np.where(leaf, LEAF, tree["split_indices"]),
                    "threshold": np.where(leaf, 0.0, number),
                    "left": left,
                    "right": np.array(tree["right_children"]),
                    "missing_left": np.array(tree["default_left"], bool),
                    "value": value,
                    "weight": np.array(tree["sum_hessian"]),
                }
            )
        return TreeNodes.joined(trees, base, strict=True)

    def about(self) -> dict[str, Any]:
        """Rounds and what the columns of the trees' matrix are."""
        return {"iterations": self.booster.num_boosted_rounds(), **self.features.about()}

    def files(self) -> dict[str, bytes]:
        """The booster in XGBoost's own JSON."""
        return {BOOSTER: bytes(self.booster.save_raw("json"))}
