"""How rows become the matrix that trees divide: numbers and codes as they are, categories by their place, or
the embeddings that a net has learnt for codes and categories.

Embeddings in the place of categories: Guo and Berkhahn, "Entity Embeddings of Categorical Variables", 2016.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from models.data.table_spec import TableSpec
from models.data.tabular import MISSING_CODE, TabularRows, known_texts

if TYPE_CHECKING:
    from models.tabular import FittedTabularNet


@dataclass(frozen=True)
class TreeFeatures:
    """`category_values`: the known texts of each category column, numbered by their place. `net`: whose
    embeddings stand for codes and categories, or `None`.
    """

    spec: TableSpec
    category_values: tuple[tuple[str, ...], ...]
    net: "FittedTabularNet | None" = None

    @classmethod
    def of(cls, spec: TableSpec, train: TabularRows, net: "FittedTabularNet | None" = None) -> "TreeFeatures":
        """From training rows whose times are expanded."""
        values = tuple(known_texts(column) for column in train.category.T)
        return cls(spec, values, net)

    @property
    def sources(self) -> tuple[str, ...]:
        """The task's input that each column of the matrix comes from."""
        schema, source = self.spec.expanded_schema, self.spec.sources
        others = (*schema.code, *schema.category)
        if self.net is not None and others:
            net = self.net.net
            others = tuple(others[place // net.table.shape[1]] for place in net.used.tolist())
        return tuple(source[name] for name in (*schema.numeric, *others))

    def matrix(self, rows: TabularRows) -> npt.NDArray[np.float32]:
        """Rows whose times are expanded as float32 `(N, F)`; NaN for missing and unknown."""
        if self.net is not None:
            return np.concatenate([rows.numeric, self.net.embed(rows)], axis=1)
        codes = np.where(rows.code == MISSING_CODE, np.nan, rows.code).astype(np.float32)
        columns = [rows.numeric, codes]
        for column, values in zip(rows.category.T, self.category_values, strict=True):
            places = pc.index_in(pa.array(column, pa.utf8()), pa.array(values, pa.utf8()))
            columns.append(places.to_numpy(zero_copy_only=False).astype(np.float32).reshape(-1, 1))
        return np.concatenate(columns, axis=1)

    def add_to(self, graph: Any) -> str:
        """Adds the nodes that make the matrix, float32 `[N, F]`, to a `TableGraph`."""
        parts = [graph.numeric] if graph.numeric else []
        if self.net is not None:
            from models.export.onnx_net import add_embeddings

            if embedded := add_embeddings(graph, self.net.net):
                used = graph.constant(self.net.net.used.numpy(), np.int64)
                parts.append(graph.node("Gather", embedded, used, axis=1))
            return str(graph.joined(parts))
        if graph.code:
            missing = graph.node("Equal", graph.code, graph.constant(MISSING_CODE, np.int64))
            numbers = graph.node("Cast", graph.code, to=1)
            parts.append(graph.node("Where", missing, graph.constant(np.nan, np.float32), numbers))
        if self.spec.schema.category:
            nan = float("nan")
            parts.append(
                graph.category_places(
                    self.category_values,
                    lambda values: [*(float(n) for n in range(len(values))), nan],
                    unknown=nan,
                    kind="floats",
                )
            )
        return str(graph.joined(parts))

    def about(self) -> dict[str, Any]:
        """What is needed to read the matrix's columns, as JSON can hold it."""
        embeddings = None if self.net is None else self.net.net.spec.as_json()
        return {"category_values": self.category_values, "embeddings": embeddings}
