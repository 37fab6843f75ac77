"""Amending rows through a real server: versions, refusals, the same request twice, and many at once."""

import random
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest
from boarfish.client import Client
from boarfish.errors import DeadlineExceeded, InvalidArgument, NotFound
from boarfish.v1 import ingestion_pb2, task_pb2

from services.common.datasets import Dataset
from services.common.lake import Lake, TableKind
from services.training import datasets as training
from tests.integration.ingestion.running_ingestion import employment, ingestion, people, records

Wishes = dict[str, str | None]


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    with ingestion(tmp_path, small_file_limit=3) as found:
        create(found, "people", employment())
        yield found


def create(client: Client, name: str, task: task_pb2.Task) -> None:
    client.ingestion.CreateDataset(ingestion_pb2.CreateDatasetRequest(request_id="c", name=name, task=task))


def wish(wishes: Wishes, request_id: str = "", dataset: str = "people") -> ingestion_pb2.AmendRecordsRequest:
    """Row id to its new label, or `None` to delete it."""
    return ingestion_pb2.AmendRecordsRequest(
        request_id=request_id or uuid.uuid4().hex,
        dataset=dataset,
        amendments=[
            ingestion_pb2.Amendment(row_id=row_id, delete=True)
            if label is None
            else ingestion_pb2.Amendment(row_id=row_id, label=label)
            for row_id, label in wishes.items()
        ],
        amended_by="Ada",
        reason="the form was read wrongly",
    )


def read(client: Client, version: int = 0) -> dict[str, str]:
    """Label by row id."""
    request = ingestion_pb2.ReadDatasetRequest(dataset="people", version=version, columns=["id", "employed"])
    rows: dict[str, str] = {}
    for one in client.ingestion.ReadDataset(request):
        table = pa.ipc.open_stream(one.arrow_ipc).read_all()
        rows |= dict(zip(table["id"].to_pylist(), table["employed"].to_pylist(), strict=True))
    return rows


def test_rows_are_relabelled_and_deleted_in_a_new_version(client: Client, tmp_path: Path) -> None:
    stub = client.ingestion
    stub.PutRecords(iter([records(people(6), "one")]))
    before = read(client)
    answer = stub.AmendRecords(wish({"p1": "0", "p2": None, "p4": None}))
    assert (answer.relabelled_count, answer.deleted_count, answer.dataset_version) == (1, 2, 9)
    put = stub.PutRecords(iter([records(people(2, 6), "two")]))
    assert put.dataset_version == 11
    after = {"p0": "0", "p1": "0", "p3": "1", "p5": "1"}
    assert (read(client, 6), read(client, 9)) == (before, after)
    assert read(client) == read(client, 11) == {**after, "p6": "0", "p7": "1"}
    found = stub.GetDataset(ingestion_pb2.GetDatasetRequest(name="people")).dataset
    assert (found.latest_version, found.row_count) == (11, 6)
    listed = stub.ListDatasetVersions(ingestion_pb2.ListDatasetVersionsRequest(dataset="people")).versions
    assert [(one.version, one.row_count) for one in listed] == [(11, 6), (9, 4), (6, 6)]
    request = ingestion_pb2.ListDatasetVersionsRequest(dataset="people", page_size=2)
    page = stub.ListDatasetVersions(request)
    request.page_token = page.next_page_token
    assert [one.version for one in stub.ListDatasetVersions(request).versions] == [6]
    # An earlier request sent again stands where it stood.
    assert stub.PutRecords(iter([records(people(6), "one")])).dataset_version == 6
    with pytest.raises(NotFound, match="no version 12"):
        read(client, 12)
    lake = Lake(tmp_path / "lake")
    version = training.find_version(lake, "people", 0)
    assert (version.version, version.row_count) == (11, 6)
    rows = training.read_rows(lake, version, employment())
    assert dict(zip(rows["id"].to_pylist(), rows["employed"].to_pylist(), strict=True)) == read(client)
    assert training.read_rows(lake, training.find_version(lake, "people", 6), employment()).num_rows == 6
    kept = lake.table(TableKind.AMENDMENTS, "people").read(
        columns=["row_id", "label", "amended_by", "reason"]
    )
    assert kept.to_pylist()[0] == {
        "row_id": "p1", "label": "0", "amended_by": "Ada", "reason": "the form was read wrongly",
    }  # fmt: skip


def test_the_same_request_again_is_answered_and_not_done_again(client: Client) -> None:
    client.ingestion.PutRecords(iter([records(people(4))]))
    request = wish({"p0": "1", "p3": None}, "again")
    first = client.ingestion.AmendRecords(request)
    client.ingestion.PutRecords(iter([records(people(1, 9))]))
    assert client.ingestion.AmendRecords(request) == first
    assert read(client) == {"p0": "1", "p1": "1", "p2": "0", "p9": "0"}


def test_all_rows_with_the_id_are_amended_but_none_that_comes_later(client: Client) -> None:
    client.ingestion.PutRecords(iter([records(people(2)), records(people(2))]))
    answer = client.ingestion.AmendRecords(wish({"p1": None}))
    assert (answer.deleted_count, answer.dataset_version) == (2, 6)
    client.ingestion.PutRecords(iter([records(people(2))]))
    assert read(client) == {"p0": "0", "p1": "1"}
    assert client.ingestion.GetDataset(ingestion_pb2.GetDatasetRequest(name="people")).dataset.row_count == 4


@pytest.mark.parametrize(
    ("wishes", "field", "words"),
    [
        ({"p0": "1", "nobody": "1"}, "amendments[1].row_id", "no row of people has nobody in its column id"),
        ({"p0": "1", "p2": "0"}, "amendments[1].row_id", "p2 was deleted from people before"),
        ({"p0": "maybe"}, "amendments[0].label", "must be one of 0, 1"),
    ],
)
def test_what_cannot_be_amended_is_named_and_nothing_is(
    client: Client, wishes: Wishes, field: str, words: str
) -> None:
    client.ingestion.PutRecords(iter([records(people(3))]))
    client.ingestion.AmendRecords(wish({"p2": None}))
    with pytest.raises(InvalidArgument) as caught:
        client.ingestion.AmendRecords(wish(wishes))
    assert [one[0] for one in caught.value.violations] == [field]
    assert words in caught.value.violations[0][1]
    assert read(client) == {"p0": "0", "p1": "1"}


def test_requests_that_say_nothing_sensible_are_refused(client: Client) -> None:
    stub = client.ingestion
    with pytest.raises(InvalidArgument, match="no row of people has p0"):
        stub.AmendRecords(wish({"p0": "1"}))
    with pytest.raises(NotFound, match="There are: people"):
        stub.AmendRecords(wish({"p0": "1"}, dataset="nobody"))
    twice = wish({"p0": "1"})
    twice.amendments.add(row_id="p0", delete=True)
    with pytest.raises(InvalidArgument, match=r"amendments\[0\] too; give it once"):
        stub.AmendRecords(twice)
    for change in ({"amended_by": ""}, {"reason": ""}, {"amendments": []}):
        request = wish({"p0": "1"})
        for field, value in change.items():
            request.ClearField(field)  # type: ignore[arg-type]
            assert not value
        with pytest.raises(InvalidArgument, match=next(iter(change))):
            stub.AmendRecords(request)
    nameless = employment()
    nameless.id_column = ""
    create(client, "nameless", nameless)
    with pytest.raises(InvalidArgument, match="names no id_column"):
        stub.AmendRecords(wish({"p0": "1"}, dataset="nameless"))


def test_any_order_of_putting_and_amending_reads_like_a_plain_list(client: Client) -> None:
    chance = random.Random(7)
    plain: dict[str, str] = {}
    seen: dict[int, dict[str, str]] = {}
    for step in range(40):
        if not plain or chance.random() < 0.5:
            table = people(chance.randint(1, 20), 100 * step)
            plain |= dict(zip(table["id"].to_pylist(), map(str, table["employed"].to_pylist()), strict=True))
            version = client.ingestion.PutRecords(iter([records(table)])).dataset_version
        else:
            ids = chance.sample(sorted(plain), chance.randint(1, min(5, len(plain))))
            wishes = {row_id: chance.choice(["0", "1", None]) for row_id in ids}
            for row_id, label in wishes.items():
                if label is None:
                    del plain[row_id]
                else:
                    plain[row_id] = label
            version = client.ingestion.AmendRecords(wish(wishes)).dataset_version
        seen[version] = dict(plain)
        if chance.random() < 0.2:
            earlier = chance.choice(sorted(seen))
            assert read(client, earlier) == seen[earlier]
    assert {version: read(client, version) for version in seen} == seen
    listed = client.ingestion.ListDatasetVersions(
        ingestion_pb2.ListDatasetVersionsRequest(dataset="people", page_size=100)
    ).versions
    assert {one.version: one.row_count for one in listed} == {
        version: len(rows) for version, rows in seen.items()
    }


def test_those_who_put_and_amend_at_once_come_one_after_the_other(client: Client, tmp_path: Path) -> None:
    client.ingestion.PutRecords(iter([records(people(40))]))

    def put(number: int) -> tuple[int, set[str]]:
        table = people(5, 1000 + 10 * number)
        version = client.ingestion.PutRecords(iter([records(table)])).dataset_version
        return version, set(table["id"].to_pylist())

    def amend(number: int) -> tuple[int, str]:
        """Some go away before the answer comes, and ask again."""
        request, timeout = wish({f"p{number}": None}), 0.002
        while True:
            try:
                version = client.ingestion.AmendRecords(request, timeout=timeout).dataset_version
            except DeadlineExceeded:
                timeout *= 2
            else:
                return version, f"p{number}"

    with ThreadPoolExecutor(8) as pool:
        puts, amended = pool.map(put, range(30)), pool.map(amend, range(30))
        put_versions, amended_versions = list(puts), list(amended)
    dataset = Dataset(Lake(tmp_path / "lake"), "people")
    assert dataset.latest_version() == 40 + 30 * 5 + 30
    assert len({version for version, _ in amended_versions}) == 30

    def ids(version: int) -> set[str]:
        return set(dataset.read(version, ["id"])["id"].to_pylist())

    for version, gone in amended_versions:
        assert gone in ids(version - 1)
        assert gone not in ids(version)
    for version, added in put_versions:
        assert added <= ids(version)
        assert not added & ids(version - 5)
