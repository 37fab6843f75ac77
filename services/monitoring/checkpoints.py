"""Signs how the ledger stands, so that whoever keeps a checkpoint can tell later what was done to it.

The key and the newest checkpoint lie in `<home>/ledger/`, apart from the database: nothing is signed that is
no continuation of what was signed last, so that entries which were altered, removed or cut off in the
database are not signed over. How trees and notes are made is `audit.ledger`'s.
"""

import asyncio
import logging
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import sqlalchemy as sa
from boarfish.errors import BoarfishError, FailedPrecondition, NotFound
from boarfish.v1 import monitoring_pb2 as pb
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from audit.ledger import merkle
from audit.ledger.chain import Entry
from audit.ledger.checkpoint import Checkpoint, read_checkpoint, signed_note, verifier_key
from services.common.storage import writing_to
from services.monitoring import ledger

logger = logging.getLogger(__name__)

ORIGIN = "boarfish-ledger"
LEDGER_NOT_CONTINUED = "LEDGER_NOT_CONTINUED"
EXPORT_ROWS = 1000
SIGNING_INTERVAL_S = 60.0


class Checkpoints:
    """Checkpoints of the ledger in `engine`, with their key in `folder`, which is made at first start.

    Safe to use from several threads. Remembers the hash of each entry that it has seen, 32 bytes each.
    """

    def __init__(self, engine: sa.Engine, folder: Path) -> None:
        self._engine = engine
        self._kept = folder / "checkpoint"
        self._lock = threading.Lock()
        self._leaves: list[bytes] = []
        self._signed_last = (-1, "")
        with writing_to(folder):
            self._key = _key(folder / "key.pem")
        self._public = self._key.public_key().public_bytes_raw()

    def sign(self) -> pb.LedgerCheckpoint:
        """A checkpoint of all entries. Raises `FailedPrecondition` when they do not continue the last one."""
        with self._lock:
            return self._sign()

    def get(self, request: pb.GetLedgerCheckpointRequest) -> pb.GetLedgerCheckpointResponse:
        """A checkpoint, and the proof that it continues an earlier one of so many entries.

        Raises `FailedPrecondition` as `sign`, and when the ledger has fewer entries than the earlier one.
        """
        earlier = request.earlier_entry_count
        with self._lock:
            signed = self._sign()
            if earlier > len(self._leaves):
                raise _not_continued(
                    f"it has {len(self._leaves):,} entries, and the earlier checkpoint speaks of {earlier:,}"
                )
            path = merkle.consistency_path(self._leaves, earlier)
        return pb.GetLedgerCheckpointResponse(checkpoint=signed, consistency_path=[one.hex() for one in path])

    def prove(self, sequence: int) -> pb.ProveLedgerEntryResponse:
        """An entry with the proof that it stands in the ledger.

        Raises `NotFound` past its end, `FailedPrecondition` as `sign` and when the entry was altered since.
        """
        with self._lock:
            signed = self._sign()
            if sequence > len(self._leaves):
                raise NotFound(f"there is no entry {sequence}: the ledger has {len(self._leaves):,}")
            path = merkle.inclusion_path(self._leaves, sequence - 1)
            leaf = self._leaves[sequence - 1]
        with self._engine.connect() as connection:
            entry = next(ledger.stored(connection, after=sequence - 1), None)
        if entry is None or _leaf(entry) != leaf:
            raise _not_continued(f"entry {sequence} was altered or removed since it was first seen")
        return pb.ProveLedgerEntryResponse(
            entry=entry.content(), inclusion_path=[one.hex() for one in path], checkpoint=signed
        )

    def export(self) -> Iterator[pb.ExportLedgerResponse]:
        """The ledger as a file, part by part: entries as `sha256sum` writes them, an empty line, the key and
        the checkpoint.

        When the entries do not continue the last checkpoint, that one stands at the end: verifying the file
        then tells what is wrong.
        """
        signed, last = self._newest()
        lines: list[str] = []
        with self._engine.connect() as connection:
            for entry in ledger.stored(connection):
                if last is not None and entry.sequence > last:
                    break
                lines.append(f"{entry.hash}  {_content(entry)}\n")
                if len(lines) == EXPORT_ROWS:
                    yield pb.ExportLedgerResponse(content="".join(lines))
                    lines = []
        tail = "" if signed is None else f"\n{signed.verifier_key}\n{signed.note}"
        yield pb.ExportLedgerResponse(content="".join(lines) + tail)

    def _newest(self) -> tuple[pb.LedgerCheckpoint | None, int | None]:
        """A checkpoint of now and its size; the one that was kept, or none, when now cannot be signed."""
        try:
            signed = self.sign()
        except FailedPrecondition:
            kept = self._kept.read_text(encoding="utf-8") if self._kept.exists() else None
            return None if kept is None else self._signed(kept), None
        return signed, read_checkpoint(signed.note).size

    def _sign(self) -> pb.LedgerCheckpoint:
        with self._engine.connect() as connection:
            self._see(connection)
        count = len(self._leaves)
        if self._signed_last[0] == count:
            return self._signed(self._signed_last[1])
        self._check_kept()
        made = Checkpoint(ORIGIN, count, merkle.root(self._leaves))
        note = signed_note(made.text(), ORIGIN, self._public, self._key.sign)
        with writing_to(self._kept.parent):
            _write_whole(self._kept, note.encode(), 0o644)
        self._signed_last = (count, note)
        return self._signed(note)

    def _see(self, connection: sa.Connection) -> None:
        """Hashes the entries that were added; the last that was seen before must still be there."""
        known = len(self._leaves)
        expected = max(known, 1)
        for entry in ledger.stored(connection, after=expected - 1):
            if entry.sequence != expected:
                break
            leaf = _leaf(entry)
            if expected > known:
                self._leaves.append(leaf)
            elif leaf != self._leaves[-1]:
                raise _not_continued(f"entry {expected} was altered")
            expected += 1
        else:
            if expected > known:
                return
        raise _not_continued(f"entry {expected} is missing")

    def _check_kept(self) -> None:
        if not self._kept.exists():
            return
        try:
            kept = read_checkpoint(self._kept.read_text(encoding="utf-8"))
        except ValueError:
            raise _not_continued(f"{self._kept} holds no checkpoint any more") from None
        if kept.size > len(self._leaves):
            raise _not_continued(f"{kept.size:,} entries were signed, and {len(self._leaves):,} are there")
        if merkle.root(self._leaves[: kept.size]) != kept.root:
            raise _not_continued(f"the first {kept.size:,} entries are not those that were signed")

    def _signed(self, note: str) -> pb.LedgerCheckpoint:
        return pb.LedgerCheckpoint(note=note, verifier_key=verifier_key(ORIGIN, self._public))


async def keep_signing(checkpoints: Checkpoints) -> None:
    """Signs at start and every minute from then on, so that little is ever unsigned."""
    while True:
        await sign_or_log(checkpoints)
        await asyncio.sleep(SIGNING_INTERVAL_S)


async def sign_or_log(checkpoints: Checkpoints) -> None:
    """Signs; a ledger that is not to be signed is told of in the log."""
    try:
        await asyncio.to_thread(checkpoints.sign)
    except (BoarfishError, OSError, sa.exc.SQLAlchemyError) as error:
        logger.error("the ledger was not signed", extra={"reason": str(error)})


def _leaf(entry: Entry) -> bytes:
    return merkle.leaf_hash(_content(entry).encode())


def _content(entry: Entry) -> str:
    """What is hashed of an entry; details that cannot be hashed any more are named so, and do not fit."""
    try:
        return entry.content()
    except ValueError:
        return replace(entry, details={"unreadable": ascii(entry.details)}).content()


def _not_continued(what: str) -> FailedPrecondition:
    return FailedPrecondition(
        f"The ledger is no continuation of what was signed: {what}. `boarfish ledger verify` looks closer.",
        reason=LEDGER_NOT_CONTINUED,
    )


def _key(path: Path) -> Ed25519PrivateKey:
    """The key in the file; a new one, which its owner alone can read, where there is no file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        text = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        _write_whole(path, text, 0o600)
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except ValueError:
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise FailedPrecondition(
            f"{path} holds no Ed25519 key. Move it away, and a new one is made at start."
        )
    return key


def _write_whole(path: Path, content: bytes, mode: int) -> None:
    """Puts `content` in the place of the file, or leaves it as it was."""
    beside = path.with_suffix(".new")
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
