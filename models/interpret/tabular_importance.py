"""How much a model leans on each column: how far its loss grows when the column's values are shuffled.

Source: Breiman, "Random Forests", 2001, section 10; Fisher, Rudin and Dominici, 2019. Columns that say the
same share their importance, so that each may look unimportant: see `models.interpret.tabular_columns`.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.assess import row_losses
from models.data.table_spec import label_of
from models.data.tabular import TabularRows
from models.figures import Bars, Figure
from models.metrics import CONFIDENCE
from models.recipe import REGRESSION
from models.tabular_model import TabularModel

REPEATS = 5
PREDICTIONS = 400_000
FEWEST_ROWS = 200
SHOWN = 30


@dataclass(frozen=True)
class Importance:
    """Growth of the mean loss for each of `names`, greatest first, with its interval over the repeats.

    0: shuffled or not makes no difference; below 0 by chance alone. `loss` is that of the rows as they are.
    """

    names: tuple[str, ...]
    growth: npt.NDArray[np.float64]
    lower: npt.NDArray[np.float64]
    upper: npt.NDArray[np.float64]
    loss: float


def importance(
    model: TabularModel, rows: TabularRows, generator: np.random.Generator, *, repeats: int = REPEATS
) -> Importance:
    """Shuffles each input `repeats` times among the labelled `rows`; of many columns on fewer rows,
    at least 200. The interval is Student's over the repeats.
    """
    from scipy.stats import t

    schema, problem = model.spec.schema, model.spec.problem
    most = max(PREDICTIONS // (len(schema.names) * repeats), FEWEST_ROWS)
    rows = rows.take(np.arange(min(len(rows), most)))
    label = label_of(rows)
    loss = float(row_losses(problem, label, model.predict(rows)).mean())
    growth = np.empty((len(schema.names), repeats))
    for place, name in enumerate(schema.names):
        values = rows.column(schema, name)
        for repeat in range(repeats):
            shuffled = rows.with_column(schema, name, generator.permutation(values))
            growth[place, repeat] = row_losses(problem, label, model.predict(shuffled)).mean() - loss
    mean = growth.mean(1)
    half = t.ppf((1 + CONFIDENCE) / 2, repeats - 1) * growth.std(1, ddof=1) / math.sqrt(repeats)
    order = np.argsort(-mean, kind="stable")
    names = tuple(schema.names[place] for place in order)
    return Importance(names, mean[order], (mean - half)[order], (mean + half)[order], loss)


def importance_figure(model: TabularModel, found: Importance) -> Figure:
    """The columns as bars, greatest first, at most 30."""
    shown = slice(SHOWN)
    least = [name for name, upper in zip(found.names, found.upper, strict=True) if upper <= 0.01 * found.loss]
    first = (
        f"Shuffling {found.names[0]} costs most: the loss of {found.loss:.3g} grows by {found.growth[0]:.3g}."
        if found.growth[0] > 0
        else "No column matters: shuffled or not, the loss is the same."
    )
    spare = f" {len(least)} of {len(found.names)} could be left out at little loss." if least else ""
    unit = "squared error" if model.spec.problem.kind == REGRESSION else "negative log likelihood, nats"
    return Figure(
        "importance",
        "What the model leans on",
        first + spare,
        Bars(
            found.names[shown],
            tuple(found.growth[shown].tolist()),
            f"growth of the loss ({unit}) when the column is shuffled",
            tuple(found.lower[shown].tolist()),
            tuple(found.upper[shown].tolist()),
        ),
    )
