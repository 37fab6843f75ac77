"""Pictures, sounds, texts, times and series through a real server, the lake, compaction and back."""

import datetime as dt
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
from boarfish.client import Client
from boarfish.errors import InvalidArgument
from boarfish.v1 import ingestion_pb2

from services.common.lake import Lake
from services.ingestion import delta, service
from services.training import datasets as training
from tests.integration.ingestion.running_ingestion import ingestion, task_of

PNG, WAV = b"\x89PNG\r\n\x1a\n", b"RIFF\x04\0\0\0WAVE"
MOMENT = dt.datetime(2018, 3, 1, 12, tzinfo=dt.UTC)
PICTURES = task_of(
    "multiclass_classification", "conv_net", "accuracy", {"it": "image"}, name="digit", classes=["3", "7"]
)


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    with ingestion(tmp_path, small_file_limit=3) as found:
        yield found


def create(client: Client, name: str, task: Any) -> None:
    client.ingestion.CreateDataset(ingestion_pb2.CreateDatasetRequest(name=name, task=task))


def pictures(sizes: list[int], first: int = 0) -> pa.Table:
    return pa.table(
        {
            "id": [f"p{first + place}" for place in range(len(sizes))],
            "it": [PNG + random.Random(first + place).randbytes(size) for place, size in enumerate(sizes)],
            "digit": ["3", "7"] * (len(sizes) // 2),
        }
    )


def messages(client: Client, name: str, version: int = 0) -> list[bytes]:
    request = ingestion_pb2.ReadDatasetRequest(dataset=name, version=version)
    return [one.arrow_ipc for one in client.ingestion.ReadDataset(request)]


def test_pictures_survive_compaction_and_are_read_back_in_bounded_messages(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delta, "_ROW_GROUP_BYTES", 200_000)
    monkeypatch.setattr(service, "READ_BYTES", 100_000)
    create(client, "digits", PICTURES)
    tables = [pictures([20_000, 100, 300_000, 5, 30_000, 60_000], 6 * number) for number in range(12)]
    for number, table in enumerate(tables, 1):
        assert client.put_table("digits", table).dataset_version == 6 * number
    everything = pa.concat_tables(tables)
    folder = tmp_path / "lake" / "records" / "digits"
    lake = Lake(tmp_path / "lake")
    version = training.find_version(lake, "digits", 0)
    training.check_columns(lake, "digits", PICTURES)
    read = training.read_rows(lake, version, PICTURES)
    assert read.select(everything.column_names).equals(everything)
    files = [pa.parquet.ParquetFile(path) for path in folder.glob("part-*.parquet")]
    assert any(file.metadata.num_rows > 12 for file in files), "nothing was put together"
    groups = [file.metadata.row_group(index) for file in files for index in range(file.num_row_groups)]
    assert max(group.total_byte_size for group in groups) < 1_000_000
    sent = [pa.ipc.open_stream(one).read_all() for one in messages(client, "digits", 30)]
    assert pa.concat_tables(sent).select(everything.column_names).equals(everything.slice(0, 30))
    assert all(one.nbytes <= 110_000 or one.num_rows == 1 for one in sent)
    assert len(sent) > 5


def test_the_largest_picture_goes_in_and_comes_out_and_a_larger_one_is_refused(client: Client) -> None:
    create(client, "digits", PICTURES)
    largest = pictures([100, 16 * 1024 * 1024 - len(PNG), 16 * 1024 * 1024, 100])
    answer = client.put_table("digits", largest)
    assert (answer.accepted_count, answer.rejected_count) == (3, 1)
    assert "it has 16,777,224 bytes; must have at most 16,777,216" in answer.rejected_rows[0].reason
    read = pa.concat_tables(pa.ipc.open_stream(one).read_all() for one in messages(client, "digits"))
    assert read["it"].to_pylist() == largest.take([0, 1, 3])["it"].to_pylist()


def test_rows_of_every_type_as_objects_and_as_arrow_stand_in_one_table(
    client: Client, tmp_path: Path
) -> None:
    types = {"n": "numeric", "c": "code", "w": "category", "t": "time"}
    task = task_of("regression", "xgboost", "rmse", types, name="y", logarithmic=True)
    for name, kind in (("a", "audio"), ("x", "text"), ("s", "series"), ("b", "bytes")):
        model = "text_classifier" if kind == "text" else "conv_net"
        one = task_of(
            "multiclass_classification", model, "accuracy", {name: kind}, name="k", classes=["u", "v"]
        )
        create(client, f"only-{name}", one)
        value = {"a": WAV, "x": "a text", "s": [1.0, 2.5], "b": b"\0\1"}[name]
        row = {"id": 1, name: value, "k": "u"}
        client.put_records(f"only-{name}", [row])
        client.put_table(f"only-{name}", pa.table({key: [cell] for key, cell in row.items()}))
        lake = Lake(tmp_path / "lake")
        training.check_columns(lake, f"only-{name}", one)
        read = training.read_rows(lake, training.find_version(lake, f"only-{name}", 0), one)
        assert read[name].to_pylist() == [value, value]
    create(client, "table", task)
    row = {"id": "r", "n": 1.5, "c": 7, "w": "word", "t": MOMENT, "y": 0.0}
    client.put_records("table", [row, {**row, "y": -1.0}])
    client.put_table("table", pa.table({key: [cell] for key, cell in row.items()}))
    answer = client.amend_records("table", {"r": 2.5}, amended_by="Ada", reason="measured again")
    assert (answer.relabelled_count, answer.dataset_version) == (2, 4)
    read = training.read_rows(Lake(tmp_path / "lake"), training.find_version(lake, "table", 0), task)
    assert read.to_pylist() == [{**row, "y": 2.5}] * 2
    with pytest.raises(InvalidArgument, match="must be a number"):
        client.amend_records("table", {"r": "much"}, amended_by="Ada", reason="why")
    with pytest.raises(InvalidArgument, match="must be at least 0"):
        client.amend_records("table", {"r": -3}, amended_by="Ada", reason="why")


def test_labels_that_cannot_be_written_as_text_are_not_amended_but_rows_are_deleted(client: Client) -> None:
    masks = task_of("segmentation", "unet", "mean_iou", {"it": "image"}, name="mask", classes=["sky", "sea"])
    points = task_of(
        "regression", "conv_net", "mae", {"it": "image"}, name="x", more_columns=["y"], points=True
    )
    plays = task_of("language_model", "language_model", "perplexity", {"it": "text"})
    for name, task, row, words in (
        ("masks", masks, {"it": PNG, "mask": PNG}, "labels are pictures"),
        ("points", points, {"it": PNG, "x": 1, "y": 2}, "several numbers"),
        ("plays", plays, {"it": "To be"}, "have no label"),
    ):
        create(client, name, task)
        assert client.put_records(name, [{"id": "r", **row}]).accepted_count == 1
        with pytest.raises(InvalidArgument, match=words):
            client.amend_records(name, {"r": "1"}, amended_by="Ada", reason="why")
        answer = client.amend_records(name, {"r": None}, amended_by="Ada", reason="why")
        assert (answer.deleted_count, answer.dataset_version) == (1, 2)
        assert messages(client, name) == []


def test_a_task_that_reads_a_column_otherwise_is_told_so(client: Client, tmp_path: Path) -> None:
    create(client, "digits", PICTURES)
    client.put_table("digits", pictures([10, 10]))
    lake = Lake(tmp_path / "lake")
    kind, two = "multiclass_classification", ["3", "7"]
    texts = task_of(kind, "text_classifier", "accuracy", {"it": "text"}, name="digit", classes=two)
    with pytest.raises(InvalidArgument, match=r"it is binary in dataset digits.*texts \(utf8\)"):
        training.check_columns(lake, "digits", texts)
    more = task_of("regression", "conv_net", "mae", {"it": "image"}, name="digit", more_columns=["q"])
    with pytest.raises(InvalidArgument) as caught:
        training.check_columns(lake, "digits", more)
    assert [one[0] for one in caught.value.violations] == ["task.target.name", "task.target.more_columns[0]"]
