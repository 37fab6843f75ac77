"""Rows into training and validation parts, as the task says, with what is doubtful about the division."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from boarfish.errors import FailedPrecondition
from boarfish.v1 import task_pb2

from services.training.problem import problem_of

if TYPE_CHECKING:
    from models.recipe import Problem


@dataclass(frozen=True)
class Prepared:
    """The two parts, with all columns of the task, in the order in which their rows were acknowledged."""

    task: task_pb2.Task
    problem: "Problem"
    train: pa.Table
    valid: pa.Table
    # Leaks between the two, in words.
    warnings: tuple[str, ...] = ()


def prepare(table: pa.Table, task: task_pb2.Task) -> Prepared:
    """Splits `table` as `task.split` says.

    Raises:
        FailedPrecondition: a part is empty, or lacks one of a binary task's two classes, so that nothing can
        be learnt or measured.
    """
    from models.data.leaks import find_leaks

    problem = problem_of(task)
    train_index, valid_index = _split(table, task.split)
    leaks = find_leaks(table, train_index, valid_index, problem)
    prepared = Prepared(
        task,
        problem,
        table.take(pa.array(train_index)),
        table.take(pa.array(valid_index)),
        tuple(leak.sentence for leak in leaks),
    )
    _check("training", prepared.train, task)
    _check("validation", prepared.valid, task)
    return prepared


def _split(table: pa.Table, split: task_pb2.Split) -> tuple[np.ndarray, np.ndarray]:
    from models.data import split as splits

    share = split.validation_share
    if split.method == task_pb2.SPLIT_METHOD_TIME:
        return splits.time_split(_times(table.column(split.column)), share)
    if split.method == task_pb2.SPLIT_METHOD_GROUP:
        groups = table.column(split.column).cast(pa.utf8()).to_numpy()
        return splits.group_split(groups, share, split.seed)
    if split.method == task_pb2.SPLIT_METHOD_COLUMN:
        return splits.column_split(_mask(table.column(split.column)))
    return splits.random_split(table.num_rows, share, split.seed)


def _times(column: pa.ChunkedArray) -> np.ndarray:
    """`(N,)` float64 or int64 that sorts as the column does.

    A missing time comes first, so it is trained on.
    """
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return np.asarray(np.unique(column.fill_null("").to_numpy(), return_inverse=True)[1])
    return np.asarray(np.nan_to_num(column.cast(pa.float64()).to_numpy(), nan=-np.inf))


def _mask(column: pa.ChunkedArray) -> np.ndarray:
    """`(N,)` bool: true where a number is not 0, or a text is "true", "yes" or "1"."""
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        true = pc.is_in(pc.utf8_lower(column), pa.array(["true", "yes", "1"]))
    else:
        true = pc.not_equal(column.cast(pa.float64()), 0.0)
    return np.asarray(true.fill_null(False).to_numpy(), bool)


def _check(part: str, rows: pa.Table, task: task_pb2.Task) -> None:
    target = task.target
    if task.kind != task_pb2.TASK_KIND_BINARY_CLASSIFICATION:
        if not rows.num_rows:
            raise FailedPrecondition(
                f"The {part} part has no rows. Add rows to the dataset, or change the task's split.",
                reason="TOO_FEW_ROWS",
            )
        return
    values = pc.unique(rows.column(target.name).cast(pa.utf8())).to_pylist()
    if target.positive_value in values and target.negative_value in values:
        return
    found = f"{rows.num_rows} rows whose {target.name} is always {values[0]}" if values else "no rows"
    raise FailedPrecondition(
        f"The {part} part has {found}; it needs rows of both {target.positive_value} and "
        f"{target.negative_value}. Add rows to the dataset, or change the task's split.",
        reason="TOO_FEW_ROWS",
    )
