"""A tabular net in an ONNX graph: values to rows of the embedding table, one look-up, and layers with
normalisation folded in.

A code becomes its row by one look-up in a dense table over the column's span of codes, all columns at once,
so that a single row costs few nodes. Columns that span more than `WIDEST_SPAN` codes are looked up by a node
each.
"""

from typing import Any

import numpy as np

from models.data.tabular import MISSING_CODE
from models.data.targets import TargetSpec
from models.export.onnx_table import TableGraph
from models.recipe import BINARY, MULTILABEL, REGRESSION

WIDEST_SPAN = 65_536


def add_net(graph: TableGraph, net: Any, target: TargetSpec) -> str:
    """The learnt numbers of a trained `TabularNet` in evaluation mode, float32 `[N, W]`."""
    embedded = add_embeddings(graph, net)
    parts = [embedded] if embedded else []
    if net.spec.means:
        parts += _numbers(graph, net)
    return _learnt(graph, _layers(graph, net, graph.joined(parts), bool(embedded)), target)


def add_embeddings(graph: TableGraph, net: Any) -> str:
    """The embeddings of all columns, over the table's full width, float32 `[N, C * widest]`; "" for none."""
    offsets = net.offsets.numpy()
    code_count = len(net.spec.code_values)
    indices = []
    if code_count:
        indices.append(_code_rows(graph, net.spec.code_values, offsets[:code_count]))
    if net.spec.category_values:
        rows = graph.category_places(
            net.spec.category_values,
            lambda values: [*range(2, len(values) + 2), 1],
            unknown=0,
            kind="int64s",
        )
        indices.append(graph.node("Add", rows, graph.constant(offsets[code_count:], np.int64)))
    if not indices:
        return ""
    table = net.table.detach().numpy()
    found = graph.node("Gather", graph.constant(table, np.float32), graph.joined(indices))
    width = len(offsets) * table.shape[1]
    return graph.node("Reshape", found, graph.constant([-1, width], np.int64))


def _learnt(graph: TableGraph, outputs: str, target: TargetSpec) -> str:
    """What `models.tabular.learnt_of` computes in PyTorch."""
    if target.kind in (BINARY, MULTILABEL):
        return graph.node("Sigmoid", outputs)
    if target.kind != REGRESSION:
        return graph.node("Softmax", outputs, axis=1)
    if target.bounds is not None:
        low, high = target.bounds
        share = graph.node("Sigmoid", outputs)
        scaled = graph.node("Mul", share, graph.constant(high - low, np.float32))
        return graph.node("Add", scaled, graph.constant(low, np.float32))
    scaled = graph.node("Mul", outputs, graph.constant(target.deviations, np.float32))
    return graph.node("Add", scaled, graph.constant(target.means, np.float32))


def _code_rows(graph: TableGraph, values: tuple[tuple[int, ...], ...], offsets: np.ndarray) -> str:
    """Rows of the embedding table, int64 `[N, n]`."""
    if all(not known or known[-1] - known[0] < WIDEST_SPAN for known in values):
        return _dense_code_rows(graph, values, offsets)
    columns = []
    for position, known in enumerate(values):
        column = graph.node("Gather", graph.code, graph.constant([position], np.int64), axis=1)
        base = int(offsets[position])
        columns.append(
            graph.node(
                "LabelEncoder",
                column,
                domain="ai.onnx.ml",
                keys_int64s=[*known, MISSING_CODE],
                values_int64s=[*range(base + 2, base + 2 + len(known)), base + 1],
                default_int64=base,
            )
        )
    return columns[0] if len(columns) == 1 else graph.node("Concat", *columns, axis=1)


def _dense_code_rows(graph: TableGraph, values: tuple[tuple[int, ...], ...], offsets: np.ndarray) -> str:
    """By one table: below and above a column's span stand unknown codes; a missing code is moved to a place
    of its own.
    """
    lows: list[int] = []
    highs: list[int] = []
    starts: list[int] = []
    table: list[int] = []
    for known, base in zip(values, offsets, strict=True):
        low, high = (known[0], known[-1]) if known else (0, -1)
        rows = np.zeros(high - low + 4, np.int64)  # missing, below, the span, above
        rows[0] = 1
        for row, code in enumerate(known):
            rows[code - low + 2] = row + 2
        starts.append(len(table) - (low - 2))
        lows.append(low - 1)
        highs.append(high + 1)
        table.extend((rows + int(base)).tolist())
    missing = graph.node("Equal", graph.code, graph.constant(MISSING_CODE, np.int64))
    within = graph.node(
        "Min", graph.node("Max", graph.code, graph.constant(lows, np.int64)), graph.constant(highs, np.int64)
    )
    place = graph.node("Where", missing, graph.constant(np.array(lows) - 1, np.int64), within)
    return graph.node(
        "Gather", graph.constant(table, np.int64), graph.node("Add", place, graph.constant(starts, np.int64))
    )


def _numbers(graph: TableGraph, net: Any) -> list[str]:
    """Normalised numbers with missing ones filled, and a flag for each missing one."""
    missing = graph.node("IsNaN", graph.numeric)
    centred = graph.node("Sub", graph.numeric, graph.constant(net.means.numpy(), np.float32))
    scaled = graph.node("Div", centred, graph.constant(net.deviations.numpy(), np.float32))
    filled = graph.node("Where", missing, graph.constant(net.fills.numpy(), np.float32), scaled)
    return [filled, graph.node("Cast", missing, to=1)]


def _layers(graph: TableGraph, net: Any, features: str, embedded: bool) -> str:
    """The fully connected layers; each batch normalisation is folded into the layer after it."""
    from torch import nn

    scale: np.ndarray | None = None
    shift: np.ndarray | None = None
    first = True
    for layer in net.layers:
        if isinstance(layer, nn.Linear):
            weight = layer.weight.detach().double().numpy()
            bias = layer.bias.detach().double().numpy()
            if first and embedded:
                weight = _spread(weight, net)
            first = False
            if scale is not None and shift is not None:
                bias = bias + weight @ shift
                weight = weight * scale
                scale = shift = None
            features = graph.node(
                "Gemm", features, graph.constant(weight.T, np.float32), graph.constant(bias, np.float32)
            )
        elif isinstance(layer, nn.ReLU):
            features = graph.node("Relu", features)
        elif isinstance(layer, nn.BatchNorm1d):
            assert layer.running_var is not None
            assert layer.running_mean is not None
            scale = layer.weight.detach().double().numpy() / np.sqrt(
                layer.running_var.double().numpy() + layer.eps
            )
            shift = layer.bias.detach().double().numpy() - layer.running_mean.double().numpy() * scale
    return features


def _spread(weight: np.ndarray, net: Any) -> np.ndarray:
    """The first layer's weights over the whole table's width: places that a narrow column does not use weigh
    nothing.
    """
    used = net.used.numpy()
    width = len(net.offsets) * net.table.shape[1]
    spread = np.zeros((len(weight), width + weight.shape[1] - len(used)))
    spread[:, used] = weight[:, : len(used)]
    spread[:, width:] = weight[:, len(used) :]
    return spread
