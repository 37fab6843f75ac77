"""The prediction that someone contests, as it stands in the lake: found by its id, with little read.

Ids are time-ordered (UUIDv7) and files keep the smallest and largest of them, so that one id leaves few files
to open; of these only the columns that are asked for are read. Only answers are found: what a shadow computed
on the same input was shown to no one.
"""

import datetime as dt
import threading
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from boarfish.errors import NotFound
from boarfish.v1 import common_pb2, monitoring_pb2, task_pb2

from services.common import profiling
from services.common.columns import NUMERIC, Column
from services.common.lake import SEQUENCE, Lake, LakeTable, TableKind
from services.common.task_columns import target_columns
from services.monitoring.references import References

OUTCOME_COLUMNS = ("prediction_id", "model_version", "role", "event_time", "score", "decision", SEQUENCE)
LABEL_COLUMNS = ["prediction_id", "value", "source", "event_time", SEQUENCE]


@dataclass(frozen=True)
class Contested:
    """One answer. `group`: sensitive attributes that are known, as texts; `inputs`: features by name, where
    asked for. `task` is `None` while the reference of its model version has not come.
    """

    prediction_id: str
    deployment: str
    model_version: str
    event_time: dt.datetime
    score: float
    decision: str
    task: task_pb2.Task | None
    group: dict[str, str] = field(default_factory=dict)
    inputs: dict[str, Any] = field(default_factory=dict)


class ContestedPredictions:
    """Finds predictions in the lake. Safe to use from several threads, one of which reads at a time."""

    def __init__(self, lake: Lake, references: References) -> None:
        self._lake = lake
        self._references = references
        self._lock = threading.Lock()

    def find(self, prediction_id: str, deployment: str = "", *, inputs: bool = False) -> Contested:
        """The answer with this id, in one deployment or in any.

        Raises `NotFound`, which says that a fresh prediction may still be on its way.
        """
        with self._lock:
            for name in self._lake.names(TableKind.PREDICTIONS):
                if deployment not in ("", name):
                    continue
                row = self._row(self._lake.table(TableKind.PREDICTIONS, name), prediction_id, inputs)
                if row is not None:
                    return self._contested(name, row)
        where = f" in deployment {deployment!r}" if deployment else ""
        raise NotFound(
            f"no prediction has the id {prediction_id!r}{where}. An answer given in the last minute may "
            "still be on its way: try again then.",
            reason="PREDICTION_NOT_FOUND",
        )

    def labels(self, deployment: str, prediction_ids: list[str]) -> list[dict[str, Any]]:
        """Labels of predictions, those that hold last: by event time, then in the order of writing."""
        if not prediction_ids:
            return []
        with self._lock:
            table = self._lake.table(TableKind.LABELS, deployment)
            if not table.exists():
                return []
            where = pc.field("prediction_id").isin(prediction_ids)
            rows = table.read(columns=LABEL_COLUMNS, where=where)
        ordered: list[dict[str, Any]] = rows.sort_by(
            [("event_time", "ascending"), (SEQUENCE, "ascending")]
        ).to_pylist()
        return ordered

    def label_count(self, deployment: str) -> int:
        """Rows of the deployment's labels: grows with every one that comes."""
        with self._lock:
            return self._lake.table(TableKind.LABELS, deployment).last_sequence()

    def _row(self, table: LakeTable, prediction_id: str, inputs: bool) -> pa.Table | None:
        if not table.exists():
            return None
        # Which columns are attributes is known only once the model version is: they come with a second look.
        where = pc.field("prediction_id") == prediction_id
        found = table.read(columns=list(OUTCOME_COLUMNS), where=where)
        found = found.filter(pc.equal(found.column("role"), "CHAMPION"))
        if not found.num_rows:
            return None
        newest = found.slice(found.num_rows - 1)
        reference = self._references.get(newest.column("model_version")[0].as_py())
        if reference is None:
            return newest
        asked = [*reference.task.sensitive, *(reference.task.features if inputs else ())]
        names = dict.fromkeys(one.name for one in asked if one.name in table.schema().names)
        sequence = newest.column(SEQUENCE)[0].as_py()
        more = table.read(version=sequence, after=sequence - 1, columns=list(names), where=where)
        for name in names:
            newest = newest.append_column(name, more.column(name))
        return newest

    def _contested(self, deployment: str, row: pa.Table) -> Contested:
        [values] = row.to_pylist()
        reference = self._references.get(values["model_version"])
        task = reference.task if reference is not None else None
        groups = profiling.group_columns(task, row) if task is not None else {}
        features = [feature.name for feature in task.features] if task is not None else []
        return Contested(
            prediction_id=values["prediction_id"],
            deployment=deployment,
            model_version=values["model_version"],
            event_time=values["event_time"],
            score=values["score"],
            decision=values["decision"],
            task=task,
            group={name: text for name, column in groups.items() if (text := column[0].as_py()) is not None},
            inputs={name: values[name] for name in features if name in values},
        )


def message(found: Contested, labels: list[dict[str, Any]]) -> monitoring_pb2.ContestedPrediction:
    """What a reviewer sees of a prediction, with the label of it that holds."""
    prediction = monitoring_pb2.ContestedPrediction(
        prediction_id=found.prediction_id,
        deployment=found.deployment,
        model_version=found.model_version,
        score=found.score,
        decision=found.decision,
    )
    prediction.event_time.FromDatetime(found.event_time)
    prediction.inputs.update({name: _plain(value) for name, value in found.inputs.items()})
    if labels:
        prediction.label = labels[-1]["value"]
        prediction.label_source = common_pb2.LabelSource.Value(f"LABEL_SOURCE_{labels[-1]['source']}")
    if found.task is not None:
        prediction.positive_decision_means = found.task.purpose.positive_decision_means
        prediction.task_display_name = found.task.display_name or found.task.name
        prediction.labels.update(right_labels(found.task))
    return prediction


def right_labels(task: task_pb2.Task) -> dict[str, str]:
    """The labels that can be right, with the decision that each would have made right; empty for numbers."""
    if task.kind == task_pb2.TASK_KIND_BINARY_CLASSIFICATION:
        return {
            task.target.positive_value: task.decision.positive_label,
            task.target.negative_value: task.decision.negative_label,
        }
    return {name: name for name in task.target.classes}


def label_problem(found: Contested, label: str) -> str | None:
    """Why `label` cannot be the right one for a prediction, in words; `None` when it can."""
    if found.task is None:
        return "cannot be judged: the reference of the model version has not come yet"
    columns = target_columns(found.task)
    if len(columns) != 1 or columns[0].arrow_type == pa.binary():
        return "cannot be given: this task has no single label that a text could hold"
    problem = _impossible(columns[0], label)
    if problem is None and right_labels(found.task).get(label) == found.decision:
        return (
            f"is {label!r}, which the decision “{found.decision}” said too: an appeal is upheld for another"
        )
    return problem


def _impossible(column: Column, label: str) -> str | None:
    if column.kind != NUMERIC:
        return column.check(label)[1]
    try:
        return column.check(float(label))[1]
    except ValueError:
        return f"is {label!r}; must be a number"


def _plain(value: Any) -> Any:
    """A value as a Struct can hold it: what is none of JSON's as its text."""
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
