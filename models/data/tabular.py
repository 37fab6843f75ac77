"""Rows of a table as arrays by kind of column: numbers, codes, categories and times, the form in which models
take them.
"""

from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from models.data.targets import Values, read_target
from models.progress import TrainingFailed
from models.recipe import BINARY, Problem, Target

MISSING_CODE = -(2**63)

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class TabularSchema:
    """Names of the inputs by kind, in the task's order, and a binary target with its two values as text."""

    numeric: tuple[str, ...]
    code: tuple[str, ...]
    category: tuple[str, ...]
    target: str = ""
    positive_value: str = ""
    negative_value: str = ""
    time: tuple[str, ...] = ()

    @classmethod
    def of(cls, problem: Problem) -> "TabularSchema":
        """The inputs of `problem`.

        Raises:
            TrainingFailed: it has inputs that are no part of a table.
        """
        kinds = ("numeric", "code", "category", "time")
        if other := [one for one in problem.inputs if one.type not in kinds]:
            raise TrainingFailed(
                f"{other[0].name} is of type {other[0].type}; models of tables take {', '.join(kinds)}. "
                "Choose another kind of model, or leave the feature out."
            )
        numeric, code, category, time = (problem.of_type(kind) for kind in kinds)
        return cls(numeric, code, category, time=time)

    @property
    def names(self) -> tuple[str, ...]:
        """All inputs, kind by kind."""
        return (*self.numeric, *self.code, *self.category, *self.time)

    def columns(self) -> dict[str, tuple[str, ...]]:
        """The inputs by kind; times only where there are some."""
        found = {"numeric": self.numeric, "code": self.code, "category": self.category}
        return found | {"time": self.time} if self.time else found

    def place(self, name: str) -> tuple[str, int]:
        """Where an input's values stand: the field of `TabularRows` and the column in it."""
        return next((kind, names.index(name)) for kind, names in self.columns().items() if name in names)


@dataclass(frozen=True)
class TabularRows:
    """N rows.

    `numeric` float32 `(N, n)`, NaN missing; `code` int64 `(N, n)`, `MISSING_CODE` missing; `category` object
    `(N, n)` of str, "" missing; `time` int64 `(N, n)` of microseconds since 1970 in UTC, `MISSING_CODE`
    missing, `(0, 0)` for none; `label` as `models.data.targets.Values` has it, or `None`.
    """

    numeric: Floats
    code: Ints
    category: npt.NDArray[np.object_]
    label: Values | None = None
    time: Ints = field(default_factory=lambda: np.empty((0, 0), np.int64))

    @classmethod
    def from_arrow(cls, table: pa.Table, schema: TabularSchema) -> Self:
        """Reads the schema's columns; the label of a binary target is read where the table has it.

        Raises:
            KeyError: a column is lacking.
            TrainingFailed: a label is neither of the two values.
        """
        if lacking := [name for name in schema.names if name not in table.column_names]:
            raise KeyError(f"the table lacks {', '.join(lacking)}")
        count = table.num_rows
        return cls(
            _columns([_numbers(table.column(name)) for name in schema.numeric], count, np.float32),
            _columns([_codes(table.column(name)) for name in schema.code], count, np.int64),
            _columns([_texts(table.column(name)) for name in schema.category], count, object),
            _binary_label(table, schema),
            _columns([_times(table.column(name)) for name in schema.time], count, np.int64),
        )

    @classmethod
    def of(cls, table: pa.Table, problem: Problem) -> Self:
        """The inputs of `problem` and its labels.

        Raises:
            TrainingFailed: a column is lacking, or labels are not those of the task.
        """
        schema = TabularSchema.of(problem)
        if lacking := [name for name in schema.names if name not in table.column_names]:
            raise TrainingFailed(f"The rows lack {', '.join(lacking)}, which the task's features name.")
        return replace(cls.from_arrow(table, schema), label=read_target(table, problem))

    def take(self, indices: npt.ArrayLike) -> Self:
        """The rows at `indices`, in their order."""
        chosen = np.asarray(indices)
        return replace(
            self,
            numeric=self.numeric[chosen],
            code=self.code[chosen],
            category=self.category[chosen],
            label=None if self.label is None else self.label[chosen],
            time=self.time[chosen] if self.time.shape[1] else self.time,
        )

    def column(self, schema: TabularSchema, name: str) -> npt.NDArray[Any]:
        """The values of an input, `(N,)`."""
        kind, place = schema.place(name)
        values: npt.NDArray[Any] = getattr(self, kind)[:, place]
        return values

    def with_column(self, schema: TabularSchema, name: str, values: npt.ArrayLike) -> Self:
        """The same rows with other values of one input."""
        kind, place = schema.place(name)
        changed = getattr(self, kind).copy()
        changed[:, place] = values
        return replace(self, **{kind: changed})

    def __len__(self) -> int:
        return len(self.numeric)


def known_texts(column: npt.NDArray[np.object_]) -> tuple[str, ...]:
    """The texts of a category column, each once, in order; not "", which is missing."""
    return tuple(sorted(text for text in pc.unique(pa.array(column, pa.utf8())).to_pylist() if text))


def _columns(columns: list[npt.NDArray[Any]], count: int, kind: type) -> npt.NDArray[Any]:
    return np.ascontiguousarray(np.stack(columns, axis=1)) if columns else np.empty((count, 0), kind)


def _numbers(column: pa.ChunkedArray) -> Floats:
    with np.errstate(over="ignore"):
        values: Floats = pc.cast(column, pa.float64()).to_numpy().astype(np.float32)
    values[~np.isfinite(values)] = np.nan
    return values


def _codes(column: pa.ChunkedArray) -> Ints:
    values: Ints = pc.fill_null(pc.cast(column, pa.int64()), MISSING_CODE).to_numpy()
    return values


def _texts(column: pa.ChunkedArray) -> npt.NDArray[np.object_]:
    values: npt.NDArray[np.object_] = (
        pc.fill_null(pc.cast(column, pa.utf8()), "").to_numpy(zero_copy_only=False).astype(object)
    )
    return values


def _times(column: pa.ChunkedArray) -> Ints:
    moments = pc.cast(column, pa.timestamp("us"), safe=False)
    values: Ints = pc.fill_null(pc.cast(moments, pa.int64()), MISSING_CODE).to_numpy()
    return values


def _binary_label(table: pa.Table, schema: TabularSchema) -> Values | None:
    if schema.target not in table.column_names:
        return None
    target = Target((schema.target,), schema.positive_value, schema.negative_value)
    return read_target(table, Problem(BINARY, (), target, metric="auc"))
