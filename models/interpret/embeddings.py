"""What embeddings have learnt, as figures: who is liked whatever the taste, who is like whom.

Each function takes names and factors `(K, F)` of K things with their numbers of rows `(K,)`; those with few
rows are left out, since little was learnt of them.
"""

import numpy as np
import numpy.typing as npt

from models.figures import Bars, Figure, Points, Table

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

SHOWN_BARS, SHOWN_POINTS, SHOWN_NEIGHBOURS, NEIGHBOURS = 10, 50, 10, 3
# A thing is well enough known with this many rows, and among the fifth that have most.
FEWEST_ROWS, WELL_KNOWN = 5, 0.8


def bias_figure(names: tuple[str, ...], bias: Floats, counts: Ints, *, of: str) -> Figure:
    """The best and the worst by bias `(K,)`, best first: what is rated high or low by people of every
    taste.
    """
    known = _known(counts)
    order = known[np.argsort(-bias[known], kind="stable")]
    shown = order
    if len(order) > 2 * SHOWN_BARS:
        shown = np.concatenate([order[:SHOWN_BARS], order[-SHOWN_BARS:]])
    best, worst = (names[order[end]] for end in (0, -1))
    return Figure(
        f"{of}_bias",
        f"Best and worst by bias: {of}",
        f"What is left of the ratings of each {of} when tastes are taken out: {best} is liked even by those "
        f"whose taste it is not, {worst} is disliked even by those whose taste it is. Only those with "
        f"{counts[known].min()} ratings or more are shown.",
        Bars(tuple(names[one] for one in shown), tuple(float(bias[one]) for one in shown), axis="bias"),
    )


def plane_figure(names: tuple[str, ...], factors: Floats, counts: Ints, *, of: str) -> Figure:
    """The most frequent on the plane that keeps most of their differences (principal components)."""
    shown = np.argsort(-counts, kind="stable")[:SHOWN_POINTS]
    centred = factors[shown] - factors[shown].mean(0)
    _, sizes, directions = np.linalg.svd(centred, full_matrices=False)
    directions = directions * np.sign(directions.sum(1, keepdims=True) + 1e-12)
    places = centred @ directions[:2].T
    places = np.pad(places, ((0, 0), (0, 2 - places.shape[1])))
    total = float((sizes**2).sum())
    kept = float((sizes[:2] ** 2).sum()) / total if total > 0 else 1.0
    return Figure(
        f"{of}_plane",
        f"Tastes: {of} by factors",
        f"Of the {len(shown)} most frequent, those that lie near each other are liked by the same people. "
        f"The plane keeps {kept:.0%} of the differences among their factors.",
        Points(
            tuple(map(float, places[:, 0])),
            tuple(map(float, places[:, 1])),
            tuple(names[one] for one in shown),
            (),
            x_axis="first principal component",
            y_axis="second principal component",
        ),
    )


def neighbours_figure(names: tuple[str, ...], factors: Floats, counts: Ints, *, of: str) -> Figure:
    """What is most like each of the most frequent ones, by the cosine of factors (1: the same direction)."""
    known = _known(counts)
    asked = np.argsort(-counts, kind="stable")[:SHOWN_NEIGHBOURS]
    lengths = np.linalg.norm(factors, axis=1, keepdims=True)
    directions = factors / np.where(lengths > 0, lengths, 1.0)
    likeness = directions[asked] @ directions[known].T  # (shown, known)
    likeness[asked[:, None] == known[None, :]] = -np.inf
    nearest = np.argsort(-likeness, axis=1, kind="stable")[:, : min(NEIGHBOURS, len(known) - 1)]
    rows = tuple(
        (names[one], *(f"{names[known[at]]} ({likeness[row, at]:.2f})" for at in nearest[row]))
        for row, one in enumerate(asked)
    )
    return Figure(
        f"{of}_neighbours",
        f"Nearest neighbours: {of}",
        f"Whoever likes the {of} on the left tends to like those on its right; the number is the cosine of "
        "their factors, 1 for the same direction.",
        Table((of, *("nearest", "second", "third")[: nearest.shape[1]]), rows),
    )


def _known(counts: Ints) -> Ints:
    """Places of those with rows enough; of all, where none has."""
    enough = counts >= max(FEWEST_ROWS, float(np.quantile(counts, WELL_KNOWN)))
    return np.flatnonzero(enough) if enough.sum() > 1 else np.arange(len(counts))
