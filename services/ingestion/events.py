"""What a prediction event must look like before it enters the lake."""

import datetime as dt
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc
from boarfish.errors import FieldViolation, InvalidArgument

_TIME = pa.timestamp("us", "UTC")
COLUMNS = {
    "prediction_id": pa.utf8(),
    "model_version": pa.utf8(),
    "role": pa.utf8(),
    "event_time": _TIME,
    "logged_time": _TIME,
    "score": pa.float64(),
    "decision": pa.utf8(),
    "latency_us": pa.int64(),
    "simulation": pa.utf8(),
}
ROLES = ("CHAMPION", "SHADOW")
LONGEST_ID = 128
LONGEST_TEXT = 200
_BOUNDS = {
    "prediction_id": (1, LONGEST_ID),
    "model_version": (1, LONGEST_ID),
    "decision": (0, LONGEST_TEXT),
    "simulation": (0, LONGEST_TEXT),
}
_EARLIEST = pa.scalar(dt.datetime(1, 1, 1, tzinfo=dt.UTC), _TIME)
_LATEST = pa.scalar(dt.datetime(9999, 12, 31, tzinfo=dt.UTC), _TIME)


def check_events(table: pa.Table) -> pa.Table:
    """`table` with its columns in the types that the lake keeps: the known ones, and features as int64,
    float64 or utf8.

    A feature column without a value is left out: it would settle a type that no one has named.

    Raises:
        InvalidArgument: a column is lacking, doubled, of another type, or holds what no event may.
    """
    _check_names(table.column_names)
    columns: dict[str, pa.ChunkedArray] = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        if name in COLUMNS:
            columns[name] = _known(name, column)
        elif not pa.types.is_null(column.type):
            columns[name] = _feature(name, column)
    if not pc.all(pc.is_in(columns["role"], pa.array(ROLES))).as_py():
        raise _refusal("role", "must be CHAMPION or SHADOW")
    if not _all_between(columns["score"], 0.0, 1.0):
        raise _refusal("score", "must be between 0 and 1")
    if not _all_between(columns["latency_us"], 0, 2**63 - 1):
        raise _refusal("latency_us", "must not be negative")
    for name in ("event_time", "logged_time"):
        if not _all_between(columns[name], _EARLIEST, _LATEST):
            raise _refusal(name, "must be a time of the years 1 to 9999")
    for name, (shortest, longest) in _BOUNDS.items():
        if not _all_between(pc.utf8_length(columns[name]), shortest, longest):
            raise _refusal(name, f"must have {shortest} to {longest} characters")
    return pa.table(columns)


def _check_names(names: Sequence[str]) -> None:
    known = {name.lower() for name in names}
    if len(known) != len(names):
        raise InvalidArgument.of(FieldViolation("arrow_ipc", "names a column twice"))
    problems = [_violation(name, "is missing") for name in COLUMNS if name not in names]
    problems += [
        _violation(name, "must begin with a letter: other names are the lake's own")
        for name in names
        if not name[:1].isalpha()
    ]
    if problems:
        raise InvalidArgument.of(*problems)


def _known(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = COLUMNS[name]
    if column.type != kind:
        try:
            column = column.cast(kind)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise _refusal(name, f"has type {column.type}; must be {kind}") from error
    if column.null_count:
        raise _refusal(name, "has missing values; every event needs one")
    return column


def _feature(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kind = _kept_as(column.type)
    if kind is None:
        raise _refusal(name, f"has type {column.type}; must hold whole numbers, numbers, texts or booleans")
    try:
        return column if column.type == kind else column.cast(kind)
    except pa.ArrowInvalid as error:
        raise _refusal(name, f"has a value that does not fit in {kind}") from error


def _kept_as(kind: pa.DataType) -> pa.DataType | None:
    if pa.types.is_integer(kind):
        return pa.int64()
    if pa.types.is_floating(kind):
        return pa.float64()
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.utf8()
    return kind if pa.types.is_boolean(kind) else None


def _all_between(column: pa.ChunkedArray, low: object, high: object) -> bool:
    return bool(pc.all(pc.and_(pc.greater_equal(column, low), pc.less_equal(column, high))).as_py())


def _violation(name: str, problem: str) -> FieldViolation:
    return FieldViolation(f"arrow_ipc.{name}", problem)


def _refusal(name: str, problem: str) -> InvalidArgument:
    return InvalidArgument.of(_violation(name, problem))
