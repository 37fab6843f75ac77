"""What all models of one table share: the problem, its columns, what is predicted, how times are expanded."""

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from models.data.calendar import Calendar
from models.data.tabular import TabularRows, TabularSchema
from models.data.targets import TargetSpec, Values
from models.progress import TrainingFailed
from models.recipe import BINARY, Input, Problem, Target


@dataclass(frozen=True)
class TableSpec:
    """Made from the training rows; `schema` names the inputs as they come, `expanded_schema` as they are
    learnt.
    """

    problem: Problem
    schema: TabularSchema
    target: TargetSpec
    calendar: Calendar

    @property
    def expanded_schema(self) -> TabularSchema:
        """The inputs with each time replaced by its numbers and codes."""
        return replace(
            self.schema,
            numeric=self.schema.numeric + self.calendar.number_names,
            code=self.schema.code + self.calendar.code_names,
            time=(),
        )

    @property
    def sources(self) -> dict[str, str]:
        """For each expanded input, the input that it comes from."""
        made = {name: name for name in self.schema.names}
        for time in self.calendar.names:
            one = Calendar((time,), (0,))
            made |= dict.fromkeys(one.number_names + one.code_names, time)
        return made

    def expand(self, rows: TabularRows) -> TabularRows:
        """Rows with each time replaced by its numbers and codes."""
        if not self.calendar.names:
            return rows
        return replace(
            rows,
            numeric=np.concatenate([rows.numeric, self.calendar.numbers(rows.time)], axis=1),
            code=np.concatenate([rows.code, self.calendar.codes(rows.time)], axis=1),
            time=np.empty((0, 0), np.int64),
        )


@dataclass(frozen=True)
class TabularData:
    """Rows to train on and to judge by, both with labels, as they come."""

    spec: TableSpec
    train: TabularRows
    valid: TabularRows

    @classmethod
    def of(cls, problem: Problem, train: pa.Table, valid: pa.Table) -> "TabularData":
        """Reads both parts.

        Raises:
            TrainingFailed: columns or labels are not as the task has them, or leave nothing to learn.
        """
        schema = TabularSchema.of(problem)
        return cls._of(problem, schema, TabularRows.of(train, problem), TabularRows.of(valid, problem))

    @classmethod
    def binary(cls, train: TabularRows, valid: TabularRows, schema: TabularSchema) -> "TabularData":
        """Rows that have been read already, of a binary target.

        Raises:
            TrainingFailed: there are no labels, or they leave nothing to learn.
        """
        for part, rows in (("training", train), ("validation", valid)):
            if rows.label is None:
                raise TrainingFailed(f"The {part} rows have no labels.")
        inputs = tuple(Input(name, kind) for kind, names in schema.columns().items() for name in names)
        target = Target((schema.target,), schema.positive_value, schema.negative_value)
        return cls._of(Problem(BINARY, inputs, target, metric="auc"), schema, train, valid)

    @classmethod
    def _of(
        cls, problem: Problem, schema: TabularSchema, train: TabularRows, valid: TabularRows
    ) -> "TabularData":
        target = TargetSpec.of(problem, label_of(train))
        return cls(TableSpec(problem, schema, target, Calendar.of(schema.time, train.time)), train, valid)


def label_of(rows: TabularRows) -> Values:
    """The labels of rows that have some. Raises `TrainingFailed` where they have none."""
    if rows.label is None:
        raise TrainingFailed("There are no labelled rows to train on.")
    return rows.label
