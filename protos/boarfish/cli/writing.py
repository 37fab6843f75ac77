"""A dataset's rows into a file, as they come; a file appears under its name when it is whole."""

import json
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from boarfish.cli.files import pyarrow
from boarfish.cli.output import fail
from boarfish.rows import plain


class RowWriter(ABC):
    """Writes Arrow IPC streams into one file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._unfinished = path.with_name(f".{path.name}.part")
        self._arrow = pyarrow("", "Reading a dataset into a file")
        self._writer: Any = None

    def add(self, stream: bytes) -> int:
        """Adds the rows of a stream; their number."""
        table = self._arrow.ipc.open_stream(stream).read_all()
        if self._writer is None:
            try:
                self._writer = self._open(self._unfinished, table.schema)
            except OSError as error:
                fail(f"{self._path} cannot be written: {error.strerror}")
        self._write(table)
        return int(table.num_rows)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is None:
            return
        self._writer.close()
        if error is None:
            self._unfinished.replace(self._path)
        else:
            self._unfinished.unlink()

    @abstractmethod
    def _open(self, path: Path, schema: Any) -> Any:
        """Opens the file for rows of `schema`."""

    def _write(self, table: Any) -> None:
        self._writer.write_table(table)


class _Parquet(RowWriter):
    def _open(self, path: Path, schema: Any) -> Any:
        return pyarrow(".parquet", "A Parquet file").ParquetWriter(path, schema)


class _Arrow(RowWriter):
    def _open(self, path: Path, schema: Any) -> Any:
        return self._arrow.ipc.new_file(str(path), schema)


class _Csv(RowWriter):
    def _open(self, path: Path, schema: Any) -> Any:
        types = self._arrow.types
        for field in schema:
            if types.is_nested(field.type) or types.is_binary(field.type):
                fail(f"{field.name} holds {field.type}, which CSV cannot; write .parquet or .jsonl")
        return pyarrow(".csv", "A CSV").CSVWriter(str(path), schema)


class _JsonLines(RowWriter):
    def _open(self, path: Path, schema: Any) -> Any:
        return path.open("w", encoding="utf-8")

    def _write(self, table: Any) -> None:
        for row in table.to_pylist():
            as_json = {name: plain(value) for name, value in row.items()}
            self._writer.write(json.dumps(as_json, ensure_ascii=False) + "\n")


_WRITERS: dict[str, type[RowWriter]] = {
    ".parquet": _Parquet,
    ".arrow": _Arrow,
    ".csv": _Csv,
    ".jsonl": _JsonLines,
}


def writer_for(path: Path) -> RowWriter:
    """What writes a file of this name; exits when nothing does."""
    if path.suffix not in _WRITERS:
        fail(f"{path} is none of {', '.join(_WRITERS)}")
    return _WRITERS[path.suffix](path)
