"""Entries in a chain of hashes, so that any later change shows.

An entry's hash is the SHA-256 of its canonical JSON (keys sorted, no spaces, UTF-8: the form of RFC 8785
for the values used here), which holds the hash of the entry before it. Altering, removing or reordering an
entry breaks the chain at that place. Source: Haber and Stornetta, "How to time-stamp a digital document",
1991.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from audit.ledger.canonical import canonical_json

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

    def content(self) -> str:
        """The text that its hash is of. Raises `ValueError` for details that are no JSON."""
        return content_text(**{name: value for name, value in vars(self).items() if name != "hash"})


@dataclass(frozen=True)
class Verification:
    """Whether a chain holds; else the first entry that does not, and why. An empty chain holds."""

    valid: bool
    count: int
    head_hash: str
    first_bad_sequence: int = 0
    reason: str = ""


def content_text(
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
    """An entry's content and the hash before it as the text that is hashed.

    Raises `ValueError` for details that are no JSON.
    """
    return canonical_json(
        {
            "sequence": sequence,
            "record_time": record_time,
            "actor": actor,
            "action": action,
            "subject": subject,
            "details": details,
            "request_id": request_id,
            "previous_hash": previous_hash,
        }
    )


def hash_of(content: str) -> str:
    """SHA-256, hex, of an entry's content."""
    return hashlib.sha256(content.encode()).hexdigest()


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
    content = content_text(
        sequence=sequence,
        record_time=record_time,
        actor=actor,
        action=action,
        subject=subject,
        details=details,
        request_id=request_id,
        previous_hash=previous_hash,
    )
    return Entry(
        sequence, record_time, actor, action, subject, details, request_id, previous_hash, hash_of(content)
    )


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
    try:
        return hash_of(entry.content()) == entry.hash
    except ValueError:
        return False
