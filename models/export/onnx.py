"""What all exported graphs share: their inputs and output, and the nodes that prepare them.

Inputs, present only where the task has such features, in its order: `numeric` float32 `[N, n]`, NaN missing;
`code` int64 `[N, n]`, missing the smallest int64; `category` string `[N, n]`, missing ""; `time` int64
`[N, n]`, microseconds since 1970 in UTC, missing the smallest int64. Output of one of two classes:
`probability` float32 `[N]` of the positive class; of others see `models.export.onnx_table`.
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from models.data.tabular import TabularSchema

OPSET, ML_OPSET, IR_VERSION = 20, 3, 10
OUTPUT = "probability"


class Graph:
    """A graph under construction; each method adds a node and gives the name of its output."""

    def __init__(self, schema: TabularSchema) -> None:
        self.schema = schema
        self._nodes: list[Any] = []
        self._constants: dict[str, Any] = {}
        self._count = 0

    def constant(self, value: Any, kind: Any) -> str:
        """A constant tensor of numpy dtype `kind`."""
        array = np.asarray(value, kind)
        key = (
            f"{array.dtype}{array.shape}{array.tobytes()!r}"
            if array.size < 64
            else f"c{len(self._constants)}"
        )
        if key not in self._constants:
            self._constants[key] = numpy_helper.from_array(array, f"constant_{len(self._constants)}")
        return str(self._constants[key].name)

    def node(self, operator: str, *inputs: str, domain: str = "", output: str = "", **attributes: Any) -> str:
        """A node of one output."""
        self._count += 1
        name = output or f"{operator.lower()}_{self._count}"
        self._nodes.append(
            helper.make_node(
                operator, list(inputs), [name], name=f"n{self._count}", domain=domain, **attributes
            )
        )
        return name

    def add_nodes(self, nodes: Any, constants: Any) -> None:
        """Nodes and constants that another library made; their names must be their own."""
        self._nodes.extend(nodes)
        for constant in constants:
            self._constants[constant.name] = constant

    def category_places(
        self, known: tuple[tuple[str, ...], ...], numbers: Any, unknown: Any, kind: str
    ) -> str:
        """`category` as numbers `[N, n]`: text k of a column becomes `numbers(column)[k]`, another `unknown`.

        `kind` is "int64s" or "floats".
        """
        columns = []
        for position, values in enumerate(known):
            index = self.constant([position], np.int64)
            column = self.node("Gather", "category", index, axis=1)
            given = numbers(values)
            columns.append(
                self.node(
                    "LabelEncoder",
                    column,
                    domain="ai.onnx.ml",
                    keys_strings=[*values, ""],
                    **{f"values_{kind}": given, f"default_{kind.rstrip('s')}": unknown},
                )
            )
        return columns[0] if len(columns) == 1 else self.node("Concat", *columns, axis=1)

    def model(
        self,
        description: str,
        *,
        outputs: tuple[tuple[str, int, list[str | int]], ...] = ((OUTPUT, TensorProto.FLOAT, ["N"]),),
        properties: Mapping[str, str] = MappingProxyType({}),
    ) -> Any:
        """The finished model, checked. `outputs`: name, type and shape of each; `properties` join those that
        name the columns.
        """
        schema = self.schema
        wanted = (
            ("numeric", TensorProto.FLOAT, schema.numeric),
            ("code", TensorProto.INT64, schema.code),
            ("category", TensorProto.STRING, schema.category),
            ("time", TensorProto.INT64, schema.time),
        )
        inputs = [
            helper.make_tensor_value_info(name, kind, ["N", len(of)]) for name, kind, of in wanted if of
        ]
        given = [helper.make_tensor_value_info(*output) for output in outputs]
        graph = helper.make_graph(self._nodes, "boarfish", inputs, given, list(self._constants.values()))
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)],
            producer_name="boarfish",
            doc_string=description,
        )
        model.ir_version = IR_VERSION
        helper.set_model_props(
            model,
            {name: ",".join(columns) for name, columns in schema.columns().items()} | dict(properties),
        )
        onnx.checker.check_model(model)
        return model


def save_model(model: Any, path: Path) -> None:
    """Writes a model; the same model gives the same bytes."""
    path.write_bytes(model.SerializeToString(deterministic=True))
