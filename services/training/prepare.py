"""Rows into training and validation parts, as the task says, in the form that models take."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from boarfish.errors import FailedPrecondition
from boarfish.v1 import task_pb2

if TYPE_CHECKING:
    from models.data.tabular import TabularRows, TabularSchema


@dataclass(frozen=True)
class Prepared:
    """The two parts.

    `valid_table` holds the validation rows with all columns of the task, in the order of `valid`.
    """

    task: task_pb2.Task
    schema: "TabularSchema"
    train: "TabularRows"
    valid: "TabularRows"
    valid_table: pa.Table


def tabular_schema(task: task_pb2.Task) -> "TabularSchema":
    """The model inputs of `task` by kind, in the task's order."""
    from models.data.tabular import TabularSchema

    def of(kind: int) -> tuple[str, ...]:
        return tuple(feature.name for feature in task.features if feature.type == kind)

    return TabularSchema(
        numeric=of(task_pb2.FEATURE_TYPE_NUMERIC),
        code=of(task_pb2.FEATURE_TYPE_CODE),
        category=of(task_pb2.FEATURE_TYPE_CATEGORY),
        target=task.target.name,
        positive_value=task.target.positive_value,
        negative_value=task.target.negative_value,
    )


def prepare(table: pa.Table, task: task_pb2.Task) -> Prepared:
    """Splits `table` as `task.split` says.

    Raises:
        FailedPrecondition: a part is empty or lacks one of the two classes, so that nothing can be learnt or
        measured.
    """
    from models.data.tabular import TabularRows

    schema = tabular_schema(task)
    train_index, valid_index = _split(table, task.split)
    rows = TabularRows.from_arrow(table, schema)
    prepared = Prepared(
        task, schema, rows.take(train_index), rows.take(valid_index), table.take(pa.array(valid_index))
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


def _check(part: str, rows: "TabularRows", task: task_pb2.Task) -> None:
    label = rows.label
    assert label is not None
    positive = int(label.sum())
    if 0 < positive < len(label):
        return
    if len(label) == 0:
        found = "no rows"
    else:
        value = task.target.positive_value if positive else task.target.negative_value
        found = f"{len(label)} rows whose {task.target.name} is always {value}"
    raise FailedPrecondition(
        f"The {part} part has {found}; it needs rows of both {task.target.positive_value} and "
        f"{task.target.negative_value}. Add rows to the dataset, or change the task's split.",
        reason="TOO_FEW_ROWS",
    )
