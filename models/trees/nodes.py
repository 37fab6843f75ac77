"""Trees as arrays, whichever library grew them: one form for graphs, contributions and the spread of trees.

Contributions: Saabas, "Interpreting random forests", 2014: on its way down a row's expected value changes at
each division, and the change is put down to the feature that was divided on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

LEAF = -1


@dataclass(frozen=True)
class TreeNodes:
    """M nodes of T trees, tree after tree; what a row is given is `base` and the sum of its leaves' values.

    `feature` int64 `(M,)`, `LEAF` at a leaf; `threshold` float32 `(M,)`; `left`, `right` int64 `(M,)`,
    places in these arrays; `missing_left` bool `(M,)`; `value` float64 `(M, W)`: what the tree adds at a
    leaf, at an inner node the mean of that over its training rows; `roots` int64 `(T,)`; `base` float64
    `(W,)`.

    A row goes left when its feature is below the threshold, or at it where not `strict`.
    """

    feature: npt.NDArray[np.int64]
    threshold: npt.NDArray[np.float32]
    left: npt.NDArray[np.int64]
    right: npt.NDArray[np.int64]
    missing_left: npt.NDArray[np.bool_]
    value: npt.NDArray[np.float64]
    roots: npt.NDArray[np.int64]
    base: npt.NDArray[np.float64]
    strict: bool

    @classmethod
    def joined(
        cls, trees: Sequence[dict[str, npt.NDArray[Any]]], base: npt.NDArray[np.float64], *, strict: bool
    ) -> "TreeNodes":
        """Of trees whose `left` and `right` count from their own first node, where the root is.

        Each has `feature`, `threshold`, `left`, `right`, `missing_left`, `value` of all nodes; or `value` of
        the leaves alone, and then `weight` `(M,)`, by which the inner nodes' means are taken.
        """
        sizes = [len(tree["feature"]) for tree in trees]
        roots = np.cumsum([0, *sizes[:-1]])
        columns = {name: np.concatenate([tree[name] for tree in trees]) for name in trees[0]}
        starts = np.repeat(roots, sizes)
        leaf = columns["feature"] == LEAF
        left, right = (
            np.where(leaf, np.arange(len(starts)), columns[side] + starts) for side in ("left", "right")
        )
        value = columns["value"]
        if "weight" in columns:
            value = _means_of_leaves(value, columns["weight"], left, right, roots)
        return cls(
            columns["feature"].astype(np.int64),
            columns["threshold"].astype(np.float32),
            left,
            right,
            columns["missing_left"].astype(bool),
            value,
            roots,
            base,
            strict,
        )

    @property
    def is_leaf(self) -> npt.NDArray[np.bool_]:
        """Which nodes are leaves, `(M,)`."""
        return np.asarray(self.feature == LEAF)

    def tree_values(self, matrix: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """What each tree adds for each row of `matrix`, float32 `(N, F)`: `(N, T, W)`."""
        place = np.broadcast_to(self.roots, (len(matrix), len(self.roots)))
        while not self.is_leaf[place].all():
            place = self._below(matrix, place)
        return self.value[place]

    def contributions(self, matrix: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """What each feature adds for each row, `(N, F, W)`; with `expected` it sums to what a row gets."""
        count, features = matrix.shape
        width = self.value.shape[1]
        found = np.zeros((count * features, width))
        place = np.broadcast_to(self.roots, (count, len(self.roots)))
        rows = np.arange(count)[:, None]
        while True:
            inner = ~self.is_leaf[place]
            if not inner.any():
                return found.reshape(count, features, width)
            below = self._below(matrix, place)
            change = (self.value[below] - self.value[place])[inner]
            cell = (rows * features + self.feature[place])[inner]
            for output in range(width):
                found[:, output] += np.bincount(cell, change[:, output], minlength=len(found))
            place = below

    @property
    def expected(self) -> npt.NDArray[np.float64]:
        """What a row is given on average over the training rows, `(W,)`."""
        return np.asarray(self.base + self.value[self.roots].sum(0))

    def _below(self, matrix: npt.NDArray[np.float32], place: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The nodes one step further down, `(N, T)`; a leaf stays."""
        given = matrix[np.arange(len(matrix))[:, None], np.maximum(self.feature[place], 0)]
        threshold = self.threshold[place]
        goes_left = given < threshold if self.strict else given <= threshold
        goes_left = np.where(np.isnan(given), self.missing_left[place], goes_left)
        return np.asarray(np.where(goes_left, self.left[place], self.right[place]))


def rounded_down(values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """The largest float32 that is not above each float64: every float32 is at or below the one exactly where
    it is at or below the other.
    """
    nearest = np.asarray(values).astype(np.float32)
    return np.where(nearest > values, np.nextafter(nearest, np.float32(-np.inf)), nearest)


def _means_of_leaves(
    value: npt.NDArray[Any],
    weight: npt.NDArray[Any],
    left: npt.NDArray[np.int64],
    right: npt.NDArray[np.int64],
    roots: npt.NDArray[np.int64],
) -> npt.NDArray[np.float64]:
    """Values of all nodes: from the bottom up, each level at once."""
    levels = [roots]
    while True:
        inner = levels[-1][left[levels[-1]] != levels[-1]]
        if not len(inner):
            break
        levels.append(np.concatenate([left[inner], right[inner]]))
    found = np.asarray(value, np.float64).copy()
    weight = np.asarray(weight, np.float64)
    for level in reversed(levels):
        inner = level[left[level] != level]
        ours, theirs = weight[left[inner]], weight[right[inner]]
        share = np.divide(ours, ours + theirs, out=np.full(len(inner), 0.5), where=ours + theirs > 0)[:, None]
        found[inner] = share * found[left[inner]] + (1 - share) * found[right[inner]]
    return found
