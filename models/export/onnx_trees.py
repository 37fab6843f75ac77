"""Trees in an ONNX graph: one tree-ensemble node, written from the arrays of `models.trees.nodes`.

skl2onnx 1.20 hands numpy integers to onnx 1.23, which refuses them, and neither it nor onnxmltools takes a
matrix that a graph of ours has prepared; the arrays are the same for all libraries, so one writer does.
"""

import numpy as np

from models.export.onnx import Graph
from models.trees.nodes import TreeNodes


def add_trees(graph: Graph, matrix: str, nodes: TreeNodes, link: str) -> str:
    """What the trees give for `matrix`, float32 `[N, F]`: float32 `[N, W]` after `link` ("", "sigmoid",
    "softmax").
    """
    leaf = nodes.is_leaf
    tree = np.searchsorted(nodes.roots, np.arange(len(leaf)), side="right") - 1
    own = np.arange(len(leaf)) - nodes.roots[tree]
    given = leaf[:, None] & (nodes.value != 0.0)
    given[leaf & ~given.any(1), 0] = True
    leaf_places, outputs = np.nonzero(given)
    below = {
        name: np.where(leaf, 0, side - nodes.roots[tree]).tolist()
        for name, side in (("true", nodes.left), ("false", nodes.right))
    }
    found = graph.node(
        "TreeEnsembleRegressor",
        matrix,
        domain="ai.onnx.ml",
        n_targets=nodes.value.shape[1],
        aggregate_function="SUM",
        post_transform="NONE",
        nodes_treeids=tree.tolist(),
        nodes_nodeids=own.tolist(),
        nodes_featureids=np.where(leaf, 0, nodes.feature).tolist(),
        nodes_modes=np.where(leaf, "LEAF", "BRANCH_LT" if nodes.strict else "BRANCH_LEQ").tolist(),
        nodes_values=np.where(leaf, 0.0, nodes.threshold).tolist(),
        nodes_truenodeids=below["true"],
        nodes_falsenodeids=below["false"],
        nodes_missing_value_tracks_true=np.where(leaf, 0, nodes.missing_left).astype(int).tolist(),
        target_treeids=tree[leaf_places].tolist(),
        target_nodeids=own[leaf_places].tolist(),
        target_ids=outputs.tolist(),
        target_weights=nodes.value[leaf_places, outputs].astype(np.float32).tolist(),
    )
    # Not the node's own base values and transformations: ONNX Runtime leaves out the base of a target that a
    # row meets no leaf of, and the transformation of a single target.
    found = graph.node("Add", found, graph.constant(nodes.base, np.float32))
    if not link:
        return found
    return graph.node("Softmax", found, axis=1) if link == "softmax" else graph.node("Sigmoid", found)
