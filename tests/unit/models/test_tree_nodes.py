import numpy as np
import pytest

from models.data.tabular import TabularRows
from models.recipe import BINARY, MULTICLASS, REGRESSION
from models.trees.nodes import LEAF, TreeNodes, rounded_down
from tests.unit.models.arrow_tables import PROBLEMS
from tests.unit.models.test_table_recipes import VALID, fitted

KINDS = (BINARY, MULTICLASS, REGRESSION)


def stump(threshold: float, *, strict: bool) -> TreeNodes:
    """One tree: 1 on the left, where three of four training rows were, and 5 on the right."""
    tree = {
        "feature": np.array([0, LEAF, LEAF]),
        "threshold": np.array([threshold, 0, 0]),
        "left": np.array([1, -1, -1]),
        "right": np.array([2, -1, -1]),
        "missing_left": np.array([True, False, False]),
        "value": np.array([[0.0], [1.0], [5.0]]),
        "weight": np.array([4, 3, 1]),
    }
    return TreeNodes.joined([tree, tree], np.array([10.0]), strict=strict)


def test_rows_go_left_at_the_threshold_unless_strict_and_where_missing() -> None:
    matrix = np.array([[1.9], [2.0], [2.1], [np.nan]], np.float32)
    assert stump(2.0, strict=False).tree_values(matrix)[:, 0, 0].tolist() == [1, 1, 5, 1]
    assert stump(2.0, strict=True).tree_values(matrix)[:, 0, 0].tolist() == [1, 5, 5, 1]


def test_an_inner_node_has_the_mean_of_its_rows_and_contributions_add_up() -> None:
    nodes = stump(2.0, strict=False)
    assert nodes.expected.tolist() == [10 + 2 * 2.0]
    found = nodes.contributions(np.array([[1.0, 0.0], [3.0, 0.0]], np.float32))
    assert found[:, :, 0].tolist() == [[-2.0, 0.0], [6.0, 0.0]]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("which", ["boosting", "forest", "xgboost", "embedded_forest"])
def test_arrays_of_real_trees_say_what_their_library_says(which: str, kind: str) -> None:
    model = fitted(which, kind)
    matrix = model.features.matrix(model.spec.expand(TabularRows.of(VALID, PROBLEMS[kind])))
    nodes = model.nodes()
    given = nodes.base + nodes.tree_values(matrix).sum(1)
    summed = nodes.expected + nodes.contributions(matrix).sum(1)
    assert np.allclose(given, summed, atol=1e-6)
    if model.link == "sigmoid":
        given = 1 / (1 + np.exp(-given))
    elif model.link == "softmax":
        given = np.exp(given) / np.exp(given).sum(1, keepdims=True)
    assert np.allclose(given, model.learnt_of_matrix(matrix), atol=1e-5)


def test_rounding_down_never_moves_a_float32_across() -> None:
    random = np.random.default_rng(0)
    values = random.normal(size=1_000)
    near = np.nextafter(values.astype(np.float32), np.float32(np.inf))
    down = rounded_down(values)
    assert (down <= values).all()
    assert np.array_equal(near <= values, near <= down)
