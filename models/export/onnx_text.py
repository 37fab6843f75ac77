"""Models of texts as ONNX graphs, written node by node.

A classifier of words takes `text` string `[N]`; one of subwords `ids` int64 `[N, L]`, `xxpad` behind shorter
texts. It gives, as a table's classifier does, `probability` float32 (`[N]` of the positive class, `[N, C]` of
several) and for several `label` string `[N]`.

A language model takes `ids` int64 `[N, T]` and `state` float32 `[N, S]`, zeros before the first token. It
gives `probability` float32 `[N, V]` of the token that follows, `token` string `[N]`, the likeliest, and
`next_state` `[N, S]`. Of each layer the state holds what it gave last, then its cell.

The properties `tokens` ("word" or "subword"), `classes` and `vocabulary` (JSON) say what the numbers are.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from onnx import TensorProto, helper

from models.data.tokens import PAD, TokenIds, Tokens, WordTokens
from models.export.nodes import Nodes
from models.export.onnx_tokens import TOKENIZER_DOMAIN, token_nodes
from models.recipe import BINARY, Problem

if TYPE_CHECKING:
    from models.nets.awd_lstm import AwdLstm, LanguageNet, TextNet, WeightDroppedLstm

TEXT, IDS, STATE = "text", "ids", "state"
PROBABILITY, LABEL, TOKEN, NEXT_STATE = "probability", "label", "token", "next_state"
TEXTS_A_RUN = 64

Value = tuple[str, int, list[str | int]]


def classifier_graph(net: "TextNet", tokens: Tokens, problem: Problem, *, longest: int) -> Any:
    """The ONNX model of a classifier of texts in evaluation mode."""
    from models.text_classifier import class_names

    graph = Nodes()
    inputs: Value
    if isinstance(tokens, WordTokens):
        inputs = (TEXT, TensorProto.STRING, ["N"])
        ids, lengths = token_nodes(graph, TEXT, tokens, longest=longest)
    else:
        inputs = (IDS, TensorProto.INT64, ["N", "L"])
        ids, lengths = _cut_ids(graph, longest)
    features, _ = _encoder(graph, net.encoder, ids, lengths=lengths)
    logits = _head(graph, net, _pooled(graph, features, ids, lengths))
    names = class_names(problem)
    outputs: list[Value]
    if problem.kind == BINARY:
        chance = graph.node("Softmax", logits, axis=1)
        graph.node("Gather", chance, graph.constant(1, np.int64), axis=1, output=PROBABILITY)
        outputs = [(PROBABILITY, TensorProto.FLOAT, ["N"])]
    else:
        graph.node("Softmax", logits, axis=1, output=PROBABILITY)
        _named(graph, PROBABILITY, names, output=LABEL)
        outputs = [(PROBABILITY, TensorProto.FLOAT, ["N", len(names)]), (LABEL, TensorProto.STRING, ["N"])]
    return _finish(
        graph, [inputs], outputs, description="Text classifier with its tokens",
        properties={
            "tokens": tokens.kind, "classes": json.dumps(names, ensure_ascii=False), "longest": str(longest),
        },
    )  # fmt: skip


def language_graph(net: "LanguageNet", tokens: Tokens) -> Any:
    """The ONNX model of a language model in evaluation mode."""
    graph = Nodes()
    widths = [width for width in net.encoder.spec.widths for _ in range(2)]
    parts = [f"{STATE}_{place}" for place in range(len(widths))]
    graph.nodes("Split", STATE, graph.constant(widths, np.int64), outputs=parts, axis=1)
    features, behind = _encoder(graph, net.encoder, IDS, state=parts)
    graph.node("Concat", *behind, axis=1, output=NEXT_STATE)
    last = graph.node("Gather", features, graph.constant(-1, np.int64), axis=0)  # [N, E]
    weight = graph.constant(net.encoder.embedding.detach().numpy(), np.float32)
    bias = graph.constant(net.bias.detach().numpy(), np.float32)
    logits = graph.node("Gemm", last, weight, bias, transB=1)
    graph.node("Softmax", logits, axis=1, output=PROBABILITY)
    _named(graph, PROBABILITY, tokens.vocabulary, output=TOKEN)
    return _finish(
        graph,
        [(IDS, TensorProto.INT64, ["N", "T"]), (STATE, TensorProto.FLOAT, ["N", sum(widths)])],
        [
            (PROBABILITY, TensorProto.FLOAT, ["N", len(tokens.vocabulary)]),
            (TOKEN, TensorProto.STRING, ["N"]),
            (NEXT_STATE, TensorProto.FLOAT, ["N", sum(widths)]),
        ],
        description="Language model",
        properties={"tokens": tokens.kind, "vocabulary": json.dumps(tokens.vocabulary, ensure_ascii=False)},
    )


def run_classifier(path: Path, texts: pa.ChunkedArray | TokenIds, *, threads: int) -> npt.NDArray[np.float32]:
    """ONNX Runtime's probabilities of texts, or of encoded ones where the graph takes ids."""
    session = _session(path, threads)
    count = len(texts)
    found = []
    for start in range(0, count, TEXTS_A_RUN):
        rows = np.arange(start, min(start + TEXTS_A_RUN, count))
        if isinstance(texts, TokenIds):
            feed = {IDS: texts.take(rows).padded()}
        else:
            part = pc.fill_null(texts.slice(start, len(rows)), "")
            feed = {TEXT: np.array(part.to_pylist(), np.object_)}
        found.append(session.run([PROBABILITY], feed)[0])
    return np.concatenate(found)


def run_language_model(
    path: Path, pieces: Sequence[npt.NDArray[np.int64]], *, threads: int
) -> npt.NDArray[np.float32]:
    """ONNX Runtime's probabilities `(N, V)` of what follows pieces of ids `(N, T)`, read in turn."""
    session = _session(path, threads)
    width = session.get_inputs()[1].shape[1]
    state = np.zeros((len(pieces[0]), width), np.float32)
    probability = np.empty((len(pieces[0]), 0), np.float32)
    for piece in pieces:
        probability, state = session.run([PROBABILITY, NEXT_STATE], {IDS: piece, STATE: state})
    return probability


def _encoder(
    graph: Nodes, encoder: "AwdLstm", ids: str, *, lengths: str = "", state: Sequence[str] = ()
) -> tuple[str, list[str]]:
    """Features `[L, N, E]`, 0 behind a text's end where `lengths` are given, and the state behind the tokens:
    of each layer what it gave last and its cell, `[N, H]` each.
    """
    embedding = graph.constant(encoder.embedding.detach().numpy(), np.float32)
    features = graph.node("Gather", embedding, graph.node("Transpose", ids, perm=[1, 0]))
    if lengths:
        lengths = graph.node("Cast", lengths, to=TensorProto.INT32)
    first, behind = graph.constant([0], np.int64), []
    for place, layer in enumerate(encoder.lstm_layers()):
        before = [graph.node("Unsqueeze", part, first) for part in state[2 * place : 2 * place + 2]]
        weights = _lstm_weights(graph, layer)
        names = [f"{one}_of_layer_{place}" for one in ("features", "hidden", "cell")]
        width = encoder.spec.widths[place]
        given, *after = graph.nodes(
            "LSTM", features, *weights, lengths, *before, outputs=names, hidden_size=width
        )
        features = graph.node("Squeeze", given, graph.constant([1], np.int64))
        behind += [graph.node("Squeeze", part, first) for part in after]
    return features, behind


def _lstm_weights(graph: Nodes, layer: "WeightDroppedLstm") -> list[str]:
    """Weights and bias in ONNX's order of gates: input, output, forget, cell."""

    def ordered(weight: Any) -> npt.NDArray[np.float32]:
        parts = weight.detach().numpy().reshape(4, -1, *weight.shape[1:])
        return np.concatenate(parts[[0, 3, 1, 2]])[None]

    bias = np.concatenate([ordered(layer.input_bias), ordered(layer.state_bias)], axis=1)
    arrays = (ordered(layer.input_weight), ordered(layer.state_weight), bias)
    return [graph.constant(array, np.float32) for array in arrays]


def _pooled(graph: Nodes, features: str, ids: str, lengths: str) -> str:
    """The last, the largest and the mean feature of each text, `[N, 3 E]`."""
    one, first = graph.constant(1, np.int64), graph.constant([0], np.int64)
    column = graph.node("Unsqueeze", lengths, graph.constant([1], np.int64))  # [N, 1]
    by_text = graph.node("Transpose", features, perm=[1, 0, 2])  # [N, L, E]
    last = graph.node("GatherND", by_text, graph.node("Sub", column, one), batch_dims=1)
    places = graph.node(
        "Range",
        graph.constant(0, np.int64),
        graph.node("Squeeze", graph.node("Shape", ids, start=1), first),
        one,
    )
    inside = graph.node(
        "Unsqueeze", graph.node("Less", places, column), graph.constant([2], np.int64)
    )  # [N, L, 1]
    covered = graph.node("Where", inside, by_text, graph.constant(-np.inf, np.float32))
    along = graph.constant([1], np.int64)
    largest = graph.node("ReduceMax", covered, along, keepdims=0)
    total = graph.node("ReduceSum", by_text, along, keepdims=0)
    mean = graph.node("Div", total, graph.node("Cast", column, to=TensorProto.FLOAT))
    return graph.node("Concat", last, largest, mean, axis=1)


def _head(graph: Nodes, net: "TextNet", features: str) -> str:
    from torch import nn

    for layer in net.head:
        if isinstance(layer, nn.BatchNorm1d):
            parts = (layer.weight, layer.bias, layer.running_mean, layer.running_var)
            arrays = [graph.constant(part.detach().numpy(), np.float32) for part in parts if part is not None]
            features = graph.node("BatchNormalization", features, *arrays, epsilon=layer.eps)
        elif isinstance(layer, nn.Linear):
            arrays = [
                graph.constant(part.detach().numpy(), np.float32) for part in (layer.weight, layer.bias)
            ]
            features = graph.node("Gemm", features, *arrays, transB=1)
        elif isinstance(layer, nn.ReLU):
            features = graph.node("Relu", features)
    return features


def _cut_ids(graph: Nodes, longest: int) -> tuple[str, str]:
    """The first `longest` of the ids that are given, and how many each text has."""
    one = graph.constant([1], np.int64)
    ids = graph.node("Slice", IDS, graph.constant([0], np.int64), graph.constant([longest], np.int64), one)
    there = graph.node(
        "Cast", graph.node("Greater", ids, graph.constant(PAD, np.int64)), to=TensorProto.INT64
    )
    return ids, graph.node("ReduceSum", there, one, keepdims=0)


def _named(graph: Nodes, probability: str, names: Sequence[str], *, output: str) -> None:
    """The name of the likeliest, string `[N]`."""
    place = graph.node("ArgMax", probability, axis=1, keepdims=0)
    graph.node(
        "LabelEncoder",
        place,
        domain="ai.onnx.ml",
        output=output,
        keys_int64s=list(range(len(names))),
        values_strings=list(names),
        default_string="",
    )


def _finish(
    graph: Nodes,
    inputs: Sequence[Value],
    outputs: Sequence[Value],
    *,
    description: str,
    properties: dict[str, str],
) -> Any:
    words = inputs[0][0] == TEXT
    return graph.finish(
        [helper.make_tensor_value_info(*one) for one in inputs],
        [helper.make_tensor_value_info(*one) for one in outputs],
        description=description,
        properties=properties,
        opsets={TOKENIZER_DOMAIN: 1} if words else {},
    )


def _session(path: Path, threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
