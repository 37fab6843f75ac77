"""The folder of a job that has not ended, and the words that its worker says over the pipe.

The service writes the order (`order.json`, `task.binpb`) and starts the worker on the folder. The worker
keeps there, for each model of the plan, its checkpoints and then, staged, the finished files; whatever is
staged is whole and is not made again when the job is resumed. The folder goes when the job ends.

    <home>/training/<job>/order.json  task.binpb  0-tabular_net/checkpoints/...  0-tabular_net/staged/...
"""

import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from boarfish.v1 import task_pb2, training_pb2
from google.protobuf import json_format
from google.protobuf.message import Message

from services.common.storage import writing_to

ORDER, TASK = "order.json", "task.binpb"


@dataclass(frozen=True)
class Order:
    """What a worker is to do, and where."""

    job_id: str
    dataset: str
    dataset_version: int
    lake: str
    models: str
    mlflow: str
    # Folder of the pretrained weights that users have put there.
    weights: str
    threads: int
    # Place in the plan of the model whose learning rate is to be found, instead of making models.
    find_rate_of: int | None = None


@dataclass(frozen=True)
class JobFolder:
    """The work folder of one job."""

    path: Path

    def write(self, order: Order, task: task_pb2.Task) -> None:
        """Makes the folder with its order. Raises the error that names it when the disk is full or shut."""
        with writing_to(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            (self.path / TASK).write_bytes(task.SerializeToString(deterministic=True))
            (self.path / ORDER).write_text(json.dumps(asdict(order), indent=1))

    def read(self) -> tuple[Order, task_pb2.Task]:
        """The order and its task."""
        order = Order(**json.loads((self.path / ORDER).read_text()))
        return order, task_pb2.Task.FromString((self.path / TASK).read_bytes())

    def checkpoints(self, index: int, model: str) -> Path:
        """Where model `index` of the plan keeps its checkpoints."""
        return self.path / f"{index}-{model}" / "checkpoints"

    def staged(self, index: int, model: str) -> Path:
        """Where the finished files of model `index` of the plan stand: all of them, or no such folder."""
        return self.path / f"{index}-{model}" / "staged"

    def curve(self, index: int, model: str) -> Path:
        """File with what was measured as model `index` of the plan was fitted."""
        return self.path / f"{index}-{model}" / "curve.json"

    def remove(self) -> None:
        """Removes the folder and all in it, where it is."""
        shutil.rmtree(self.path, ignore_errors=True)


@dataclass(frozen=True)
class Report:
    """One line of the worker: how far it is, or how it ended. One field is set."""

    progress: training_pb2.TrainingProgress | None = None
    # Ids of the model versions in the model store, best first.
    finished: tuple[str, ...] | None = None
    # Why it failed and what to do, in a sentence for people.
    failed: str | None = None
    # What the learning-rate finder found, where that was the order.
    found: training_pb2.FindLearningRateResponse | None = None


def encode(report: Report) -> bytes:
    """A report as one line of JSON."""
    line: dict[str, Any] = {}
    if report.progress is not None:
        line["progress"] = json_format.MessageToDict(report.progress)
    if report.finished is not None:
        line["finished"] = list(report.finished)
    if report.failed is not None:
        line["failed"] = report.failed
    if report.found is not None:
        line["found"] = json_format.MessageToDict(report.found)
    return json.dumps(line).encode() + b"\n"


def decode(line: bytes) -> Report:
    """A report from its line; an empty one from a line that was cut off by a kill."""
    try:
        said = json.loads(line)

        def message(name: str, into: Message) -> Any:
            return json_format.ParseDict(said[name], into) if name in said else None

        return Report(
            progress=message("progress", training_pb2.TrainingProgress()),
            found=message("found", training_pb2.FindLearningRateResponse()),
            finished=tuple(said["finished"]) if "finished" in said else None,
            failed=said.get("failed"),
        )
    except (ValueError, TypeError, AttributeError, json_format.ParseError):
        return Report()


def send(descriptor: int, report: Report) -> None:
    """Writes a report to the pipe. Raises `BrokenPipeError` when the service is gone."""
    line = encode(report)
    while line:
        line = line[os.write(descriptor, line) :]
