"""Files and folders as rows of a task: CSV, JSON lines, Parquet, and folders of pictures, sounds or texts.

A reader gives parts: batches with the file and place of each of their rows, so that a refused row can be
named. What cannot be read is given as a refusal beside them; a file that is none ends the command.
"""

import csv
import importlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from boarfish.cli.output import fail
from boarfish.rows import MESSAGE_BYTES, arrow_batch, row_batches, table_parts
from boarfish.v1 import common_pb2, task_pb2

TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
LABELS_FILE = "labels.csv"
_ROWS_A_PART = 1000
_FILE_TYPES = (
    task_pb2.FEATURE_TYPE_IMAGE,
    task_pb2.FEATURE_TYPE_AUDIO,
    task_pb2.FEATURE_TYPE_BYTES,
)
_NUMBER_TYPES = (task_pb2.FEATURE_TYPE_NUMERIC, task_pb2.FEATURE_TYPE_CODE)
_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,17}")

Row = dict[str, Any]


@dataclass(frozen=True)
class Refusal:
    """A row that was not put, where it stands and why."""

    place: str
    column: str
    reason: str


@dataclass
class Part:
    """Some rows on their way: `batch`, and where each of them stands."""

    batch: common_pb2.RowBatch
    place_of: Callable[[int], str]
    row_count: int


@dataclass
class Reading:
    """What is read and how far it has come.

    `advance` is told of every row that was read; `refusals` gathers those that could not be.
    """

    task: task_pb2.Task
    advance: Callable[[int], None] = lambda _: None
    refusals: list[Refusal] = field(default_factory=list)
    left_out: dict[str, None] = field(default_factory=dict)

    def parts(self, path: Path) -> Iterator[Part]:
        """The rows of a file or folder."""
        if path.is_dir():
            yield from self._from_objects(_folder_rows(path, self.task))
        elif path.suffix == ".parquet":
            yield from self._parquet(path)
        elif path.suffix in (".jsonl", ".ndjson"):
            yield from self._from_objects(_json_rows(path))
        else:
            yield from self._from_objects(self._csv_rows(path))

    def _from_objects(self, rows: Iterable[tuple[str, Row | Refusal]]) -> Iterator[Part]:
        """Batches of rows, each with its place."""
        places: list[str] = []
        waiting: list[Row] = []
        size = 0
        for place, row in rows:
            self.advance(1)
            if isinstance(row, Refusal):
                self.refusals.append(row)
                continue
            places.append(place)
            waiting.append(row)
            size += _about_bytes(row)
            if len(waiting) >= _ROWS_A_PART or size >= MESSAGE_BYTES:
                yield from _as_parts(waiting, places)
                waiting, places, size = [], [], 0
        if waiting:
            yield from _as_parts(waiting, places)

    def _parquet(self, path: Path) -> Iterator[Part]:
        arrow, parquet = pyarrow("", "A Parquet file"), pyarrow(".parquet", "A Parquet file")
        first = 0
        try:
            with parquet.ParquetFile(path) as source:
                known = [name for name in source.schema_arrow.names if name in column_types(self.task)]
                self._leave_out(source.schema_arrow.names)
                for read in source.iter_batches(columns=known, batch_size=10_000):
                    for part in table_parts(arrow.Table.from_batches([read])):
                        yield Part(arrow_batch(part), _numbered(f"{path} row", first), part.num_rows)
                        first += part.num_rows
                        self.advance(part.num_rows)
        except (OSError, ValueError) as error:
            fail(f"{path} cannot be read as Parquet: {error}")

    def _csv_rows(self, path: Path) -> Iterator[tuple[str, Row | Refusal]]:
        types = column_types(self.task)
        whole = _whole_columns(path, [name for name, kind in types.items() if kind is None])
        for line, row in _csv(path):
            place, made = f"{path}:{line}", dict[str, Any]()
            if isinstance(row.pop("", None), list):
                yield place, Refusal(place, "", "has more cells than the first line has names")
                continue
            self._leave_out(row)
            try:
                for name, text in row.items():
                    if name in types:
                        kind = task_pb2.FEATURE_TYPE_NUMERIC if name in whole else types[name]
                        made[name] = _value(kind, text, path.parent)
            except OSError as error:
                yield place, Refusal(place, name, f"{name} {text} cannot be read: {error.strerror}")
            else:
                yield place, made

    def _leave_out(self, names: Iterable[str]) -> None:
        types = column_types(self.task)
        self.left_out |= dict.fromkeys(name for name in names if name not in types)


def count_rows(path: Path) -> int:
    """About how many rows a file or folder has; exits when it cannot be read."""
    if path.is_dir():
        return sum(1 for _ in _files(path))
    try:
        if path.suffix == ".parquet":
            return int(pyarrow(".parquet", "A Parquet file").read_metadata(path).num_rows)
        with path.open("rb") as file:
            return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))
    except (OSError, ValueError) as error:
        fail(f"{path} cannot be read: {error}")


def column_types(task: task_pb2.Task) -> dict[str, int | None]:
    """The feature type of each column of the task's rows; `None` for one that is kept as it comes."""
    free = (task.id_column, task.time_column, task.split.column)
    types: dict[str, int | None] = {name: None for name in free if name}
    types |= {one.name: one.type for one in task.features}
    types |= {one.name: one.type for one in task.sensitive}
    target = task_pb2.FEATURE_TYPE_CATEGORY
    if task.kind == task_pb2.TASK_KIND_REGRESSION:
        target = task_pb2.FEATURE_TYPE_NUMERIC
    elif task.kind == task_pb2.TASK_KIND_SEGMENTATION:
        target = task_pb2.FEATURE_TYPE_IMAGE
    elif task.kind == task_pb2.TASK_KIND_MULTILABEL_CLASSIFICATION:
        target = task_pb2.FEATURE_TYPE_TEXT
    return types | {name: target for name in (task.target.name, *task.target.more_columns) if name}


def sources(paths: Sequence[Path], label_from: str) -> list[Path]:
    """What is to be read; exits with what is wrong with a path."""
    found = []
    for path in paths:
        if not path.exists():
            fail(f"{path} is not there")
        if path.is_dir() and label_from == "column":
            if not (path / LABELS_FILE).is_file():
                fail(
                    f"{path} has no {LABELS_FILE}, whose columns would say which file has which label; "
                    "write one, or use --label-from folder"
                )
            found.append(path / LABELS_FILE)
        elif path.is_dir() or path.suffix in TABLES:
            if label_from == "folder" and not path.is_dir():
                fail(f"{path} is no folder; the labels of a table come from its column")
            found.append(path)
        else:
            fail(f"{path} is none of {', '.join(TABLES)}, nor a folder")
    return found


def pyarrow(module: str, what: str) -> Any:
    """A module of pyarrow ("", ".parquet"), which is used where it is installed but not required."""
    try:
        return importlib.import_module(f"pyarrow{module}")
    except ImportError:
        return fail(f"{what} needs pyarrow, which is not installed here: pip install pyarrow")


def _folder_rows(folder: Path, task: task_pb2.Task) -> Iterator[tuple[str, Row | Refusal]]:
    """One row a file: the file, the name of the sub-folder that it lies in as label, its path as id."""
    name, kind = _file_feature(folder, task)
    labelled = task.kind != task_pb2.TASK_KIND_LANGUAGE_MODEL
    for path in _files(folder):
        inside = path.relative_to(folder)
        row: Row = {task.id_column: inside.as_posix()} if task.id_column else {}
        if labelled and len(inside.parts) < 2:
            reason = f"lies in no sub-folder of {folder}, whose name would be its {task.target.name}"
            yield str(path), Refusal(str(path), task.target.name, reason)
            continue
        if labelled:
            row[task.target.name] = _value(column_types(task)[task.target.name], inside.parts[0], folder)
        try:
            row[name] = path.read_bytes() if kind in _FILE_TYPES else path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            yield str(path), Refusal(str(path), name, f"cannot be read: {error}")
        else:
            yield str(path), row


def _file_feature(folder: Path, task: task_pb2.Task) -> tuple[str, int]:
    """The one feature whose values can be files of a folder."""
    kinds = (*_FILE_TYPES, task_pb2.FEATURE_TYPE_TEXT)
    found = [(one.name, one.type) for one in task.features if one.type in kinds]
    others = [one.name for one in task.features if one.type not in kinds and not one.allow_missing]
    if len(found) != 1 or others or task.kind == task_pb2.TASK_KIND_SEGMENTATION:
        fail(
            f"the rows of {folder} would have a file and a label; this task needs "
            f"{', '.join(column_types(task))}: put a CSV with these columns, and paths where a file is meant"
        )
    return found[0]


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts):
            yield path


def _json_rows(path: Path) -> Iterator[tuple[str, Row | Refusal]]:
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            place = f"{path}:{number}"
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                yield place, Refusal(place, "", f"is not JSON: {error}")
                continue
            is_row = isinstance(row, dict)
            yield place, row if is_row else Refusal(place, "", "is not an object by column name")


def _csv(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows of a CSV by the names in its first line, with the line that each ends on."""
    delimiter = "\t" if path.suffix == ".tsv" else ","
    csv.field_size_limit(2**31 - 1)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, delimiter=delimiter, restkey="", restval="")
            for row in reader:
                yield reader.line_num, row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        fail(f"{path} cannot be read as CSV: {error}")


def _whole_columns(path: Path, names: Sequence[str]) -> set[str]:
    """Those of the columns whose cells, where not empty, are whole numbers, and are to be kept as such."""
    whole = set(names)
    for _, row in _csv(path):
        whole -= {name for name in whole if (cell := row.get(name)) and not _WHOLE.fullmatch(cell)}
        if not whole:
            break
    return whole


def _value(kind: int | None, text: str, folder: Path) -> Any:
    """What a cell means; a cell that means nothing is sent as it is, for the service to say what is wrong."""
    if not text:
        return text if kind == task_pb2.FEATURE_TYPE_TEXT else None
    if kind in _FILE_TYPES:
        return (folder / text).read_bytes()
    try:
        if kind in _NUMBER_TYPES:
            return float(text)
        if kind == task_pb2.FEATURE_TYPE_SERIES:
            return json.loads(text)
    except (ValueError, RecursionError):
        pass
    return text


def _as_parts(rows: Sequence[Mapping[str, Any]], places: Sequence[str]) -> Iterator[Part]:
    first = 0
    for batch in row_batches(rows):
        count = len(batch.rows.rows)
        yield Part(batch, places[first : first + count].__getitem__, count)
        first += count


def _numbered(what: str, first: int) -> Callable[[int], str]:
    return lambda index: f"{what} {first + index + 1:,}"


def _about_bytes(row: Row) -> int:
    return sum(len(value) for value in row.values() if isinstance(value, bytes | str | list))
