"""The graph of a model of a table: times expanded in front, predictions finished behind.

Outputs. BINARY: `probability` float32 `[N]`. MULTICLASS: `probability` `[N, C]`, `label` string `[N]`.
MULTILABEL: `probability` `[N, L]`, `labels` bool `[N, L]`, those at or above the task's threshold.
REGRESSION: `value` float32 `[N]`, or `[N, K]` of several numbers. The property `classes` names the columns,
as JSON.
"""

import json
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
from onnx import TensorProto

from models.data.calendar import CODES, MISSING_TIME, NUMBERS, calendar_parts
from models.data.table_spec import TableSpec
from models.data.targets import TargetSpec
from models.export.onnx import OUTPUT, Graph
from models.recipe import BINARY, MULTICLASS, MULTILABEL, REGRESSION

VALUE, LABEL, LABELS = "value", "label", "labels"
MAIN_OUTPUT = {BINARY: OUTPUT, MULTICLASS: OUTPUT, MULTILABEL: OUTPUT, REGRESSION: VALUE}


class TableGraph(Graph):
    """A graph whose inputs are those of a table. `numeric` and `code` name the expanded inputs."""

    def __init__(self, spec: TableSpec) -> None:
        super().__init__(spec.schema)
        self.spec = spec

    @cached_property
    def numeric(self) -> str:
        """Numbers float32 `[N, n]`, NaN missing, those of times at the end; "" when there are none."""
        given = ["numeric"] if self.schema.numeric else []
        return self.joined(given + self._of_times(NUMBERS, to=TensorProto.FLOAT, missing=np.float32(np.nan)))

    @cached_property
    def code(self) -> str:
        """Codes int64 `[N, n]`, those of times at the end; "" when there are none."""
        given = ["code"] if self.schema.code else []
        return self.joined(
            given + self._of_times(CODES, to=TensorProto.INT64, missing=np.int64(MISSING_TIME))
        )

    def joined(self, parts: list[str]) -> str:
        """Matrices side by side."""
        return parts[0] if len(parts) == 1 else self.node("Concat", *parts, axis=1) if parts else ""

    def finished(self, learnt: str, description: str) -> Any:
        """The model that gives predictions of the learnt numbers, float32 `[N, W]`."""
        target = self.spec.target
        outputs = _FINISH[target.kind](self, learnt, target)
        properties = {"classes": json.dumps(target.column_names)} if target.kind != BINARY else {}
        return self.model(description, outputs=outputs, properties=properties)

    def _of_times(self, parts: tuple[str, ...], *, to: int, missing: Any) -> list[str]:
        found = []
        for absent, expanded in self._times:
            joined = self.node("Concat", *(expanded[part].name for part in parts), axis=1)
            cast = joined if to == TensorProto.INT64 else self.node("Cast", joined, to=to)
            found.append(self.node("Where", absent, self.constant(missing, missing.dtype), cast))
        return found

    @cached_property
    def _times(self) -> list[tuple[str, dict[str, "Whole"]]]:
        """For each time: whether it is missing, bool `[N, 1]`, and its parts, int64 `[N, 1]` each."""
        found = []
        for place, origin in enumerate(self.spec.calendar.origins):
            column = self.node("Gather", "time", self.constant([place], np.int64), axis=1)
            absent = self.node("Equal", column, self.constant(MISSING_TIME, np.int64))
            filled = self.node("Where", absent, self.constant(0, np.int64), column)
            found.append((absent, calendar_parts(Whole(self, filled), origin)))
        return found


class Whole:
    """Whole numbers, int64, of a graph under construction: `+ - * // %` add nodes.

    ONNX divides towards zero, so `//` is for what is not negative; `%` has the divisor's sign, as in numpy.
    """

    def __init__(self, graph: Graph, name: str) -> None:
        self.graph = graph
        self.name = name

    def __add__(self, other: "Whole | int") -> "Whole":
        return self._node("Add", self, other)

    def __radd__(self, other: int) -> "Whole":
        return self._node("Add", other, self)

    def __sub__(self, other: "Whole | int") -> "Whole":
        return self._node("Sub", self, other)

    def __rsub__(self, other: int) -> "Whole":
        return self._node("Sub", other, self)

    def __mul__(self, other: "Whole | int") -> "Whole":
        return self._node("Mul", self, other)

    def __floordiv__(self, other: int) -> "Whole":
        return self._node("Div", self, other)

    def __mod__(self, other: int) -> "Whole":
        return self._node("Mod", self, other)

    def _node(self, operator: str, *operands: "Whole | int") -> "Whole":
        names = [
            operand.name if isinstance(operand, Whole) else self.graph.constant(operand, np.int64)
            for operand in operands
        ]
        return Whole(self.graph, self.graph.node(operator, *names))


Outputs = tuple[tuple[str, int, list[str | int]], ...]


def _binary(graph: Graph, learnt: str, target: TargetSpec) -> Outputs:
    graph.node("Reshape", learnt, graph.constant([-1], np.int64), output=OUTPUT)
    return ((OUTPUT, TensorProto.FLOAT, ["N"]),)


def _multiclass(graph: Graph, learnt: str, target: TargetSpec) -> Outputs:
    graph.node("Identity", learnt, output=OUTPUT)
    place = graph.node("ArgMax", learnt, axis=1, keepdims=0)
    graph.node(
        "LabelEncoder",
        place,
        domain="ai.onnx.ml",
        output=LABEL,
        keys_int64s=list(range(target.width)),
        values_strings=list(target.classes),
    )
    return (OUTPUT, TensorProto.FLOAT, ["N", target.width]), (LABEL, TensorProto.STRING, ["N"])


def _multilabel(graph: Graph, learnt: str, target: TargetSpec) -> Outputs:
    graph.node("Identity", learnt, output=OUTPUT)
    graph.node("GreaterOrEqual", learnt, graph.constant(target.threshold, np.float32), output=LABELS)
    shape: list[str | int] = ["N", target.width]
    return (OUTPUT, TensorProto.FLOAT, shape), (LABELS, TensorProto.BOOL, shape)


def _regression(graph: Graph, learnt: str, target: TargetSpec) -> Outputs:
    if target.logarithmic:
        learnt = graph.node("Max", learnt, graph.constant(0.0, np.float32))
        learnt = graph.node("Min", learnt, graph.constant(np.array(target.highest) + 1.0, np.float32))
        learnt = graph.node("Sub", graph.node("Exp", learnt), graph.constant(1.0, np.float32))
    if target.minimum is not None:
        learnt = graph.node("Max", learnt, graph.constant(target.minimum, np.float32))
    if target.maximum is not None:
        learnt = graph.node("Min", learnt, graph.constant(target.maximum, np.float32))
    shape: list[str | int] = ["N"] if target.width == 1 else ["N", target.width]
    graph.node("Reshape", learnt, graph.constant([-1, *shape[1:]], np.int64), output=VALUE)
    return ((VALUE, TensorProto.FLOAT, shape),)


_FINISH: dict[str, Callable[[Graph, str, TargetSpec], Outputs]] = {
    BINARY: _binary,
    MULTICLASS: _multiclass,
    MULTILABEL: _multilabel,
    REGRESSION: _regression,
}
