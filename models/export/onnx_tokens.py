"""The rules of word tokens as nodes: texts in, ids out, as `models.data.tokens.WordTokens.encode` gives them.

ONNX Runtime's Tokenizer (domain com.microsoft, in every build with its contributed operators, the web's too)
cuts; one LabelEncoder finds each spelling in the vocabulary, so that no locale is asked about case; runs are
found and folded by whole-tensor operators. See docs/decisions/tokens-inside-the-graph.md.
"""

import numpy as np

from models.data.tokens import (
    BEGIN,
    FEWEST_REPEATS,
    FIRST_FORM,
    MOST_REPEATS,
    PAD,
    PADDING_FORM,
    TOKEN,
    UNKNOWN_FORM,
    WordTokens,
)
from models.export.nodes import Nodes

TOKENIZER_DOMAIN = "com.microsoft"
# Stands behind a text's end: a blank is never a token.
NO_TOKEN = " "
BOOL, INT64 = 9, 7


def token_nodes(graph: Nodes, texts: str, tokens: WordTokens, *, longest: int) -> tuple[str, str]:
    """Ids of the first `longest` tokens, int64 `[N, L]`, `PAD` behind shorter texts, and lengths int64 `[N]`.

    `texts` names a string tensor `[N]`; `xxbos` stands before each text, so that L is 1 or more.
    """
    forms = _surface_forms(graph, texts, tokens)  # [N, T]
    slots = _folded(graph, forms, tokens)  # [N, 4 T]
    begins = graph.node(
        "Expand",
        graph.constant([[BEGIN]], np.int64),
        graph.node("Concat", _rows(graph, forms), _int(graph, [1]), axis=0),
    )
    return _compressed(graph, graph.node("Concat", begins, slots, axis=1), longest)


def _surface_forms(graph: Nodes, texts: str, tokens: WordTokens) -> str:
    """Each token's surface form, int64 `[N, T]`, `PADDING_FORM` behind a text's end; T is 1 or more."""
    cut = graph.node(
        "Tokenizer", texts, domain=TOKENIZER_DOMAIN, mark=0, mincharnum=1, pad_value=NO_TOKEN, tokenexp=TOKEN,
    )  # fmt: skip
    places = range(FIRST_FORM, FIRST_FORM + len(tokens.forms))
    found = graph.node(
        "LabelEncoder",
        cut,
        domain="ai.onnx.ml",
        keys_strings=[NO_TOKEN, *tokens.forms],
        values_int64s=[PADDING_FORM, *places],
        default_int64=UNKNOWN_FORM,
    )
    return graph.node("Pad", found, _int(graph, [0, 0, 0, 1]), _int(graph, PADDING_FORM))


def _folded(graph: Nodes, forms: str, tokens: WordTokens) -> str:
    """Four ids for each place, int64 `[N, 4 T]`: mark and count of a run, case, word; `PAD` for none."""
    before = graph.node("Pad", forms, _int(graph, [0, 1, 0, -1]), _int(graph, PADDING_FORM))
    same = graph.node(
        "And",
        graph.node("Equal", forms, before),
        graph.node("GreaterOrEqual", forms, _int(graph, FIRST_FORM)),
    )
    length = _run_lengths(graph, same)
    repeated = graph.node("GreaterOrEqual", length, _int(graph, FEWEST_REPEATS))
    mark = graph.node(
        "Mul", _look_up(graph, tokens.form_marks, forms), graph.node("Cast", repeated, to=INT64)
    )
    count = _look_up(graph, tokens.count_ids, graph.node("Min", length, _int(graph, MOST_REPEATS)))
    last = _int(graph, [-1])
    slots = graph.node(
        "Concat",
        graph.node("Unsqueeze", mark, last),
        graph.node("Unsqueeze", count, last),
        _look_up(graph, tokens.form_ids, forms),
        axis=2,
    )  # [N, T, 4]
    kept = graph.node("Not", graph.node("And", same, repeated))
    masked = graph.node("Mul", slots, graph.node("Unsqueeze", graph.node("Cast", kept, to=INT64), last))
    return graph.node("Flatten", masked, axis=1)


def _run_lengths(graph: Nodes, same: str) -> str:
    """How many equal tokens stand together at each place, int64 `[N, T]`; `same` says where one goes on."""
    starts = graph.node("Reshape", graph.node("Not", same), _int(graph, [-1]))
    first = graph.node("Squeeze", graph.node("NonZero", starts), _int(graph, [0]))
    ends = graph.node(
        "Concat",
        graph.node("Slice", first, _int(graph, [1]), _int(graph, [2**62])),
        graph.node("Shape", starts),
        axis=0,
    )
    lengths = graph.node("Sub", ends, first)
    run = graph.node("CumSum", graph.node("Cast", starts, to=INT64), _int(graph, 0))
    at_each = graph.node("Gather", lengths, graph.node("Sub", run, _int(graph, 1)))
    return graph.node("Reshape", at_each, graph.node("Shape", same))


def _compressed(graph: Nodes, slots: str, longest: int) -> tuple[str, str]:
    """What is not `PAD`, moved to the front, at most `longest` of each row: ids and lengths."""
    present = graph.node("Greater", slots, _int(graph, PAD))
    counted = graph.node("CumSum", graph.node("Cast", present, to=INT64), _int(graph, 1))
    taken = graph.node("And", present, graph.node("LessOrEqual", counted, _int(graph, longest)))
    lengths = graph.node("ReduceSum", graph.node("Cast", taken, to=INT64), _int(graph, [1]), keepdims=0)
    from_ = graph.node("Transpose", graph.node("NonZero", taken), perm=[1, 0])  # [K, 2]
    column = graph.node("Sub", graph.node("GatherND", counted, from_), _int(graph, 1))
    row = graph.node("Gather", from_, _int(graph, [0]), axis=1)
    to = graph.node("Concat", row, graph.node("Unsqueeze", column, _int(graph, [1])), axis=1)
    widest = graph.node("ReduceMax", lengths, keepdims=1)
    shape = graph.node("Concat", _rows(graph, slots), widest, axis=0)
    empty = graph.node("Expand", _int(graph, PAD), shape)
    return graph.node("ScatterND", empty, to, graph.node("GatherND", slots, from_)), lengths


def _look_up(graph: Nodes, table: np.ndarray, places: str) -> str:
    return graph.node("Gather", graph.constant(table, np.int64), places)


def _rows(graph: Nodes, matrix: str) -> str:
    """N as int64 `[1]`."""
    return graph.node("Shape", matrix, start=0, end=1)


def _int(graph: Nodes, value: int | list[int]) -> str:
    return graph.constant(value, np.int64)
