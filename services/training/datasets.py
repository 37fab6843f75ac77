"""Dataset versions as training needs them: checked when a job is created, read when it runs.

Rows never pass through another service: they are read where they lie, through the one lake module.
"""

import difflib
from dataclasses import dataclass

import pyarrow as pa
from boarfish.errors import FieldViolation, InvalidArgument, NotFound
from boarfish.v1 import task_pb2

from services.common.datasets import Dataset
from services.common.lake import Lake, TableKind
from services.common.rows import Column, RowSchema

SHOWN_NAMES = 20


@dataclass(frozen=True)
class DatasetVersion:
    """The rows of a dataset as they are at `version`."""

    dataset: str
    version: int
    row_count: int


def find_version(lake: Lake, dataset: str, version: int) -> DatasetVersion:
    """A version of a dataset; `version` 0 is the newest.

    Raises:
        NotFound: there is no such dataset or version, or it has no rows; says what there is.
    """
    found = Dataset(lake, dataset)
    newest = found.latest_version()
    if newest == 0:
        names = lake.names(TableKind.RECORDS)
        close = difflib.get_close_matches(dataset, names, n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        there = (
            f"there are {_listed(names)}" if names else "there is none yet: send rows with PutRecords first"
        )
        raise NotFound(
            f"There is no dataset {dataset} with rows; {there}.{hint}",
            reason="DATASET_NOT_FOUND",
            metadata={"dataset": dataset},
        )
    if version > newest:
        raise NotFound(
            f"Dataset {dataset} has no version {version}; its newest is {newest} (0 stands for it).",
            reason="DATASET_VERSION_NOT_FOUND",
            metadata={"dataset": dataset, "latest_version": str(newest)},
        )
    chosen = version or newest
    return DatasetVersion(dataset, chosen, found.row_count(chosen))


def check_columns(lake: Lake, dataset: str, task: task_pb2.Task) -> None:
    """Raises `InvalidArgument`, naming each column, when the dataset lacks one that `task` needs or has it
    in another type.
    """
    schema = Dataset(lake, dataset).schema()
    positions = _field_paths(task)
    problems = []
    for column in RowSchema.for_records(task).columns:
        field = positions.get(column.name, "task")
        index = schema.get_field_index(column.name)
        if index < 0:
            text = f"column {column.name} is not in dataset {dataset}, which has {_listed(schema.names)}"
            problems.append(FieldViolation(field, text))
        elif not _fits(column, schema.field(index).type):
            text = (
                f"column {column.name} is {schema.field(index).type} in dataset {dataset}; "
                f"the task reads it as {_wanted(column)}"
            )
            problems.append(FieldViolation(field, text))
    if problems:
        raise InvalidArgument.of(*problems)


def read_rows(lake: Lake, version: DatasetVersion, task: task_pb2.Task) -> pa.Table:
    """The task's columns of a dataset version, in the order in which its rows were acknowledged."""
    columns = [column.name for column in RowSchema.for_records(task).columns]
    return Dataset(lake, version.dataset).read(version.version, columns)


def _field_paths(task: task_pb2.Task) -> dict[str, str]:
    paths = {task.split.column: "task.split.column"}
    paths |= {task.id_column: "task.id_column", task.time_column: "task.time_column"}
    paths |= {feature.name: f"task.features[{index}].name" for index, feature in enumerate(task.features)}
    paths |= {one.name: f"task.sensitive[{index}].name" for index, one in enumerate(task.sensitive)}
    paths |= {
        name: f"task.target.more_columns[{index}]" for index, name in enumerate(task.target.more_columns)
    }
    return paths | {task.target.name: "task.target.name"}


def _fits(column: Column, kind: pa.DataType) -> bool:
    if column.kind is None:
        return True
    if column.kind == task_pb2.FEATURE_TYPE_NUMERIC:
        return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))
    return _is_like(kind, column.arrow_type)


def _is_like(kind: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether a column of type `kind` holds what one of type `wanted` does, in whatever layout."""
    alike = (
        (pa.types.is_integer,),
        (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view),
        (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view),
        (pa.types.is_timestamp,),
        (pa.types.is_list, pa.types.is_large_list),
    )
    return any(any(test(kind) for test in tests) for tests in alike if any(test(wanted) for test in tests))


def _wanted(column: Column) -> str:
    words: dict[int, str] = {
        task_pb2.FEATURE_TYPE_NUMERIC: "numbers (numeric)",
        task_pb2.FEATURE_TYPE_CODE: "whole numbers (code)",
        task_pb2.FEATURE_TYPE_CATEGORY: "texts (category)",
        task_pb2.FEATURE_TYPE_IMAGE: "pictures (binary)",
        task_pb2.FEATURE_TYPE_AUDIO: "sounds (binary)",
        task_pb2.FEATURE_TYPE_TEXT: "texts (utf8)",
        task_pb2.FEATURE_TYPE_TIME: "times (timestamp)",
        task_pb2.FEATURE_TYPE_SERIES: "series (lists of numbers)",
        task_pb2.FEATURE_TYPE_BYTES: "bytes (binary)",
    }
    return words[column.kind or task_pb2.FEATURE_TYPE_CATEGORY]


def _listed(names: list[str]) -> str:
    return ", ".join(names[:SHOWN_NAMES]) + (", ..." if len(names) > SHOWN_NAMES else "")
