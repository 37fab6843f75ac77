"""Nodes and constants of an ONNX graph under construction, whatever its inputs are."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

OPSET, ML_OPSET, IR_VERSION = 20, 3, 10


class Nodes:
    """Each method adds a node and gives the name of its output, or of its outputs."""

    def __init__(self) -> None:
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
        name = output or f"{operator.lower()}_{self._count + 1}"
        return self.nodes(operator, *inputs, domain=domain, outputs=(name,), **attributes)[0]

    def nodes(
        self, operator: str, *inputs: str, outputs: Sequence[str], domain: str = "", **attributes: Any
    ) -> list[str]:
        """A node of several outputs; one that is called "" is not wanted."""
        self._count += 1
        self._nodes.append(
            helper.make_node(
                operator, list(inputs), list(outputs), name=f"n{self._count}", domain=domain, **attributes
            )
        )
        return list(outputs)

    def add_nodes(self, nodes: Any, constants: Any) -> None:
        """Nodes and constants that another library made; their names must be their own."""
        self._nodes.extend(nodes)
        for constant in constants:
            self._constants[constant.name] = constant

    def finish(
        self,
        inputs: Sequence[Any],
        outputs: Sequence[Any],
        *,
        description: str,
        properties: Mapping[str, str],
        opsets: Mapping[str, int] = MappingProxyType({}),
    ) -> Any:
        """The finished model, checked. `inputs` and `outputs` are value infos; `opsets` are versions of
        domains beside ONNX's own.
        """
        graph = helper.make_graph(
            self._nodes, "boarfish", list(inputs), list(outputs), list(self._constants.values())
        )
        versions = {"": OPSET, "ai.onnx.ml": ML_OPSET, **opsets}
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid(domain, version) for domain, version in versions.items()],
            producer_name="boarfish",
            doc_string=description,
        )
        model.ir_version = IR_VERSION
        helper.set_model_props(model, dict(properties))
        onnx.checker.check_model(model)
        return model
