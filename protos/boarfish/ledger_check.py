"""Checks what a ledger gives out, offline: an export, the proof of one entry, one checkpoint after another.

Written apart from the service that makes them, so that a fault there does not vouch for itself; hashlib is
all it needs, and the `cryptography` package where a signature is checked. An export is a text file: a line an
entry (its SHA-256 and its content, as `sha256sum` writes them), an empty line, the verifier key, and the
checkpoint as a signed note. Sources: RFC 6962, section 2.1 (the tree), RFC 9162, section 2.1 (checking
proofs), C2SP signed-note and tlog-checkpoint.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

FIRST_HASH = "0" * 64
ED25519 = b"\x01"


@dataclass(frozen=True)
class Checkpoint:
    """The first `size` entries have the Merkle root `root`; `note` is the whole signed text."""

    note: str
    verifier_key: str
    size: int
    root: bytes

    def as_file(self) -> str:
        """Key and note as they stand at the end of an export, to be kept in a file of their own."""
        return f"{self.verifier_key}\n{self.note}"


@dataclass(frozen=True)
class Problem:
    """What is wrong, in words, at which entry; 0: with the whole."""

    sequence: int
    sentence: str


@dataclass(frozen=True)
class Check:
    """What a check came to: it holds when there is no problem. `key` is the key that signed, as text."""

    entry_count: int
    key: str
    problems: tuple[Problem, ...]

    @property
    def holds(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def read_checkpoint(text: str) -> Checkpoint:
    """A checkpoint from a file of key and note. Raises `ValueError` for a text that is none."""
    key, _, note = text.partition("\n")
    return checkpoint_of(note, key)


def checkpoint_of(note: str, verifier_key: str) -> Checkpoint:
    """A checkpoint from its note; the signature is not looked at. Raises `ValueError` for what is none."""
    try:
        _, size, root = note.partition("\n\n")[0].split("\n")[:3]
        return Checkpoint(note, verifier_key, int(size), base64.b64decode(root, validate=True))
    except (ValueError, binascii.Error):
        raise ValueError("it holds no checkpoint: a key, then name, size and root of a ledger") from None


def signature_problem(checkpoint: Checkpoint, trusted_key: str = "") -> Problem | None:
    """What is wrong with a signature; `None` when `trusted_key`, or else the key beside it, made it."""
    key = trusted_key or checkpoint.verifier_key
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError:
        return Problem(
            0,
            "its signature cannot be checked: the cryptography package is lacking (pip install cryptography)",
        )
    text, _, signatures = checkpoint.note.partition("\n\n")
    try:
        name, key_id, encoded = key.strip().split("+", 2)
        raw = base64.b64decode(encoded, validate=True)
        if raw[:1] != ED25519 or key_id != hashlib.sha256(f"{name}\n".encode() + raw).hexdigest()[:8]:
            raise ValueError
        public = Ed25519PublicKey.from_public_bytes(raw[1:])
    except ValueError:
        return Problem(0, f"{key.strip()!r} is no verifier key")
    for line in signatures.splitlines():
        if line.startswith(f"\u2014 {name} "):
            try:
                made = base64.b64decode(line.rsplit(" ", 1)[1], validate=True)
                if made[:4].hex() == key_id:
                    public.verify(made[4:], f"{text}\n".encode())
                    return None
            except (InvalidSignature, binascii.Error):
                break
    return Problem(0, f"the checkpoint was not signed by {key.strip()}, or altered since")


@dataclass
class _Tree:
    """The Merkle root of lines that come one by one: of each complete subtree on the right edge its root."""

    size: int = 0
    edge: list[bytes] = field(default_factory=list)

    def add(self, content: bytes) -> None:
        found = hashlib.sha256(b"\x00" + content).digest()
        places = self.size
        while places & 1:
            found = _node(self.edge.pop(), found)
            places >>= 1
        self.edge.append(found)
        self.size += 1

    def root(self) -> bytes:
        if not self.edge:
            return hashlib.sha256().digest()
        found = self.edge[-1]
        for left in reversed(self.edge[:-1]):
            found = _node(left, found)
        return found


def check_export(lines: Iterable[str], *, kept: Checkpoint | None = None, trusted_key: str = "") -> Check:
    """Checks an export, line by line, against its own checkpoint and, if there is one, against one that was
    `kept` elsewhere.

    Names each entry that was altered, removed, reordered or cut off. Without a checkpoint at the end nothing
    is known of what stood after it: that is a problem too.
    """
    reading = iter(lines)
    tree, numbers, problems = _Tree(), list[int](), list[Problem]()
    root_when_kept: bytes | None = None
    head, before = FIRST_HASH, 0
    for line in reading:
        if line == "\n":
            break
        if kept is not None and tree.size == kept.size:
            root_when_kept = tree.root()
        digest, _, content = line.rstrip("\n").partition("  ")
        tree.add(content.encode())
        sequence, previous = _read_entry(content, before + 1)
        if hashlib.sha256(content.encode()).hexdigest() != digest:
            problems.append(Problem(sequence, f"entry {sequence} was altered: it does not fit its hash"))
        elif sequence == before + 1 and previous != head:
            told = f"entry {sequence} does not follow the one before: one of the two was replaced"
            problems.append(Problem(sequence, told))
        head, before = digest, sequence
        numbers.append(sequence)
    if kept is not None and tree.size == kept.size:
        root_when_kept = tree.root()
    problems += _out_of_place(numbers)
    own = _own_checkpoint("".join(reading))
    if own is None:
        problems.append(Problem(0, "it has no checkpoint: whether its end was cut off cannot be told"))
    elif len(numbers) > own.size:
        told = f"entries from {own.size + 1} on are not covered by its checkpoint"
        problems.append(Problem(own.size + 1, told))
    else:
        problems += _beside(own, "checkpoint at its end", numbers, tree.root(), whole=not problems)
    if kept is not None:
        problems += _beside(kept, "checkpoint that was kept", numbers, root_when_kept, whole=not problems)
    unsigned = (signature_problem(one, trusted_key) for one in (own, kept) if one is not None)
    problems += [found for found in unsigned if found is not None]
    return Check(len(numbers), own.verifier_key if own else "", tuple(problems))


def check_proof(entry: str, path: Sequence[str], checkpoint: Checkpoint, *, trusted_key: str = "") -> Check:
    """Checks that `entry` stands in the ledger that `checkpoint` speaks of, by an inclusion proof (hex)."""
    sequence, _ = _read_entry(entry, 0)
    leaf = hashlib.sha256(b"\x00" + entry.encode()).digest()
    problems = [found] if (found := signature_problem(checkpoint, trusted_key)) else []
    hashes = _hashes(path)
    if hashes is None or not _includes(leaf, sequence - 1, checkpoint.size, hashes, checkpoint.root):
        told = f"entry {sequence} as it stands here is not in the ledger that was signed"
        problems.append(Problem(sequence, told))
    return Check(1, checkpoint.verifier_key, tuple(problems))


def check_continues(
    kept: Checkpoint, now: Checkpoint, path: Sequence[str], *, trusted_key: str = ""
) -> Check:
    """Checks that the ledger of `now` begins with all that `kept` spoke of, by a consistency proof (hex), and
    that the key of `kept` (or `trusted_key`) signed both.
    """
    key = trusted_key or kept.verifier_key
    problems = [found for one in (kept, now) if (found := signature_problem(one, key))]
    hashes = _hashes(path)
    if now.size < kept.size:
        told = f"{kept.size - now.size} entries were cut off since: {now.size} are left of {kept.size}"
        problems.append(Problem(now.size + 1, told))
    elif hashes is None or not _continues(kept, now, hashes):
        told = f"among the first {kept.size} entries something was altered since"
        problems.append(Problem(0, told))
    return Check(now.size, now.verifier_key, tuple(problems))


def _read_entry(content: str, otherwise: int) -> tuple[int, str]:
    """An entry's number and the hash before it; `otherwise` and no hash for what is no entry."""
    try:
        found = json.loads(content)
        return int(found["sequence"]), str(found["previous_hash"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return otherwise, ""


def _hashes(path: Sequence[str]) -> list[bytes] | None:
    """A proof's hashes; `None` for what is no proof."""
    try:
        return [bytes.fromhex(one) for one in path]
    except ValueError:
        return None


def _own_checkpoint(text: str) -> Checkpoint | None:
    try:
        return read_checkpoint(text)
    except ValueError:
        return None


def _out_of_place(numbers: Sequence[int]) -> list[Problem]:
    """Entries that are missing between others, stand twice, or stand after a later one."""
    seen: set[int] = set()
    problems, highest = [], 0
    for number in numbers:
        if number in seen:
            problems.append(Problem(number, f"entry {number} stands there twice"))
        elif number < highest:
            problems.append(Problem(number, f"entry {number} was moved: it stands after entry {highest}"))
        seen.add(number)
        highest = max(highest, number)
    for earlier, later in pairwise((0, *sorted(seen))):
        if later - earlier > 1:
            problems.append(Problem(earlier + 1, f"{_spoken(earlier + 1, later - 1)} removed"))
    return problems


def _beside(
    checkpoint: Checkpoint, name: str, numbers: Sequence[int], root: bytes | None, *, whole: bool
) -> list[Problem]:
    """`root` is that of as many entries as the checkpoint speaks of, `whole` says that they are a chain."""
    last = max(numbers, default=0)
    if last < checkpoint.size:
        told = f"{_spoken(last + 1, checkpoint.size)} cut off: the {name} speaks of {checkpoint.size}"
        return [Problem(last + 1, told)]
    if whole and root != checkpoint.root:
        told = f"the entries are not those of the {name}: they were written anew, hashes and all"
        return [Problem(0, told)]
    return []


def _spoken(first: int, last: int) -> str:
    return f"entry {first} was" if first == last else f"entries {first} to {last} were"


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def _includes(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> bool:
    if not 0 <= index < size:
        return False
    place, last, found = index, size - 1, leaf
    for beside in path:
        if last == 0:
            return False
        if place & 1 or place == last:
            found = _node(beside, found)
            while place and not place & 1:
                place, last = place >> 1, last >> 1
        else:
            found = _node(found, beside)
        place, last = place >> 1, last >> 1
    return last == 0 and found == root


def _continues(kept: Checkpoint, now: Checkpoint, path: Sequence[bytes]) -> bool:
    if kept.size == 0:
        return kept.root == hashlib.sha256().digest()
    if kept.size == now.size:
        return kept.root == now.root
    steps = list(path) if kept.size & (kept.size - 1) else [kept.root, *path]
    if not steps:
        return False
    place, last = kept.size - 1, now.size - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    before = after = steps[0]
    for beside in steps[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            before, after = _node(beside, before), _node(beside, after)
            while place and not place & 1:
                place, last = place >> 1, last >> 1
        else:
            after = _node(after, beside)
        place, last = place >> 1, last >> 1
    return last == 0 and before == kept.root and after == now.root
