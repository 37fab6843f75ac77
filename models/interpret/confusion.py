"""What is taken for what: the confusion matrix, the pairs that are confused most, and each class's rates.

All start from `confusion_counts`, int64 `(C, C)`: rows by true class, columns by predicted class. Intervals
are Wilson's of 1927, 95 %.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from models.figures import Bars, Figure, Matrix, Table
from models.metrics import Z

MOST_CLASSES = 60
"""A matrix past this many classes shows those with the most errors alone."""

Counts = npt.NDArray[np.int64]


def confusion_counts(label: npt.ArrayLike, predicted: npt.ArrayLike, class_count: int) -> Counts:
    """Rows by true class (down) and predicted class (across), int64 `(C, C)`; all 0 without rows.

    `label` and `predicted` are int `(N,)`. Raises `ValueError` for a class that is not in 0 to C - 1.
    """
    pairs = np.stack([np.asarray(label, np.int64), np.asarray(predicted, np.int64)])
    if pairs.size and not (pairs.min() >= 0 and pairs.max() < class_count):
        raise ValueError(f"classes must be from 0 to {class_count - 1}")
    flat = np.bincount(pairs[0] * class_count + pairs[1], minlength=class_count**2)
    return flat.reshape(class_count, class_count)


def confusion_matrix(counts: Counts, classes: Sequence[str]) -> Figure:
    """Figure "confusion": all counts, or those of the `MOST_CLASSES` classes with the most errors."""
    shown = _most_erring(counts)
    names = tuple(classes[one] for one in shown)
    part = counts[np.ix_(shown, shown)]
    total, right = int(counts.sum()), int(np.trace(counts))
    if not total:
        sentence = "There are no validation rows to compare."
    else:
        sentence = (
            f"{right:,} of {total:,} validation rows are on the diagonal: what was said is what is true."
        )
    if len(shown) < len(classes):
        sentence += f" Of {len(classes):,} classes the {len(shown)} with the most errors are shown."
    values = tuple(tuple(float(count) for count in row) for row in part)
    return Figure("confusion", "What is taken for what", sentence, Matrix(names, names, values, "is", "said"))


def most_confused(counts: Counts, classes: Sequence[str], *, most: int = 15) -> Figure:
    """Figure "most_confused": the ordered pairs with the most errors, of those that happened at all."""
    errors = counts.copy()
    np.fill_diagonal(errors, 0)
    order = np.argsort(-errors, axis=None, kind="stable")[:most]
    pairs = [divmod(int(place), len(classes)) for place in order if errors.flat[place]]
    of_class = counts.sum(1)
    rows = tuple(
        (classes[true], classes[said], float(errors[true, said]), float(errors[true, said] / of_class[true]))
        for true, said in pairs
    )
    if pairs:
        true, said = pairs[0]
        sentence = (
            f"Most often “{classes[true]}” is taken for “{classes[said]}”: {errors[true, said]:,} of "
            f"{of_class[true]:,} times."
        )
    else:
        sentence = "No validation row was taken for another class."
    columns = ("is", "said", "times", "share of its class")
    return Figure("most_confused", "Most confused", sentence, Table(columns, rows))


def class_rates(counts: Counts, classes: Sequence[str]) -> list[Figure]:
    """Figures "recall" and "precision": one bar a class, worst first, with Wilson's interval.

    Recall is the share of a class's rows that are found, precision the share of what is called so that is so:
    1 is perfect. A class without such rows has no bar.
    """
    right = np.diag(counts)
    return [
        rate_bars(
            right,
            counts.sum(1),
            classes,
            name="recall",
            title="How much of each class is found",
            axis="share found",
        ),
        rate_bars(
            right,
            counts.sum(0),
            classes,
            name="precision",
            title="How often each class is right when it is said",
            axis="share right",
        ),
    ]


def rate_bars(
    hits: npt.ArrayLike, of: npt.ArrayLike, classes: Sequence[str], *, name: str, title: str, axis: str
) -> Figure:
    """Bars of `hits / of`, both int `(C,)`, lowest first, at most `MOST_CLASSES`; no bar where `of` is 0."""
    hit, all_of = np.asarray(hits, float), np.asarray(of, float)
    there = np.flatnonzero(all_of)
    share = hit[there] / all_of[there]
    order = np.argsort(share, kind="stable")[:MOST_CLASSES]
    shown = there[order]
    lower, upper = wilson(hit[shown], all_of[shown])
    if len(shown):
        worst = shown[0]
        sentence = (
            f"Lowest is “{classes[worst]}”: {hit[worst]:,.0f} of {all_of[worst]:,.0f} "
            f"({share[order[0]]:.0%}; 95 % interval {lower[0]:.0%} to {upper[0]:.0%})."
        )
    else:
        sentence = "There are no rows to count."
    if silent := len(classes) - len(there):
        sentence += f" {silent} of {len(classes)} classes have no such rows, and no bar."
    body = Bars(
        tuple(classes[one] for one in shown),
        tuple(share[order].tolist()),
        axis,
        tuple(lower.tolist()),
        tuple(upper.tolist()),
    )
    return Figure(name, title, sentence, body)


def wilson(
    hits: npt.NDArray[np.float64], of: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Ends of Wilson's 95 % interval of the shares `hits / of`, each `(C,)`, from 0 to 1; `of` is above 0."""
    share = hits / of
    middle = (share + Z**2 / (2 * of)) / (1 + Z**2 / of)
    half = Z / (1 + Z**2 / of) * np.sqrt(share * (1 - share) / of + Z**2 / (4 * of**2))
    return np.clip(middle - half, 0, 1), np.clip(middle + half, 0, 1)


def _most_erring(counts: Counts) -> npt.NDArray[np.int64]:
    """Places of the classes to show, in their own order."""
    errors = counts.sum(0) + counts.sum(1) - 2 * np.diag(counts)
    worst: npt.NDArray[np.int64] = np.sort(np.argsort(-errors, kind="stable")[:MOST_CLASSES])
    return worst
