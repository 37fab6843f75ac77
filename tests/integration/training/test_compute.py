"""The same task file in one process, in several, and on a Ray of this machine."""

import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from boarfish.v1 import task_pb2, training_pb2

from services.training.compute import worker_command
from services.training.settings import TrainingSettings
from tests.integration.training.running_training import put_records, small_task

# Each job brings torch up in several processes at once.
pytestmark = pytest.mark.timeout(600)
SUCCEEDED = training_pb2.TRAINING_JOB_STATE_SUCCEEDED


def ratings(count: int = 4000) -> pa.Table:
    """Stars that people give to films, by tastes of two kinds."""
    rng = np.random.default_rng(0)
    user, item = rng.integers(0, 60, count), rng.integers(0, 40, count)
    taste, kind = rng.normal(size=(60, 2)), rng.normal(size=(40, 2))
    stars = np.clip(3 + (taste[user] * kind[item]).sum(1) + rng.normal(0, 0.3, count), 0.5, 5)
    return pa.table({"id": np.arange(count), "user": user, "film": item, "stars": stars})


def rating_task(process_count: int, epochs: int = 4) -> task_pb2.Task:
    """A recommender that `process_count` processes fit."""
    task = small_task()
    task.kind = task_pb2.TASK_KIND_REGRESSION
    del task.features[:], task.sensitive[:], task.training.models[:]
    for name in ("user", "film"):
        task.features.add(name=name, type=task_pb2.FEATURE_TYPE_CODE)
    task.target.CopyFrom(task_pb2.Target(name="stars", minimum=0.5, maximum=5))
    task.ClearField("decision")
    task.training.metric = task_pb2.SELECTION_METRIC_RMSE
    plan = task.training.models.add().collaborative
    plan.factor_count = 4
    plan.fit.CopyFrom(
        task_pb2.FitPlan(epochs=epochs, batch_size=64, learning_rate=0.03, process_count=process_count)
    )
    return task


@pytest.fixture
def home(tmp_path: Path) -> Path:
    put_records(tmp_path, "ratings", ratings())
    return tmp_path


def rmse_of(training, request_id: str, task: task_pb2.Task) -> float:
    job = training.create(request_id, task=task, dataset="ratings")
    ended = training.ended(job.id)
    assert ended.state == SUCCEEDED, (ended.error, training.log_of(job.id))
    return ended.model_versions[0].metrics["rmse"].value


def test_several_processes_give_the_metric_of_one(training):
    one = rmse_of(training, "one", rating_task(1))
    two = rmse_of(training, "two", rating_task(2))
    assert two == pytest.approx(one, abs=0.01)
    assert one < 0.9


def members_of(service_pid: int) -> list[int]:
    """The processes beside the first of a job of a service."""
    first = pgrep("-P", str(service_pid), "-f", "compute.process")
    return pgrep("-P", str(first[0]), "-f", "compute.process") if first else []


def pgrep(*arguments: str) -> list[int]:
    listed = subprocess.run(["pgrep", *arguments], capture_output=True, text=True, check=False).stdout
    return [int(line) for line in listed.split()]


def test_a_killed_process_takes_the_job_back_to_its_checkpoint_and_it_ends_well(training):
    job = training.create("killed", task=rating_task(2, epochs=30), dataset="ratings")
    killed: list[int] = []
    for state in training.watch(job.id):
        if state.progress.step > 100 and not killed:
            killed = members_of(training.process.pid)
            os.kill(killed[0], signal.SIGKILL)
    assert killed
    assert state.state == SUCCEEDED, (state.error, training.log_of(job.id))
    assert state.resume_count == 1
    deadline = time.monotonic() + 10
    while pgrep("-f", job.id):
        assert time.monotonic() < deadline, "a process was left behind"
        time.sleep(0.1)


def test_the_same_task_file_runs_on_ray_and_gives_the_same_metric(start_training):
    one = rmse_of(start_training(), "one", rating_task(1))
    on_ray = rmse_of(start_training(training_compute="ray"), "ray", rating_task(2))
    assert on_ray == pytest.approx(one, abs=0.01)


def test_the_command_follows_setting_and_plan(tmp_path: Path):
    here, ray = (TrainingSettings(home=tmp_path, training_compute=one) for one in ("process", "ray"))
    there = TrainingSettings(home=tmp_path, training_compute="ray", ray_address="ray://head:10001")
    folder = Path("job")
    assert worker_command(here, folder, 1)[2:] == ["services.training.worker", "job"]
    assert worker_command(here, folder, 4)[2:] == ["services.training.compute.process", "job", "4"]
    assert worker_command(ray, folder, 1)[2:] == ["services.training.compute.ray", "job", "1"]
    assert worker_command(there, folder, 2)[2:] == [
        "services.training.compute.ray", "job", "2", "ray://head:10001",
    ]  # fmt: skip
