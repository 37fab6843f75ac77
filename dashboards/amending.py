"""Amending a dataset by what a model finds hardest: which rows, what may become of them, asking for it."""

import hashlib
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from boarfish.v1 import figure_pb2, ingestion_pb2, task_pb2

from dashboards import learning
from dashboards.figures import table_of
from dashboards.queries import client

DELETED = "\0deleted"
"""Stands for the deletion of a row among decisions, which else are labels."""


class Hard(NamedTuple):
    """A row that is hard: its id, its picture (or none), and what is to be read of it, by name."""

    row_id: str
    png: bytes
    words: dict[str, str]


def hard_rows(figure: figure_pb2.Figure) -> Iterator[Hard]:
    """The rows of a figure of top losses that can be found again by their id, hardest first, each once."""
    seen = {""}
    if figure.WhichOneof("body") == "pictures":
        for picture in figure.pictures.pictures:
            if picture.row_id not in seen:
                seen.add(picture.row_id)
                yield Hard(picture.row_id, picture.png, {"": picture.caption})
    elif figure.WhichOneof("body") == "table":
        for row in table_of(figure.table).to_dict("records"):
            row_id = _id_text(next(iter(row.values())))
            if row_id not in seen:
                seen.add(row_id)
                words = {
                    str(name): f"{value:.4g}" if isinstance(value, float) else value
                    for name, value in row.items()
                }
                yield Hard(row_id, b"", dict(list(words.items())[1:]))


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


def _id_text(value: str | float) -> str:
    """An id as ingestion knows it: a whole number without its point."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
