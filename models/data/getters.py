"""Where a block's values come from: columns of a table, files of a folder and their names.

A getter takes the table of items and gives one value an item. `folder_items` makes such a table of the files
of a folder; their content is read when it is asked for, so that a folder may be larger than memory.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

PATH = "path"


class Value(Protocol):
    """One value of a column."""

    def as_py(self) -> Any:
        """As Python has it."""


class Column(Protocol):
    """What a block reads: `pyarrow.ChunkedArray`, or what can be read as one."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[Value]: ...
    def __getitem__(self, row: int) -> Value: ...
    def take(self, rows: pa.Array) -> "Column":
        """The values at these rows."""


Getter = Callable[[pa.Table], Column]


def column(name: str) -> Getter:
    """The values of one column."""
    return lambda table: table.column(_there(table, name)[0])


def columns(*names: str) -> Getter:
    """The values of several columns, by their names."""
    return lambda table: pa.chunked_array(
        [table.select(_there(table, *names)).to_struct_array().combine_chunks()]
    )


def content(folder: Path) -> Getter:
    """The bytes of each item's file, read when they are asked for."""
    return lambda table: Files(folder, table.column(PATH))


def parent_folder(level: int = 1) -> Getter:
    """The name of the folder that a file is in (`level` 1), or of one further up."""
    return from_path(r"([^/]+)/" + r"[^/]+/" * (level - 1) + r"[^/]+$")


def from_path(pattern: str) -> Getter:
    """The first group of a regular expression in each file's path (`r"(.+)_\\d+\\.jpg$"`); null where it is
    not found.
    """
    named = pattern.replace("(", "(?P<found>", 1)
    re.compile(named)
    return lambda table: pc.struct_field(pc.extract_regex(table.column(PATH), named), "found")


def folder_items(folder: Path, *patterns: str) -> pa.Table:
    """The files of a folder and those below it that fit one of `patterns` (`"*.png"`), by `path` relative to
    it, in order.

    Raises:
        FileNotFoundError: there are none.
    """
    wanted = patterns or ("*",)
    found = {path for pattern in wanted for path in folder.rglob(pattern) if path.is_file()}
    if not found:
        raise FileNotFoundError(f"{folder} has no files like {' or '.join(wanted)}")
    return pa.table({PATH: sorted(path.relative_to(folder).as_posix() for path in found)})


class Files:
    """A column of files' contents."""

    def __init__(self, folder: Path, paths: pa.ChunkedArray) -> None:
        self._folder = folder
        self._paths = paths

    def __len__(self) -> int:
        return len(self._paths)

    def __iter__(self) -> Iterator["File"]:
        return (self[row] for row in range(len(self)))

    def __getitem__(self, row: int) -> "File":
        return File(self._folder / self._paths[row].as_py())

    def take(self, rows: pa.Array) -> "Files":
        """The files at these rows."""
        return Files(self._folder, self._paths.take(rows))


class File:
    """The content of one file."""

    is_valid = True

    def __init__(self, path: Path) -> None:
        self._path = path

    def as_py(self) -> bytes:
        """Its bytes."""
        return self._path.read_bytes()


def _there(table: pa.Table, *names: str) -> list[str]:
    if lacking := [name for name in names if name not in table.column_names]:
        raise KeyError(f"the table lacks {', '.join(lacking)}; it has {', '.join(table.column_names)}")
    return list(names)
