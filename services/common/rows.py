"""What a row must look like, in one place: a task's columns and the checks that each value passes.

Ingestion checks records with it, inference checks what is to be predicted. Bulk rows are checked as Arrow
columns; a few JSON-like rows value by value. Both give the same verdict in the same words, because a bad
Arrow value gets its reason from the check of single values.
"""

import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from boarfish.errors import FieldViolation, InvalidArgument
from boarfish.v1 import common_pb2, task_pb2
from google.protobuf.struct_pb2 import Struct

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
MAX_DECODED_BYTES = 256 * 1024 * 1024
MAX_SHOWN_VALUES = 12
MAX_CODE_TABLE = 65_536

Value = float | int | str | bool | None

NUMERIC = task_pb2.FEATURE_TYPE_NUMERIC
CODE = task_pb2.FEATURE_TYPE_CODE
CATEGORY = task_pb2.FEATURE_TYPE_CATEGORY
_ARROW = {NUMERIC: pa.float64(), CODE: pa.int64(), CATEGORY: pa.utf8()}


@dataclass(frozen=True)
class Column:
    """One column and what its values must be.

    `kind` is a feature type, or `None` for a column that is kept as it comes (a row's id or time). `allowed`
    holds the only values taken, as `int` for codes and `str` for categories; `None` takes all. `required`:
    the column itself must be there.
    """

    name: str
    kind: int | None
    required: bool
    allow_missing: bool
    minimum: float | None = None
    maximum: float | None = None
    allowed: frozenset[Any] | None = None

    def check(self, value: Value) -> tuple[Value, str | None]:
        """`value` as it is kept, and `None`; or why it is refused, in words."""
        if value is None or (isinstance(value, float) and math.isnan(value) and self.kind != CATEGORY):
            return None, None if self.allow_missing else "is missing; a value is needed"
        if self.kind == NUMERIC:
            return self._check_number(value)
        if self.kind == CODE:
            return self._check_code(value)
        if self.kind == CATEGORY:
            return self._check_category(value)
        return value, None

    def _check_number(self, value: Value) -> tuple[Value, str | None]:
        if type(value) not in (int, float):
            return None, f"is {_shown(value)}; must be a number"
        number = float(value)  # type: ignore[arg-type]
        if math.isinf(number):
            return None, "is infinite; must be a finite number"
        if self.minimum is not None and number < self.minimum:
            return None, f"is {_shown(value)}; must be at least {self.minimum:g}"
        if self.maximum is not None and number > self.maximum:
            return None, f"is {_shown(value)}; must be at most {self.maximum:g}"
        return number, None

    def _check_code(self, value: Value) -> tuple[Value, str | None]:
        if type(value) is float and math.isfinite(value) and value.is_integer():
            value = int(value)
        if type(value) is not int:
            return None, f"is {_shown(value)}; must be a whole number"
        if not INT64_MIN < value <= INT64_MAX:
            return None, f"is {value}; must fit in 64 bits"
        return self._check_allowed(value)

    def _check_category(self, value: Value) -> tuple[Value, str | None]:
        if type(value) is not str:
            return None, f"is {_shown(value)}; must be a text"
        return self._check_allowed(value)

    def _check_allowed(self, value: Value) -> tuple[Value, str | None]:
        if self.allowed is not None and value not in self.allowed:
            listed = sorted(self.allowed)
            shown = ", ".join(map(str, listed[:MAX_SHOWN_VALUES])) + (
                ", ..." if len(listed) > MAX_SHOWN_VALUES else ""
            )
            return None, f"is {_shown(value)}; must be one of {shown}"
        return value, None

    def check_array(self, array: pa.Array) -> tuple[pa.Array, np.ndarray]:
        """`array` in the column's type with refused values as null, and a mask of the refused, bool `(N,)`.

        Raises `InvalidArgument` when the array's type cannot hold such values at all.
        """
        if pa.types.is_dictionary(array.type):
            array = array.dictionary_decode()
        if pa.types.is_null(array.type):
            array = array.cast(_ARROW.get(self.kind or CATEGORY, pa.utf8()))
        if self.kind is None:
            return _kept_as_it_comes(self.name, array)
        if self.kind == CATEGORY:
            return self._check_texts(array)
        if not (pa.types.is_integer(array.type) or pa.types.is_floating(array.type)):
            wanted = "numbers" if self.kind == NUMERIC else "whole numbers"
            raise _column_error(self.name, f"has Arrow type {array.type}; must hold {wanted}")
        return self._check_numbers(array) if self.kind == NUMERIC else self._check_codes(array)

    def _check_numbers(self, array: pa.Array) -> tuple[pa.Array, np.ndarray]:
        values = array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        missing = np.isnan(values)
        bad = np.isinf(values)
        if self.minimum is not None:
            bad |= values < self.minimum
        if self.maximum is not None:
            bad |= values > self.maximum
        if not self.allow_missing:
            bad |= missing
        refused = missing | bad
        return pa.array(values, pa.float64(), mask=refused if refused.any() else None), bad

    @functools.cached_property
    def _known_codes(self) -> tuple[int, np.ndarray] | None:
        """The allowed codes as a table over their range, with its lowest; `None` when all are, or the range
        is wide.
        """
        if not self.allowed:
            return None
        lowest, span = min(self.allowed), max(self.allowed) - min(self.allowed) + 1
        if span > MAX_CODE_TABLE:
            return None
        table = np.zeros(span + 1, bool)
        table[[code - lowest for code in self.allowed]] = True
        return lowest, table

    def _all_codes_known(self, values: np.ndarray) -> bool:
        """Whether every one of the codes, int64 `(N,)`, may be there: the usual case, found fast."""
        if self.allowed is None:
            return not bool((values == INT64_MIN).any())
        if self._known_codes is None:
            return False
        lowest, table = self._known_codes
        positions = (values.view(np.uint64) - np.uint64(lowest % 2**64)).clip(max=len(table) - 1)
        return bool(table[positions].all())

    def _check_codes(self, array: pa.Array) -> tuple[pa.Array, np.ndarray]:
        if array.null_count == 0 and pa.types.is_integer(array.type) and not pa.types.is_uint64(array.type):
            codes = array.cast(pa.int64())
            if self._all_codes_known(codes.to_numpy(zero_copy_only=False)):
                return codes, np.zeros(len(codes), bool)
        missing = _null_mask(array)
        if pa.types.is_integer(array.type):
            if pa.types.is_uint64(array.type):
                too_large = pc.fill_null(pc.greater(array, pa.scalar(INT64_MAX, pa.uint64())), False)
                bad = np.asarray(too_large)
                array = pc.if_else(too_large, pa.scalar(0, pa.uint64()), array)
            else:
                bad = np.zeros(len(array), bool)
            values = pc.fill_null(array.cast(pa.int64()), 0).to_numpy(zero_copy_only=False)
            bad = bad | (values == INT64_MIN)
        else:
            floats = array.cast(pa.float64()).to_numpy(zero_copy_only=False)
            missing = missing | np.isnan(floats)
            whole = np.isfinite(floats) & (np.abs(floats) < 2.0**63)
            whole &= np.where(whole, floats, 0) == np.floor(np.where(whole, floats, 0))
            bad = ~whole & ~missing
            values = np.where(whole, floats, 0).astype(np.int64)
        if self.allowed is not None:
            bad = bad | (~np.isin(values, np.fromiter(self.allowed, np.int64, len(self.allowed))) & ~missing)
        if not self.allow_missing:
            bad = bad | missing
        return pa.array(values, pa.int64(), mask=missing | bad), bad

    def _check_texts(self, array: pa.Array) -> tuple[pa.Array, np.ndarray]:
        if not (
            pa.types.is_string(array.type)
            or pa.types.is_large_string(array.type)
            or pa.types.is_string_view(array.type)
        ):
            raise _column_error(self.name, f"has Arrow type {array.type}; must hold texts (utf8)")
        array = array.cast(pa.utf8())
        missing = _null_mask(array)
        bad = np.zeros(len(array), bool)
        if self.allowed is not None:
            bad |= ~np.asarray(pc.is_in(array, pa.array(sorted(self.allowed), pa.utf8()))) & ~missing
        if not self.allow_missing:
            bad |= missing
        return (pc.if_else(pa.array(bad), pa.scalar(None, pa.utf8()), array) if bad.any() else array), bad


@dataclass(frozen=True)
class CheckedRows:
    """A batch after its check.

    `rows` holds the accepted rows in the schema's types; `accepted` their positions as sent, int64;
    `rejected` every refused row with its first offending column and the reason.
    """

    rows: pa.RecordBatch
    accepted: np.ndarray
    rejected: list[common_pb2.RejectedRow]

    @property
    def row_count(self) -> int:
        """Rows as sent."""
        return len(self.accepted) + len(self.rejected)


class RowSchema:
    """The columns of a kind of rows, in order."""

    def __init__(self, columns: Iterable[Column], ignored: Iterable[str] = ()) -> None:
        self.columns = tuple(columns)
        self.names = tuple(column.name for column in self.columns)
        self._position = {name: position for position, name in enumerate(self.names)}
        self._ignored = frozenset(ignored)
        self._absent = [None] * len(self.columns)

    @classmethod
    def for_records(cls, task: task_pb2.Task) -> "RowSchema":
        """Rows of a dataset: id, time, features, target and sensitive attributes.

        The target is kept as its canonical text.
        """
        free = [name for name in (task.id_column, task.time_column) if name]
        target = Column(
            task.target.name, CATEGORY, True, False,
            allowed=frozenset({task.target.positive_value, task.target.negative_value}),
        )  # fmt: skip
        known = {target.name, *(feature.name for feature in task.features)}
        columns = [
            *(Column(name, None, True, False) for name in dict.fromkeys(free) if name not in known),
            *map(_feature_column, task.features),
            target,
            *map(_sensitive_column, task.sensitive),
        ]
        return _TargetAsText(columns, target)

    @classmethod
    def for_predictions(cls, task: task_pb2.Task) -> "RowSchema":
        """Rows to predict: features, and sensitive attributes where the caller has them.

        Id and time are taken and left out.
        """
        columns = [*map(_feature_column, task.features), *map(_sensitive_column, task.sensitive)]
        ignored = {name for name in (task.id_column, task.time_column) if name} - {
            column.name for column in columns
        }
        return cls(columns, ignored)

    def decode(self, batch: common_pb2.RowBatch) -> CheckedRows:
        """Checks a batch.

        Raises `InvalidArgument` for what is wrong with it as a whole: not Arrow, an unknown or lacking
        column.
        """
        if batch.WhichOneof("encoding") == "arrow_ipc":
            return self.check_table(read_arrow(batch.arrow_ipc, "batch.arrow_ipc"))
        return self._check_structs(batch.rows.rows)

    def check_struct(self, row: Struct) -> tuple[list[Value], list[tuple[str, str]]]:
        """Values of one JSON-like row in the order of `columns`, and column and reason of each that is
        refused.
        """
        values: list[Value] = self._absent.copy()
        problems: list[tuple[str, str]] = []
        for name, field in row.fields.items():
            position = self._position.get(name)
            if position is None:
                if name not in self._ignored:
                    problems.append((name, self._unknown()))
                continue
            kind = field.WhichOneof("kind")
            if kind == "number_value":
                values[position] = field.number_value
            elif kind == "string_value":
                values[position] = field.string_value
            elif kind == "bool_value":
                values[position] = field.bool_value
            elif kind in ("struct_value", "list_value"):
                problems.append((name, "is a list or an object; must be a single value"))
        for position, column in enumerate(self.columns):
            values[position], reason = column.check(values[position])
            if reason is not None:
                problems.append((column.name, reason))
        return values, problems

    def check_table(self, table: pa.Table) -> CheckedRows:
        """Checks rows that came as Arrow."""
        self._check_names(table.column_names)
        columns: list[pa.Array] = []
        bad_of: list[tuple[Column, pa.Array, np.ndarray]] = []
        bad = np.zeros(table.num_rows, bool)
        for column in self.columns:
            position = table.schema.get_field_index(column.name)
            if position < 0:
                columns.append(pa.nulls(table.num_rows, _ARROW[column.kind or CATEGORY]))
                continue
            source = table.column(position).combine_chunks()
            if isinstance(source, pa.ChunkedArray):
                source = pa.concat_arrays(source.chunks) if source.num_chunks else pa.array([], source.type)
            checked, refused = column.check_array(source)
            columns.append(checked)
            if refused.any():
                bad |= refused
                bad_of.append((column, source, refused))
        rows = pa.RecordBatch.from_arrays(columns, names=list(self.names))
        if not bad_of:
            return CheckedRows(rows, np.arange(table.num_rows), [])
        accepted = np.flatnonzero(~bad)
        return CheckedRows(rows.take(pa.array(accepted)), accepted, _rejections(bad_of, bad))

    def _check_structs(self, rows: Sequence[Struct]) -> CheckedRows:
        kept: list[list[Value]] = []
        accepted: list[int] = []
        rejected: list[common_pb2.RejectedRow] = []
        for index, row in enumerate(rows):
            values, problems = self.check_struct(row)
            if problems:
                name, reason = problems[0]
                rejected.append(
                    common_pb2.RejectedRow(row_index=index, column=name, reason=f"{name} {reason}")
                )
            else:
                kept.append(values)
                accepted.append(index)
        return CheckedRows(self.to_batch(kept), np.array(accepted, np.int64), rejected)

    def to_batch(self, rows: Sequence[Sequence[Value]]) -> pa.RecordBatch:
        """Rows of checked values (`check_struct`) as one record batch."""
        arrays = [
            pa.array(
                [row[position] for row in rows], _ARROW.get(column.kind) if column.kind is not None else None
            )
            for position, column in enumerate(self.columns)
        ]
        arrays = [array.cast(pa.utf8()) if pa.types.is_null(array.type) else array for array in arrays]
        return pa.RecordBatch.from_arrays(arrays, names=list(self.names))

    def _check_names(self, names: Sequence[str]) -> None:
        if len(set(names)) != len(names):
            twice = sorted({name for name in names if list(names).count(name) > 1})
            raise _column_error(twice[0], "stands twice in the batch; each column must stand once")
        problems = [
            FieldViolation(f"batch.{name}", self._unknown())
            for name in names
            if name not in self._position and name not in self._ignored
        ]
        problems += [
            FieldViolation(f"batch.{column.name}", "is missing from the batch; the task needs this column")
            for column in self.columns
            if column.required and column.name not in names
        ]
        if problems:
            raise InvalidArgument.of(*problems)

    def _unknown(self) -> str:
        return f"is not a column of this task; it has {', '.join(self.names)}"


class _TargetAsText(RowSchema):
    """Records whose target may come as number, boolean or text and is kept as its canonical text."""

    def __init__(self, columns: Iterable[Column], target: Column) -> None:
        super().__init__(columns)
        self._target = target

    def check_struct(self, row: Struct) -> tuple[list[Value], list[tuple[str, str]]]:
        if self._target.name in row.fields:
            field = row.fields[self._target.name]
            kind = field.WhichOneof("kind")
            if kind in ("number_value", "bool_value"):
                copy = Struct()
                copy.CopyFrom(row)
                copy[self._target.name] = canonical_text(getattr(field, kind))
                row = copy
        return super().check_struct(row)

    def check_table(self, table: pa.Table) -> CheckedRows:
        position = table.schema.get_field_index(self._target.name)
        if position >= 0:
            table = table.set_column(position, self._target.name, canonical_texts(table.column(position)))
        return super().check_table(table)


def canonical_text(value: Value) -> str:
    """A label's text: 1, 1.0 and "1" are "1"; true is "true"."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and math.isfinite(value) and value.is_integer():
        return str(int(value))
    return str(value)


def canonical_texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column of labels as utf8: whole floats lose their point, booleans become "true" and "false"."""
    if pa.types.is_floating(column.type):
        values = column.combine_chunks()
        whole = pc.fill_null(pc.equal(pc.floor(values), values), False)
        if pc.all(pc.or_(whole, pc.or_kleene(pc.is_null(values), pc.is_nan(values)))).as_py() is not False:
            numbers = pc.if_else(whole, values, None).cast(pa.int64(), safe=False)
            return pa.chunked_array([numbers.cast(pa.utf8())])
    if pa.types.is_dictionary(column.type):
        column = pc.cast(column, column.type.value_type)
    try:
        return column.cast(pa.utf8())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return column


def read_arrow(data: bytes, field: str) -> pa.Table:
    """The rows of an Arrow IPC stream, fully validated.

    Raises `InvalidArgument` naming `field` for bytes that are none.
    """
    try:
        with pa.ipc.open_stream(pa.py_buffer(data)) as reader:
            batches, size = [], 0
            for batch in reader:
                batch.validate(full=True)
                size += batch.nbytes
                if size > MAX_DECODED_BYTES:
                    raise InvalidArgument.of(
                        FieldViolation(
                            field, f"unpacks to more than {MAX_DECODED_BYTES} bytes; send smaller batches"
                        )
                    )
                batches.append(batch)
            table = pa.Table.from_batches(batches, reader.schema)
    except (pa.ArrowException, OSError, ValueError, UnicodeDecodeError, MemoryError) as error:
        raise InvalidArgument.of(
            FieldViolation(field, f"is not a readable Arrow IPC stream: {_short(error)}")
        ) from error
    if table.num_rows == 0:
        raise InvalidArgument.of(FieldViolation(field, "has no rows; send at least one"))
    return table


def _rejections(
    bad_of: Sequence[tuple[Column, pa.Array, np.ndarray]], bad: np.ndarray
) -> list[common_pb2.RejectedRow]:
    """Each refused row with its first offending column, in row order."""
    first: dict[int, common_pb2.RejectedRow] = {}
    for column, source, refused in bad_of:
        for index in np.flatnonzero(refused):
            row = int(index)
            if row not in first:
                reason = column.check(source[row].as_py())[1] or "is refused"
                first[row] = common_pb2.RejectedRow(
                    row_index=row, column=column.name, reason=f"{column.name} {reason}"
                )
    return [first[int(index)] for index in np.flatnonzero(bad)]


def _feature_column(feature: task_pb2.Feature) -> Column:
    return Column(
        feature.name,
        feature.type,
        required=not feature.allow_missing,
        allow_missing=feature.allow_missing,
        minimum=feature.minimum if feature.HasField("minimum") else None,
        maximum=feature.maximum if feature.HasField("maximum") else None,
        allowed=_allowed(feature.type, feature.values) if feature.closed else None,
    )


def _sensitive_column(attribute: task_pb2.SensitiveAttribute) -> Column:
    return Column(attribute.name, attribute.type, required=False, allow_missing=True)


def _allowed(kind: int, values: Mapping[str, str]) -> frozenset[Any]:
    return frozenset(int(text) for text in values) if kind == CODE else frozenset(values)


def _kept_as_it_comes(name: str, array: pa.Array) -> tuple[pa.Array, np.ndarray]:
    kind = array.type
    if pa.types.is_integer(kind):
        array = array.cast(pa.int64(), safe=False)
    elif pa.types.is_floating(kind):
        array = array.cast(pa.float64())
    elif pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        array = array.cast(pa.timestamp("us", tz="UTC"), safe=False)
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        array = array.cast(pa.utf8())
    else:
        raise _column_error(name, f"has Arrow type {kind}; must hold numbers, texts or times")
    return array, _null_mask(array)


def _null_mask(array: pa.Array) -> np.ndarray:
    return np.zeros(len(array), bool) if array.null_count == 0 else np.asarray(array.is_null())


def _column_error(name: str, problem: str) -> InvalidArgument:
    return InvalidArgument.of(FieldViolation(f"batch.{name}", problem))


def _shown(value: Value) -> str:
    text = f"{value:g}" if isinstance(value, float) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _short(error: BaseException) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
