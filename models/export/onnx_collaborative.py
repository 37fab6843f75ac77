"""A recommender as an ONNX graph: ids to rows of one table each, new ones moved by what describes them, and a
rating.

Inputs are those of `models.export.onnx`: the id columns are in `code` or `category` beside what describes
users and items. Output: `value` float32 `[N]`, in the target's unit and range.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from onnx import TensorProto

from models.cold_start import ColdStart, NumberEffect
from models.data.columns import Values
from models.data.ratings import RatingSchema, Scale
from models.data.tabular import TabularRows, TabularSchema
from models.export.onnx import Graph
from models.recipe import Problem

if TYPE_CHECKING:
    from models.nets.collaborative import CollaborativeNet

OUTPUT = "value"
ROWS_A_RUN = 65_536


def collaborative_graph(
    net: "CollaborativeNet",
    schema: RatingSchema,
    cold: tuple[ColdStart, ColdStart],
    scale: Scale,
    problem: Problem,
) -> Any:
    """The ONNX model of a trained recommender."""
    graph = Graph(TabularSchema.of(problem))
    table = net.table.detach().numpy()
    user = _row(graph, schema.user, table[: net.item_offset], cold[0])
    item = _row(graph, schema.item, table[net.item_offset :], cold[1])
    match = _match(graph, net, *(_factors(graph, row, net.spec.factor_count) for row in (user, item)))
    biases = graph.node("Add", *(_bias(graph, row, net.spec.factor_count) for row in (user, item)))
    learnt = graph.node(
        "Add", graph.node("Add", match, biases), graph.constant(net.centre.numpy(), np.float32)
    )
    if net.spec.low is not None and net.spec.high is not None:
        share = graph.node("Sigmoid", learnt)
        wide = graph.node("Mul", share, graph.constant(net.spec.high - net.spec.low, np.float32))
        learnt = graph.node("Add", wide, graph.constant(net.spec.low, np.float32))
    rating = learnt
    if scale.logarithmic:
        rating = graph.node("Sub", graph.node("Exp", learnt), graph.constant(1.0, np.float32))
    flat = graph.node("Reshape", rating, graph.constant([-1], np.int64))
    bounds = [
        "" if bound is None else graph.constant(bound, np.float32) for bound in (scale.minimum, scale.maximum)
    ]
    graph.node("Clip", flat, *bounds, output=OUTPUT)
    return graph.model(
        "Recommender with its ids",
        outputs=((OUTPUT, TensorProto.FLOAT, ["N"]),),
        properties={"user": schema.user.input.name, "item": schema.item.input.name},
    )


def run(path: Path, table: pa.Table, problem: Problem, *, threads: int) -> npt.NDArray[np.float32]:
    """ONNX Runtime's ratings of the rows of `table`, float32 `(N,)`."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_inputs()]
    parts = []
    for start in range(0, table.num_rows, ROWS_A_RUN):
        rows = TabularRows.from_arrow(table.slice(start, ROWS_A_RUN), TabularSchema.of(problem))
        parts.append(session.run([OUTPUT], {name: getattr(rows, name) for name in names})[0])
    return np.concatenate(parts) if parts else np.empty(0, np.float32)


def _column(graph: Graph, name: str, kind: str) -> str:
    """One column, `[N, 1]`."""
    place = getattr(graph.schema, kind).index(name)
    return graph.node("Gather", kind, graph.constant([place], np.int64), axis=1)


def _places(graph: Graph, values: Values) -> str:
    """The place of each row's value, int64 `[N]`, 0 for an unknown or missing one."""
    keys = "keys_strings" if values.input.type == "category" else "keys_int64s"
    place = graph.node(
        "LabelEncoder",
        _column(graph, values.input.name, values.input.type),
        domain="ai.onnx.ml",
        **{keys: values.known.to_pylist()},
        values_int64s=list(range(1, len(values.known) + 1)),
        default_int64=0,
    )
    return graph.node("Reshape", place, graph.constant([-1], np.int64))


def _row(graph: Graph, values: Values, table: npt.NDArray[np.float32], cold: ColdStart) -> str:
    """Factors and bias, float32 `[N, F + 1]`."""
    place = _places(graph, values)
    row = graph.node("Gather", graph.constant(table, np.float32), place)
    if not cold:
        return row
    moves = [
        graph.node("Gather", graph.constant(one.effects, np.float32), _places(graph, one.values))
        for one in cold.values
    ]
    if cold.numbers:
        moves.append(_moved_by_numbers(graph, cold.numbers))
    moved = moves[0] if len(moves) == 1 else graph.node("Sum", *moves)
    new = graph.node("Cast", graph.node("Equal", place, graph.constant(0, np.int64)), to=TensorProto.FLOAT)
    only_new = graph.node("Mul", moved, graph.node("Reshape", new, graph.constant([-1, 1], np.int64)))
    return graph.node("Add", row, only_new)


def _moved_by_numbers(graph: Graph, numbers: tuple[NumberEffect, ...]) -> str:
    """How far the numbers move the average, float32 `[N, F + 1]`."""
    places = [graph.schema.numeric.index(one.number.name) for one in numbers]
    columns = graph.node("Gather", "numeric", graph.constant(places, np.int64), axis=1)
    means, deviations = (
        graph.constant([getattr(one.number, what) for one in numbers], np.float32)
        for what in ("mean", "deviation")
    )
    scaled = graph.node("Div", graph.node("Sub", columns, means), deviations)
    missing = graph.node("IsNaN", columns)
    filled = graph.node("Where", missing, graph.constant(0.0, np.float32), scaled)
    return graph.node("MatMul", filled, graph.constant(np.stack([one.effect for one in numbers]), np.float32))


def _factors(graph: Graph, row: str, count: int) -> str:
    """The row but for its bias, `[N, F]`."""
    start, end, axis = (graph.constant([value], np.int64) for value in (0, count, 1))
    return graph.node("Slice", row, start, end, axis)


def _bias(graph: Graph, row: str, count: int) -> str:
    """The row's last column, `[N, 1]`."""
    return graph.node("Gather", row, graph.constant([count], np.int64), axis=1)


def _match(graph: Graph, net: "CollaborativeNet", user: str, item: str) -> str:
    """How well the two go together, `[N, 1]`."""
    if net.layers is None:
        return graph.node("ReduceSum", graph.node("Mul", user, item), graph.constant([1], np.int64))
    from torch import nn

    features = graph.node("Concat", user, item, axis=1)
    for layer in net.layers:
        if isinstance(layer, nn.Linear):
            weight = graph.constant(layer.weight.detach().numpy().T, np.float32)
            features = graph.node(
                "Gemm", features, weight, graph.constant(layer.bias.detach().numpy(), np.float32)
            )
        elif isinstance(layer, nn.ReLU):
            features = graph.node("Relu", features)
        elif isinstance(layer, nn.BatchNorm1d):
            state = [layer.weight, layer.bias, layer.running_mean, layer.running_var]
            constants = [graph.constant(one.detach().numpy(), np.float32) for one in state if one is not None]
            features = graph.node("BatchNormalization", features, *constants, epsilon=layer.eps)
    return features
