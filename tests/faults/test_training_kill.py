"""`kill -9` of worker and service while a job runs: the job ends once, with the same weights.

`BOARFISH_FAULT_POINTS` sets how many random points are tried; the default keeps the suite short.
"""

# ruff: noqa: F811 - fixtures
import os
import random
import sqlite3
import time

import pytest
from boarfish.v1 import training_pb2

from tests.integration.training.conftest import home, neighbours, start_training, training  # noqa: F401
from tests.integration.training.running_training import small_task

SUCCEEDED = training_pb2.TRAINING_JOB_STATE_SUCCEEDED
FAILED = training_pb2.TRAINING_JOB_STATE_FAILED
POINTS = int(os.environ.get("BOARFISH_FAULT_POINTS", "2"))
EPOCHS = 40


def disturbed_task():
    return small_task(epochs=EPOCHS, iterations=40)


def weights(job):
    """SHA-256 of the weights of each model: the net's tensors, the trees as ONNX."""
    return {
        version.model: version.files.get("model.safetensors", version.files["model.onnx"])
        for version in job.model_versions
    }


def wait_until(true, within_s=40.0):
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, "did not come true in time"
        time.sleep(0.02)


def wait_for_fraction(training, job_id, fraction):
    """Waits until that much of the job is done; 1 is reached when its versions are being registered."""

    def reached():
        job = training.get(job_id)
        return job.progress.fraction_done >= fraction or job.HasField("end_time")

    wait_until(reached)


def fractions(seed):
    """Random points of a job, and the one at which its versions are registered."""
    dice = random.Random(seed)
    return [*(dice.uniform(0.0, 0.97) for _ in range(POINTS - 1)), 1.0]


def check_once(training, told, job):
    """Two versions in the book, in the store, in MLflow and in the ledger, whatever happened on the way."""
    ids = {version.id for version in job.model_versions}
    assert len(ids) == 2
    listed = training.stub.ListModelVersions(training_pb2.ListModelVersionsRequest(task_name="work"))
    mine = {one.id for one in listed.model_versions if one.training_job_id == job.id}
    assert mine == ids
    assert {model.id for model in training.store.list() if model.manifest.training_job_id == job.id} == ids
    with sqlite3.connect(training.home / "mlflow.db") as connection:
        query = "SELECT value FROM model_version_tags WHERE key = 'boarfish_id'"
        tagged = [value for (value,) in connection.execute(query) if value in ids]
    connection.close()
    assert sorted(tagged) == sorted(ids)
    subject = f"training_job/{job.id}"
    wait_until(lambda: "training_job.succeeded" in told.actions(subject))
    assert told.actions(subject) == ["training_job.created", "training_job.succeeded"]
    wait_until(lambda: ids <= {profile.model_version for profile in told.profiles})


@pytest.mark.timeout(60 + 60 * POINTS)
def test_a_killed_worker_is_resumed_to_the_same_weights(training, neighbours):
    told, _ = neighbours
    undisturbed = training.ended(training.create("undisturbed", task=disturbed_task()).id)
    assert undisturbed.state == SUCCEEDED, undisturbed.error
    for point, fraction in enumerate(fractions(1)):
        job = training.create(f"killed-{point}", task=disturbed_task())
        wait_for_fraction(training, job.id, fraction)
        pid = training.worker_pid()
        if pid is not None:
            os.kill(pid, 9)
        ended = training.ended(job.id)
        assert ended.state == SUCCEEDED, (fraction, ended.error)
        assert weights(ended) == weights(undisturbed), fraction
        assert ended.resume_count == int(pid is not None)
        check_once(training, told, ended)


@pytest.mark.timeout(60 + 60 * POINTS)
def test_a_killed_service_resumes_its_jobs_to_the_same_weights(training, neighbours):
    told, _ = neighbours
    undisturbed = training.ended(training.create("undisturbed", task=disturbed_task()).id)
    assert undisturbed.state == SUCCEEDED, undisturbed.error
    for point, fraction in enumerate(fractions(2)):
        job = training.create(f"killed-{point}", task=disturbed_task())
        wait_for_fraction(training, job.id, fraction)
        training.kill()
        training.start()
        ended = training.ended(job.id)
        assert ended.state == SUCCEEDED, (fraction, ended.error)
        assert weights(ended) == weights(undisturbed), fraction
        check_once(training, told, ended)


def test_a_worker_that_is_always_killed_ends_as_failed_with_the_likely_reason(start_training):
    training = start_training(training_resume_limit=1)
    job = training.create(task=small_task(epochs=1000))
    killed = set()

    def kill_the_next():
        pid = training.worker_pid()
        if pid is not None and pid not in killed:
            os.kill(pid, 9)
            killed.add(pid)
        return len(killed) == 2

    wait_until(kill_the_next)
    ended = training.ended(job.id)
    assert ended.state == FAILED
    assert "SIGKILL" in ended.error
    assert "memory" in ended.error
    assert ended.resume_count == 1


def test_what_was_acknowledged_before_a_kill_is_there_after_it(training):
    made = [training.create(f"job-{number}", task=small_task(epochs=1000)).id for number in range(3)]
    cancelled = training.stub.CancelTrainingJob(training_pb2.CancelTrainingJobRequest(id=made[2])).job
    training.kill()
    training.start()
    listed = training.stub.ListTrainingJobs(training_pb2.ListTrainingJobsRequest()).jobs
    assert [job.id for job in listed] == made[::-1]
    assert listed[0].state == cancelled.state
    assert training.create("job-1", task=small_task(epochs=1000)).id == made[1]
    for job_id in made:
        training.stub.CancelTrainingJob(training_pb2.CancelTrainingJobRequest(id=job_id), timeout=20)
