"""Arrow IPC streams: those from outside are read only when what they unpack to is known to be bounded; those
that are sent are cut by size.

A stream of a few kilobytes may stand for gigabytes: by compression, by a long dictionary value that many
rows name, or by rows without any bytes (columns of type null). Compressed buffers say their size in their
first eight bytes, so that the sum is known before anything is unpacked. Layout:
https://arrow.apache.org/docs/format/Columnar.html and `Message.fbs` beside it.
"""

import struct
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from boarfish.errors import FieldViolation, InvalidArgument

MAX_DECODED_BYTES = 256 * 1024 * 1024
MAX_DECODED_ROWS = 5_000_000
_CONTINUATION = 0xFFFFFFFF
_DICTIONARY_BATCH, _RECORD_BATCH = 2, 3


def read_arrow(data: bytes, field: str) -> pa.Table:
    """The rows of an Arrow IPC stream, fully validated.

    Raises `InvalidArgument` naming `field` for bytes that are none, for more than `MAX_DECODED_ROWS` rows
    and for rows that unpack to more than `MAX_DECODED_BYTES`.
    """
    try:
        if _unpacked_bytes(data) > MAX_DECODED_BYTES:
            raise _too_large(field)
        with pa.ipc.open_stream(pa.py_buffer(data)) as reader:
            batches, size, rows = [], 0, 0
            varying = [index for index, kind in enumerate(reader.schema.types) if _may_grow(kind)]
            for batch in reader:
                rows += batch.num_rows
                if rows > MAX_DECODED_ROWS:
                    text = f"has more than {MAX_DECODED_ROWS} rows; send smaller batches"
                    raise InvalidArgument.of(FieldViolation(field, text))
                batch.validate()
                size += batch.nbytes + sum(_grown_bytes(batch.column(index)) for index in varying)
                if size > MAX_DECODED_BYTES:
                    raise _too_large(field)
                batch.validate(full=True)
                batches.append(batch)
            table = pa.Table.from_batches(batches, reader.schema)
    except (pa.ArrowException, OSError, ValueError, MemoryError, OverflowError) as error:
        text = f"is not a readable Arrow IPC stream: {_short(error)}"
        raise InvalidArgument.of(FieldViolation(field, text)) from error
    if table.num_rows == 0:
        raise InvalidArgument.of(FieldViolation(field, "has no rows; send at least one"))
    return table


def to_ipc(batch: pa.RecordBatch) -> bytes:
    """`batch` as a stream of its own."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())


def parts(batch: pa.RecordBatch, size_bytes: int) -> Iterator[pa.RecordBatch]:
    """`batch` in parts of at most `size_bytes`, in order; a row that is larger is a part of its own."""
    ends = np.cumsum(row_bytes(batch))
    start = 0
    while start < batch.num_rows:
        taken = ends[start - 1] if start else 0
        end = max(start + 1, int(np.searchsorted(ends, taken + size_bytes, side="right")))
        yield batch.slice(start, end - start)
        start = end


def row_bytes(batch: pa.RecordBatch) -> np.ndarray:
    """Bytes that the values of each row take, int64 `(N,)`, without what Arrow keeps beside them."""
    sizes = np.zeros(batch.num_rows, np.int64)
    for column in batch.columns:
        kind = column.type
        if _is_plain_text(kind):
            lengths = pc.binary_length(column)
        elif pa.types.is_list(kind):
            lengths = pc.multiply(
                pc.list_value_length(column).cast(pa.int64()), kind.value_type.bit_width // 8
            )
        else:
            sizes += max(1, kind.bit_width // 8)
            continue
        sizes += pc.fill_null(lengths.cast(pa.int64()), 0).to_numpy()
    return sizes


def _too_large(field: str) -> InvalidArgument:
    text = f"unpacks to more than {MAX_DECODED_BYTES} bytes; send smaller batches"
    return InvalidArgument.of(FieldViolation(field, text))


def _may_grow(kind: pa.DataType) -> bool:
    return bool(pa.types.is_dictionary(kind) or _is_view(kind))


def _is_view(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string_view(kind) or pa.types.is_binary_view(kind))


def _grown_bytes(array: pa.Array) -> int:
    """Bytes that a column of dictionary values or of views takes when each row has its own copy."""
    if not pa.types.is_dictionary(array.type):
        return int(_view_lengths(array).sum())
    values = array.dictionary
    if _is_view(values.type):
        lengths = pa.array(_view_lengths(values))
    elif _is_plain_text(values.type):
        lengths = pc.binary_length(values)
    elif pa.types.is_nested(values.type):
        raise ValueError("it has lists or structs as dictionary values; send them as they are")
    else:
        return 16 * len(array)
    return int(pc.sum(lengths.take(array.indices).cast(pa.int64())).as_py() or 0)


def _view_lengths(array: pa.Array) -> np.ndarray:
    """Lengths of an array of views, int64 `(N,)`: each view's first of four 32-bit words."""
    if not len(array):
        return np.empty(0, np.int64)
    words = np.frombuffer(array.buffers()[1], np.int32)[4 * array.offset : 4 * (array.offset + len(array))]
    return words[::4].astype(np.int64)


def _is_plain_text(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
    )


def _unpacked_bytes(data: bytes) -> int:
    """What the compressed buffers of a stream unpack to, by their own account.

    Raises `ValueError` for no stream.
    """
    total = place = 0
    try:
        while place + 8 <= len(data):
            (length,) = struct.unpack_from("<I", data, place)
            place += 4
            if length == _CONTINUATION:
                (length,) = struct.unpack_from("<I", data, place)
                place += 4
            if length == 0:
                break
            message = _Flat(data, place, place + length).root()
            place += length
            body_length = message.number(3, "<q")
            kind, header = message.number(1, "<B"), message.table(2)
            if header is not None and kind == _DICTIONARY_BATCH:
                header = header.table(1)
            if (
                header is not None
                and kind in (_DICTIONARY_BATCH, _RECORD_BATCH)
                and header.table(3) is not None
            ):
                total += sum(_claimed_bytes(data, place, *buffer) for buffer in header.pairs(2))
            if body_length < 0:
                raise ValueError("a message has a negative length")
            place += body_length
    except (struct.error, IndexError) as error:
        raise ValueError("its metadata is cut off or broken") from error
    return total


def _claimed_bytes(data: bytes, body: int, offset: int, length: int) -> int:
    if length < 8:
        return 0
    (claimed,) = struct.unpack_from("<q", data, body + offset)
    # -1 marks a buffer that was left as it is; Arrow refuses other negative sizes.
    return int(claimed) if claimed >= 0 else length


class _Flat:
    """A table of a flatbuffer: fields by number. Only what is needed; nothing is trusted."""

    def __init__(self, data: bytes, place: int, end: int) -> None:
        self._data = data
        self._place = place
        self._end = end

    def root(self) -> "_Flat":
        return self._at(self._place)

    def number(self, field: int, layout: str) -> int:
        place = self._field(field)
        return int(self._read(layout, place)) if place else 0

    def table(self, field: int) -> "_Flat | None":
        place = self._field(field)
        return self._at(place) if place else None

    def pairs(self, field: int) -> Iterator[tuple[int, int]]:
        """A vector of structs of two 64-bit numbers."""
        place = self._field(field)
        if not place:
            return
        start = place + self._read("<I", place)
        count = self._read("<I", start)
        if start + 4 + 16 * count > self._end:
            raise ValueError("a message names buffers that it does not have")
        yield from struct.iter_unpack("<qq", self._data[start + 4 : start + 4 + 16 * count])

    def _at(self, place: int) -> "_Flat":
        return _Flat(self._data, place + self._read("<I", place), self._end)

    def _field(self, field: int) -> int:
        fields = self._place - self._read("<i", self._place)
        position = 4 + 2 * field
        if position >= self._read("<H", fields):
            return 0
        offset = self._read("<H", fields + position)
        return self._place + offset if offset else 0

    def _read(self, layout: str, place: int) -> int:
        if not 0 <= place < self._end:
            raise ValueError("a message points outside itself")
        return int(struct.unpack_from(layout, self._data, place)[0])


def _short(error: BaseException) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
