"""JSON as one text, whoever writes it: what is hashed must not depend on who wrote it down.

Source: RFC 8785, JSON Canonicalization Scheme.
"""

import json
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

_PLAIN = json.JSONEncoder(ensure_ascii=False)


def canonical_json(value: Any) -> str:
    """`value` as the one text that RFC 8785 gives it; integers beyond 2^53 keep all their digits.

    Raises `ValueError` for NaN, infinity, lone surrogates, keys that are no texts and what is no JSON.
    """
    text = _json(value)
    text.encode()
    return text


def _json(value: Any) -> str:
    if value is None or isinstance(value, bool | str):
        return _PLAIN.encode(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise ValueError("every key of an object in a ledger must be a text")
        ordered = sorted(value.items(), key=lambda item: item[0].encode("utf-16-be"))
        return "{" + ",".join(f"{_json(key)}:{_json(item)}" for key, item in ordered) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_json, value)) + "]"
    raise ValueError(f"{type(value).__name__} cannot stand in a ledger")


def _number(value: float) -> str:
    """As ECMAScript writes it (ECMA-262, Number::toString): the shortest digits that give the number back."""
    if not math.isfinite(value):
        raise ValueError("NaN and infinity cannot stand in a ledger")
    if value == 0:
        return "0"
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    text, point = "".join(map(str, digits)), len(digits) + int(exponent)
    if len(text) <= point <= 21:
        written = text + "0" * (point - len(text))
    elif 0 < point <= 21:
        written = f"{text[:point]}.{text[point:]}"
    elif -6 < point <= 0:
        written = f"0.{'0' * -point}{text}"
    else:
        mantissa = text if len(text) == 1 else f"{text[0]}.{text[1:]}"
        written = f"{mantissa}e{point - 1:+d}"
    return f"-{written}" if sign else written
