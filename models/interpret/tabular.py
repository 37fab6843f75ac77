"""Looks inside a model of a table, put together: each is a pure function of its own module.

What is looked at is a sample of the rows, drawn by a fixed seed, so that the time is bounded however many
rows there are, and the same version has the same figures.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.data.table_spec import label_of
from models.data.tabular import TabularRows
from models.figures import Figure
from models.interpret import confusion, losses, regression
from models.interpret.tabular_columns import (
    domain_figure,
    leakage,
    leakage_figure,
    redundancy_figure,
    train_or_validation,
)
from models.interpret.tabular_effects import contributions_figure, partial_dependence
from models.interpret.tabular_embeddings import embedding_figures
from models.interpret.tabular_importance import importance, importance_figure
from models.recipe import BINARY, MULTICLASS, REGRESSION, Problem
from models.tabular_model import TabularModel

SEED = 0
ROWS = 5_000
EFFECTS = 4


@dataclass(frozen=True)
class Part:
    """Rows that are looked at. `places` are their places in the whole part, `(N,)`."""

    table: pa.Table
    rows: TabularRows
    places: npt.NDArray[np.int64]

    @classmethod
    def sample(cls, table: pa.Table, problem: Problem) -> "Part":
        """At most 5,000 rows, at random by a fixed seed, in their order."""
        places = np.arange(table.num_rows)
        if len(places) > ROWS:
            places = np.sort(np.random.default_rng(SEED).choice(places, ROWS, replace=False))
            table = table.take(pa.array(places))
        return cls(table, TabularRows.of(table, problem), places)

    def ids(self, problem: Problem) -> list[str]:
        """What each row is called: its id, where the task has one, else its number."""
        if problem.id_column in self.table.column_names:
            return [str(value) for value in self.table.column(problem.id_column).to_pylist()]
        return [str(place) for place in self.places]


def figures_of(model: TabularModel, train: pa.Table, valid: pa.Table) -> list[Figure]:
    """All that this kind of model has to show, most telling first; empty without validation rows."""
    problem = model.spec.problem
    if not valid.num_rows:
        return []
    return list(_figures(model, Part.sample(train, problem), Part.sample(valid, problem)))


def _figures(model: TabularModel, train: Part, valid: Part) -> Iterator[Figure]:
    problem, schema = model.spec.problem, model.spec.schema
    generator = np.random.default_rng(SEED)
    found = importance(model, valid.rows, generator)
    yield importance_figure(model, found)
    yield leakage_figure(leakage(model.spec, train, valid))
    yield from _predictions(model, valid)
    for name in found.names[:EFFECTS]:
        yield partial_dependence(model, valid.rows, name, generator)
    yield contributions_figure(model, train.rows, valid.rows, valid.ids(problem), generator)
    if len(schema.names) > 1:
        yield redundancy_figure(schema, train.rows)
    yield domain_figure(train_or_validation(schema, train.rows, valid.rows))
    yield from embedding_figures(model, train.rows)


def _predictions(model: TabularModel, valid: Part) -> Iterator[Figure]:
    """What is taken for what, and the rows that are hardest."""
    problem, label = model.spec.problem, label_of(valid.rows)
    prediction = model.predict(valid.rows)
    ids = valid.ids(problem)
    if problem.kind == REGRESSION:
        for place, name in enumerate(problem.target.names[:1]):
            column = prediction.reshape(len(prediction), -1)[:, place]
            yield from regression.figures_of(label[:, place], column, name, ids, valid.table)
        return
    if problem.kind not in (BINARY, MULTICLASS):
        return
    probability, classes = prediction, problem.target.classes
    said = (
        prediction.argmax(1) if problem.kind == MULTICLASS else (prediction >= problem.threshold).astype(int)
    )
    if problem.kind == BINARY:
        probability = np.stack([1 - prediction, prediction], axis=1)
        classes = (problem.target.negative_value, problem.target.positive_value)
    counts = confusion.confusion_counts(label.astype(np.int64), said, len(classes))
    yield confusion.confusion_matrix(counts, classes)
    if problem.kind == MULTICLASS:
        yield confusion.most_confused(counts, classes)
    yield losses.top_losses(label.astype(np.int64), probability, classes, ids, valid.table)
