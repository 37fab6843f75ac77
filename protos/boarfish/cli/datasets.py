"""`boarfish datasets`: rows into the lake and out of it, and what people decide about them."""

import sys
import uuid
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from functools import partial
from itertools import accumulate, count, islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from boarfish.cli.options import AsJson, client
from boarfish.cli.output import BAD_ANSWER, complaints, console, fail, minute, print_json, print_table

if TYPE_CHECKING:
    from boarfish.cli.files import Part, Reading, Refusal
    from boarfish.client import Client
    from boarfish.v1 import ingestion_pb2

datasets = typer.Typer(help="Tables of records with versions.", no_args_is_help=True)
PARTS_A_CALL = 8
SHOWN_REFUSALS = 30

Name = Annotated[str, typer.Argument(help="Name of the dataset.")]


class LabelFrom(StrEnum):
    """Where the labels of a folder's files stand."""

    FOLDER = "folder"
    COLUMN = "column"


@datasets.command("list", epilog="Example: boarfish datasets list")
def list_datasets(as_json: AsJson = False) -> None:
    """Datasets and how many rows they have."""
    from boarfish.v1 import ingestion_pb2

    with client() as boarfish:
        answer = boarfish.ingestion.ListDatasets(ingestion_pb2.ListDatasetsRequest(page_size=1000))
    if as_json:
        print_json(answer)
        return
    rows = (
        (one.name, f"{one.row_count:,}", str(one.latest_version), minute(one.create_time))
        for one in answer.datasets
    )
    print_table(("Name", "Rows", "Version", "Created"), rows, "There is no dataset yet.")


@datasets.command(epilog="Example: boarfish datasets create digits --task examples/digits/task.yaml")
def create(
    name: Name,
    task_file: Annotated[Path, typer.Option("--task", help="The task file; it says what a row looks like.")],
    as_json: AsJson = False,
) -> None:
    """Creates a dataset. Where it is there already with the same task, nothing is done."""
    from boarfish.task_file import load_task
    from boarfish.v1 import ingestion_pb2

    try:
        task = load_task(task_file)
    except OSError as error:
        fail(f"{task_file} cannot be read: {error.strerror}")
    request = ingestion_pb2.CreateDatasetRequest(request_id=uuid.uuid4().hex, name=name, task=task)
    with client() as boarfish:
        dataset = boarfish.ingestion.CreateDataset(request).dataset
    if as_json:
        print_json(dataset)
    else:
        console.print(f"Dataset {name} is there, with {dataset.row_count:,} rows.")


@datasets.command(epilog="Example: boarfish datasets versions people")
def versions(name: Name, as_json: AsJson = False) -> None:
    """The newest versions of a dataset: each row that is put and each amendment makes one."""
    from boarfish.v1 import ingestion_pb2

    with client() as boarfish:
        answer = boarfish.ingestion.ListDatasetVersions(
            ingestion_pb2.ListDatasetVersionsRequest(dataset=name, page_size=100)
        )
    if as_json:
        print_json(answer)
        return
    rows = ((f"{one.version}", f"{one.row_count:,}", minute(one.create_time)) for one in answer.versions)
    print_table(("Version", "Rows", "Made"), rows, f"{name} has no rows yet.")


@datasets.command(
    epilog="Examples: boarfish datasets put people people.parquet; "
    "boarfish datasets put digits pictures/  (pictures/7/a.png is a 7); "
    "boarfish datasets put words sounds/ --label-from column  (sounds/labels.csv says which is which)"
)
def put(
    name: Name,
    paths: Annotated[
        list[Path],
        typer.Argument(help="CSV, TSV, JSON lines, Parquet, or folders of files.", metavar="FILE..."),
    ],
    label_from: Annotated[
        LabelFrom | None,
        typer.Option(
            help="Of a folder's files: the sub-folder's name (the default), or a column of its labels.csv."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Adds rows to a dataset. In a CSV a picture or sound is the path to its file, seen from the CSV.

    Put again, such as after a broken connection, the same files are not written twice. Exit status 1 when
    rows were refused.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from boarfish.cli.files import Reading, count_rows, sources
    from boarfish.v1 import ingestion_pb2

    found, tally = sources(paths, label_from or ""), Tally()
    with client() as boarfish:
        task = boarfish.ingestion.GetDataset(ingestion_pb2.GetDatasetRequest(name=name)).dataset.task
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=complaints, transient=True, disable=as_json) as progress:
            for path in found:
                bar = progress.add_task(path.name, total=count_rows(path))
                reading = Reading(task, partial(progress.advance, bar))
                _put(boarfish, name, path, reading, tally)
    if as_json:
        print_json(asdict(tally))
    else:
        _print(tally)
    if tally.rejected_count:
        sys.exit(BAD_ANSWER)


@dataclass
class Tally:
    """What became of the rows of some files; named as in `PutRecordsResponse`."""

    accepted_count: int = 0
    duplicate_count: int = 0
    rejected_count: int = 0
    dataset_version: int = 0
    left_out_columns: list[str] = field(default_factory=list)
    rejected_rows: "list[Refusal]" = field(default_factory=list)

    def add(self, answer: "ingestion_pb2.PutRecordsResponse", parts: "Sequence[Part]") -> None:
        """Adds what the service said of some parts."""
        from boarfish.cli.files import Refusal

        self.accepted_count += answer.accepted_count
        self.duplicate_count += answer.duplicate_count
        self.rejected_count += answer.rejected_count
        self.dataset_version = max(self.dataset_version, answer.dataset_version)
        places = Places(parts)
        self.rejected_rows += [
            Refusal(places.of(row.row_index), row.column, row.reason) for row in answer.rejected_rows
        ]


def _put(boarfish: "Client", dataset: str, path: Path, reading: "Reading", tally: Tally) -> None:
    """Puts a file's rows, some parts a call."""
    from boarfish.rows import records_requests

    parts = reading.parts(path)
    for call in count():
        taken = list(islice(parts, PARTS_A_CALL))
        if not taken:
            break
        requests = records_requests(dataset, (part.batch for part in taken), f"{path.name}/{call}")
        tally.add(boarfish.ingestion.PutRecords(requests), taken)
    tally.rejected_count += len(reading.refusals)
    tally.rejected_rows += reading.refusals
    tally.left_out_columns += [name for name in reading.left_out if name not in tally.left_out_columns]


def _print(tally: Tally) -> None:
    console.print(
        f"{tally.accepted_count:,} rows put"
        + (f", {tally.duplicate_count:,} were there before" if tally.duplicate_count else "")
        + (f", {tally.rejected_count:,} refused" if tally.rejected_count else "")
        + (f". Version {tally.dataset_version}." if tally.dataset_version else ".")
    )
    if tally.left_out_columns:
        console.print(
            f"Columns that the task does not have were left out: {', '.join(tally.left_out_columns)}."
        )
    if tally.rejected_rows:
        shown = tally.rejected_rows[:SHOWN_REFUSALS]
        print_table(("Refused", "Why"), ((one.place, one.reason) for one in shown), "")
        if tally.rejected_count > len(shown):
            console.print(
                f"and {tally.rejected_count - len(shown):,} more (--json lists up to 1,000 a call)."
            )


@datasets.command(
    epilog="Examples: boarfish datasets amend people --row p17 --label 1 --by Ada --reason 'read wrongly'; "
    "boarfish datasets amend digits --row 7/a.png --row 7/b.png --delete --by Ada --reason 'no digits'"
)
def amend(
    name: Name,
    *,
    row: Annotated[list[str], typer.Option(help="Id of a row; may be given several times.")],
    by: Annotated[str, typer.Option(help="Your name; it is kept with the amendment.")],
    reason: Annotated[str, typer.Option(help="Why.")],
    label: Annotated[str | None, typer.Option(help="The target's right value.")] = None,
    delete: Annotated[bool, typer.Option("--delete", help="Take the rows out.")] = False,
    as_json: AsJson = False,
) -> None:
    """Relabels or deletes rows. A new version comes out; the versions before stay as they were."""
    if delete == (label is not None):
        fail("say what is to become of the rows: --label X or --delete")
    with client() as boarfish:
        answer = boarfish.amend_records(name, dict.fromkeys(row, label), amended_by=by, reason=reason)
    if as_json:
        print_json(answer)
    else:
        done = f"{answer.deleted_count:,} deleted" if delete else f"{answer.relabelled_count:,} relabelled"
        console.print(f"Rows: {done}. Version {answer.dataset_version}.")


@datasets.command(
    epilog="Examples: boarfish datasets get people people.parquet; "
    "boarfish datasets get people before.csv --version 68785"
)
def get(
    name: Name,
    file: Annotated[Path, typer.Argument(help="Where to: .parquet, .csv, .jsonl or .arrow.")],
    version: Annotated[int, typer.Option(min=0, help="Its version; 0: the newest.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Writes a version of a dataset into a file. In JSON lines bytes are base64 text. Needs pyarrow."""
    from boarfish.cli.writing import writer_for
    from boarfish.v1 import ingestion_pb2

    write = writer_for(file)
    row_count = read_version = 0
    with client() as boarfish:
        request = ingestion_pb2.ReadDatasetRequest(dataset=name, version=version)
        with write as rows:
            for answer in boarfish.ingestion.ReadDataset(request):
                row_count += rows.add(answer.arrow_ipc)
                read_version = answer.version
    if as_json:
        print_json({"file": str(file), "row_count": row_count, "version": read_version})
    elif not row_count:
        console.print(f"{name} has no rows; nothing was written.")
    else:
        console.print(f"{row_count:,} rows of version {read_version} are in {escape(str(file))}.")


class Places:
    """Where the rows of some parts stand, by their number over all parts."""

    def __init__(self, parts: "Sequence[Part]") -> None:
        self._parts = parts
        self._ends = list(accumulate(part.row_count for part in parts))

    def of(self, index: int) -> str:
        """File and line of a row."""
        part = bisect_right(self._ends, index)
        return self._parts[part].place_of(index - (self._ends[part - 1] if part else 0))
