"""What tables are to predict: targets read from columns, and what a model's numbers mean.

A model of a table gives *learnt* numbers, `(N, W)`: probabilities where the problem is a classification, else
the target as it is learnt, which is its logarithm where the task says so. `TargetSpec.finish` makes
predictions of them; `models.export.onnx_target` does the same inside a graph.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from models.progress import TrainingFailed
from models.recipe import BINARY, MULTICLASS, MULTILABEL, REGRESSION, Problem

ROWS_NAMED = 5

Values = npt.NDArray[Any]
"""Labels of a part. BINARY: float32 `(N,)` of 0 and 1. MULTICLASS: int64 `(N,)`, places in the classes.
MULTILABEL: float32 `(N, L)` of 0 and 1. REGRESSION: float64 `(N, K)` in the target's unit.
"""


@dataclass(frozen=True)
class TargetSpec:
    """What a model's numbers stand for. `classes` of MULTICLASS and MULTILABEL; `means`, `deviations` and
    `highest` of each number of a REGRESSION, as learnt, over the training rows.

    A logarithm is kept from 0 to 1 above the highest: a model that is led astray by an input unlike any other
    predicts at most some e times what was seen, and not infinity.
    """

    kind: str
    names: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    logarithmic: bool = False
    threshold: float = 0.5
    means: tuple[float, ...] = ()
    deviations: tuple[float, ...] = ()
    highest: tuple[float, ...] = ()

    @classmethod
    def of(cls, problem: Problem, train: Values) -> "TargetSpec":
        """From the training rows' labels.

        Raises:
            TrainingFailed: the labels leave nothing to learn, and why.
        """
        check_target(problem, train)
        target = problem.target
        spec = cls(
            problem.kind,
            target.names,
            target.classes,
            target.minimum,
            target.maximum,
            target.logarithmic,
            problem.threshold,
        )
        if problem.kind != REGRESSION:
            return spec
        learnt = spec.learnt(train)
        deviations = learnt.std(0)
        return replace(
            spec,
            means=tuple(learnt.mean(0).tolist()),
            deviations=tuple(np.where(deviations > 0, deviations, 1.0).tolist()),
            highest=tuple(learnt.max(0).tolist()),
        )

    @property
    def width(self) -> int:
        """How many numbers the model gives for a row."""
        if self.kind == BINARY:
            return 1
        return len(self.names) if self.kind == REGRESSION else len(self.classes)

    @property
    def column_names(self) -> tuple[str, ...]:
        """A name for each of those numbers."""
        return self.names if self.kind in (BINARY, REGRESSION) else self.classes

    @property
    def bounds(self) -> tuple[float, float] | None:
        """Smallest and largest number of a REGRESSION as learnt, where the task gives both."""
        if self.kind != REGRESSION or self.minimum is None or self.maximum is None:
            return None
        low, high = self.learnt(np.array([self.minimum, self.maximum]))
        return float(low), float(high)

    def learnt(self, values: Values) -> npt.NDArray[np.float64]:
        """A regression's values as they are learnt."""
        return np.log1p(np.maximum(values, 0.0)) if self.logarithmic else np.asarray(values, np.float64)

    def finish(self, learnt: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Predictions of learnt numbers `(N, W)`: float32 `(N, W)`, for BINARY and a single number `(N,)`."""
        found = np.asarray(learnt)
        if self.kind == REGRESSION:
            if self.logarithmic:
                found = np.expm1(np.clip(found, 0.0, np.array(self.highest) + 1.0))
            if self.minimum is not None or self.maximum is not None:
                found = np.clip(found, self.minimum, self.maximum)
        single = self.kind in (BINARY, REGRESSION) and self.width == 1
        return (found[:, 0] if single else found).astype(np.float32)


def read_target(table: pa.Table, problem: Problem) -> Values:
    """The labels of the rows of `table`.

    Raises:
        TrainingFailed: labels that the task does not know, with their rows.
    """
    target = problem.target
    if lacking := [name for name in target.names if name not in table.column_names]:
        raise TrainingFailed(f"The rows lack the target {', '.join(lacking)}.")
    if problem.kind == REGRESSION:
        columns = [_numbers(table, name, problem) for name in target.names]
        return np.stack(columns, axis=1)
    texts = pc.cast(table.column(target.names[0]), pa.utf8())
    if problem.kind == MULTILABEL:
        return _labels(table, texts, problem)
    known = (
        (target.negative_value, target.positive_value) if problem.kind == BINARY else tuple(target.classes)
    )
    places = pc.index_in(texts, pa.array(known, pa.utf8()))
    _refuse(table, problem, places.is_null(), f"must be one of {', '.join(known[:20])}")
    labels: Values = places.to_numpy().astype(np.float32 if problem.kind == BINARY else np.int64)
    return labels


def check_target(problem: Problem, labels: Values) -> None:
    """Raises `TrainingFailed` where there is nothing to learn from the training rows' labels."""
    if not len(labels):
        raise TrainingFailed("There are no labelled rows to train on.")
    if len(labels) < 2:
        raise TrainingFailed("There is a single training row; a model needs two at least.")
    if problem.kind in (BINARY, MULTICLASS) and labels.min() == labels.max():
        more = "the other class" if problem.kind == BINARY else "other classes"
        raise TrainingFailed(
            f"Every training row has the same label, so there is nothing to tell apart. Add rows of {more}."
        )
    if problem.kind == MULTICLASS and len(np.unique(labels)) == len(labels) > 2:
        raise TrainingFailed(
            f"Each of the {len(labels)} training rows has a class of its own, so nothing is common to learn. "
            "Add rows, or join classes."
        )
    if problem.kind == MULTILABEL and (labels.min(0) == labels.max(0)).all():
        raise TrainingFailed(
            "Every label is in all training rows or in none, so there is nothing to tell apart."
        )
    if problem.kind == REGRESSION and (labels.min(0) == labels.max(0)).all():
        raise TrainingFailed(
            f"{', '.join(problem.target.names)} is {labels[0, 0]:g} in every training row, so there is "
            "nothing to learn."
        )


def unseen_classes(spec: TargetSpec, train: Values) -> tuple[str, ...]:
    """Classes or labels that no training row has, so that they are never predicted."""
    if spec.kind == MULTICLASS:
        seen = np.isin(np.arange(len(spec.classes)), train)
    elif spec.kind == MULTILABEL:
        seen = np.asarray(train.any(0))
    else:
        return ()
    return tuple(name for name, there in zip(spec.classes, seen, strict=True) if not there)


def _numbers(table: pa.Table, name: str, problem: Problem) -> npt.NDArray[np.float64]:
    column = pc.cast(table.column(name), pa.float64())
    usable = pc.fill_null(pc.is_finite(column), False)
    _refuse(table, problem, pc.invert(usable), "must be a finite number", name)
    if problem.target.logarithmic:
        _refuse(table, problem, pc.less(column, 0.0), "must not be below 0 to be learnt as a logarithm", name)
    values: npt.NDArray[np.float64] = column.to_numpy()
    return values


def _labels(table: pa.Table, texts: pa.ChunkedArray, problem: Problem) -> npt.NDArray[np.float32]:
    target = problem.target
    lists = pc.split_pattern(pc.fill_null(texts, ""), target.separator).combine_chunks()
    flat = pc.utf8_trim_whitespace(lists.flatten())
    rows = pc.list_parent_indices(lists).to_numpy()
    places = pc.index_in(flat, pa.array(target.classes, pa.utf8()))
    given = pc.not_equal(flat, "").to_numpy(zero_copy_only=False)
    known = places.is_valid().to_numpy(zero_copy_only=False)
    bad = np.zeros(table.num_rows, bool)
    bad[rows[given & ~known]] = True
    _refuse(table, problem, pa.chunked_array([pa.array(bad)]), "has a label that is not among the classes")
    found = np.zeros((table.num_rows, len(target.classes)), np.float32)
    found[rows[known], places.to_numpy(zero_copy_only=False)[known].astype(np.int64)] = 1.0
    return found


def _refuse(
    table: pa.Table, problem: Problem, bad: pa.ChunkedArray, must: str, name: str | None = None
) -> None:
    """Raises with the first of the rows where `bad` is true."""
    rows = np.flatnonzero(np.asarray(pc.fill_null(bad, False).to_numpy(), bool))
    if not len(rows):
        return
    name = name or problem.target.names[0]
    found = [repr(table.column(name)[int(row)].as_py()) for row in rows[:ROWS_NAMED]]
    identity = problem.id_column
    if identity and identity in table.column_names:
        where = [f"{identity} {table.column(identity)[int(row)].as_py()}" for row in rows[:ROWS_NAMED]]
    else:
        where = [f"row {row}" for row in rows[:ROWS_NAMED]]
    named = ", ".join(f"{value} at {place}" for value, place in zip(found, where, strict=True))
    more = f" and {len(rows) - ROWS_NAMED} more" if len(rows) > ROWS_NAMED else ""
    raise TrainingFailed(
        f"{name} {must}: it is {named}{more}. Correct these rows or leave them out of the dataset."
    )
