"""The front of graphs that look at pictures: bytes of any height and width in, a net's input out.

Resizing is that of `models.data.pictures.resized`: linear, averaging where it makes smaller, in float32, then
rounded to whole levels.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from models.data.pictures import TIE


def take_pictures(model: Any, inputs: Mapping[str, str], size: int) -> None:
    """Changes `model` in place: its inputs become `inputs`' keys, uint8 `[N, H, W, 3]`, red, green and blue;
    each is made `size` high and wide and from 0 to 1, `[N, 3, size, size]`, as the value that the graph took.

    Several inputs may differ in height and width from each other, not within a batch.
    """
    graph = model.graph
    nodes: list[Any] = []
    given = []
    for number, (name, picture) in enumerate(inputs.items(), 1):
        suffix = str(number) if len(inputs) > 1 else ""
        given.append(
            helper.make_tensor_value_info(name, TensorProto.UINT8, ["N", f"H{suffix}", f"W{suffix}", 3])
        )
        nodes += [
            helper.make_node("Cast", [name], [f"{name}_levels"], to=TensorProto.FLOAT),
            # Without `exclude_outside` the edges would be averaged with pixels that are not there.
            helper.make_node(
                "Resize",
                [f"{name}_levels", "", "", "picture_size"],
                [f"{name}_resized"],
                axes=[1, 2],
                mode="linear",
                antialias=1,
                exclude_outside=1,
                coordinate_transformation_mode="half_pixel",
            ),
            helper.make_node("Add", [f"{name}_resized", "tie"], [f"{name}_moved"]),
            helper.make_node("Round", [f"{name}_moved"], [f"{name}_whole"]),
            helper.make_node("Div", [f"{name}_whole", "white"], [f"{name}_unit"]),
            helper.make_node("Transpose", [f"{name}_unit"], [picture], perm=[0, 3, 1, 2]),
        ]
    whole = [*nodes, *graph.node]
    del graph.node[:]
    graph.node.extend(whole)
    del graph.input[:]
    graph.input.extend(given)
    graph.initializer.extend(
        [
            numpy_helper.from_array(np.array([size, size], np.int64), "picture_size"),
            numpy_helper.from_array(np.array(TIE, np.float32), "tie"),
            numpy_helper.from_array(np.array(255, np.float32), "white"),
        ]
    )
