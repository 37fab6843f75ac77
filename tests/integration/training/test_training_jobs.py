"""Jobs from their creation to model versions, through a real service process and real workers."""

import hashlib
import json
import subprocess
import sys
import threading
import time

import grpc
import numpy as np
import onnxruntime
import pyarrow as pa
import pytest
from boarfish import errors
from boarfish.v1 import ingestion_pb2, training_pb2

from tests.integration.training.running_training import people, put_records, small_task

SUCCEEDED = training_pb2.TRAINING_JOB_STATE_SUCCEEDED
FAILED = training_pb2.TRAINING_JOB_STATE_FAILED
CANCELLED = training_pb2.TRAINING_JOB_STATE_CANCELLED
RUNNING = training_pb2.TRAINING_JOB_STATE_RUNNING
QUEUED = training_pb2.TRAINING_JOB_STATE_QUEUED


def wait_until(true, within_s=120.0):
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, "did not come true in time"
        time.sleep(0.05)


def test_a_job_makes_versions_that_are_told_served_and_tracked(training, neighbours, home):
    job = training.create()
    states = list(training.watch(job.id))
    ended = states[-1]
    assert ended.state == SUCCEEDED, (ended.error, training.log_of(job.id))
    assert ended.progress.fraction_done == 1.0
    fractions = [state.progress.fraction_done for state in states]
    assert fractions == sorted(fractions)
    assert {"tabular_net", "gradient_boosting"} <= {state.progress.model for state in states}

    versions = list(ended.model_versions)
    assert {version.model for version in versions} == {"tabular_net", "gradient_boosting"}
    scores = [version.metrics["auc"].value for version in versions]
    assert scores == sorted(scores, reverse=True)
    for version in versions:
        check_version(training, version, job)

    check_curve(training, job.id)

    told, _ = neighbours
    wait_until(
        lambda: len(told.profiles) == 2 and f"training_job/{job.id}" in {e.subject for e in told.entries[-1:]}
    )
    assert told.actions(f"training_job/{job.id}") == ["training_job.created", "training_job.succeeded"]
    for version in versions:
        assert told.actions(f"model_version/{version.id}") == ["model_version.registered"]
    upload = next(one for one in told.profiles if one.model_version == versions[0].id)
    assert upload.kind == ingestion_pb2.PROFILE_KIND_REFERENCE
    assert upload.task == job.task
    assert upload.profile.row_count == 750
    assert {frozenset(one.group.items()) for one in upload.profile.subgroups} == {
        frozenset({("sex", "1")}),
        frozenset({("sex", "2")}),
    }
    assert not (home / "training" / job.id).exists()
    check_mlflow(home, versions)
    check_lookup(training, versions)


def check_curve(training, job_id):
    """The curve of an ended job comes from its versions, one point an epoch of the net."""
    request = training_pb2.GetTrainingCurveRequest(id=job_id)
    points = training.stub.GetTrainingCurve(request, timeout=10).points
    net = [point for point in points if point.model == "tabular_net"]
    assert [point.epoch for point in net][-1] == 2
    assert all(point.train_loss > 0 and 0 < point.metrics["auc"] <= 1 for point in net[-1:])
    assert {point.model for point in points} == {"tabular_net", "gradient_boosting"}


def check_version(training, version, job):
    assert version.training_job_id == job.id
    assert version.dataset_version == 3000
    assert (
        0.6 < version.metrics["auc"].lower < version.metrics["auc"].value < version.metrics["auc"].upper < 1
    )
    assert set(version.metrics) == {"auc", "accuracy", "brier", "log_loss"}
    assert version.baseline.better
    assert version.baseline.statement in version.model_card
    assert "| female |" in version.model_card
    stored = training.store.get(version.id)
    assert stored.version == version
    assert stored.task == job.task
    session = onnxruntime.InferenceSession(stored.path_of("model.onnx"), providers=["CPUExecutionProvider"])
    probability = session.run(
        ["probability"],
        {
            "numeric": np.array([[20.0], [np.nan], [70.0]], np.float32),
            "code": np.array([[1], [np.iinfo(np.int64).min], [5]], np.int64),
            "category": np.array([["Salem"], ["nowhere"], ["Boston"]], object),
        },
    )[0]
    assert probability.shape == (3,)
    assert probability[0] < 0.5 < probability[2]
    assert version.parity.count > 0
    assert version.parity.largest_difference <= version.parity.tolerance
    assert version.parameters["seed"] == "3"
    request = training_pb2.GetModelVersionFiguresRequest(id=version.id)
    figures = training.stub.GetModelVersionFigures(request, timeout=10).figures
    assert figures
    assert all(figure.title and figure.sentence and figure.WhichOneof("body") for figure in figures)


# In a process of its own: MLflow's import alone warns of deprecations, and here warnings are errors.
READ_MLFLOW = """
import json, sys
from mlflow.tracking import MlflowClient
client = MlflowClient(tracking_uri=sys.argv[1], registry_uri=sys.argv[1])
found = []
for registered in client.search_model_versions("name = 'work'"):
    run = client.get_run(registered.run_id)
    found.append({
        "id": registered.tags["boarfish_id"], "source": registered.source, "status": run.info.status,
        "params": run.data.params, "metrics": run.data.metrics,
        "points": len(client.get_metric_history(registered.run_id, "auc")),
        "files": [file.path for file in client.list_artifacts(registered.run_id)],
    })
print(json.dumps(found))
"""


def check_mlflow(home, versions):
    command = [sys.executable, "-W", "ignore", "-c", READ_MLFLOW, f"sqlite:///{home / 'mlflow.db'}"]
    found = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert len(found) == len(versions)
    by_id = {one["id"]: one for one in found}
    for version in versions:
        run = by_id[version.id]
        assert run["source"] == str(home / "models" / version.id)
        assert run["status"] == "FINISHED"
        assert run["params"]["seed"] == "3"
        assert run["metrics"]["validation_auc"] == pytest.approx(version.metrics["auc"].value)
        assert run["points"] == (2 if version.model == "tabular_net" else 1)
        assert set(run["files"]) == {"model_card.md", "evaluation.json", "task.json"}


def check_lookup(training, versions):
    get = training.stub.GetModelVersion
    found = get(training_pb2.GetModelVersionRequest(id=versions[0].id[:8])).model_version
    assert found == versions[0]
    listing = training_pb2.ListModelVersionsRequest(task_name="work", page_size=1)
    first = training.stub.ListModelVersions(listing)
    listing.page_token = first.next_page_token
    second = training.stub.ListModelVersions(listing)
    assert {one.id for page in (first, second) for one in page.model_versions} == {one.id for one in versions}
    assert second.next_page_token == ""
    other = training.stub.ListModelVersions(training_pb2.ListModelVersionsRequest(task_name="other"))
    assert not other.model_versions


def test_a_running_job_is_cancelled_within_seconds(training, neighbours):
    job = training.create(task=small_task(epochs=1000))
    wait_until(lambda: training.get(job.id).progress.epoch > 0)
    worker = training.worker_pid()
    assert worker
    began = time.monotonic()
    answer = training.stub.CancelTrainingJob(training_pb2.CancelTrainingJobRequest(id=job.id), timeout=20).job
    assert time.monotonic() - began < 5
    assert answer.state == CANCELLED
    wait_until(lambda: training.worker_pid() is None)
    ended = training.ended(job.id)
    assert ended.state == CANCELLED
    assert not ended.model_versions
    again = training.stub.CancelTrainingJob(training_pb2.CancelTrainingJobRequest(id=job.id)).job
    assert again == ended
    told, _ = neighbours
    wait_until(lambda: "training_job.cancelled" in told.actions(f"training_job/{job.id}"))
    wait_until(lambda: not (training.home / "training" / job.id).exists())


def test_jobs_wait_for_their_turn_and_a_waiting_one_can_be_cancelled(training):
    first = training.create("first", task=small_task(epochs=1000))
    second = training.create("second")
    third = training.create("third")
    wait_until(lambda: training.get(first.id).state == RUNNING)
    assert training.get(second.id).state == QUEUED
    cancelled = training.stub.CancelTrainingJob(training_pb2.CancelTrainingJobRequest(id=second.id)).job
    assert cancelled.state == CANCELLED
    training.stub.CancelTrainingJob(training_pb2.CancelTrainingJobRequest(id=first.id), timeout=20)
    assert training.ended(third.id).state == SUCCEEDED


def test_two_jobs_at_once(start_training):
    training = start_training(training_parallel_jobs=2)
    jobs = [training.create(f"job-{number}") for number in range(2)]
    ended = [training.ended(job.id) for job in jobs]
    assert [job.state for job in ended] == [SUCCEEDED, SUCCEEDED], [job.error for job in ended]
    first, second = ({one.model: one for one in job.model_versions} for job in ended)
    for model in first:
        assert first[model].id != second[model].id
        assert first[model].metrics["auc"] == second[model].metrics["auc"]


def test_many_watchers_and_one_that_goes_away(training):
    job = training.create(task=small_task(epochs=30))
    ends, threads = [], []
    for _ in range(20):
        threads.append(threading.Thread(target=lambda: ends.append(training.ended(job.id))))
        threads[-1].start()
    leaving = training.stub.WatchTrainingJob(training_pb2.WatchTrainingJobRequest(id=job.id))
    next(leaving)
    leaving.cancel()
    with pytest.raises(grpc.RpcError):
        next(leaving)
    for thread in threads:
        thread.join(60)
    assert [end.state for end in ends] == [SUCCEEDED] * 20


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (people(1), "rows"),
        (people(40).set_column(4, "works", pa.array(["1"] * 40)), "always 1"),
        (people(40).set_column(4, "works", pa.array(["1", "maybe"] * 20)), "maybe"),
    ],
)
def test_rows_that_cannot_be_learnt_from_fail_with_a_reason(training, home, rows, words):
    put_records(home, "poor", rows)
    ended = training.ended(training.create(dataset="poor").id)
    assert ended.state == FAILED
    assert words in ended.error
    assert "Traceback" not in ended.error


def test_a_dataset_version_is_what_it_was(training, home):
    before = training.ended(training.create("before", dataset_version=3000).id)
    put_records(home, "people", people(500, seed=9))
    after = training.ended(training.create("after", dataset_version=3000).id)
    for one, other in zip(before.model_versions, after.model_versions, strict=True):
        assert one.files["model.onnx"] == other.files["model.onnx"]
    newest = training.create("newest")
    assert newest.dataset_version == 3500
    training.stub.CancelTrainingJob(training_pb2.CancelTrainingJobRequest(id=newest.id), timeout=20)


def test_what_was_tampered_with_is_not_handed_out(training):
    version = training.ended(training.create().id).model_versions[0]
    stored = training.store.get(version.id)
    path = stored.path / "model.onnx"
    assert hashlib.sha256(path.read_bytes()).hexdigest() == version.files["model.onnx"]
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(errors.FailedPrecondition):
        stored.path_of("model.onnx")


def test_a_stop_leaves_the_job_for_the_next_start(training):
    job = training.create(task=small_task(epochs=60))
    wait_until(lambda: training.get(job.id).progress.epoch > 2)
    assert training.stop() == 0
    training.start()
    ended = training.ended(job.id)
    assert ended.state == SUCCEEDED
    assert ended.resume_count == 1
