"""The ledger's arithmetic: who did what, kept so that any later change shows.

`chain` links each entry to the one before; `merkle` sums them all up in one hash and proves that an entry is
among them, or that a longer ledger continues a shorter one; `checkpoint` is the statement of that hash which
a service signs and others keep. Nothing here reads a file, a clock or a key.
"""

from audit.ledger.canonical import canonical_json
from audit.ledger.chain import FIRST_HASH, Entry, Verification, chain, verify

__all__ = ["FIRST_HASH", "Entry", "Verification", "canonical_json", "chain", "verify"]
