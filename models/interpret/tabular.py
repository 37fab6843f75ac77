"""Looks inside a model of a table, put together: each is a pure function of its own module.

What is looked at is a sample of the rows, drawn by a fixed seed, so that the time is bounded however many
rows there are, and the same version has the same figures.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from models.data.tabular import TabularRows
from models.figures import Figure
from models.interpret.tabular_importance import importance, importance_figure
from models.tabular_model import TabularModel

SEED = 0
ROWS = 5_000


def figures_of(model: TabularModel, train: pa.Table, valid: pa.Table) -> list[Figure]:
    """All that this kind of model has to show, most telling first; empty without validation rows."""
    problem = model.spec.problem
    if not valid.num_rows:
        return []
    return list(
        _figures(model, sample(TabularRows.of(train, problem)), sample(TabularRows.of(valid, problem)))
    )


def sample(rows: TabularRows, count: int = ROWS) -> TabularRows:
    """At most `count` of the rows, at random by a fixed seed, in their order."""
    if len(rows) <= count:
        return rows
    return rows.take(np.sort(np.random.default_rng(SEED).choice(len(rows), count, replace=False)))


def _figures(model: TabularModel, train: TabularRows, valid: TabularRows) -> Iterator[Figure]:
    found = importance(model, valid, np.random.default_rng(SEED))
    yield importance_figure(model, found)
