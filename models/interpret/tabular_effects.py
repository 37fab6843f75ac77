"""What a column does to predictions: on average over rows, and for single rows.

Sources: Friedman 2001 (partial dependence); Goldstein and others 2015 (lines of single rows); Saabas 2014
(contributions along a tree's path: `models.trees.nodes`); Štrumbelj and Kononenko 2010 (sampled Shapley
values, for models that are no trees).
"""

import numpy as np
import numpy.typing as npt

from models.data.tabular import TabularRows
from models.figures import Bars, Figure, Lines, Table
from models.recipe import BINARY, REGRESSION
from models.tabular_model import TabularModel, is_missing

Floats = npt.NDArray[np.float64]

DEPENDENCE_ROWS = 300
PLACES, SINGLE_ROWS, VALUES_SHOWN, CLASSES_SHOWN = 20, 6, 15, 6
EXPLAINED_ROWS, PERMUTATIONS, PUSHES = 8, 30, 4
ITS_UNIT = "its own unit"


def partial_dependence(
    model: TabularModel, rows: TabularRows, name: str, generator: np.random.Generator
) -> Figure:
    """Figure "partial_dependence_{name}": predictions when the input has the same value in all of at most 300
    rows, over its values. Of numbers and times lines, with some single rows beside the mean; of codes and
    categories bars of the most frequent values.
    """
    schema = model.spec.schema
    rows = rows.take(np.sort(generator.permutation(len(rows))[:DEPENDENCE_ROWS]))
    values = rows.column(schema, name)
    present = values[~is_missing(values)]
    kind = schema.place(name)[0]
    title = f"What {name} does"
    figure_name = f"partial_dependence_{name}"
    if not len(np.unique(present)):
        return Figure(figure_name, title, f"{name} has no values to vary.", Bars((), (), _unit(model)))
    if kind in ("code", "category"):
        known, counts = np.unique(present, return_counts=True)
        grid = known[np.sort(np.argsort(-counts, kind="stable")[:VALUES_SHOWN])]
    else:
        grid = np.unique(np.quantile(present, np.linspace(0.02, 0.98, PLACES), method="nearest"))
    found = np.stack([_outputs(model, rows.with_column(schema, name, value)) for value in grid])  # (G, N, W)
    mean = found.mean(1)
    watched = int(np.ptp(mean, axis=0).argmax())
    low, high = int(mean[:, watched].argmin()), int(mean[:, watched].argmax())
    labels = _labels(kind, grid)
    sentence = (
        f"All else as it is, the {_unit(model, watched)} is least at {labels[low]} "
        f"({mean[low, watched]:.3g}) and greatest at {labels[high]} ({mean[high, watched]:.3g})."
    )
    if kind in ("code", "category"):
        bars = Bars(tuple(labels), tuple(mean[:, watched].tolist()), f"mean {_unit(model, watched)}")
        return Figure(figure_name, title, sentence, bars)
    x = grid.astype(np.float64) if kind == "numeric" else grid / 3.15576e13 + 1970.0
    lines = [("mean", mean[:, watched])]
    if found.shape[2] == 1:
        lines += [(f"row {row + 1}", found[:, row, 0]) for row in range(min(SINGLE_ROWS, len(rows)))]
    else:
        most = np.argsort(-np.ptp(mean, axis=0), kind="stable")[:CLASSES_SHOWN]
        lines = [(model.spec.target.column_names[output], mean[:, output]) for output in most]
    body = Lines(
        tuple(x.tolist()),
        tuple((label, tuple(line.tolist())) for label, line in lines),
        name if kind == "numeric" else f"{name}, year",
        _unit(model, watched) if found.shape[2] == 1 else "mean prediction",
    )
    return Figure(figure_name, title, sentence, body)


def contributions_figure(
    model: TabularModel,
    train: TabularRows,
    rows: TabularRows,
    ids: list[str],
    generator: np.random.Generator,
) -> Figure:
    """Figure "contributions": for eight rows, from the lowest to the highest prediction, what pushes it up
    and down from that of an average row; where the model is of several (trees, members), how far they are
    apart.
    """
    outputs = _outputs(model, rows)
    watched = int(outputs.std(0).argmax())
    order = np.argsort(outputs[:, watched], kind="stable")
    chosen = order[np.unique(np.linspace(0, len(order) - 1, EXPLAINED_ROWS).round().astype(np.int64))]
    part = rows.take(chosen)
    pushes, unit = contributions(model, train, part, watched, generator)
    apart = spread(model, part)
    cells = []
    for row, place in enumerate(chosen):
        by_size = np.argsort(-np.abs(pushes[row]), kind="stable")[:PUSHES]
        said = [f"{_value(model, part, row, column)} ({pushes[row, column]:+.3g})" for column in by_size]
        ups = [text for text, column in zip(said, by_size, strict=True) if pushes[row, column] > 0]
        downs = [text for text, column in zip(said, by_size, strict=True) if pushes[row, column] < 0]
        between = float(apart[row, watched]) if apart is not None else ""
        cells.append((ids[place], float(outputs[place, watched]), between, "; ".join(ups), "; ".join(downs)))
    sentence = (
        f"What moves the {_unit(model, watched)} of single rows away from that of an average row, in {unit}; "
        f"the {PUSHES} strongest of each row."
    )
    columns = ("row", _unit(model, watched), "models within are apart by", "pushes up", "pushes down")
    return Figure("contributions", "Why single rows are judged so", sentence, Table(columns, tuple(cells)))


def contributions(
    model: TabularModel,
    train: TabularRows,
    rows: TabularRows,
    output: int,
    generator: np.random.Generator,
) -> tuple[Floats, str]:
    """What each input adds to one output for each row, `(N, C)` in the order of the schema's names, and its
    unit.

    Of trees along the paths, in what they sum; of other models by Shapley values sampled over 30 orders of
    the columns, each against a training row, in the output's own unit.
    """
    from models.trees.fitted import FittedTrees

    names = model.spec.schema.names
    if isinstance(model, FittedTrees):
        matrix = model.features.matrix(model.spec.expand(rows))
        by_feature = model.nodes().contributions(matrix)[:, :, output]
        found = np.zeros((len(rows), len(names)))
        for feature, source in enumerate(model.features.sources):
            found[:, names.index(source)] += by_feature[:, feature]
        if model.link:
            return found, "log odds"
        return found, "its logarithm" if model.spec.target.logarithmic else ITS_UNIT
    return sampled_shapley(model, train, rows, output, generator), ITS_UNIT


def sampled_shapley(
    model: TabularModel,
    train: TabularRows,
    rows: TabularRows,
    output: int,
    generator: np.random.Generator,
    *,
    permutations: int = PERMUTATIONS,
) -> Floats:
    """Shapley values of each input for each row, `(N, C)`: the mean change of the output when the input is
    taken from the row and no longer from a training row, over random orders of the inputs. Their sum is the
    row's output less the mean of the training rows that were drawn.
    """
    schema = model.spec.schema
    names, count = schema.names, len(rows)
    width = len(names)
    orders = generator.permuted(np.tile(np.arange(width), (count * permutations, 1)), axis=1)
    rank = np.argsort(orders, axis=1)
    steps = np.arange(width + 1)
    # (N * P, C + 1, C): whether a column is the row's own after so many steps
    own = rank[:, None, :] < steps[None, :, None]
    row_of = np.repeat(np.arange(count), permutations * (width + 1))
    drawn = np.repeat(generator.integers(0, len(train), count * permutations), width + 1)
    mixed, flat = train.take(drawn), own.reshape(-1, width)
    given = rows.take(row_of)
    for place, name in enumerate(names):
        values = np.where(flat[:, place], given.column(schema, name), mixed.column(schema, name))
        mixed = mixed.with_column(schema, name, values)
    outputs = _outputs(model, mixed)[:, output].reshape(count * permutations, width + 1)
    change = np.diff(outputs, axis=1)
    by_column = np.take_along_axis(change, rank, axis=1)
    return np.asarray(by_column.reshape(count, permutations, width).mean(1))


def spread(model: TabularModel, rows: TabularRows) -> Floats | None:
    """How far a forest's trees or an ensemble's members are apart, `(N, W)`: the standard deviation of what
    they learn; `None` for other models.
    """
    from models.ensemble import FittedEnsemble
    from models.trees.forest import FittedRandomForest

    expanded = model.spec.expand(rows)
    if isinstance(model, FittedRandomForest):
        return model.spread(expanded)
    if isinstance(model, FittedEnsemble):
        each = np.stack([member.learnt(expanded) for member in model.members])
        return np.asarray(each.std(0), np.float64)
    return None


def _outputs(model: TabularModel, rows: TabularRows) -> Floats:
    """Predictions as float64 `(N, W)`."""
    return model.predict(rows).astype(np.float64).reshape(len(rows), -1)


def _unit(model: TabularModel, output: int = 0) -> str:
    """What an output is, for people."""
    target = model.spec.target
    if target.kind == REGRESSION:
        return f"predicted {target.names[output]}"
    if target.kind == BINARY:
        return f"probability of {model.spec.problem.target.positive_value}"
    return f"probability of {target.classes[output]}"


def _labels(kind: str, grid: npt.NDArray[np.object_] | npt.NDArray[np.float64]) -> list[str]:
    if kind == "time":
        return [str(np.datetime64(int(value), "us").astype("datetime64[D]")) for value in grid]
    return [f"{value:.4g}" if kind == "numeric" else str(value) for value in grid]


def _value(model: TabularModel, rows: TabularRows, row: int, column: int) -> str:
    name = model.spec.schema.names[column]
    values = rows.column(model.spec.schema, name)[row : row + 1]
    if is_missing(values)[0]:
        return f"{name} missing"
    return f"{name} {_labels(model.spec.schema.place(name)[0], values)[0]}"
