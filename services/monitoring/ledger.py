"""The ledger as it is kept: one table, appended to under the write lock, each entry chained to the one
before.

What is hashed and how the chain is checked is `audit.ledger`'s; this module numbers the entries, keeps them
and reads them in order. An entry is found again by its request id: the same id with the same content gets
the entry that is there.
"""

import datetime as dt
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from boarfish.errors import FieldViolation, InvalidArgument
from boarfish.v1 import monitoring_pb2
from google.protobuf.json_format import MessageToDict, ParseDict, SerializeToJsonError

from audit import ledger as chain
from services.monitoring import tables

READ_ROWS = 2000
REQUEST_ID_REUSED = FieldViolation(
    "request_id",
    "was used before for a request with other content: take a new one, or send the same content again",
)


@dataclass(frozen=True)
class Line:
    """What is to be recorded: who did what to what, with details that JSON can hold."""

    request_id: str
    actor: str
    action: str
    subject: str
    details: Mapping[str, Any] = field(default_factory=dict)


def line_of(request: monitoring_pb2.AppendLedgerEntryRequest) -> Line:
    """The line that a request asks for.

    Raises `InvalidArgument` for details that JSON cannot hold (NaN, infinity).
    """
    details: dict[str, Any] = {}
    try:
        if request.HasField("details"):
            details = MessageToDict(request.details, preserving_proto_field_name=True)
        json.dumps(details, allow_nan=False)
    except (ValueError, SerializeToJsonError):
        violation = FieldViolation("details", "holds a number that is not finite, or a value that is not set")
        raise InvalidArgument.of(violation) from None
    return Line(request.request_id, request.actor, request.action, request.subject, details)


def append(connection: sa.Connection, line: Line) -> monitoring_pb2.LedgerEntry:
    """Adds an entry inside the caller's transaction, which holds the write lock.

    Raises:
        InvalidArgument: the request id stands in the ledger with another content.
    """
    table = tables.ledger
    earlier = connection.execute(sa.select(table).where(table.c.request_id == line.request_id)).first()
    details = chain.canonical_json(line.details)
    if earlier is not None:
        if (earlier.actor, earlier.action, earlier.subject, earlier.details) != (
            line.actor,
            line.action,
            line.subject,
            details,
        ):
            raise InvalidArgument.of(REQUEST_ID_REUSED)
        return _entry(earlier._mapping)
    head = connection.execute(sa.select(table).order_by(table.c.sequence.desc()).limit(1)).first()
    now_us = int(dt.datetime.now(dt.UTC).timestamp() * 1e6)
    made = chain.chain(
        None if head is None else _chained(head._mapping),
        record_time=_text_of(now_us),
        actor=line.actor,
        action=line.action,
        subject=line.subject,
        details=line.details,
        request_id=line.request_id,
    )
    row = {**vars(made), "details": details, "record_time_us": now_us}
    del row["record_time"]
    connection.execute(sa.insert(table).values(**row))
    return _entry(row)


def page(connection: sa.Connection, *, after: int, limit: int) -> list[monitoring_pb2.LedgerEntry]:
    """Entries after a sequence number, oldest first."""
    table = tables.ledger
    query = sa.select(table).where(table.c.sequence > after).order_by(table.c.sequence).limit(limit)
    return [_entry(row._mapping) for row in connection.execute(query)]


def verify(connection: sa.Connection) -> monitoring_pb2.VerifyLedgerResponse:
    """Recomputes the chain, reading a few entries at a time.

    Its cost grows with the ledger, its memory does not.
    """
    verdict = chain.verify(stored(connection))
    return monitoring_pb2.VerifyLedgerResponse(
        valid=verdict.valid,
        entry_count=verdict.count,
        head_hash=verdict.head_hash,
        first_bad_sequence=verdict.first_bad_sequence,
        reason=verdict.reason,
    )


def stored(connection: sa.Connection, *, after: int = 0) -> Iterator[chain.Entry]:
    """Entries after a sequence number as they were hashed, oldest first, a few in memory at a time."""
    table = tables.ledger
    rows = connection.execution_options(yield_per=READ_ROWS).execute(
        sa.select(table).where(table.c.sequence > after).order_by(table.c.sequence)
    )
    for row in rows:
        yield _chained(row._mapping)


def _chained(row: Mapping[Any, Any]) -> chain.Entry:
    """A row as it was hashed.

    Details that are no JSON any more are handed on as they are, so that they do not fit.
    """
    try:
        details = json.loads(row["details"])
    except ValueError:
        details = {"unreadable": row["details"]}
    return chain.Entry(
        sequence=row["sequence"],
        record_time=_text_of(row["record_time_us"]),
        actor=row["actor"],
        action=row["action"],
        subject=row["subject"],
        details=details,
        request_id=row["request_id"],
        previous_hash=row["previous_hash"],
        hash=row["hash"],
    )


def _text_of(moment_us: int) -> str:
    """Microseconds since 1970 as RFC 3339 text, always with six digits of a second."""
    moment = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=moment_us)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _entry(row: Mapping[Any, Any]) -> monitoring_pb2.LedgerEntry:
    entry = monitoring_pb2.LedgerEntry(
        **{
            name: row[name]
            for name in ("sequence", "actor", "action", "subject", "request_id", "previous_hash", "hash")
        }
    )
    entry.record_time.FromMicroseconds(row["record_time_us"])
    ParseDict(json.loads(row["details"]), entry.details)
    return entry
