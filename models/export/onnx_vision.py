"""A net of pictures as an ONNX graph, with its resizing and normalisation in front and its answers behind.

Inputs: `image` uint8 `[N, H, W, 3]`, red, green and blue, of any height and width, as
`models.data.pictures.decode` gives them; or `audio` float32 `[N, T]`, `series` float32 `[N, T]`, `bytes`
uint8 `[N, T]`, as `models.data.signals.Signals.arrays` gives them. Outputs. BINARY: `probability` float32
`[N]` of the positive class. MULTICLASS: `probability` `[N, C]`, `label` string `[N]`. MULTILABEL:
`probability` `[N, L]`, `labels` bool `[N, L]`, those at or above the threshold found in training. REGRESSION:
`value` float32 `[N]`, or `[N, K]` of several numbers; of points in pixels of the picture given. The property
`classes` names the columns, as JSON.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import onnx
import pyarrow as pa
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from models.data.picture_rows import IMAGE
from models.data.pictures import decode
from models.data.signals import Signals
from models.export.module_graph import module_graph
from models.export.picture_input import take_pictures
from models.nets.picture import PictureNet
from models.picture_model import PictureModel, PictureSpec, class_names, finished
from models.recipe import MULTICLASS, MULTILABEL, REGRESSION, Parity

if TYPE_CHECKING:
    import onnxruntime

PROBABILITY, VALUE, LABEL, LABELS = "probability", "value", "label", "labels"
PICTURE, SIDES, PLACE = "picture", "sides", "place"
ROWS_CHECKED = 64
# Of a probability, or of a number in deviations of its target: the net itself, on the very same pixels.
NET_TOLERANCE = 1e-4
# The same of pictures as they are in the table: a pixel in some thousands comes out one grey level of 255
# apart.
TOLERANCE = 5e-3


class Answering(nn.Module):
    """The net and what its outputs mean, as the graph gives it."""

    def __init__(self, net: PictureNet, spec: PictureSpec) -> None:
        super().__init__()
        self.net = net
        self.spec = spec

    def forward(self, x: Tensor, sides: Tensor | None = None) -> tuple[Tensor, ...]:
        """`probability` or `value`, then the place of the likeliest class, or which labels are given.
        `sides`: width and height of the pictures, `(2,)`, of points.
        """
        target = self.spec.target
        learnt = finished(target, self.net(x))
        if target.kind == MULTICLASS:
            return learnt, learnt.argmax(1)
        if target.kind == MULTILABEL:
            return learnt, learnt >= target.threshold
        if sides is not None:
            learnt = (learnt + 1) / 2 * sides.repeat(target.width // 2)
        if target.kind == REGRESSION:
            learnt = torch.expm1(learnt) if target.logarithmic else learnt
            if target.minimum is not None or target.maximum is not None:
                learnt = learnt.clamp(target.minimum, target.maximum)
        return (learnt.flatten() if target.width == 1 else learnt,)


def picture_graph(net: PictureNet, spec: PictureSpec) -> Any:
    """The ONNX model of a trained net in evaluation mode."""
    target = spec.target
    outputs = {MULTICLASS: [PROBABILITY, PLACE], MULTILABEL: [PROBABILITY, LABELS], REGRESSION: [VALUE]}
    inputs, dynamic = _example(spec)
    description = "Convolutional net with its preprocessing"
    classes = class_names(spec.problem) or target.names
    properties = {"input": spec.name, "classes": json.dumps(classes, ensure_ascii=False)}
    model = module_graph(
        Answering(net, spec),
        inputs,
        outputs.get(target.kind, [PROBABILITY]),
        dynamic,
        description=description,
        properties=properties,
    )
    graph = model.graph
    if spec.type == IMAGE:
        take_pictures(model, {IMAGE: PICTURE}, spec.config.image_size)
    if spec.points:
        sides = [
            helper.make_node("Shape", [IMAGE], ["image_shape"]),
            helper.make_node("Gather", ["image_shape", "width_and_height"], ["whole_sides"]),
            helper.make_node("Cast", ["whole_sides"], [SIDES], to=TensorProto.FLOAT),
        ]
        graph.initializer.append(numpy_helper.from_array(np.array([2, 1], np.int64), "width_and_height"))
        whole = [*sides, *graph.node]
        del graph.node[:]
        graph.node.extend(whole)
    if target.kind == MULTICLASS:
        places, names = list(range(target.width)), list(target.classes)
        graph.node.append(
            helper.make_node(
                "LabelEncoder",
                [PLACE],
                [LABEL],
                domain="ai.onnx.ml",
                keys_int64s=places,
                values_strings=names,
            )
        )
        del graph.output[1:]
        graph.output.append(helper.make_tensor_value_info(LABEL, TensorProto.STRING, ["N"]))
    onnx.checker.check_model(model)
    return model


def parity(model: PictureModel, path: Path, valid: pa.Table, *, threads: int) -> Parity:
    """ONNX Runtime's answers against the model's own, on at most 64 rows of `valid` that can be read, evenly
    spaced.

    Pictures are compared twice: resized already, where the net alone could differ (1e-4), and as they are in
    the table, where the graph resizes them (1e-2 of a probability). The first that differs too much is told,
    else the second.
    """
    session = _session(path, threads)
    name, spec = session.get_inputs()[0].name, model.spec
    what = VALUE if spec.target.kind == REGRESSION else PROBABILITY
    rows = model.rows(valid)
    chosen = rows.readable[:: max(len(rows.readable) // ROWS_CHECKED, 1)][:ROWS_CHECKED]
    if not len(chosen):
        return Parity(0.0, NET_TOLERANCE, 0, what)
    values, outputs = rows.values[chosen], model.outputs(rows.values, chosen)
    sizes = np.full((len(chosen), 2), spec.config.image_size, np.int32)
    found = session.run([what], {name: values})[0]
    net = _compared(model, found, outputs, sizes, what=what, tolerance=NET_TOLERANCE)
    if spec.type != IMAGE or not net.equal:
        return _named(net, rows.ids, chosen)
    column = valid.column(spec.name)
    pictures = (np.asarray(decode(column[int(row)].as_py()))[None] for row in chosen)
    found = np.concatenate([session.run([what], {name: picture})[0] for picture in pictures])
    whole = _compared(model, found, outputs, rows.sizes[chosen], what=what, tolerance=TOLERANCE)
    return _named(whole, rows.ids, chosen)


def _example(spec: PictureSpec) -> tuple[dict[str, Tensor], dict[str, dict[int, str]]]:
    """Inputs to trace the net with, by name, and which of their dimensions vary."""
    if spec.type == IMAGE:
        side = spec.config.image_size
        found = {PICTURE: torch.zeros(2, 3, side, side)}
        return found | ({SIDES: torch.ones(2)} if spec.points else {}), {PICTURE: {0: "N"}}
    signals, _ = Signals(spec.type, spec.config.signal).arrays(_stand_ins(spec.type))
    # A sound is cut to its length before it comes here; a series and a file have any.
    varying = {0: "N"} if spec.type == "audio" else {0: "N", 1: "T"}
    return {spec.type: torch.from_numpy(signals)}, {spec.type: varying}


def _stand_ins(kind: str) -> pa.ChunkedArray:
    """Two signals of some length; what cannot be read is silence."""
    if kind == "series":
        return pa.chunked_array([pa.array([np.arange(300.0)] * 2, pa.list_(pa.float32()))])
    return pa.chunked_array([pa.array([b"x" * 3000] * 2, pa.binary())])


def _session(path: Path, threads: int) -> "onnxruntime.InferenceSession":
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _compared(
    model: PictureModel,
    found: npt.NDArray[Any],
    outputs: Tensor,
    sizes: npt.NDArray[np.int32],
    *,
    what: str,
    tolerance: float,
) -> Parity:
    """`found` against predictions of `outputs`; `where` is the place of the row that differs most. Numbers
    may differ by `tolerance` of their spread over the rows, points by that of half the picture.
    """
    expected = model.prediction(outputs, sizes).astype(np.float64)
    if model.spec.points:
        tolerance *= float(sizes.max()) / 2
    elif what == VALUE:
        tolerance *= max(float(np.max(expected.std(0))), float(np.abs(expected).max()) * NET_TOLERANCE, 1e-6)
    difference = np.abs(found.astype(np.float64) - expected).reshape(len(expected), -1).max(1)
    difference = np.nan_to_num(difference, nan=np.inf)
    row = int(difference.argmax())
    return Parity(float(difference[row]), tolerance, len(expected), what, str(row))


def _named(parity: Parity, ids: Sequence[str], chosen: npt.NDArray[np.int64]) -> Parity:
    """`parity` with the row's id."""
    return replace(parity, where=f"validation row {ids[int(chosen[int(parity.where)])]}")
