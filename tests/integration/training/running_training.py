"""A lake with people in it, a training service as a real process, and neighbours that note what they hear."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import numpy as np
import pyarrow as pa
import pytest
from boarfish.v1 import (
    ingestion_pb2,
    ingestion_pb2_grpc,
    monitoring_pb2,
    monitoring_pb2_grpc,
    task_pb2,
    training_pb2,
    training_pb2_grpc,
)
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.common.model_store import ModelStore

ROOT = Path(__file__).resolve().parents[3]
WITHIN_S = 300


def small_task(*, epochs: int = 2, iterations: int = 10, **changes: object) -> task_pb2.Task:
    """A task with a number, a code and a category, and one sensitive attribute."""
    task = task_pb2.Task(
        name="work",
        display_name="Work",
        kind=task_pb2.TASK_KIND_BINARY_CLASSIFICATION,
        purpose=task_pb2.Purpose(action="a", positive_decision_means="b", outcome_measure="c"),
        features=[
            task_pb2.Feature(name="age", type=task_pb2.FEATURE_TYPE_NUMERIC, allow_missing=True),
            task_pb2.Feature(name="school", type=task_pb2.FEATURE_TYPE_CODE),
            task_pb2.Feature(name="town", type=task_pb2.FEATURE_TYPE_CATEGORY),
        ],
        target=task_pb2.Target(name="works", positive_value="1", negative_value="0"),
        sensitive=[
            task_pb2.SensitiveAttribute(
                name="sex", type=task_pb2.FEATURE_TYPE_CODE, values={"1": "male", "2": "female"}
            )
        ],
        id_column="id",
        split=task_pb2.Split(method=task_pb2.SPLIT_METHOD_RANDOM, validation_share=0.25, seed=1),
        decision=task_pb2.Decision(threshold=0.5, positive_label="at work", negative_label="out of work"),
        training=task_pb2.TrainingPlan(
            metric=task_pb2.SELECTION_METRIC_AUC,
            seed=3,
            models=[
                task_pb2.ModelPlan(
                    tabular_net=task_pb2.TabularNetPlan(
                        epochs=epochs, batch_size=64, learning_rate=0.01, hidden_sizes=[16, 8], dropout=0.1
                    )
                ),
                task_pb2.ModelPlan(
                    gradient_boosting=task_pb2.GradientBoostingPlan(
                        iterations=iterations, learning_rate=0.1, leaf_count=8
                    )
                ),
            ],
        ),
        watch=task_pb2.Watch(
            window_days=7, minimum_group_size=50, drift_distance=0.1, quality_fall=0.03, false_alarm_rate=0.05
        ),
        datasheet=task_pb2.Datasheet(
            motivation="m", composition="c", collection="c", known_limits="l", source="s", licence="l"
        ),
    )
    for name, value in changes.items():
        getattr(task, name).CopyFrom(value)
    return task


def people(count: int = 3000, *, seed: int = 0) -> pa.Table:
    """Rows of `small_task`, whose target depends on age, school and town."""
    rng = np.random.default_rng(seed)
    age = rng.normal(40, 15, count)
    school = rng.integers(1, 6, count)
    town = rng.choice(["Boston", "Salem", "Lynn"], count)
    odds = 0.06 * (age - 40) + 0.5 * (school - 3) + np.where(town == "Boston", 0.8, -0.3)
    works = rng.random(count) < 1 / (1 + np.exp(-odds))
    age[rng.random(count) < 0.02] = np.nan
    return pa.table(
        {
            "id": pa.array(np.arange(count), pa.int64()),
            "age": pa.array(age, from_pandas=True),
            "school": pa.array(school, pa.int64()),
            "town": pa.array(town),
            "works": pa.array(np.where(works, "1", "0")),
            "sex": pa.array(rng.integers(1, 3, count), pa.int64()),
        }
    )


def put_records(home: Path, dataset: str, rows: pa.Table) -> None:
    """Adds rows to a dataset of the lake as ingestion lays them out."""
    from deltalake import write_deltalake

    from services.common.lake import Lake, TableKind

    start = Lake(home / "lake").table(TableKind.RECORDS, dataset).last_sequence() + 1
    numbered = rows.append_column("_sequence", pa.array(np.arange(start, start + rows.num_rows), pa.int64()))
    write_deltalake(str(home / "lake" / "records" / dataset), numbered, mode="append")


@dataclass
class Neighbours(monitoring_pb2_grpc.MonitoringServiceServicer, ingestion_pb2_grpc.IngestionServiceServicer):
    """Monitoring and ingestion, as far as training calls them."""

    entries: list[monitoring_pb2.AppendLedgerEntryRequest] = field(default_factory=list)
    profiles: list[ingestion_pb2.UploadProfileRequest] = field(default_factory=list)

    def AppendLedgerEntry(self, request, context):  # noqa: N802
        if request.request_id not in {entry.request_id for entry in self.entries}:
            self.entries.append(request)
        return monitoring_pb2.AppendLedgerEntryResponse()

    def UploadProfile(self, request, context):  # noqa: N802
        if request.request_id not in {profile.request_id for profile in self.profiles}:
            self.profiles.append(request)
        return ingestion_pb2.UploadProfileResponse()

    def actions(self, subject: str) -> list[str]:
        """What the ledger was told of a subject, in order."""
        return [entry.action for entry in self.entries if entry.subject == subject]


class Training:
    """A training service as a process in `home`. Killed and started again it keeps its address."""

    def __init__(self, home: Path, neighbour_address: str, **settings: object) -> None:
        self.home = home
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{probe.getsockname()[1]}"
        self.environment = {
            **os.environ,
            "BOARFISH_HOME": str(home),
            "BOARFISH_TRAINING_ADDRESS": self.address,
            "BOARFISH_TRAINING_METRICS_ADDRESS": "",
            "BOARFISH_MONITORING_ADDRESS": neighbour_address,
            "BOARFISH_INGESTION_ADDRESS": neighbour_address,
            "BOARFISH_TRAINING_THREADS": "1",
            **{f"BOARFISH_{name.upper()}": str(value) for name, value in settings.items()},
        }
        self.process: subprocess.Popen[bytes] | None = None
        self.channel = grpc.insecure_channel(
            self.address,
            options=[("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 300)],
        )
        self.stub = training_pb2_grpc.TrainingServiceStub(self.channel)
        self.store = ModelStore(home / "models")

    def start(self) -> None:
        """Starts the process and waits until it is healthy."""
        with (self.home / "training.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "services.training"],
                env=self.environment,
                cwd=ROOT,
                stdout=log,
                stderr=log,
            )
        health = health_pb2_grpc.HealthStub(self.channel)
        deadline = time.monotonic() + WITHIN_S
        while time.monotonic() < deadline:
            assert self.process.poll() is None, (self.home / "training.log").read_text()
            try:
                answer = health.Check(health_pb2.HealthCheckRequest(), timeout=1, wait_for_ready=True)
            except grpc.RpcError:
                continue
            if answer.status == health_pb2.HealthCheckResponse.SERVING:
                return
        pytest.fail("training did not become healthy")

    def kill(self) -> None:
        """`kill -9`."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def create(
        self,
        request_id: str = "job",
        *,
        task: task_pb2.Task | None = None,
        dataset: str = "people",
        **fields: int,
    ):
        """Creates a job."""
        request = training_pb2.CreateTrainingJobRequest(
            request_id=request_id, dataset=dataset, task=small_task() if task is None else task, **fields
        )
        return self.stub.CreateTrainingJob(request, timeout=10).job

    def get(self, job_id: str) -> training_pb2.TrainingJob:
        """The job as it is now."""
        return self.stub.GetTrainingJob(training_pb2.GetTrainingJobRequest(id=job_id), timeout=10).job

    def watch(self, job_id: str) -> Iterator[training_pb2.TrainingJob]:
        """States of the job until it has ended."""
        request = training_pb2.WatchTrainingJobRequest(id=job_id)
        for answer in self.stub.WatchTrainingJob(request, timeout=WITHIN_S):
            yield answer.job

    def ended(self, job_id: str) -> training_pb2.TrainingJob:
        """The job when it has ended."""
        return list(self.watch(job_id))[-1]

    def worker_pid(self) -> int | None:
        """The process id of a worker that runs, of this service."""
        listed = subprocess.run(
            ["pgrep", "-P", str(self.process.pid), "-f", "services.training.worker"],
            capture_output=True, text=True, check=False,
        ).stdout.split()  # fmt: skip
        return int(listed[0]) if listed else None

    def log_of(self, job_id: str) -> str:
        """What the job's workers wrote."""
        path = self.home / "logs" / "training_jobs" / f"{job_id}.log"
        return path.read_text() if path.exists() else ""
