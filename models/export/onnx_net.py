"""A tabular net as an ONNX graph: values to rows of the embedding table, one look-up, and layers with
normalisation folded in.

A code becomes its row by one look-up in a dense table over the column's span of codes, all columns at once,
so that a single row costs few nodes. Columns that span more than `WIDEST_SPAN` codes are looked up by a node
each.
"""

from typing import Any

import numpy as np

from models.data.tabular import MISSING_CODE, TabularSchema
from models.export.onnx import OUTPUT, Graph

WIDEST_SPAN = 65_536


def net_graph(net: Any, schema: TabularSchema) -> Any:
    """The ONNX model of a trained `TabularNet` in evaluation mode."""
    graph = Graph(schema)
    parts = []
    spec = net.spec
    offsets = net.offsets.numpy()
    code_count = len(spec.code_values)
    indices = []
    if code_count:
        indices.append(_code_rows(graph, spec.code_values, offsets[:code_count]))
    if spec.category_values:
        rows = graph.category_places(
            spec.category_values, lambda values: [*range(2, len(values) + 2), 1], unknown=0, kind="int64s"
        )
        indices.append(graph.node("Add", rows, graph.constant(offsets[code_count:], np.int64)))
    if indices:
        index = indices[0] if len(indices) == 1 else graph.node("Concat", *indices, axis=1)
        table = net.table.detach().numpy()
        embedded = graph.node("Gather", graph.constant(table, np.float32), index)
        width = len(offsets) * table.shape[1]
        parts.append(graph.node("Reshape", embedded, graph.constant([-1, width], np.int64)))
    if schema.numeric:
        parts += _numbers(graph, net)
    features = parts[0] if len(parts) == 1 else graph.node("Concat", *parts, axis=1)
    logits = _layers(graph, net, features, indices != [])
    flat = graph.node("Reshape", logits, graph.constant([-1], np.int64))
    graph.node("Sigmoid", flat, output=OUTPUT)
    return graph.model("Tabular net with its preprocessing")


def _code_rows(graph: Graph, values: tuple[tuple[int, ...], ...], offsets: np.ndarray) -> str:
    """Rows of the embedding table, int64 `[N, n]`."""
    if all(not known or known[-1] - known[0] < WIDEST_SPAN for known in values):
        return _dense_code_rows(graph, values, offsets)
    columns = []
    for position, known in enumerate(values):
        column = graph.node("Gather", "code", graph.constant([position], np.int64), axis=1)
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


def _dense_code_rows(graph: Graph, values: tuple[tuple[int, ...], ...], offsets: np.ndarray) -> str:
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
    missing = graph.node("Equal", "code", graph.constant(MISSING_CODE, np.int64))
    within = graph.node(
        "Min", graph.node("Max", "code", graph.constant(lows, np.int64)), graph.constant(highs, np.int64)
    )
    place = graph.node("Where", missing, graph.constant(np.array(lows) - 1, np.int64), within)
    return graph.node(
        "Gather", graph.constant(table, np.int64), graph.node("Add", place, graph.constant(starts, np.int64))
    )


def _numbers(graph: Graph, net: Any) -> list[str]:
    """Normalised numbers with missing ones at 0, and a flag for each missing one."""
    missing = graph.node("IsNaN", "numeric")
    centred = graph.node("Sub", "numeric", graph.constant(net.means.numpy(), np.float32))
    scaled = graph.node("Div", centred, graph.constant(net.deviations.numpy(), np.float32))
    filled = graph.node("Where", missing, graph.constant(0.0, np.float32), scaled)
    return [filled, graph.node("Cast", missing, to=1)]


def _layers(graph: Graph, net: Any, features: str, embedded: bool) -> str:
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
