"""Gradient-boosted trees as an ONNX graph: the columns joined to one matrix, then one tree-ensemble node.

The node is written from scikit-learn's own node arrays: skl2onnx 1.20 hands numpy integers to onnx 1.23,
which refuses them. Thresholds are rounded down to float32, so that every float32 input takes the branch that
it takes in double precision.
"""

from typing import Any

import numpy as np

from models.data.tabular import MISSING_CODE, TabularSchema
from models.export.onnx import OUTPUT, Graph


def trees_graph(classifier: Any, schema: TabularSchema, category_values: tuple[tuple[str, ...], ...]) -> Any:
    """The ONNX model of a fitted binary `HistGradientBoostingClassifier` with its preprocessing."""
    graph = Graph(schema)
    parts = ["numeric"] if schema.numeric else []
    if schema.code:
        missing = graph.node("Equal", "code", graph.constant(MISSING_CODE, np.int64))
        numbers = graph.node("Cast", "code", to=1)
        parts.append(graph.node("Where", missing, graph.constant(np.nan, np.float32), numbers))
    if schema.category:
        nan = float("nan")
        parts.append(
            graph.category_places(
                category_values,
                lambda values: [*(float(n) for n in range(len(values))), nan],
                unknown=nan,
                kind="floats",
            )
        )
    matrix = parts[0] if len(parts) == 1 else graph.node("Concat", *parts, axis=1)
    score = graph.node("TreeEnsembleRegressor", matrix, domain="ai.onnx.ml", **_ensemble(classifier))
    flat = graph.node("Reshape", score, graph.constant([-1], np.int64))
    # ONNX Runtime does not apply the node's own LOGISTIC to a single target.
    graph.node("Sigmoid", flat, output=OUTPUT)
    return graph.model("Gradient-boosted trees with their preprocessing")


def _ensemble(classifier: Any) -> dict[str, Any]:
    """Attributes of the node: all trees' nodes, tree by tree."""
    trees = [round_[0].nodes for round_ in classifier._predictors]
    nodes = np.concatenate(trees)
    tree_ids = np.repeat(np.arange(len(trees)), [len(tree) for tree in trees])
    node_ids = np.concatenate([np.arange(len(tree)) for tree in trees])
    leaf = nodes["is_leaf"].astype(bool)
    thresholds = np.where(leaf, 0.0, nodes["num_threshold"])
    return {
        "n_targets": 1,
        "aggregate_function": "SUM",
        "post_transform": "NONE",
        "base_values": [float(np.ravel(classifier._baseline_prediction)[0])],
        "nodes_treeids": tree_ids.tolist(),
        "nodes_nodeids": node_ids.tolist(),
        "nodes_featureids": np.where(leaf, 0, nodes["feature_idx"]).astype(int).tolist(),
        "nodes_modes": np.where(leaf, "LEAF", "BRANCH_LEQ").tolist(),
        "nodes_values": _rounded_down(thresholds).tolist(),
        "nodes_truenodeids": np.where(leaf, 0, nodes["left"]).astype(int).tolist(),
        "nodes_falsenodeids": np.where(leaf, 0, nodes["right"]).astype(int).tolist(),
        "nodes_missing_value_tracks_true": np.where(leaf, 0, nodes["missing_go_to_left"])
        .astype(int)
        .tolist(),
        "target_treeids": tree_ids[leaf].tolist(),
        "target_nodeids": node_ids[leaf].tolist(),
        "target_ids": [0] * int(leaf.sum()),
        "target_weights": nodes["value"][leaf].astype(np.float32).tolist(),
    }


def _rounded_down(values: np.ndarray) -> np.ndarray:
    """The largest float32 that is not above each float64."""
    nearest = values.astype(np.float32)
    return np.where(nearest > values, np.nextafter(nearest, np.float32(-np.inf)), nearest)
