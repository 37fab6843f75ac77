"""Every RPC of ingestion through a real server and the client."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from boarfish.client import Client
from boarfish.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, ResourceExhausted
from boarfish.v1 import common_pb2, ingestion_pb2, profile_pb2, task_pb2

from services.common.lake import PROFILES, Lake, TableKind
from services.ingestion import delta
from tests.integration.ingestion.running_ingestion import (
    employment,
    events,
    ingestion,
    labels,
    people,
    predictions,
    records,
)


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    with ingestion(tmp_path) as found:
        found.ingestion.CreateDataset(
            ingestion_pb2.CreateDatasetRequest(request_id="c", name="people", task=employment())
        )
        yield found


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def read(client: Client, **fields: Any) -> pa.Table:
    answers = list(client.ingestion.ReadDataset(ingestion_pb2.ReadDatasetRequest(dataset="people", **fields)))
    return pa.concat_tables(pa.ipc.open_stream(one.arrow_ipc).read_all() for one in answers)


def test_datasets_are_created_once_and_listed_by_page(client: Client) -> None:
    stub = client.ingestion
    for name in ("c", "a", "b"):
        made = stub.CreateDataset(ingestion_pb2.CreateDatasetRequest(name=name, task=employment())).dataset
        assert (made.name, made.latest_version, made.task) == (name, 0, employment())
    again = stub.CreateDataset(ingestion_pb2.CreateDatasetRequest(name="a", task=employment())).dataset
    assert again == stub.GetDataset(ingestion_pb2.GetDatasetRequest(name="a")).dataset
    other = employment()
    other.display_name = "Another"
    with pytest.raises(AlreadyExists, match="another task"):
        stub.CreateDataset(ingestion_pb2.CreateDatasetRequest(name="a", task=other))
    names, token = [], ""
    while True:
        page = stub.ListDatasets(ingestion_pb2.ListDatasetsRequest(page_size=3, page_token=token))
        names += [one.name for one in page.datasets]
        if not (token := page.next_page_token):
            break
    assert names == ["a", "b", "c", "people"]
    with pytest.raises(InvalidArgument, match="page_token"):
        stub.ListDatasets(ingestion_pb2.ListDatasetsRequest(page_token="made up"))


def test_callers_who_create_the_same_dataset_at_once_all_get_it(client: Client) -> None:
    wish = ingestion_pb2.CreateDatasetRequest(name="same", task=employment())
    with ThreadPoolExecutor(12) as pool:
        made = list(pool.map(lambda _: client.ingestion.CreateDataset(wish).dataset, range(24)))
    assert all(one == made[0] for one in made)


def test_records_are_versioned_and_read_back(client: Client) -> None:
    stub = client.ingestion
    first = stub.PutRecords(iter([records(people(30), "one"), records(people(20, 30), "two")]))
    assert (first.accepted_count, first.duplicate_count, first.dataset_version) == (50, 0, 50)
    second = stub.PutRecords(iter([records(people(30), "one"), records(people(5, 50), "three")]))
    assert (second.accepted_count, second.duplicate_count, second.dataset_version) == (5, 30, 55)
    found = stub.GetDataset(ingestion_pb2.GetDatasetRequest(name="people")).dataset
    assert (found.latest_version, found.row_count) == (55, 55)
    request = ingestion_pb2.ListDatasetVersionsRequest(dataset="people", page_size=1)
    page = stub.ListDatasetVersions(request)
    assert [(one.version, one.row_count) for one in page.versions] == [(55, 55)]
    rest = stub.ListDatasetVersions(
        ingestion_pb2.ListDatasetVersionsRequest(dataset="people", page_token=page.next_page_token)
    )
    assert rest.versions[0].version == 50 or len(rest.versions) == 2
    assert not rest.next_page_token
    assert read(client)["id"].to_pylist() == [f"p{number}" for number in range(55)]
    past = read(client, version=30, columns=["employed", "id"])
    assert past.column_names == ["employed", "id"]
    assert past["id"].to_pylist() == [f"p{number}" for number in range(30)]
    assert past["employed"].to_pylist() == ["0", "1"] * 15


def test_records_as_objects_and_bad_rows(client: Client) -> None:
    table = people(3)
    answer = client.put_records("people", table.to_pylist())
    assert answer.accepted_count == 3
    rows = people(4).to_pylist()
    rows[1]["AGEP"] = 200
    rows[3]["SCHL"] = 77
    first, second = records(people(2)), records(pa.Table.from_pylist(rows))
    answer = client.ingestion.PutRecords(iter([first, second]))
    assert (answer.accepted_count, answer.rejected_count) == (4, 2)
    assert [(row.row_index, row.column) for row in answer.rejected_rows] == [(3, "AGEP"), (5, "SCHL")]
    assert "AGEP is 200; must be at most 120" in answer.rejected_rows[0].reason


def test_what_is_wrong_with_records_is_said(client: Client) -> None:
    stub = client.ingestion
    good = records(people(1))
    cases: list[tuple[type[Exception], str, ingestion_pb2.PutRecordsRequest]] = [
        (NotFound, "There are: people", records(people(1), dataset="nobody")),
        (InvalidArgument, "dataset", records(people(1), dataset="NO")),
        (InvalidArgument, "AGEP is missing|AGEP", records(people(1).drop(["AGEP"]))),
        (InvalidArgument, "colour", records(people(1).append_column("colour", pa.array(["red"])))),
        (
            InvalidArgument,
            "must hold",
            records(people(1).drop(["AGEP"]).append_column("AGEP", pa.array(["x"]))),
        ),
        (InvalidArgument, "has no rows", records(people(1).slice(0, 0))),
        (
            InvalidArgument,
            "Arrow IPC",
            ingestion_pb2.PutRecordsRequest(
                request_id="x",
                dataset="people",
                batch=common_pb2.RowBatch(arrow_ipc=good.batch.arrow_ipc[:200]),
            ),
        ),
        (InvalidArgument, "batch", ingestion_pb2.PutRecordsRequest(request_id="x", dataset="people")),
        (InvalidArgument, "request_id", ingestion_pb2.PutRecordsRequest(dataset="people", batch=good.batch)),
    ]
    for kind, words, request in cases:
        with pytest.raises(kind, match=words):
            stub.PutRecords(iter([request]))
    assert stub.GetDataset(ingestion_pb2.GetDatasetRequest(name="people")).dataset.row_count == 0


def test_reading_what_is_not_there(client: Client) -> None:
    stub = client.ingestion
    request = ingestion_pb2.ReadDatasetRequest
    assert list(stub.ReadDataset(request(dataset="people"))) == []
    stub.PutRecords(iter([records(people(3))]))
    for kind, words, wish in (
        (NotFound, "no dataset", request(dataset="nobody")),
        (NotFound, "no version 4", request(dataset="people", version=4)),
        (InvalidArgument, "colour is not a column", request(dataset="people", columns=["colour"])),
        (InvalidArgument, "_sequence is not a column", request(dataset="people", columns=["_sequence"])),
    ):
        with pytest.raises(kind, match=words):
            list(stub.ReadDataset(wish))
    for name in ("GetDataset", "ListDatasetVersions"):
        wish_type = getattr(ingestion_pb2, f"{name}Request")
        field = {"name": "nobody"} if name == "GetDataset" else {"dataset": "nobody"}
        with pytest.raises(NotFound):
            getattr(stub, name)(wish_type(**field))
        with pytest.raises(InvalidArgument):
            getattr(stub, name)(wish_type())


def test_large_datasets_are_read_in_messages_of_bounded_size(client: Client) -> None:
    client.ingestion.PutRecords(iter([records(people(60_000))]))
    answers = list(client.ingestion.ReadDataset(ingestion_pb2.ReadDatasetRequest(dataset="people")))
    assert len(answers) > 1
    assert max(len(one.arrow_ipc) for one in answers) < 5 * 1024 * 1024
    assert {one.version for one in answers} == {60_000}
    assert read(client).num_rows == 60_000


def test_predictions_are_acknowledged_by_offset_and_written_once(client: Client, lake: Lake) -> None:
    stub = client.ingestion
    sent = [predictions(3, events(["a"])), predictions(7, events(["b", "c"], AGEP=[1, 2]))]
    assert [one.acknowledged_offset for one in stub.LogPredictions(iter(sent))] == [3, 7]
    again = [*sent, predictions(8, events(["d"], role="SHADOW"))]
    assert [one.acknowledged_offset for one in stub.LogPredictions(iter(again))] == [3, 7, 8]
    found = lake.table(TableKind.PREDICTIONS, "employment").read()
    assert found["prediction_id"].to_pylist() == ["a", "b", "c", "d"]
    assert found["AGEP"].to_pylist() == [None, 1, 2, None]
    other = list(stub.LogPredictions(iter([predictions(1, events(["e"]), spool_id="other")])))
    assert other[0].spool_id == "other"
    assert lake.table(TableKind.PREDICTIONS, "employment").last_sequence() == 5


def test_bad_events_end_the_stream_after_what_came_before(client: Client, lake: Lake) -> None:
    stub = client.ingestion
    for bad in (
        predictions(2, events(["b"]).drop(["score"])),
        predictions(2, events(["b"], role="KING")),
        predictions(2, events(["b"], score=[7.0])),
        predictions(2, events([])),
        predictions(0, events(["b"])),
    ):
        sent = [predictions(1, events(["a"])), bad, predictions(3, events(["c"]))]
        answers = stub.LogPredictions(iter(sent))
        with pytest.raises(InvalidArgument):
            list(answers)
    assert lake.table(TableKind.PREDICTIONS, "employment").last_sequence() == 1


def test_labels_of_both_shapes_once(client: Client, lake: Lake) -> None:
    stub = client.ingestion
    answer = stub.LogLabels(labels(["a", "b"], "one"))
    assert (answer.accepted_count, answer.duplicate) == (2, False)
    assert stub.LogLabels(labels(["a", "b"], "one")).duplicate
    request = ingestion_pb2.LogLabelsRequest(request_id="two", deployment="employment", simulation="s")
    for number, value in enumerate((1, 1.0, "1", True)):
        label = request.rows.labels.add(prediction_id=f"l{number}", source=common_pb2.LABEL_SOURCE_HUMAN)
        label.value.MergeFrom(_value(value))
        label.event_time.FromJsonString("2018-05-01T12:00:00Z")
    stub.LogLabels(request)
    found = lake.table(TableKind.LABELS, "employment").read()
    assert found["value"].to_pylist() == ["1", "1", "1", "1", "1", "true"]
    assert found["source"].to_pylist() == ["OBSERVED"] * 2 + ["HUMAN"] * 4
    assert {str(time)[:10] for time in found["event_time"].to_pylist()[2:]} == {"2018-05-01"}
    assert found["simulation"].to_pylist() == ["", ""] + ["s"] * 4


def test_bad_labels_are_named(client: Client) -> None:
    stub = client.ingestion
    empty_id, unequal, no_source, no_value, far = (
        labels(["a", ""]),
        labels(["a"]),
        labels(["a"]),
        labels(["a"]),
        labels(["a"]),
    )
    unequal.columns.values.append("2")
    no_source.columns.source = common_pb2.LABEL_SOURCE_UNSPECIFIED
    no_value.rows.labels.add(
        prediction_id="a", source=common_pb2.LABEL_SOURCE_HUMAN
    ).value.list_value.SetInParent()
    far.columns.event_time.seconds = 2**62
    long = labels(["x" * 129])
    neither = ingestion_pb2.LogLabelsRequest(request_id="x", deployment="d")
    cases = [
        (empty_id, "is empty"),
        (unequal, "same length"),
        (no_source, "source"),
        (no_value, "must be a string"),
        (far, "event_time"),
        (long, "128"),
        (neither, "labels"),
    ]
    for request, words in cases:
        with pytest.raises(InvalidArgument, match=words):
            stub.LogLabels(request)


def test_profiles_are_kept_once(client: Client, lake: Lake) -> None:
    stub = client.ingestion
    request = ingestion_pb2.UploadProfileRequest(
        request_id="one",
        subject="device-1",
        kind=ingestion_pb2.PROFILE_KIND_REFERENCE,
        model_version="b" * 64,
        profile=profile_pb2.Profile(
            schema=profile_pb2.ProfileSchema(columns=[profile_pb2.ColumnSchema(name="age", kind=1)])
        ),
        task=employment(),
    )
    assert not stub.UploadProfile(request).duplicate
    assert stub.UploadProfile(request).duplicate
    row = lake.table(TableKind.PROFILES, PROFILES).read().to_pylist()[0]
    assert (row["subject"], row["kind"]) == ("device-1", "REFERENCE")
    assert task_pb2.Task.FromString(row["task"]) == employment()
    without = ingestion_pb2.UploadProfileRequest()
    without.CopyFrom(request)
    without.ClearField("task")
    with pytest.raises(InvalidArgument, match="task"):
        stub.UploadProfile(without)
    without.kind = ingestion_pb2.PROFILE_KIND_WINDOW
    with pytest.raises(InvalidArgument, match="deployment"):
        stub.UploadProfile(without)
    with pytest.raises(InvalidArgument, match="model_version"):
        stub.UploadProfile(
            ingestion_pb2.UploadProfileRequest(request_id="x", kind=1, profile=request.profile)
        )


def test_a_task_that_the_lake_cannot_hold_is_refused(client: Client) -> None:
    task = employment()
    task.features[1].name = "agep"
    task.id_column = "_sequence"
    with pytest.raises(InvalidArgument) as caught:
        client.ingestion.CreateDataset(ingestion_pb2.CreateDatasetRequest(name="other", task=task))
    assert {one.field for one in caught.value.violations} >= {"task.features", "task.id_column"}
    with pytest.raises(InvalidArgument, match="name"):
        client.ingestion.CreateDataset(ingestion_pb2.CreateDatasetRequest(name="../up", task=employment()))


def test_a_full_disk_is_said_and_passes(
    client: Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with monkeypatch.context() as broken:
        for number, kind in ((28, ResourceExhausted), (30, FailedPrecondition)):

            def fails(*_: Any, number: int = number) -> None:
                raise OSError(number, "broken")

            broken.setattr(delta.DeltaFile, "_write", fails)
            with pytest.raises(kind, match=str(tmp_path)):
                client.ingestion.LogLabels(labels(["a"], "one"))
    assert not client.ingestion.LogLabels(labels(["a"], "one")).duplicate


def test_nothing_is_forgotten_over_a_restart(tmp_path: Path) -> None:
    sent = [records(people(5), "one")]
    with ingestion(tmp_path) as first:
        first.ingestion.CreateDataset(ingestion_pb2.CreateDatasetRequest(name="people", task=employment()))
        first.ingestion.PutRecords(iter(sent))
        list(first.ingestion.LogPredictions(iter([predictions(5, events(["a"]))])))
    with ingestion(tmp_path) as second:
        assert second.ingestion.PutRecords(iter(sent)).duplicate_count == 5
        list(
            second.ingestion.LogPredictions(
                iter([predictions(5, events(["a"])), predictions(6, events(["b"]))])
            )
        )
        assert read(second).num_rows == 5
    assert Lake(tmp_path / "lake").table(TableKind.PREDICTIONS, "employment").last_sequence() == 2


def _value(value: Any) -> Any:
    from google.protobuf.struct_pb2 import Value

    if isinstance(value, bool):
        return Value(bool_value=value)
    return Value(string_value=value) if isinstance(value, str) else Value(number_value=value)
