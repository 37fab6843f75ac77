"""What the RPCs of training answer to good and bad requests."""

import grpc
import pytest
from boarfish import errors
from boarfish.v1 import task_pb2, training_pb2

from tests.integration.training.running_training import WITHIN_S, people, put_records, small_task


def refusal(call) -> errors.BoarfishError:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return errors.from_rpc_error(caught.value)


def test_the_same_request_id_makes_one_job(training):
    first = training.create("one")
    assert training.create("one").id == first.id
    assert first.dataset_version == 3000
    error = refusal(lambda: training.create("one", task=small_task(epochs=9)))
    assert isinstance(error, errors.InvalidArgument)
    assert error.violations[0].field == "request_id"
    training.stub.CancelTrainingJob(training_pb2.CancelTrainingJobRequest(id=first.id))
    assert training.create("one").id == first.id


def test_what_is_not_in_the_lake_is_named_with_what_is(training):
    error = refusal(lambda: training.create(dataset="peeple"))
    assert isinstance(error, errors.NotFound)
    assert "people" in error.message
    error = refusal(lambda: training.create(dataset_version=3001))
    assert isinstance(error, errors.NotFound)
    assert "3000" in error.message


def test_columns_that_do_not_fit_the_task_are_named(training, home):
    rows = people(10)
    put_records(
        home, "odd", rows.drop_columns(["town"]).set_column(2, "school", rows["school"].cast("string"))
    )
    error = refusal(lambda: training.create(dataset="odd"))
    assert isinstance(error, errors.InvalidArgument)
    assert {field for field, _ in error.violations} == {"task.features[1].name", "task.features[2].name"}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda task: task.features[0].ClearField("name"), "task.features[0].name"),
        (
            lambda task: task.training.models[0].tabular_net.ClearField("epochs"),
            "task.training.models[0].tabular_net.epochs",
        ),
        (lambda task: task.training.ClearField("models"), "task.training.models"),
        (lambda task: setattr(task.split, "validation_share", 1.5), "task.split.validation_share"),
        (lambda task: setattr(task.split, "method", task_pb2.SPLIT_METHOD_GROUP), "task.split.column"),
        (lambda task: setattr(task.target, "negative_value", "1"), "task.target.negative_value"),
        (lambda task: task.ClearField("purpose"), "task.purpose"),
    ],
)
def test_a_task_that_does_not_hold_is_refused_by_field(training, change, field):
    task = small_task()
    change(task)
    error = refusal(lambda: training.create(task=task))
    assert isinstance(error, errors.InvalidArgument)
    assert field in {violation.field for violation in error.violations}


def test_bad_requests_of_every_rpc(training):
    stub = training.stub
    bad = [
        (stub.CreateTrainingJob, training_pb2.CreateTrainingJobRequest(), errors.InvalidArgument),
        (stub.GetTrainingJob, training_pb2.GetTrainingJobRequest(), errors.InvalidArgument),
        (stub.GetTrainingJob, training_pb2.GetTrainingJobRequest(id="nobody"), errors.NotFound),
        (stub.ListTrainingJobs, training_pb2.ListTrainingJobsRequest(page_size=1001), errors.InvalidArgument),
        (stub.ListTrainingJobs, training_pb2.ListTrainingJobsRequest(page_token="x"), errors.InvalidArgument),
        (stub.CancelTrainingJob, training_pb2.CancelTrainingJobRequest(), errors.InvalidArgument),
        (stub.CancelTrainingJob, training_pb2.CancelTrainingJobRequest(id="nobody"), errors.NotFound),
        (
            stub.ListModelVersions,
            training_pb2.ListModelVersionsRequest(page_size=1001),
            errors.InvalidArgument,
        ),
        (stub.GetModelVersion, training_pb2.GetModelVersionRequest(id="abc"), errors.InvalidArgument),
        (stub.GetModelVersion, training_pb2.GetModelVersionRequest(id="%" * 8), errors.InvalidArgument),
        (stub.GetModelVersion, training_pb2.GetModelVersionRequest(id="abcdef01"), errors.NotFound),
    ]
    for method, request, kind in bad:
        assert type(refusal(lambda method=method, request=request: method(request, timeout=5))) is kind, (
            request
        )
    for request in (
        training_pb2.WatchTrainingJobRequest(),
        training_pb2.WatchTrainingJobRequest(id="nobody"),
    ):
        error = refusal(lambda request=request: list(stub.WatchTrainingJob(request, timeout=5)))
        assert isinstance(error, (errors.InvalidArgument, errors.NotFound))


def test_what_a_later_version_answers(training):
    request = training_pb2.ExportModelVersionRequest(id="a" * 64, format=training_pb2.EXPORT_FORMAT_ORT)
    assert isinstance(refusal(lambda: training.stub.ExportModelVersion(request)), errors.Unimplemented)


def test_a_rate_is_found_for_a_net_and_nothing_is_kept(training):
    request = training_pb2.FindLearningRateRequest(dataset="people", task=small_task())
    found = training.stub.FindLearningRate(request, timeout=WITHIN_S)
    assert len(found.learning_rates) == len(found.losses) > 10
    assert list(found.learning_rates) == sorted(found.learning_rates)
    assert 1e-6 < found.suggestion < 1
    assert found.learning_rates[0] <= found.steep <= found.learning_rates[-1]
    assert not any(training.home.glob("training/sweep-*"))
    assert not training.stub.ListTrainingJobs(training_pb2.ListTrainingJobsRequest()).jobs


@pytest.mark.parametrize(("index", "words"), [(1, "no learning rate to find"), (2, "has 2 models")])
def test_a_rate_is_found_for_nets_of_the_plan_alone(training, index, words):
    request = training_pb2.FindLearningRateRequest(dataset="people", task=small_task(), model_index=index)
    refused = refusal(lambda: training.stub.FindLearningRate(request))
    assert isinstance(refused, errors.InvalidArgument)
    assert refused.violations[0].field == "model_index"
    assert words in refused.violations[0].description


def test_weights_that_are_not_there_are_named_when_the_job_is_created(training):
    task = small_task()
    task.kind = task_pb2.TASK_KIND_LANGUAGE_MODEL
    for field in ("target", "decision", "features", "sensitive"):
        task.ClearField(field)
    task.features.add(name="town", type=task_pb2.FEATURE_TYPE_TEXT)
    task.training.ClearField("models")
    task.training.metric = task_pb2.SELECTION_METRIC_PERPLEXITY
    task.training.models.add().language_model.weights = "nowhere.safetensors"
    refused = refusal(lambda: training.create(task=task))
    assert isinstance(refused, errors.InvalidArgument)
    assert refused.violations[0].field == "task.training.models[0].language_model.weights"
    assert "put the file into" in refused.violations[0].description


def test_jobs_are_listed_by_pages_newest_first(training):
    made = [training.create(f"job-{number}").id for number in range(5)]
    for job_id in reversed(made):
        training.stub.CancelTrainingJob(training_pb2.CancelTrainingJobRequest(id=job_id), timeout=10)
    listed, token = [], ""
    while True:
        page = training.stub.ListTrainingJobs(
            training_pb2.ListTrainingJobsRequest(page_size=2, page_token=token)
        )
        assert len(page.jobs) <= 2
        listed += [job.id for job in page.jobs]
        token = page.next_page_token
        if not token:
            break
    assert listed == made[::-1]


def test_a_full_queue_says_when_to_come_back(start_training):
    training = start_training(training_queue_limit=1)
    jobs = [training.create("first")]
    error = None
    for number in range(3):
        try:
            jobs.append(training.create(f"more-{number}"))
        except grpc.RpcError as caught:
            error = errors.from_rpc_error(caught)
    assert isinstance(error, errors.ResourceExhausted)
    assert error.retry_after_s
