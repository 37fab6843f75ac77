"""Prediction events: as they are written into the spool, and as the lake takes them.

An event holds the rows of one request with their ids and scores. Rows that came one by one are packed
(`inputs.RowPacking`), rows that came as Arrow stay Arrow; both become columns only here, in bulk, away from
the caller. What is the same for all events of a deployment's version stands in the event's source.
"""

import functools
import json
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from services.common.rows import CATEGORY, CODE, NUMERIC
from services.inference.inputs import RowPacking
from services.inference.prediction_ids import texts
from services.inference.spool import Frame, Group

PACKED, ARROW, SENT, SENT_COMPRESSED = 1, 2, 3, 4
# A frame becomes at most about 30 MiB of Arrow, a chunk at most 60, under the 64 that a message may have.
MAX_FRAME_ROWS = 65_536
MAX_BODY_BYTES = 16 * 1024 * 1024
MAX_CHUNK_BYTES = 24 * 1024 * 1024
ADDED_BYTES_PER_ROW = 200
COMPRESSED_FROM_BYTES = 8192

_CONTENT = struct.Struct(
    "<IBqqqH"
)  # rows, encoding, event, logged, latency in microseconds, length of simulation
_ARROW: dict[int, pa.DataType] = {NUMERIC: pa.float64(), CODE: pa.int64(), CATEGORY: pa.utf8()}
_TIME = pa.timestamp("us", "UTC")
# Codes are small numbers in wide columns: on disk they take a fifth, in less time than the rest would.
_LZ4 = pa.Codec("lz4_raw")
_COMPRESSED = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)


@dataclass(frozen=True)
class EventSource:
    """What all events of one version in one role have in common. `columns`: name and feature type of each
    column of a row.
    """

    deployment: str
    model_version: str
    role: str
    columns: tuple[tuple[str, int], ...]
    threshold: float
    positive_label: str
    negative_label: str

    @functools.cached_property
    def json(self) -> str:
        """As it stands in the spool."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "EventSource":
        """The source that a spool's text describes."""
        known = json.loads(text)
        return cls(**{**known, "columns": tuple((name, kind) for name, kind in known["columns"])})


class EventRows(NamedTuple):
    """The rows of an event, encoded: `body` of `row_count` rows, packed, as an Arrow IPC stream of the
    event's columns, or as the stream that the caller sent, perhaps with narrower types.
    """

    encoding: int
    row_count: int
    body: bytes


class EventTimes(NamedTuple):
    """When: `event_us` of what is predicted, `logged_us` of the prediction, both since 1970; `latency_us`
    of the answer.
    """

    event_us: int
    logged_us: int
    latency_us: int


@dataclass(frozen=True)
class Chunk:
    """What becomes one message to ingestion."""

    deployment: str
    offset: int
    arrow_ipc: bytes


def encode(rows: EventRows, ids: bytes, scores: bytes, times: EventTimes, simulation: str) -> bytes:
    """An event as a frame's content. `ids` 16 bytes and `scores` a little-endian float64 a row."""
    named = simulation.encode()
    head = _CONTENT.pack(
        rows.row_count, rows.encoding, times.event_us, times.logged_us, times.latency_us, len(named)
    )
    return b"".join((head, named, ids, scores, rows.body))


def encode_batch(batch: pa.RecordBatch) -> list[EventRows]:
    """Checked Arrow rows as one event or more, none too large for a message."""
    count = batch.num_rows
    size = max(batch.nbytes // MAX_BODY_BYTES + 1, -(-count // MAX_FRAME_ROWS))
    step = -(-count // size)
    parts = [batch.slice(start, step) for start in range(0, count, step)]
    return [EventRows(ARROW, part.num_rows, _ipc([part], part.schema, _COMPRESSED)) for part in parts]


def sent_rows(arrow_ipc: bytes, row_count: int) -> EventRows | None:
    """Rows as their caller sent them, as one event; `None` when they are too many for one."""
    if row_count > MAX_FRAME_ROWS or len(arrow_ipc) > MAX_BODY_BYTES:
        return None
    if len(arrow_ipc) < COMPRESSED_FROM_BYTES:
        return EventRows(SENT, row_count, arrow_ipc)
    packed: bytes = _LZ4.compress(arrow_ipc, asbytes=True)
    return EventRows(SENT_COMPRESSED, row_count, len(arrow_ipc).to_bytes(4, "little") + packed)


def chunks(group: Group) -> list[Chunk]:
    """The messages of a group: the same for the same group, whenever it is sent. The last one has the
    group's own offset.
    """
    sources = {number: EventSource.from_json(text) for number, text in group.sources.items()}
    gathered: list[tuple[int, str, list[tuple[Frame, EventSource]]]] = []
    open_parts: dict[tuple[str, tuple[tuple[str, int], ...]], list[tuple[Frame, EventSource]]] = {}
    sizes: dict[tuple[str, tuple[tuple[str, int], ...]], int] = {}
    for frame in group.frames():
        source = sources[frame.source]
        key = (source.deployment, source.columns)
        part = open_parts.setdefault(key, [])
        part.append((frame, source))
        row_count = int.from_bytes(frame.content[:4], "little")
        sizes[key] = sizes.get(key, 0) + len(frame.content) + ADDED_BYTES_PER_ROW * row_count
        if sizes[key] >= MAX_CHUNK_BYTES:
            gathered.append((frame.offset, source.deployment, open_parts.pop(key)))
            sizes.pop(key)
    gathered += [(part[-1][0].offset, key[0], part) for key, part in open_parts.items()]
    gathered.sort(key=lambda entry: entry[0])
    last = len(gathered) - 1
    return [
        Chunk(deployment, group.last_offset if position == last else offset, _table(part))
        for position, (offset, deployment, part) in enumerate(gathered)
    ]


@dataclass(frozen=True)
class _Event:
    source: EventSource
    row_count: int
    encoding: int
    times: tuple[int, int, int]
    simulation: str
    ids: bytes
    scores: bytes
    body: bytes


def _decode(frame: Frame, source: EventSource) -> _Event:
    content = frame.content
    row_count, encoding, *times, named = _CONTENT.unpack_from(content)
    ids = _CONTENT.size + named
    scores = ids + 16 * row_count
    body = scores + 8 * row_count
    return _Event(
        source, row_count, encoding, (times[0], times[1], times[2]),
        content[_CONTENT.size : ids].decode(), content[ids:scores], content[scores:body], content[body:],
    )  # fmt: skip


def _table(part: Sequence[tuple[Frame, EventSource]]) -> bytes:
    """The events of one deployment as an Arrow IPC stream."""
    events = [_decode(frame, source) for frame, source in part]
    batches = [_batch(run) for run in _runs(events)]
    return _ipc(batches, batches[0].schema)


def _runs(events: Iterable[_Event]) -> Iterator[list[_Event]]:
    """Events that become one record batch together: neighbours whose rows are all packed, or none is."""
    run: list[_Event] = []
    for event in events:
        if run and (event.encoding == PACKED) != (run[0].encoding == PACKED):
            yield run
            run = []
        run.append(event)
    if run:
        yield run


def _batch(run: Sequence[_Event]) -> pa.RecordBatch:
    first = run[0].source
    counts = np.array([event.row_count for event in run])
    scores = np.frombuffer(b"".join([event.scores for event in run]), "<f8")
    ids = np.frombuffer(b"".join([event.ids for event in run]), np.uint8).reshape(-1, 16)
    times = np.repeat(np.array([event.times for event in run], np.int64), counts, axis=0)
    thresholds = np.repeat([event.source.threshold for event in run], counts)
    words = pa.array([first.negative_label, first.positive_label])

    def spread(values: Sequence[str]) -> pa.Array:
        """A text an event, once for each of its rows."""
        known = list(dict.fromkeys(values))
        return pa.array(known, pa.utf8()).take(
            pa.array(np.repeat([known.index(value) for value in values], counts))
        )

    if run[0].encoding == PACKED:
        columns = RowPacking(first.columns).unpack([(event.row_count, event.body) for event in run])
    else:
        batches = [_rows_of(event) for event in run]
        columns = [
            pa.concat_arrays([_column(batch, name, _ARROW[kind]) for batch in batches])
            for name, kind in first.columns
        ]
    added = {
        "prediction_id": texts(ids),
        "model_version": spread([event.source.model_version for event in run]),
        "role": spread([event.source.role for event in run]),
        "event_time": pa.array(times[:, 0]).cast(_TIME),
        "logged_time": pa.array(times[:, 1]).cast(_TIME),
        "score": pa.array(scores, pa.float64()),
        "decision": words.take(pa.array((scores >= thresholds).astype(np.int8))),
        "latency_us": pa.array(times[:, 2]),
        "simulation": spread([event.simulation for event in run]),
    }
    names = [name for name, _ in first.columns]
    return pa.RecordBatch.from_arrays([*added.values(), *columns], names=[*added, *names])


def _rows_of(event: _Event) -> pa.RecordBatch:
    body: bytes | pa.Buffer = event.body
    if event.encoding == SENT_COMPRESSED:
        body = _LZ4.decompress(event.body[4:], int.from_bytes(event.body[:4], "little"))
    return pa.ipc.open_stream(body).read_next_batch()


def _column(batch: pa.RecordBatch, name: str, kind: pa.DataType) -> pa.Array:
    position = batch.schema.get_field_index(name)
    if position < 0:
        return pa.nulls(batch.num_rows, kind)
    # Checked already; a whole number too large for a float is rounded, as it is for the model.
    return batch.column(position).cast(kind, safe=False)


def _ipc(
    batches: Sequence[pa.RecordBatch], schema: pa.Schema, options: pa.ipc.IpcWriteOptions | None = None
) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema, options=options) as writer:
        for batch in batches:
            writer.write_batch(batch)
    data: bytes = sink.getvalue().to_pybytes()
    return data
