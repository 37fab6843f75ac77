"""A PyTorch module as an ONNX model, through torch's exporter: the way of the nets whose graphs are not
written node by node.

The exporter writes where on this machine each node came from; that is taken out, so that the same module
gives the same bytes everywhere.
"""

import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from models.export.nodes import IR_VERSION, ML_OPSET, OPSET


def module_graph(
    module: Any,
    inputs: Mapping[str, Any],
    outputs: Sequence[str],
    dynamic: Mapping[str, Mapping[int, str]],
    *,
    description: str,
    properties: Mapping[str, str],
) -> Any:
    """The module, put into evaluation mode, as a model that was checked.

    `inputs`: examples of `forward`'s tensors by the names that the graph's inputs get, in order; sizes of 2
    or more where they are dynamic. `dynamic`: for each input the dimensions of any size, with a name each;
    two of one name are always equal. `outputs`: names of what `forward` gives, in order.
    """
    import onnx
    import torch
    from onnx import helper

    with warnings.catch_warnings():
        # Of the exporter's own insides, and nothing that a caller could mend.
        warnings.simplefilter("ignore")
        exporter = logging.getLogger("torch.onnx")
        level = exporter.level
        exporter.setLevel(logging.ERROR)
        try:
            program = torch.onnx.export(
                module.eval(),
                tuple(inputs.values()),
                input_names=list(inputs),
                output_names=list(outputs),
                dynamic_shapes=tuple(dict(dynamic.get(name, {})) for name in inputs),
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
            )
        finally:
            exporter.setLevel(level)
    assert program is not None
    model = program.model_proto
    _forget_origin(model)
    if not any(one.domain == "ai.onnx.ml" for one in model.opset_import):
        model.opset_import.append(helper.make_opsetid("ai.onnx.ml", ML_OPSET))
    model.ir_version = IR_VERSION
    model.producer_name, model.producer_version = "boarfish", ""
    model.doc_string = description
    helper.set_model_props(model, dict(properties))
    onnx.checker.check_model(model)
    return model


def _forget_origin(model: Any) -> None:
    del model.metadata_props[:]
    graphs = [model.graph, *model.functions]
    while graphs:
        graph = graphs.pop()
        graph.doc_string = ""
        del graph.metadata_props[:]
        for part in (*graph.node, *getattr(graph, "value_info", ()), *getattr(graph, "initializer", ())):
            part.doc_string = ""
            del part.metadata_props[:]
        for node in graph.node:
            graphs.extend(attribute.g for attribute in node.attribute if attribute.HasField("g"))
    for part in (*model.graph.input, *model.graph.output):
        del part.metadata_props[:]


def session_of(path: Path, threads: int) -> Any:
    """The graph at `path` in ONNX Runtime on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
