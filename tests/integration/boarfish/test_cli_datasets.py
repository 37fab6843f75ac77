"""`boarfish datasets` against a real ingestion service: files and folders in, files out, rows amended."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from boarfish.cli.app import app
from boarfish.client import Client
from boarfish.errors import BoarfishError, InvalidArgument
from boarfish.v1 import ingestion_pb2, task_pb2
from typer.testing import CliRunner, Result

from services.common.datasets import Dataset
from services.common.lake import Lake
from tests.integration.ingestion.running_ingestion import EMPLOYMENT, ingestion, people, task_of

PNG, WAV = b"\x89PNG\r\n\x1a\n", b"RIFF\x04\0\0\0WAVE"
Run = Callable[..., Result]


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    with ingestion(tmp_path / "home") as found:
        yield found


@pytest.fixture
def run(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command in this process, in the test's folder."""
    monkeypatch.setenv("BOARFISH_INGESTION_ADDRESS", client.addresses["ingestion"])
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)

    def command(*arguments: object) -> Result:
        result = CliRunner().invoke(app, ["datasets", *map(str, arguments)])
        if isinstance(result.exception, BoarfishError):
            raise result.exception
        return result

    return command


def create(client: Client, name: str, task: task_pb2.Task) -> None:
    client.ingestion.CreateDataset(ingestion_pb2.CreateDatasetRequest(name=name, task=task))


def rows_of(home: Path, name: str, *columns: str) -> list[tuple[Any, ...]]:
    """The newest version's rows."""
    dataset = Dataset(Lake(home / "home" / "lake"), name)
    table = dataset.read(dataset.latest_version(), columns)
    return list(zip(*(table[column].to_pylist() for column in columns), strict=True))


def test_tables_go_in_and_come_out_the_same(run: Run, tmp_path: Path) -> None:
    table = people(2500)
    pa.parquet.write_table(table, "a.parquet")
    run("create", "people", "--task", EMPLOYMENT)
    assert "2,500 rows put. Version 2500." in run("put", "people", "a.parquet").stdout
    again = run("put", "people", "a.parquet").stdout
    assert "0 rows put, 2,500 were there before" in again
    pa.csv.write_csv(table.slice(0, 50).append_column("note", pa.array(["x"] * 50)), "b.csv")
    Path("c.jsonl").write_text("\n".join(map(json.dumps, table.slice(50, 5).to_pylist())) + "\n\n")
    put = run("put", "people", "b.csv", "c.jsonl").stdout
    assert "55 rows put. Version 2555." in put
    assert "left out: note" in put
    for suffix, read in (
        (".parquet", pa.parquet.read_table),
        (".csv", pa.csv.read_csv),
        (".arrow", lambda path: pa.ipc.open_file(path).read_all()),
    ):
        done = run("get", "people", f"out{suffix}", "--version", 2500, "--json")
        assert json.loads(done.stdout) == {"file": f"out{suffix}", "row_count": 2500, "version": 2500}
        assert read(f"out{suffix}")["id"].to_pylist() == table["id"].to_pylist()
    run("get", "people", "out.jsonl")
    lines = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert len(lines) == 2555
    assert lines[-1]["id"] == lines[54]["id"] == "p54"
    assert lines[-1]["year"] == 2015  # whole numbers of a CSV stay so
    assert "2555" in run("versions", "people").stdout
    assert "2,555" in run("list").stdout


def test_a_row_that_is_refused_is_named_by_file_and_line(run: Run, tmp_path: Path) -> None:
    run("create", "people", "--task", EMPLOYMENT)
    rows = people(30).to_pylist()
    rows[7]["AGEP"] = 500
    pa.csv.write_csv(pa.Table.from_pylist(rows), "b.csv")
    pa.parquet.write_table(pa.Table.from_pylist(rows), "b.parquet")
    lines = [json.dumps(row) for row in rows[5:8]]
    Path("c.jsonl").write_text("\n".join([*lines, "{bad", "[1]"]))
    done = run("put", "people", "b.csv", "b.parquet", "c.jsonl", "--json")
    assert done.exit_code == 1
    answer = json.loads(done.stdout)
    assert (answer["accepted_count"], answer["rejected_count"]) == (60, 5)
    assert [one["place"] for one in answer["rejected_rows"]] == [
        "b.csv:9", "b.parquet row 8", "c.jsonl:3", "c.jsonl:4", "c.jsonl:5",
    ]  # fmt: skip
    assert answer["rejected_rows"][0]["reason"] == "AGEP is 500; must be at most 120"
    with Path("b.csv").open("a") as file:
        file.write("," * 40 + "x\n")
    shown = run("put", "people", "b.csv")
    assert "b.csv:32" in shown.stdout
    assert "more cells than the first line" in shown.stdout


def test_the_folders_of_pictures_are_their_labels(client: Client, run: Run, tmp_path: Path) -> None:
    kind, two = "multiclass_classification", ["3", "7"]
    task = task_of(kind, "conv_net", "accuracy", {"it": "image"}, name="digit", classes=two)
    create(client, "digits", task)
    for place in ("pictures/3/a.png", "pictures/3/deep/b.png", "pictures/7/c.png"):
        Path(place).parent.mkdir(parents=True, exist_ok=True)
        Path(place).write_bytes(PNG + place.encode())
    Path("pictures/7/.hidden").write_bytes(b"x")
    Path("pictures/7/no.txt").write_text("no picture")
    Path("pictures/stray.png").write_bytes(PNG)
    done = run("put", "digits", "pictures", "--json")
    answer = json.loads(done.stdout)
    assert (answer["accepted_count"], answer["rejected_count"], done.exit_code) == (3, 2, 1)
    reasons = {one["place"]: one["reason"] for one in answer["rejected_rows"]}
    assert "must be a PNG, JPEG" in reasons["pictures/7/no.txt"]
    assert "lies in no sub-folder of pictures" in reasons["pictures/stray.png"]
    assert rows_of(tmp_path, "digits", "id", "digit", "it") == [
        ("3/a.png", "3", PNG + b"pictures/3/a.png"),
        ("3/deep/b.png", "3", PNG + b"pictures/3/deep/b.png"),
        ("7/c.png", "7", PNG + b"pictures/7/c.png"),
    ]
    changed = run("amend", "digits", "--row", "3/a.png", "--label", "7", "--by", "Ada", "--reason", "a seven")
    assert "1 relabelled. Version 4." in changed.stdout
    run("amend", "digits", "--row", "7/c.png", "--delete", "--by", "Ada", "--reason", "smudged")
    assert rows_of(tmp_path, "digits", "id", "digit") == [("3/a.png", "7"), ("3/deep/b.png", "3")]


def test_labels_of_files_may_stand_in_a_table_beside_them(client: Client, run: Run, tmp_path: Path) -> None:
    task = task_of(
        "regression", "conv_net", "mae", {"it": "audio"}, name="x", more_columns=["y"], maximum=9.0
    )
    create(client, "sounds", task)
    Path("sounds").mkdir()
    Path("sounds/a.wav").write_bytes(WAV)
    Path("sounds/labels.csv").write_text("it,id,x,y\na.wav,1,0.5,2\ngone.wav,2,1,1\na.wav,3,1,10\n")
    done = run("put", "sounds", "sounds", "--label-from", "column", "--json")
    answer = json.loads(done.stdout)
    assert {one["place"]: one["reason"] for one in answer["rejected_rows"]} == {
        "sounds/labels.csv:3": "it gone.wav cannot be read: No such file or directory",
        "sounds/labels.csv:4": "y is 10; must be at most 9",
    }
    assert rows_of(tmp_path, "sounds", "id", "it", "x", "y") == [(1, WAV, 0.5, 2.0)]


def test_texts_need_no_label_where_there_is_none(client: Client, run: Run, tmp_path: Path) -> None:
    create(client, "plays", task_of("language_model", "language_model", "perplexity", {"it": "text"}))
    Path("plays").mkdir()
    Path("plays/a.txt").write_text("To be")
    Path("plays/b.txt").write_bytes(b"\xff")
    shown = run("put", "plays", "plays")
    assert "1 rows put, 1 refused" in shown.stdout
    assert rows_of(tmp_path, "plays", "id", "it") == [("a.txt", "To be")]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["put", "people", "nowhere.csv"], "is not there"),
        (["put", "people", "task.txt"], "is none of .csv"),
        (["put", "people", "empty"], "would have a file and a label; this task needs id, year"),
        (["put", "people", "empty", "--label-from", "column"], "has no labels.csv"),
        (["put", "people", "bad.parquet"], "bad.parquet cannot be read"),
        (["put", "people", "bad.csv"], "cannot be read as CSV"),
        (["get", "people", "x.doc"], "is none of .parquet"),
        (["create", "people", "--task", "nowhere.yaml"], "cannot be read"),
        (["amend", "people", "--row", "p0", "--by", "Ada", "--reason", "why"], "--label X or --delete"),
    ],
)
def test_what_cannot_be_done_is_said(run: Run, arguments: list[str], words: str) -> None:
    run("create", "people", "--task", EMPLOYMENT)
    Path("empty").mkdir()
    Path("task.txt").write_text("x")
    Path("bad.parquet").write_bytes(b"x")
    Path("bad.csv").write_bytes(b"id,year\n\xff,1\n")
    done = run(*arguments)
    assert done.exit_code == 2
    assert words in done.stderr.replace("\n", " ")


def test_what_the_service_refuses_reaches_the_caller(run: Run) -> None:
    run("create", "people", "--task", EMPLOYMENT)
    with pytest.raises(InvalidArgument, match="no row of people has p0"):
        run("amend", "people", "--row", "p0", "--delete", "--by", "Ada", "--reason", "why")
