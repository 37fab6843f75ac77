"""Columns whose values are more than a number or a word: files, texts, sets of labels, times and series.

Like `columns.Column` they give one verdict for single values, in words, and for Arrow arrays. Nothing is
decoded here: a picture is known by its first bytes, and whether it can be read is for those who read it.
"""

import base64
import binascii
import datetime as dt
import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from boarfish.v1 import task_pb2

from services.common.columns import (
    MISSING,
    Column,
    Value,
    as_times,
    column_error,
    is_text,
    null_mask,
    shown,
)

IMAGE = task_pb2.FEATURE_TYPE_IMAGE
AUDIO = task_pb2.FEATURE_TYPE_AUDIO
TEXT = task_pb2.FEATURE_TYPE_TEXT
TIME = task_pb2.FEATURE_TYPE_TIME
SERIES = task_pb2.FEATURE_TYPE_SERIES
BYTES = task_pb2.FEATURE_TYPE_BYTES

MAX_FILE_BYTES = 16 * 1024 * 1024
MAX_TEXT_BYTES = 1024 * 1024
MAX_SERIES_LENGTH = 1_000_000
_BINARY, _SERIES, _TIME = pa.binary(), pa.list_(pa.float64()), pa.timestamp("us", "UTC")
_FIRST = dt.datetime(1, 1, 1, tzinfo=dt.UTC)
_LAST = dt.datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=dt.UTC)


@dataclass(frozen=True)
class FileFormat:
    """How a file of a format begins: with `start`, and with `after_length` from its ninth byte on.

    RIFF files, WebP and WAV among them, have their length between the two.
    """

    name: str
    start: bytes
    after_length: bytes = b""


PNG = FileFormat("PNG", b"\x89PNG\r\n\x1a\n")
PICTURES = (
    PNG,
    FileFormat("JPEG", b"\xff\xd8\xff"),
    FileFormat("GIF", b"GIF8"),
    FileFormat("WebP", b"RIFF", b"WEBP"),
    FileFormat("BMP", b"BM"),
)
SOUNDS = (FileFormat("WAV", b"RIFF", b"WAVE"),)
_FORMATS: dict[int, tuple[FileFormat, ...]] = {IMAGE: PICTURES, AUDIO: SOUNDS}


class RichColumn(Column):
    """What these columns share. A refused value of an array stays there as it came: its row is left out."""

    def check(self, value: Value) -> tuple[Value, str | None]:
        if value is None:
            return None, None if self.allow_missing else MISSING
        return self._check_present(value)

    def takes_whole(self, array: pa.Array) -> bool:
        return False

    def _check_typed(self, array: pa.Array) -> tuple[pa.Array, np.ndarray]:
        array = self._cast(array)
        missing = null_mask(array)
        refused = self._refused(array) & ~missing
        return array, refused if self.allow_missing else refused | missing

    @abstractmethod
    def _check_present(self, value: Any) -> tuple[Value, str | None]:
        """`check` of a value that is not missing."""

    @abstractmethod
    def _cast(self, array: pa.Array) -> pa.Array:
        """`array` in the column's type; raises `InvalidArgument` when it cannot be."""

    @abstractmethod
    def _refused(self, array: pa.Array) -> np.ndarray:
        """Which values are refused, bool `(N,)`; at nulls anything."""


@dataclass(frozen=True)
class FileColumn(RichColumn):
    """Files as bytes, at most 16 MiB each; in JSON-like rows as base64 text. `formats`: those taken, all
    when it is empty.
    """

    formats: tuple[FileFormat, ...] = ()

    @property
    def arrow_type(self) -> pa.DataType:
        return _BINARY

    def _check_present(self, value: Any) -> tuple[Value, str | None]:
        if type(value) is str:
            try:
                value = base64.b64decode(value, validate=True)
            except (binascii.Error, ValueError):
                return None, "is not base64 text, as which bytes are written in JSON-like rows"
        if type(value) is not bytes:
            return None, f"is {shown(value)}; must be bytes"
        if not value:
            return None, f"is empty; must be {self._wanted()}"
        if len(value) > MAX_FILE_BYTES:
            return None, f"has {len(value):,} bytes; must have at most {MAX_FILE_BYTES:,}"
        if not self.formats or any(_begins(value, one) for one in self.formats):
            return value, None
        return None, f"begins with {value[:12]!r}; must be {self._wanted()}"

    def _wanted(self) -> str:
        *others, last = [one.name for one in self.formats] or ["non-empty"]
        return f"a {', '.join(others)} or {last} file" if others else f"a {last} file"

    def _cast(self, array: pa.Array) -> pa.Array:
        kind = array.type
        if not (pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)):
            raise column_error(self.name, f"has Arrow type {kind}; must hold bytes (binary)")
        return array.cast(_BINARY)

    def _refused(self, array: pa.Array) -> np.ndarray:
        lengths = _numbers(pc.binary_length(array))
        bad: np.ndarray = (lengths == 0) | (lengths > MAX_FILE_BYTES)
        if not self.formats:
            return bad
        start, fourth = pc.binary_slice(array, 0, 8), pc.binary_slice(array, 8, 12)
        known = np.zeros(len(array), bool)
        for one in self.formats:
            fits = pc.and_(
                pc.starts_with(start, pattern=one.start), pc.starts_with(fourth, pattern=one.after_length)
            )
            known |= _flags(fits)
        return bad | ~known


def _begins(content: bytes, file_format: FileFormat) -> bool:
    return content.startswith(file_format.start) and content[8:12].startswith(file_format.after_length)


@dataclass(frozen=True)
class TextColumn(RichColumn):
    """Free text, at most 1 MiB as UTF-8. An empty text is one."""

    @property
    def arrow_type(self) -> pa.DataType:
        return pa.utf8()

    def _check_present(self, value: Any) -> tuple[Value, str | None]:
        if type(value) is not str:
            return None, f"is {shown(value)}; must be a text"
        size = len(value.encode(errors="surrogatepass"))
        if size > MAX_TEXT_BYTES:
            return None, f"has {size:,} bytes; must have at most {MAX_TEXT_BYTES:,}"
        return value, None

    def _cast(self, array: pa.Array) -> pa.Array:
        if not is_text(array.type):
            raise column_error(self.name, f"has Arrow type {array.type}; must hold texts (utf8)")
        return array.cast(pa.utf8())

    def _refused(self, array: pa.Array) -> np.ndarray:
        return np.asarray(_numbers(pc.binary_length(array)) > MAX_TEXT_BYTES)


@dataclass(frozen=True)
class LabelsColumn(TextColumn):
    """Any of the `allowed` labels, joined by `separator`; an empty text stands for none of them."""

    separator: str = ";"

    def _check_present(self, value: Any) -> tuple[Value, str | None]:
        if type(value) is not str:
            return None, f"is {shown(value)}; must be labels joined by {self.separator!r}"
        unknown = [one for one in value.split(self.separator) if one not in (self.allowed or ())]
        if not value or not unknown:
            return value, None
        return None, f"has the label {shown(unknown[0])}; each must be one of {self.allowed_in_words()}"

    def _refused(self, array: pa.Array) -> np.ndarray:
        parts = pc.split_pattern(array, self.separator)
        unknown = ~_flags(pc.is_in(parts.values, options=self.known_texts))
        return _lists_with(parts, unknown) & (_numbers(pc.binary_length(array)) > 0)


@dataclass(frozen=True)
class TimeColumn(RichColumn):
    """Times of the years 1 to 9999, in whole microseconds; in JSON-like rows as ISO 8601 text, UTC where it
    names no offset.
    """

    @property
    def arrow_type(self) -> pa.DataType:
        return _TIME

    def reason(self, sent: pa.Scalar) -> str:
        return "must be a time of the years 1 to 9999" if sent.is_valid else MISSING

    def _check_present(self, value: Any) -> tuple[Value, str | None]:
        wanted = "must be a time as ISO 8601 writes it, such as 2018-03-01T12:00:00Z"
        if type(value) is not str:
            return None, f"is {shown(value)}; {wanted}"
        try:
            moment = dt.datetime.fromisoformat(value)
            return (moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).astimezone(dt.UTC), None
        except (ValueError, OverflowError):
            return None, f"is {shown(value)}; {wanted}"

    def _cast(self, array: pa.Array) -> pa.Array:
        if not (pa.types.is_timestamp(array.type) or pa.types.is_date(array.type)):
            raise column_error(self.name, f"has Arrow type {array.type}; must hold times (timestamp)")
        return as_times(self.name, array)

    def _refused(self, array: pa.Array) -> np.ndarray:
        early = pc.less(array, pa.scalar(_FIRST, _TIME))
        return _flags(pc.or_(early, pc.greater(array, pa.scalar(_LAST, _TIME))))


@dataclass(frozen=True)
class SeriesColumn(RichColumn):
    """Finite numbers in order, 1 to 1,000,000 of them."""

    @property
    def arrow_type(self) -> pa.DataType:
        return _SERIES

    def _check_present(self, value: Any) -> tuple[Value, str | None]:
        if type(value) is not list:
            return None, f"is {shown(value)}; must be a list of numbers"
        if not 1 <= len(value) <= MAX_SERIES_LENGTH:
            return None, f"has {len(value):,} numbers; must have 1 to {MAX_SERIES_LENGTH:,}"
        for index, one in enumerate(value):
            if type(one) not in (int, float) or not math.isfinite(one):
                return None, f"has {shown(one)} at place {index}; each must be a finite number"
        return [float(one) for one in value], None

    def _cast(self, array: pa.Array) -> pa.Array:
        kind = array.type
        listed = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
        if not listed or not (
            pa.types.is_integer(kind.value_type)
            or pa.types.is_floating(kind.value_type)
            or pa.types.is_null(kind.value_type)
        ):
            raise column_error(self.name, f"has Arrow type {kind}; must hold lists of numbers")
        return array if kind == _SERIES else array.cast(_SERIES, safe=False)

    def _refused(self, array: pa.Array) -> np.ndarray:
        lengths = _numbers(pc.list_value_length(array))
        not_finite = ~_flags(pc.is_finite(array.values))
        bad = (lengths == 0) | (lengths > MAX_SERIES_LENGTH)
        return np.asarray(bad | _lists_with(array, not_finite))


_COLUMNS: dict[int, type[RichColumn]] = {TEXT: TextColumn, TIME: TimeColumn, SERIES: SeriesColumn}


def rich_column(name: str, kind: int, *, required: bool, allow_missing: bool) -> Column | None:
    """The column of a feature of one of these types; `None` for the other types."""
    if kind in (IMAGE, AUDIO, BYTES):
        return FileColumn(name, kind, required, allow_missing, formats=_FORMATS.get(kind, ()))
    made = _COLUMNS.get(kind)
    return made(name, kind, required, allow_missing) if made is not None else None


def _lists_with(lists: pa.ListArray, marked: np.ndarray) -> np.ndarray:
    """Which of the lists, bool `(N,)`, hold a value that is `marked`, bool over all values."""
    before = np.concatenate([[0], np.cumsum(marked)])
    offsets = lists.offsets.to_numpy()
    return np.asarray(before[offsets[1:]] > before[offsets[:-1]])


def _numbers(array: pa.Array) -> np.ndarray:
    """Whole numbers as int64 `(N,)`; -1 at nulls."""
    return np.asarray(pc.fill_null(array.cast(pa.int64()), -1).to_numpy(zero_copy_only=False))


def _flags(array: pa.Array) -> np.ndarray:
    """Booleans as bool `(N,)`; false at nulls."""
    return np.asarray(pc.fill_null(array, False).to_numpy(zero_copy_only=False), bool)
