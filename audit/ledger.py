"""The ledger's arithmetic: entries in a chain of hashes, so that any later change shows.

An entry's hash is the SHA-256 of its canonical JSON (keys sorted, no spaces, UTF-8: the form of RFC 8785
for the values used here), which holds the hash of the entry before it. Altering, removing or reordering an
entry breaks the chain at that place. Source: Haber and Stornetta, "How to time-stamp a digital document",
1991.
"""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

FIRST_HASH = "0" * 64


@dataclass(frozen=True)
class Entry:
    """One line. `sequence` counts from 1 without gaps; `record_time` is RFC 3339 text; `details` are JSON
    values.
    """

    sequence: int
    record_time: str
    actor: str
    action: str
    subject: str
    details: Mapping[str, Any]
    request_id: str
    previous_hash: str
    hash: str


@dataclass(frozen=True)
class Verification:
    """Whether a chain holds; else the first entry that does not, and why. An empty chain holds."""

    valid: bool
    count: int
    head_hash: str
    first_bad_sequence: int = 0
    reason: str = ""


def canonical_json(value: Any) -> str:
    """`value` as the one text that RFC 8785 gives it; integers beyond 2^53 keep all their digits.

    Raises `ValueError` for NaN, infinity, lone surrogates, keys that are no texts and what is no JSON.
    """
    text = _json(value)
    text.encode()
    return text


def entry_hash(
    *,
    sequence: int,
    record_time: str,
    actor: str,
    action: str,
    subject: str,
    details: Mapping[str, Any],
    request_id: str,
    previous_hash: str,
) -> str:
    """SHA-256, hex, of an entry's content and the hash before it."""
    content = {
        "sequence": sequence,
        "record_time": record_time,
        "actor": actor,
        "action": action,
        "subject": subject,
        "details": details,
        "request_id": request_id,
        "previous_hash": previous_hash,
    }
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()


def chain(
    previous: Entry | None,
    *,
    record_time: str,
    actor: str,
    action: str,
    subject: str,
    details: Mapping[str, Any],
    request_id: str,
) -> Entry:
    """The entry after `previous` (`None`: the first)."""
    sequence = 1 if previous is None else previous.sequence + 1
    previous_hash = FIRST_HASH if previous is None else previous.hash
    hash_ = entry_hash(
        sequence=sequence,
        record_time=record_time,
        actor=actor,
        action=action,
        subject=subject,
        details=details,
        request_id=request_id,
        previous_hash=previous_hash,
    )
    return Entry(sequence, record_time, actor, action, subject, details, request_id, previous_hash, hash_)


def verify(entries: Iterable[Entry]) -> Verification:
    """Recomputes a chain entry by entry, in the order given; holds one entry at a time.

    What is cut off at the end leaves a chain that holds: compare its head with one that was kept elsewhere.
    """
    count, head = 0, FIRST_HASH
    for entry in entries:
        expected = count + 1
        if entry.sequence != expected:
            return Verification(
                False,
                count,
                head,
                expected,
                f"entry {expected} is missing: entry {entry.sequence} stands in its place",
            )
        if entry.previous_hash != head:
            reason = "its link to the entry before does not fit: one of the two was altered or replaced"
            return Verification(False, count, head, entry.sequence, reason)
        if not _fits_its_hash(entry):
            reason = "its content was altered: it does not fit its hash"
            return Verification(False, count, head, entry.sequence, reason)
        count, head = expected, entry.hash
    return Verification(True, count, head)


def _fits_its_hash(entry: Entry) -> bool:
    content = {key: value for key, value in vars(entry).items() if key != "hash"}
    try:
        return entry_hash(**content) == entry.hash
    except ValueError:
        return False


def _json(value: Any) -> str:
    if value is None or isinstance(value, bool | str):
        return json.dumps(value, ensure_ascii=False)
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
