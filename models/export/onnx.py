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
from onnx import TensorProto, helper

from models.data.tabular import TabularSchema
from models.export.nodes import Nodes

OUTPUT = "probability"


class Graph(Nodes):
    """The graph of a model of tables, under construction."""

    def __init__(self, schema: TabularSchema) -> None:
        super().__init__()
        self.schema = schema

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
        names = {name: ",".join(columns) for name, columns in schema.columns().items()}
        return self.finish(inputs, given, description=description, properties=names | dict(properties))


def save_model(model: Any, path: Path) -> None:
    """Writes a model; the same model gives the same bytes."""
    path.write_bytes(model.SerializeToString(deterministic=True))
