"""One column of a task's rows and the checks that its values pass, value by value or as an Arrow array.

Both checks give the same verdict; a refused value of an array gets its reason from the check of single
values.
"""

import datetime as dt
import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from boarfish.errors import FieldViolation, InvalidArgument
from boarfish.v1 import task_pb2

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
MAX_SHOWN_VALUES = 12
MAX_CODE_TABLE = 65_536

MISSING = "is missing; a value is needed"

Value = float | int | str | bool | bytes | list[float] | dt.datetime | None

NUMERIC = task_pb2.FEATURE_TYPE_NUMERIC
CODE = task_pb2.FEATURE_TYPE_CODE
CATEGORY = task_pb2.FEATURE_TYPE_CATEGORY
_FLOAT64, _INT64, _UTF8 = pa.float64(), pa.int64(), pa.utf8()
_LARGEST = np.finfo(np.float64).max


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

    @property
    def arrow_type(self) -> pa.DataType:
        """How values are kept; text where the type is left open."""
        if self.kind == NUMERIC:
            return _FLOAT64
        return _INT64 if self.kind == CODE else _UTF8

    def reason(self, sent: pa.Scalar) -> str:
        """Why a value of an array is refused, in words."""
        return self.check(sent.as_py())[1] or "is refused"

    def check(self, value: Value) -> tuple[Value, str | None]:
        """`value` as it is kept, and `None`; or why it is refused, in words."""
        if value is None or (isinstance(value, float) and math.isnan(value) and self.kind != CATEGORY):
            return None, None if self.allow_missing else MISSING
        if self.kind == NUMERIC:
            return self._check_number(value)
        if self.kind == CODE:
            return self._check_code(value)
        if self.kind == CATEGORY:
            return self._check_category(value)
        if type(value) is bool:
            return None, f"is {value}; must be a number, a text or a time"
        return value, None

    def _check_number(self, value: Value) -> tuple[Value, str | None]:
        if type(value) not in (int, float):
            return None, f"is {shown(value)}; must be a number"
        number = float(value)  # type: ignore[arg-type]
        if math.isinf(number):
            return None, "is infinite; must be a finite number"
        if self.minimum is not None and number < self.minimum:
            return None, f"is {shown(value)}; must be at least {self.minimum:g}"
        if self.maximum is not None and number > self.maximum:
            return None, f"is {shown(value)}; must be at most {self.maximum:g}"
        return number, None

    def _check_code(self, value: Value) -> tuple[Value, str | None]:
        if type(value) is float and math.isfinite(value) and value.is_integer():
            value = int(value)
        if type(value) is not int:
            return None, f"is {shown(value)}; must be a whole number"
        if not INT64_MIN < value <= INT64_MAX:
            return None, f"is {value}; must fit in 64 bits"
        return self._check_allowed(value)

    def _check_category(self, value: Value) -> tuple[Value, str | None]:
        if type(value) is not str:
            return None, f"is {shown(value)}; must be a text"
        return self._check_allowed(value)

    def _check_allowed(self, value: Value) -> tuple[Value, str | None]:
        if self.allowed is not None and value not in self.allowed:
            return None, f"is {shown(value)}; must be one of {self.allowed_in_words()}"
        return value, None

    def allowed_in_words(self) -> str:
        """The first of the allowed values."""
        listed = sorted(self.allowed or ())
        more = ", ..." if len(listed) > MAX_SHOWN_VALUES else ""
        return ", ".join(map(str, listed[:MAX_SHOWN_VALUES])) + more

    def takes_whole(self, array: pa.Array) -> bool:
        """Whether `array` can be kept just as it is: the usual case, found without building a mask.

        False says nothing: `check_array` then finds out.
        """
        if array.null_count:
            return False
        kind = array.type
        if self.kind == CODE:
            return kind == _INT64 and self._all_codes_known(array.to_numpy())
        if self.kind == NUMERIC:
            return kind == _FLOAT64 and self._all_numbers_fit(array.to_numpy())
        if self.kind == CATEGORY:
            return kind == _UTF8 and (self.allowed is None or self._all_texts_known(array))
        return bool(kind in (_INT64, _UTF8))

    def check_array(self, array: pa.Array) -> tuple[pa.Array, np.ndarray]:
        """`array` in the column's type with refused values as null, and a mask of the refused, bool `(N,)`.

        Raises `InvalidArgument` when the array's type cannot hold such values at all.
        """
        if pa.types.is_dictionary(array.type):
            array = array.dictionary_decode()
        if pa.types.is_null(array.type):
            array = array.cast(self.arrow_type)
        return self._check_typed(array)

    def _check_typed(self, array: pa.Array) -> tuple[pa.Array, np.ndarray]:
        """`check_array` of an array that is neither a dictionary nor without a type."""
        if self.kind is None:
            return _kept_as_it_comes(self.name, array, self.allow_missing)
        if self.kind == CATEGORY:
            return self._check_texts(array)
        if not (pa.types.is_integer(array.type) or pa.types.is_floating(array.type)):
            wanted = "numbers" if self.kind == NUMERIC else "whole numbers"
            raise column_error(self.name, f"has Arrow type {array.type}; must hold {wanted}")
        return self._check_numbers(array) if self.kind == NUMERIC else self._check_codes(array)

    def _check_numbers(self, array: pa.Array) -> tuple[pa.Array, np.ndarray]:
        if array.type != _FLOAT64:
            array = array.cast(_FLOAT64, safe=False)
            if self.takes_whole(array):
                return array, np.zeros(len(array), bool)
        values = array.to_numpy(zero_copy_only=False)
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
    def _bounds(self) -> tuple[float, float]:
        lowest = -_LARGEST if self.minimum is None else max(self.minimum, -_LARGEST)
        return lowest, _LARGEST if self.maximum is None else min(self.maximum, _LARGEST)

    def _all_numbers_fit(self, values: np.ndarray) -> bool:
        if not len(values):
            return True
        lowest, highest = self._bounds
        # A NaN makes both comparisons false.
        return bool(np.minimum.reduce(values) >= lowest) and bool(np.maximum.reduce(values) <= highest)

    @functools.cached_property
    def _known_codes(self) -> tuple[np.int64, int, np.ndarray | None] | None:
        """The lowest allowed code, how far the others go beyond it, and which of them are allowed.

        The last is bool, `None` when all between are; the whole is `None` when the range is wide or empty.
        """
        if not self.allowed:
            return None
        lowest, span = min(self.allowed), max(self.allowed) - min(self.allowed)
        if span > MAX_CODE_TABLE:
            return None
        if span + 1 == len(self.allowed):
            return np.int64(lowest), span, None
        table = np.zeros(span + 1, bool)
        table[[code - lowest for code in self.allowed]] = True
        return np.int64(lowest), span, table

    def _all_codes_known(self, values: np.ndarray) -> bool:
        """Whether every one of the codes, int64 `(N,)`, may be there."""
        if not len(values):
            return True
        if self.allowed is None:
            return bool(np.minimum.reduce(values) > INT64_MIN)
        if self._known_codes is None:
            return False
        lowest, span, table = self._known_codes
        # Codes below the lowest wrap around to large positions.
        positions = (values - lowest).view(np.uint64)
        return bool(np.maximum.reduce(positions) <= span) and (table is None or bool(table[positions].all()))

    @functools.cached_property
    def known_texts(self) -> pc.SetLookupOptions:
        """The allowed texts, laid out for `pc.is_in`."""
        return pc.SetLookupOptions(pa.array(sorted(self.allowed or ()), _UTF8))

    def _all_texts_known(self, array: pa.Array) -> bool:
        return bool(pc.is_in(array, options=self.known_texts).false_count == 0)

    def _check_codes(self, array: pa.Array) -> tuple[pa.Array, np.ndarray]:
        if pa.types.is_integer(array.type) and array.type.bit_width < 64:
            array = array.cast(_INT64)
        if self.takes_whole(array):
            return array, np.zeros(len(array), bool)
        missing = null_mask(array)
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
        if not is_text(array.type):
            raise column_error(self.name, f"has Arrow type {array.type}; must hold texts (utf8)")
        array = array.cast(pa.utf8())
        missing = null_mask(array)
        bad = np.zeros(len(array), bool)
        if self.allowed is not None:
            bad |= ~np.asarray(pc.is_in(array, options=self.known_texts)) & ~missing
        if not self.allow_missing:
            bad |= missing
        return (pc.if_else(pa.array(bad), pa.scalar(None, pa.utf8()), array) if bad.any() else array), bad


def _kept_as_it_comes(name: str, array: pa.Array, allow_missing: bool) -> tuple[pa.Array, np.ndarray]:
    kind = array.type
    missing = null_mask(array)
    if pa.types.is_integer(kind):
        try:
            array = array.cast(_INT64)
        except pa.ArrowInvalid as error:
            raise column_error(name, "has a number that does not fit in 64 bits") from error
    elif pa.types.is_floating(kind):
        array = array.cast(_FLOAT64)
        not_numbers = np.isnan(array.to_numpy(zero_copy_only=False))
        if not_numbers.any():
            missing = missing | not_numbers
            array = pc.if_else(pa.array(missing), pa.scalar(None, _FLOAT64), array)
    elif pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        array = as_times(name, array)
    elif is_text(kind):
        array = array.cast(_UTF8)
    else:
        raise column_error(name, f"has Arrow type {kind}; must hold numbers, texts or times")
    return array, np.zeros(len(array), bool) if allow_missing else missing


def is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def as_times(name: str, array: pa.Array) -> pa.Array:
    try:
        # Whole microseconds are kept; a date or a coarser unit must not wrap around.
        fine = pa.types.is_timestamp(array.type) and array.type.unit == "ns"
        return array.cast(pa.timestamp("us", getattr(array.type, "tz", None)), safe=not fine).cast(
            pa.timestamp("us", tz="UTC")
        )
    except pa.ArrowInvalid as error:
        raise column_error(name, "has a time too far away; must lie within some 290,000 years") from error


def null_mask(array: pa.Array) -> np.ndarray:
    return np.zeros(len(array), bool) if array.null_count == 0 else np.asarray(array.is_null())


def column_error(name: str, problem: str) -> InvalidArgument:
    """What is wrong with a column of a batch as a whole."""
    return InvalidArgument.of(FieldViolation(f"batch.{name}", problem))


def shown(value: Value) -> str:
    text = f"{value:g}" if isinstance(value, float) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
