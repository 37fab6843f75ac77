"""What columns say: the same as others, suspiciously much of the target, or which part a row is of.

Sources: Howard and Gugger, "Deep Learning for Coders", chapter 9 (redundant columns, leakage, rows out of the
domain); Spearman 1904; scipy's `linkage`, by average.
"""

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.data.table_spec import TableSpec, label_of
from models.data.tabular import TabularRows, TabularSchema
from models.figures import Bars, Dendrogram, Figure
from models.metrics import Estimate, auc
from models.recipe import MULTICLASS, REGRESSION
from models.tabular_model import is_missing

if TYPE_CHECKING:
    from models.interpret.tabular import Part

Floats = npt.NDArray[np.float64]

MOST_COLUMNS = 60
NEARLY_THE_SAME = 0.9
"""Rank correlation, without its sign, from which two columns are called nearly the same."""
NEARLY_ALL = 0.8
"""Share of the target's variance that one column may explain before it is suspected."""
SHOULD_BE_NOTHING = 0.1
"""The same, of an id or of the rows' order."""
FEWEST_ROWS = 50
DOMAIN_ROWS = 2_500


def column_matrix(rows: TabularRows, schema: TabularSchema) -> Floats:
    """Every input as a number, float64 `(N, C)`: categories by their place in the alphabet, times in
    microseconds; NaN missing.
    """
    columns = []
    for name in schema.names:
        values = rows.column(schema, name)
        missing = is_missing(values)
        numbers = np.unique(values, return_inverse=True)[1] if values.dtype == object else values
        columns.append(np.where(missing, np.nan, numbers.astype(np.float64)))
    return np.stack(columns, axis=1)


def rank_correlation(matrix: Floats) -> Floats:
    """Spearman's correlation of each pair of columns, `(C, C)`, from -1 to 1; a missing value stands in the
    middle, and a column that never changes has 0 with all others.
    """
    from scipy.stats import rankdata

    ranks = rankdata(matrix, axis=0, nan_policy="omit")
    middle = (np.sum(~np.isnan(ranks), axis=0) + 1) / 2
    centred = np.where(np.isnan(ranks), 0.0, ranks - middle)
    length = np.sqrt((centred**2).sum(0))
    safe = np.where(length > 0, length, 1.0)
    found = (centred / safe).T @ (centred / safe)
    np.fill_diagonal(found, 1.0)
    return np.asarray(np.clip(found, -1.0, 1.0))


def redundancy_figure(schema: TabularSchema, rows: TabularRows) -> Figure:
    """Figure "redundant_columns": columns joined by how much they say the same, of many the 60 likest; at
    least two columns.
    """
    from scipy.cluster.hierarchy import linkage
    from scipy.spatial.distance import squareform

    likeness = np.abs(rank_correlation(column_matrix(rows, schema)))
    nearest = (likeness - np.eye(len(likeness))).max(1)
    shown = np.sort(np.argsort(-nearest, kind="stable")[:MOST_COLUMNS])
    likeness = likeness[np.ix_(shown, shown)]
    names = tuple(schema.names[place] for place in shown)
    apart = 1.0 - likeness
    np.fill_diagonal(apart, 0.0)
    merges = linkage(squareform(apart, checks=False), method="average")
    pairs = np.triu(likeness, 1)
    first, second = np.unravel_index(int(pairs.argmax()), pairs.shape)
    closest = f"{names[first]} and {names[second]}"
    if pairs.max() >= NEARLY_THE_SAME:
        count = int((pairs >= NEARLY_THE_SAME).sum())
        sentence = (
            f"{closest} say nearly the same (rank correlation {pairs.max():.2f}, its sign aside); "
            f"{count} pairs do. Try to leave one of each out."
        )
    else:
        sentence = (
            f"No two columns say the same; the likest are {closest} (rank correlation {pairs.max():.2f}, "
            "its sign aside)."
        )
    body = Dendrogram(
        names,
        tuple((int(one), int(other), float(height)) for one, other, height, _ in merges),
        "1 - rank correlation",
    )
    return Figure("redundant_columns", "Columns that say the same", sentence, body)


@dataclass(frozen=True)
class Leakage:
    """`explained`: the share of the target's variance among the validation rows that each of `names` explains
    alone, greatest first: 1 all of it, 0 nothing. `suspects` are among them, with why.
    """

    names: tuple[str, ...]
    explained: Floats
    suspects: dict[str, str]


def leakage(spec: TableSpec, train: "Part", valid: "Part") -> Leakage:
    """Fits a small tree to each column alone (also the ids and the rows' order, which should say nothing).

    Of classes and labels the variance is that of their indicators, so that the share is Brier's skill score.
    With fewer than 50 rows in a part nothing is suspected.
    """
    from sklearn.tree import DecisionTreeRegressor

    if min(len(train.rows), len(valid.rows)) < FEWEST_ROWS:
        return Leakage((), np.empty(0), {})
    target, valid_target = (_indicators(spec, label_of(part.rows)) for part in (train, valid))
    inputs = dict(zip(spec.schema.names, _both(spec, train.rows, valid.rows), strict=True))
    others = {"the order of the rows": (train.places.astype(float), valid.places.astype(float))}
    if spec.problem.id_column in train.table.column_names:
        name = spec.problem.id_column
        others[name] = (_numbers_in(train.table.column(name)), _numbers_in(valid.table.column(name)))
    explained = {}
    for name, (seen, unseen) in (inputs | others).items():
        tree = DecisionTreeRegressor(max_depth=5, min_samples_leaf=max(len(target) // 100, 5), random_state=0)
        said = tree.fit(seen[:, None], target).predict(unseen[:, None]).reshape(valid_target.shape)
        explained[name] = _share_explained(valid_target, said)
    order = sorted(explained, key=lambda name: -explained[name])
    suspects = {name: "tells nearly all by itself" for name in inputs if explained[name] >= NEARLY_ALL}
    suspects |= {
        name: "should tell nothing and does" for name in others if explained[name] >= SHOULD_BE_NOTHING
    }
    return Leakage(tuple(order), np.array([explained[name] for name in order]), suspects)


def leakage_figure(found: Leakage) -> Figure:
    """Figure "leakage": what each column explains alone, at most 30."""
    if not found.names:
        sentence = f"There are too few rows to look for leaks; {FEWEST_ROWS} in each part are needed."
    elif found.suspects:
        named = "; ".join(f"{name} {why}" for name, why in found.suspects.items())
        sentence = (
            f"Look for a leak: {named}. Would it be known, and the same, when the prediction is needed? "
            "If not, leave it out."
        )
    else:
        sentence = (
            f"No column tells nearly all by itself: {found.names[0]} alone explains most, "
            f"{max(found.explained[0], 0.0):.0%} of the target's variance."
        )
    bars = Bars(
        found.names[:30], tuple(found.explained[:30].tolist()), "share of the variance explained alone"
    )
    return Figure("leakage", "Does a column give the answer away?", sentence, bars)


@dataclass(frozen=True)
class Domain:
    """How well training rows can be told from validation rows: `auc` 0.5 not at all, 1 always; `weights` of
    the columns sum to 1, greatest first.
    """

    auc: Estimate
    names: tuple[str, ...]
    weights: Floats


def train_or_validation(schema: TabularSchema, train: TabularRows, valid: TabularRows) -> Domain:
    """Grows a forest on which part a row is of, judged out of bag, with as many rows of either part, at most
    2,500. Unknown with fewer than 50 rows in a part.
    """
    from sklearn.ensemble import RandomForestClassifier

    count = min(len(train), len(valid), DOMAIN_ROWS)
    if count < FEWEST_ROWS:
        return Domain(Estimate(math.nan, count=count, warnings=("too few rows",)), (), np.empty(0))
    parts = [rows.take(np.linspace(0, len(rows) - 1, count).astype(np.int64)) for rows in (train, valid)]
    together = TabularRows(
        numeric=np.concatenate([part.numeric for part in parts]),
        code=np.concatenate([part.code for part in parts]),
        category=np.concatenate([part.category for part in parts]),
        time=np.concatenate([part.time for part in parts]),
    )
    matrix = column_matrix(together, schema).astype(np.float32)
    matrix[:, np.isnan(matrix).all(0)] = 0.0
    is_valid = np.repeat([0, 1], count)
    forest = RandomForestClassifier(
        50, min_samples_leaf=10, oob_score=True, bootstrap=True, max_features=0.5, random_state=0
    ).fit(matrix, is_valid)
    order = np.argsort(-forest.feature_importances_, kind="stable")
    return Domain(
        auc(is_valid, forest.oob_decision_function_[:, 1]),
        tuple(schema.names[place] for place in order),
        forest.feature_importances_[order],
    )


def domain_figure(found: Domain) -> Figure:
    """Figure "domain": what tells the validation rows from the training rows, at most 30 columns."""
    if not found.names:
        sentence = f"There are too few rows to compare the parts; {FEWEST_ROWS} in each are needed."
    elif found.auc.lower <= 0.5 or found.auc.value < 0.55:
        sentence = (
            f"Training and validation rows look alike (AUC {found.auc.value:.2f}, where 0.5 is chance): what "
            "is measured here speaks for rows like those of training alone."
        )
    else:
        sentence = (
            f"A forest tells validation rows from training rows (AUC {found.auc.value:.2f}), most by "
            f"{found.names[0]}: the model is judged on rows unlike those it has seen. Leave the column "
            "out, or older rows, where the loss does not grow by it."
        )
    bars = Bars(found.names[:30], tuple(found.weights[:30].tolist()), "weight in telling the parts apart")
    return Figure("domain", "Are validation rows like training rows?", sentence, bars)


def _both(spec: TableSpec, train: TabularRows, valid: TabularRows) -> list[tuple[Floats, Floats]]:
    """Each input of both parts as numbers of one scale, `(N,)`; categories by their training rows' mean
    target.
    """
    found = []
    mean_target = _indicators(spec, label_of(train))[:, 0]
    for name in spec.schema.names:
        seen, unseen = train.column(spec.schema, name), valid.column(spec.schema, name)
        if seen.dtype == object:
            values, place = np.unique(seen, return_inverse=True)
            means = np.bincount(place, mean_target) / np.bincount(place)
            at = np.searchsorted(values, unseen).clip(max=len(values) - 1)
            found.append((means[place], np.where(values[at] == unseen, means[at], np.nan)))
        else:
            found.append((_with_holes(seen), _with_holes(unseen)))
    return found


def _with_holes(values: npt.NDArray[Any]) -> Floats:
    return np.where(is_missing(values), np.nan, values.astype(np.float64))


def _indicators(spec: TableSpec, label: npt.NDArray[Any]) -> Floats:
    """The target as numbers, `(N, W)`: one a class or label."""
    if spec.target.kind == REGRESSION:
        return spec.target.learnt(label)
    if spec.target.kind == MULTICLASS:
        return np.asarray(label[:, None] == np.arange(spec.target.width), np.float64)
    return label.reshape(len(label), -1).astype(np.float64)


def _share_explained(actual: Floats, said: Floats) -> float:
    spread = float(((actual - actual.mean(0)) ** 2).sum())
    return 1 - float(((actual - said) ** 2).sum()) / spread if spread > 0 else 0.0


def _numbers_in(column: pa.ChunkedArray) -> Floats:
    """The number in each id, the last one of a text; NaN where there is none."""
    found = [re.findall(r"\d+", str(value)) for value in column.to_pylist()]
    return np.array([float(numbers[-1][:15]) if numbers else math.nan for numbers in found])
