"""A U-Net as an ONNX graph: a picture of any size in, the class of each of its pixels out.

Input: `image` uint8 `[N, H, W, 3]`, red, green and blue, as `models.data.pictures.decode` gives it. Outputs,
at the picture's own size: `mask` uint8 `[N, H, W]`, places in the property `classes` (JSON), and
`probability` float32 `[N, C, H, W]`.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pyarrow as pa
import torch
from onnx import TensorProto, helper, numpy_helper

from models.data.masked_pictures import columns_of
from models.data.pictures import decode
from models.export.module_graph import module_graph, session_of
from models.export.picture_input import take_pictures
from models.recipe import Parity

if TYPE_CHECKING:
    from models.mask_model import MaskModel

ROWS_CHECKED = 32
# Of a probability, on the very same pixels. It is the largest of all pixels of all pictures, and of some
# million numbers one is further off than 1e-4 (1.6e-4 was seen on a border of examples/emoji_masks).
NET_TOLERANCE = 1e-3
# Share of a picture's pixels that may be of another class when the graph resizes the picture itself: Pillow
# and ONNX Runtime round some bytes to another grey level, which moves borders where the net is of two minds.
TOLERANCE = 5e-3


def mask_graph(model: "MaskModel") -> Any:
    """The ONNX model, checked."""
    size = model.config.image_size
    graph_model = module_graph(
        model.net,
        {"picture": torch.zeros(2, 3, size, size)},
        ["logits"],
        {"picture": {0: "N"}},
        description="U-Net with its preprocessing",
        properties={
            "input": columns_of(model.problem)[0],
            "classes": json.dumps(model.classes, ensure_ascii=False),
        },
    )
    take_pictures(graph_model, {"image": "picture"}, size)
    graph = graph_model.graph
    graph.initializer.append(numpy_helper.from_array(np.array([1, 2], np.int64), "height_and_width"))
    graph.node.extend(
        [
            helper.make_node("Shape", ["image"], ["image_shape"]),
            helper.make_node("Gather", ["image_shape", "height_and_width"], ["own_size"]),
            helper.make_node(
                "Resize",
                ["logits", "", "", "own_size"],
                ["stretched"],
                axes=[2, 3],
                mode="linear",
                coordinate_transformation_mode="half_pixel",
            ),
            helper.make_node("Softmax", ["stretched"], ["probability"], axis=1),
            helper.make_node("ArgMax", ["stretched"], ["place"], axis=1, keepdims=0),
            helper.make_node("Cast", ["place"], ["mask"], to=TensorProto.UINT8),
        ]
    )
    del graph.output[:]
    shape: list[str | int | None] = ["N", len(model.classes), "H", "W"]
    graph.output.extend(
        [
            helper.make_tensor_value_info("mask", TensorProto.UINT8, ["N", "H", "W"]),
            helper.make_tensor_value_info("probability", TensorProto.FLOAT, shape),
        ]
    )
    onnx.checker.check_model(graph_model)
    return graph_model


def parity(model: "MaskModel", path: Path, valid: pa.Table, *, threads: int) -> Parity:
    """ONNX Runtime's answers against the model's own, on at most 32 rows of `valid` that can be read, evenly
    spaced.

    Pictures are compared twice: resized already, each probability (1e-3), and as they are in the table, the
    share of pixels of another class (0.5 %). The first that differs too much is told, else the second.
    """
    from models.mask_model import mask_of

    session = session_of(path, threads)
    rows = model.rows(valid)
    chosen = rows.readable[:: max(len(rows.readable) // ROWS_CHECKED, 1)][:ROWS_CHECKED]
    if not len(chosen):
        return Parity(0.0, NET_TOLERANCE, 0)
    logits = model.logits(rows.pixels[chosen])
    (found,) = session.run(["probability"], {"image": rows.pixels[chosen]})
    apart = np.abs(found - logits.softmax(1).numpy()).reshape(len(chosen), -1).max(1)
    net = _parity(apart, NET_TOLERANCE, "probability", [rows.ids[int(row)] for row in chosen])
    if not net.equal:
        return net
    column = valid.column(columns_of(model.problem)[0])
    shares = np.empty(len(chosen))
    for number, row in enumerate(chosen):
        picture = np.asarray(decode(column[int(row)].as_py()))
        (mask,) = session.run(["mask"], {"image": picture[None]})
        shares[number] = np.mean(mask[0] != mask_of(logits[number], mask.shape[1:]))
    return _parity(shares, TOLERANCE, "mask", [rows.ids[int(row)] for row in chosen])


def _parity(difference: np.ndarray, tolerance: float, what: str, ids: list[str]) -> Parity:
    worst = int(np.nan_to_num(difference, nan=np.inf).argmax())
    largest = float(difference[worst])
    return Parity(largest, tolerance, len(difference), what, f"validation row {ids[worst]}")
