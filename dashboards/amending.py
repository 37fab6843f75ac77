"""Amending a dataset by what a model finds hardest: which rows, what may become of them, asking for it."""

import hashlib
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from boarfish.v1 import figure_pb2, ingestion_pb2, task_pb2

from dashboards import learning
from dashboards.figures import table_of
from dashboards.queries import client

LONGEST_NAME = 40
DELETED = "\0deleted"
"""Stands for the deletion of a row among decisions, which else are labels."""


class Hard(NamedTuple):
    """A row that is hard: its id, its picture (or none), what the model made of it, and what is in it."""

    row_id: str
    png: bytes
    verdict: str
    contents: dict[str, str]


def hard_rows(figure: figure_pb2.Figure, task: task_pb2.Task) -> Iterator[Hard]:
    """The rows of a figure of top losses that can be found again by their id, hardest first, each once."""
    seen = {""}
    if figure.WhichOneof("body") == "pictures":
        for picture in figure.pictures.pictures:
            if picture.row_id not in seen:
                seen.add(picture.row_id)
                yield Hard(picture.row_id, picture.png, picture.caption, {})
    elif figure.WhichOneof("body") == "table":
        for cells in table_of(figure.table).itertuples(index=False, name=None):
            row_id = _text(cells[0])
            if row_id not in seen:
                seen.add(row_id)
                row = dict(zip(figure.table.columns[1:], map(_text, cells[1:]), strict=True))
                yield Hard(row_id, b"", verdict_of(row, task), contents_of(row, task))


def contents_of(row: Mapping[str, str], task: task_pb2.Task) -> dict[str, str]:
    """What is in a row, in the task's words: features by their description, codes with what they mean."""
    columns: dict[str, task_pb2.Feature | task_pb2.SensitiveAttribute] = {}
    columns.update((feature.name, feature) for feature in task.features)
    columns.update((attribute.name, attribute) for attribute in task.sensitive)
    words = {}
    for name, value in row.items():
        if (column := columns.get(name)) is not None and value:
            told = column.description if 0 < len(column.description) <= LONGEST_NAME else name
            words[told] = f"{value} ({column.values[value]})" if value in column.values else value
    return words


def verdict_of(row: Mapping[str, str], task: task_pb2.Task) -> str:
    """What the figure says of a row beside its contents: its loss, what it is and what was said."""
    told_apart = {task.id_column, task.time_column, task.target.name}
    told_apart |= {feature.name for feature in task.features}
    told_apart |= {attribute.name for attribute in task.sensitive}
    return " · ".join(
        f"**{name}** {value}" for name, value in row.items() if name not in told_apart and value
    )


def labels_of(task: task_pb2.Task) -> dict[str, str]:
    """The labels that a row can be given, with how they read; empty where any value can be typed."""
    if task.kind == task_pb2.TASK_KIND_BINARY_CLASSIFICATION:
        decision, target = task.decision, task.target
        return {
            value: f"{target.name} is {value}" + (f" ({words})" if words and words != value else "")
            for value, words in (
                (target.positive_value, decision.positive_label),
                (target.negative_value, decision.negative_label),
            )
        }
    if task.kind == task_pb2.TASK_KIND_MULTICLASS_CLASSIFICATION:
        return {name: f"It is: {name}" for name in task.target.classes}
    return {}


def why_not(task: task_pb2.Task) -> str:
    """Why rows of a task cannot be amended, or nothing when they can."""
    if not task.id_column:
        return (
            "The task names no id column, so there is no saying which row is meant. Add `id_column` to the "
            "task and put the rows into a new dataset."
        )
    if task.target.more_columns or task.kind == task_pb2.TASK_KIND_SEGMENTATION:
        return "Rows with several targets, or with a mask, can be deleted here but not relabelled."
    return ""


def amend(
    data: ingestion_pb2.Dataset, decisions: Mapping[str, str], person: str, reason: str
) -> ingestion_pb2.AmendRecordsResponse:
    """Relabels and deletes rows by id (`decisions`: a label or `DELETED`); a new dataset version comes out.

    The request's id is made of what is asked, so that a second press of the button amends nothing twice.
    """
    request = ingestion_pb2.AmendRecordsRequest(dataset=data.name, amended_by=person, reason=reason)
    for row_id, label in sorted(decisions.items()):
        if label == DELETED:
            request.amendments.add(row_id=row_id, delete=True)
        else:
            request.amendments.add(row_id=row_id, label=label)
    asked = request.SerializeToString(deterministic=True) + str(data.latest_version).encode()
    request.request_id = hashlib.sha256(asked).hexdigest()
    answer = client().ingestion.AmendRecords(request)
    learning.dataset.clear()
    return answer


def _text(value: str | float) -> str:
    """A cell as one reads it: a whole number without its point, others to four digits."""
    if isinstance(value, str):
        return value
    return str(int(value)) if value.is_integer() else f"{value:.4g}"
