"""Checkpoints: how long the ledger is and the root of its tree, signed, to be kept where the ledger is not.

The form is that of transparency logs, so that their tools read it too: C2SP, "Transparency Log Checkpoints"
(tlog-checkpoint) inside "Signed Notes" (signed-note), with Ed25519 signatures (algorithm 1). Signing itself
is the caller's, who holds the key.
"""

import base64
import binascii
import hashlib
from collections.abc import Callable
from dataclasses import dataclass

ED25519 = b"\x01"


@dataclass(frozen=True)
class Checkpoint:
    """The first `size` entries of the ledger `origin` have the Merkle root `root` (32 bytes)."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """What is signed: origin, size and root (base64), a line each."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def read_checkpoint(note: str) -> Checkpoint:
    """The checkpoint that a signed note holds; its signatures are not looked at.

    Raises `ValueError` for a text that is none.
    """
    try:
        origin, size, root = note.partition("\n\n")[0].split("\n")[:3]
        found = Checkpoint(origin, int(size), base64.b64decode(root, validate=True))
    except (ValueError, binascii.Error):
        raise ValueError("it is no checkpoint: name, size and root of a ledger, a line each") from None
    if found.size < 0 or len(found.root) != hashlib.sha256().digest_size:
        raise ValueError("the checkpoint's size or root cannot be one")
    return found


def key_id(name: str, public_key: bytes) -> bytes:
    """The four bytes by which a signature says which key made it. `public_key` is raw, 32 bytes."""
    return hashlib.sha256(name.encode() + b"\n" + ED25519 + public_key).digest()[:4]


def verifier_key(name: str, public_key: bytes) -> str:
    """The public key as text: name, key id and key. Raises `ValueError` for a name with a space or plus."""
    if not name or "+" in name or any(letter.isspace() for letter in name):
        raise ValueError(f"{name!r} cannot name a key: no spaces, no plus")
    encoded = base64.b64encode(ED25519 + public_key).decode()
    return f"{name}+{key_id(name, public_key).hex()}+{encoded}"


def signed_note(text: str, name: str, public_key: bytes, sign: Callable[[bytes], bytes]) -> str:
    """`text`, which ends with a line break, with one signature below it."""
    signature = base64.b64encode(key_id(name, public_key) + sign(text.encode())).decode()
    return f"{text}\n\u2014 {name} {signature}\n"
