"""Rows on their way to a service: JSON-like objects or Arrow tables, in messages of a bounded size.

Arrow tables are pyarrow's, which this package does without: a table is asked for its own serialized batches.
"""

import base64
import hashlib
import uuid
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from typing import Any

from boarfish.errors import FieldViolation, InvalidArgument
from boarfish.v1 import common_pb2, ingestion_pb2

MAX_ROWS = 10_000
MESSAGE_BYTES = 4 * 1024 * 1024
_END_OF_STREAM = b"\xff\xff\xff\xff\0\0\0\0"


def row_batch(rows: Iterable[Mapping[str, Any]]) -> common_pb2.RowBatch:
    """Rows as JSON-like objects: bytes as base64 text, times as ISO 8601, arrays as lists."""
    batch = common_pb2.RowBatch()
    for index, row in enumerate(rows):
        _add(batch, index, row)
    return batch


def row_batches(rows: Iterable[Mapping[str, Any]]) -> Iterator[common_pb2.RowBatch]:
    """`rows` in batches of at most 10,000 rows and, but for a single row that is larger, about 4 MiB."""
    batch, size, index = common_pb2.RowBatch(), 0, -1
    for index, row in enumerate(rows):
        _add(batch, index, row)
        size += batch.rows.rows[-1].ByteSize()
        if size >= MESSAGE_BYTES or len(batch.rows.rows) == MAX_ROWS:
            yield batch
            batch, size = common_pb2.RowBatch(), 0
    if batch.rows.rows or index < 0:
        yield batch


def table_batches(table: Any) -> Iterator[common_pb2.RowBatch]:
    """A pyarrow `Table` in batches of at most 4 MiB, but for a single row that is larger."""
    return map(arrow_batch, table_parts(table))


def table_parts(table: Any) -> Iterator[Any]:
    """A pyarrow `Table` as record batches that are small enough to be sent and have no dictionaries."""
    for position, field in enumerate(table.schema):
        if hasattr(field.type, "index_type"):  # its values would be a message of their own
            plain_values = table.column(position).cast(field.type.value_type)
            table = table.set_column(position, field.name, plain_values)
    for batch in table.to_batches():
        yield from _halves(batch)


def arrow_batch(batch: Any) -> common_pb2.RowBatch:
    """A record batch as an Arrow IPC stream: its schema, itself, and the end."""
    stream = bytes(batch.schema.serialize()) + bytes(batch.serialize()) + _END_OF_STREAM
    return common_pb2.RowBatch(arrow_ipc=stream)


def records_requests(
    dataset: str, batches: Iterable[common_pb2.RowBatch], key: str = ""
) -> Iterator[ingestion_pb2.PutRecordsRequest]:
    """Requests that add batches to a dataset.

    With a `key`, such as a file's name, the same batches under the same key have the same request ids: put
    again after a broken connection, they are not written twice.
    """
    for number, batch in enumerate(batches):
        request_id = uuid.uuid4().hex
        if key:
            content = batch.SerializeToString(deterministic=True)
            request_id = hashlib.sha256(f"{key}\0{number}\0".encode() + content).hexdigest()
        yield ingestion_pb2.PutRecordsRequest(request_id=request_id, dataset=dataset, batch=batch)


def plain(value: Any) -> Any:
    """A value of Python, numpy or pandas as a JSON-like row holds it."""
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if getattr(value, "ndim", 0):
        return value.tolist()
    return value.item() if hasattr(value, "item") else value


def _add(batch: common_pb2.RowBatch, index: int, row: Mapping[str, Any]) -> None:
    try:
        batch.rows.rows.add().update({key: plain(value) for key, value in row.items()})
    except (TypeError, ValueError, OverflowError, AttributeError) as error:
        wanted = "give numbers, texts, times, bytes, lists of numbers, true, false or None by column name"
        raise InvalidArgument.of(
            FieldViolation(f"rows[{index}]", f"cannot be sent ({error}); {wanted}")
        ) from error


def _halves(batch: Any) -> Iterator[Any]:
    """A record batch in parts that are small enough, halved as often as it takes."""
    count = batch.num_rows
    if batch.nbytes <= MESSAGE_BYTES or count <= 1:
        if count:
            yield batch
        return
    yield from _halves(batch.slice(0, count // 2))
    yield from _halves(batch.slice(count // 2))
