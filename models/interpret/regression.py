"""How predicted numbers miss: against the actual ones, along the prediction, and the largest misses."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.figures import Bars, Figure, Points
from models.interpret.losses import MOST_ROWS, NAME, TITLE, hardest, loss_table
from models.metrics import mean_estimate

MOST_POINTS = 500
PARTS = 10


def figures_of(
    actual: npt.ArrayLike,
    predicted: npt.ArrayLike,
    unit: str,
    row_ids: Sequence[str],
    rows: pa.Table,
) -> list[Figure]:
    """Predicted against actual, residuals and top losses of one target, with `actual` and `predicted` `(N,)`.

    `unit` names the target and its unit ("arrival delay, minutes"). Rows whose prediction is NaN are left
    out. The points are at most 500, spread evenly over the rows.
    """
    y, p = np.asarray(actual, float), np.asarray(predicted, float)
    known = np.flatnonzero(~(np.isnan(y) | np.isnan(p)))
    ids = [row_ids[int(row)] for row in known]
    return [
        predicted_and_actual(y[known], p[known], unit, ids),
        residuals(y[known], p[known], unit),
        largest_errors(y[known], p[known], ids, rows.take(known)),
    ]


def predicted_and_actual(
    actual: npt.NDArray[np.float64], predicted: npt.NDArray[np.float64], unit: str, row_ids: Sequence[str]
) -> Figure:
    """Figure "predicted_actual": a point a row; a perfect model has them all on the diagonal."""
    shown = np.unique(np.linspace(0, len(actual) - 1, min(MOST_POINTS, len(actual))).round().astype(np.int64))
    if len(actual):
        half = float(np.median(np.abs(actual - predicted)))
        sentence = f"Half of the predictions lie within {half:.3g} of the diagonal, where they are right."
    else:
        sentence = "There are no validation rows to compare."
    body = Points(
        tuple(actual[shown].tolist()),
        tuple(predicted[shown].tolist()),
        tuple(row_ids[int(row)] for row in shown),
        (),
        f"actual ({unit})",
        f"predicted ({unit})",
    )
    return Figure("predicted_actual", "Predicted and actual", sentence, body)


def residuals(actual: npt.NDArray[np.float64], predicted: npt.NDArray[np.float64], unit: str) -> Figure:
    """Figure "residuals": mean of actual minus predicted in ten equally full parts of the predictions.

    Bars bear the 95 % interval of the mean; all around 0 is unbiased. Fewer than ten rows make fewer parts.
    """
    order = np.argsort(predicted, kind="stable")
    parts = [part for part in np.array_split(order, PARTS) if len(part)]
    means = [mean_estimate((actual - predicted)[part]) for part in parts]
    names = tuple(f"{predicted[part[0]]:.3g} to {predicted[part[-1]]:.3g}" for part in parts)
    beyond = [
        f"{name} ({'too low' if mean.value > 0 else 'too high'} by {abs(mean.value):.3g})"
        for name, mean in zip(names, means, strict=True)
        if mean.lower > 0 or mean.upper < 0
    ]
    if not parts:
        sentence = "There are no validation rows to compare."
    elif beyond:
        sentence = f"On average it predicts wrongly, beyond chance, where it says {'; '.join(beyond)}."
    else:
        sentence = "Nowhere along the predictions is it too high or too low on average, beyond chance."
    body = Bars(
        names,
        tuple(mean.value for mean in means),
        f"mean of actual minus predicted ({unit})",
        tuple(mean.lower for mean in means),
        tuple(mean.upper for mean in means),
    )
    return Figure("residuals", "Too high or too low?", sentence, body)


def largest_errors(
    actual: npt.NDArray[np.float64],
    predicted: npt.NDArray[np.float64],
    row_ids: Sequence[str],
    rows: pa.Table,
    *,
    most: int = MOST_ROWS,
) -> Figure:
    """Figure "top_losses": the rows with the largest absolute errors, with what is in them."""
    error = np.abs(actual - predicted)
    chosen = hardest(error, most)
    body = loss_table(
        ("error", "is", "said"),
        [(float(error[row]), float(actual[row]), float(predicted[row])) for row in chosen],
        [row_ids[row] for row in chosen],
        rows.take(chosen),
    )
    if len(chosen):
        part = error[chosen].sum() / error.sum() if error.sum() else 0.0
        sentence = f"These {len(chosen)} of {len(actual):,} validation rows make {part:.0%} of all the error."
    else:
        sentence = "There are no validation rows to look at."
    return Figure(NAME, TITLE, sentence, body)
