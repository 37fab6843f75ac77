"""The event spool: prediction events on disk, from before their answer leaves until ingestion has
acknowledged them.

An append-only log in segment files. A frame is its length and CRC-32 (little-endian uint32 each) and its
content; frames are counted by offsets that only grow, also over restarts: every start begins a new
generation of them (the upper bits). A write reaches the kernel before `append` returns, so it outlives the
process; `sync` brings it to the disk, so that it outlives the machine.

What is sent as one is sent as one again: a *group* of frames ends with a boundary frame that is on disk
before the group is first sent. Ingestion knows each group by its offset, so a group that is sent twice is
written once. Each segment says itself what its events need to be read (its source frames), and goes when
all of its groups are acknowledged.
Method: a write-ahead log with torn-tail repair, as in Kafka's log segments.
"""

import json
import logging
import os
import struct
import threading
import uuid
import zlib
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from boarfish.errors import BoarfishError, ResourceExhausted

from services.common.storage import storage_error, writing_to

logger = logging.getLogger(__name__)

_FRAME = struct.Struct("<II")
_HEAD = struct.Struct("<BI")  # kind, number of the source
EVENT, SOURCE, BOUNDARY = 1, 2, 3
GENERATION_BITS = 40
MAX_FRAME_BYTES = 128 * 1024 * 1024
RETRY_AFTER_S = 2.0
_IDENTITY, _ACKNOWLEDGED = "spool.json", "acknowledged"


@dataclass(frozen=True)
class Frame:
    """One frame of a segment: `source` is a number that the segment's source frames explain."""

    offset: int
    kind: int
    source: int
    content: bytes


@dataclass
class _Segment:
    path: Path
    first_offset: int
    size_bytes: int = 0
    frame_count: int = 0
    synced_bytes: int = 0
    open_groups: int = 0
    sealed: bool = False


@dataclass(frozen=True)
class Group:
    """Frames that are sent as one: bytes `start` to `end` of a segment, `sources` before them; `rows` by
    deployment.
    """

    path: Path
    first_offset: int
    last_offset: int
    start: int
    end: int
    sources: dict[int, str]
    rows: dict[str, int]
    segment: _Segment = field(repr=False)

    def frames(self) -> Iterator[Frame]:
        """The group's event frames, in order."""
        with self.path.open("rb") as file:
            file.seek(self.start)
            data = file.read(self.end - self.start)
        for frame, _ in _read_frames(data, self.first_offset):
            if frame.kind == EVENT:
                yield frame


class Spool:
    """The spool in one folder. Opening it repairs what a crash left; one process has it open at a time.

    `on_event` is called, from any thread, when there is something to send where there was nothing.
    `size_bytes` counts what is on disk, in whole segments; `pending_rows` the rows of each deployment that
    ingestion has not acknowledged. Raises `FailedPrecondition` or `ResourceExhausted` when the folder
    cannot be written.
    """

    def __init__(self, folder: Path, *, max_bytes: int, segment_bytes: int) -> None:
        self.folder = folder
        self.max_bytes = max_bytes
        self.on_event: Callable[[], None] = lambda: None
        self.pending_rows: Counter[str] = Counter()
        # With a small bound, segments are smaller still: room comes back a segment at a time.
        self._segment_bytes = min(segment_bytes, max(max_bytes // 8, 1))
        self._folder_synced = True
        self.size_bytes = 0
        self._lock = threading.Lock()
        self._groups: deque[Group] = deque()
        self._segments: list[_Segment] = []
        self._sources: dict[str, int] = {}
        self._unsealed: Counter[str] = Counter()
        self._group_start, self._group_first = 0, 0
        with writing_to(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self.spool_id, generation = self._next_generation()
            self._acknowledged_file = os.open(folder / _ACKNOWLEDGED, os.O_RDWR | os.O_CREAT, 0o644)
            self._recover()
            self._next_offset = (generation << GENERATION_BITS) + 1
            self._file = -1
            self._start_segment()

    def check_room(self) -> None:
        """Raises `ResourceExhausted` (reason `SPOOL_FULL`) when no further event may be written."""
        if self.size_bytes >= self.max_bytes:
            raise ResourceExhausted(
                f"{self.max_bytes} bytes of prediction events wait under {self.folder}, as many as may. "
                "They go once ingestion is back; a larger bound is set by BOARFISH_SPOOL_MAX_BYTES.",
                retry_after_s=RETRY_AFTER_S,
                reason="SPOOL_FULL",
                metadata={"folder": str(self.folder)},
            )

    def append(self, source: str, deployment: str, content: bytes, row_count: int) -> int:
        """Writes one event of `row_count` rows; its offset. `source` is what a reader needs to know of it
        (JSON).

        Raises `ResourceExhausted` when the disk is full, `FailedPrecondition` when the folder cannot be
        written; nothing of the event is left then.
        """
        with self._lock:
            number = self._sources.get(source)
            if number is None:
                number = len(self._sources)
                self._write(SOURCE, number, source.encode())
                self._sources[source] = number
            offset = self._write(EVENT, number, content)
            first = not self._unsealed
            self._unsealed[deployment] += row_count
            self.pending_rows[deployment] += row_count
            if self._segments[-1].size_bytes >= self._segment_bytes:
                self._go_on_in_a_new_segment()
        if first:
            self.on_event()
        return offset

    def has_unsealed(self) -> bool:
        """Whether events were written that are in no group yet."""
        return bool(self._unsealed)

    def has_group(self, after: int) -> bool:
        """Whether a group that is made already has its last offset above `after`."""
        with self._lock:
            return bool(self._groups) and self._groups[-1].last_offset > after

    def sync(self) -> None:
        """Brings everything written so far to the disk."""
        with self._lock:
            recent = self._segments[-2:]
        for segment in recent:
            self._sync(segment)

    def next_group(self, after: int) -> Group | None:
        """The oldest group whose last offset is above `after`, on disk; `None` when there is nothing to
        send.
        """
        with self._lock:
            if self._unsealed and (not self._groups or self._groups[-1].last_offset <= after):
                self._seal()
            group = next((group for group in self._groups if group.last_offset > after), None)
        if group is not None:
            self._sync(group.segment, group.end)
        return group

    def acknowledge(self, offset: int) -> None:
        """Everything up to `offset` is in the lake: forgets the groups and removes the segments that are
        done.
        """
        with self._lock:
            acknowledged = None
            while self._groups and self._groups[0].last_offset <= offset:
                group = self._groups.popleft()
                acknowledged = group.last_offset
                group.segment.open_groups -= 1
                for deployment, count in group.rows.items():
                    self.pending_rows[deployment] -= count
            if acknowledged is None:
                return
            self._remember(acknowledged)
            idle = not self._unsealed and not self._groups
            if idle and self._segments[-1].size_bytes >= self._segment_bytes // 4:
                self._start_segment()
            done = [segment for segment in self._segments if segment.sealed and not segment.open_groups]
            for segment in done:
                segment.path.unlink(missing_ok=True)
                self.size_bytes -= segment.size_bytes
            self._segments = [
                segment for segment in self._segments if not (segment.sealed and not segment.open_groups)
            ]

    def close(self) -> None:
        """Syncs and closes."""
        with self._lock:
            if self._file >= 0:
                os.fsync(self._file)
                os.close(self._file)
                os.close(self._acknowledged_file)
                self._file = -1

    def _write(self, kind: int, number: int, content: bytes) -> int:
        head = _HEAD.pack(kind, number)
        frame = _FRAME.pack(len(head) + len(content), zlib.crc32(content, zlib.crc32(head)))
        segment = self._segments[-1]
        data = b"".join((frame, head, content))
        try:
            written = os.write(self._file, data)
            while written < len(data):
                written += os.write(self._file, data[written:])
        except OSError as error:
            os.ftruncate(self._file, segment.size_bytes)
            raise storage_error(error, self.folder) or error from error
        segment.size_bytes += len(data)
        segment.frame_count += 1
        self.size_bytes += len(data)
        self._next_offset += 1
        return self._next_offset - 1

    def _go_on_in_a_new_segment(self) -> None:
        """The event is written already: what fails here is tried again with the next one."""
        try:
            self._seal()
            self._start_segment()
        except (OSError, BoarfishError):
            logger.exception("the spool could not go on in a new segment")

    def _seal(self) -> None:
        if not self._unsealed:
            return
        segment = self._segments[-1]
        offset = self._write(BOUNDARY, 0, b"")
        self._add_group(
            segment,
            self._group_start,
            self._group_first,
            offset,
            rows=dict(self._unsealed),
            sources=self._sources,
        )
        self._group_start, self._group_first = segment.size_bytes, self._next_offset
        self._unsealed = Counter()

    def _add_group(
        self,
        segment: _Segment,
        start: int,
        first: int,
        last: int,
        *,
        rows: dict[str, int],
        sources: dict[str, int],
    ) -> None:
        explained = {number: text for text, number in sources.items()}
        self._groups.append(
            Group(segment.path, first, last, start, segment.size_bytes, explained, rows, segment)
        )
        segment.open_groups += 1

    def _start_segment(self) -> None:
        path = self.folder / f"{self._next_offset:020d}.segment"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        if self._file >= 0:
            os.close(self._file)
            self._segments[-1].sealed = True
        self._file = descriptor
        self._folder_synced = False
        self._segments.append(_Segment(path, self._next_offset))
        self._sources, self._unsealed = {}, Counter()
        self._group_start, self._group_first = 0, self._next_offset

    def _sync(self, segment: _Segment, up_to: int | None = None) -> None:
        wanted = segment.size_bytes if up_to is None else up_to
        if not self._folder_synced:
            _sync_folder(self.folder)
            self._folder_synced = True
        if segment.synced_bytes >= wanted:
            return
        try:
            descriptor = os.open(segment.path, os.O_RDONLY)
        except FileNotFoundError:
            return
        try:
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)
        segment.synced_bytes = max(segment.synced_bytes, wanted)

    def _next_generation(self) -> tuple[str, int]:
        path = self.folder / _IDENTITY
        try:
            known = json.loads(path.read_text())
            identity, generation = str(known["spool_id"]), int(known["generation"]) + 1
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            identity, generation = f"inference-{uuid.uuid4()}", 1
        coming = path.with_suffix(".coming")
        with coming.open("w") as file:
            json.dump({"spool_id": identity, "generation": generation}, file)
            file.flush()
            os.fsync(file.fileno())
        coming.rename(path)
        _sync_folder(self.folder)
        return identity, generation

    def _remember(self, offset: int) -> None:
        """Saves sending again what is acknowledged; only a hint, so it need not be synced."""
        number = struct.pack("<Q", offset)
        os.pwrite(self._acknowledged_file, number + struct.pack("<I", zlib.crc32(number)), 0)

    def _remembered(self) -> int:
        data = os.pread(self._acknowledged_file, 12, 0)
        if len(data) < 12 or zlib.crc32(data[:8]) != struct.unpack("<I", data[8:])[0]:
            return 0
        return int(struct.unpack("<Q", data[:8])[0])

    def _recover(self) -> None:
        acknowledged = self._remembered()
        for path in sorted(self.folder.glob("*.segment")):
            segment = _Segment(path, int(path.stem), sealed=True)
            self._segments.append(segment)
            self._recover_segment(segment, acknowledged)
            if segment.open_groups:
                self.size_bytes += segment.size_bytes
            else:
                path.unlink()
                self._segments.pop()

    def _recover_segment(self, segment: _Segment, acknowledged: int) -> None:
        data = segment.path.read_bytes()
        sources: dict[str, int] = {}
        rows: Counter[str] = Counter()
        start, first = 0, segment.first_offset
        for frame, end in _read_frames(data, segment.first_offset):
            segment.size_bytes, segment.frame_count = end, segment.frame_count + 1
            if frame.kind == SOURCE:
                sources[frame.content.decode()] = frame.source
            elif frame.kind == EVENT:
                text = next(text for text, number in sources.items() if number == frame.source)
                rows[json.loads(text)["deployment"]] += int.from_bytes(frame.content[:4], "little")
            else:
                self._recovered_group(segment, (start, first, frame.offset), rows, sources, acknowledged)
                start, first, rows = end, frame.offset + 1, Counter()
        if segment.size_bytes < len(data):
            logger.warning(
                "spool tail cut", extra={"file": str(segment.path), "bytes": len(data) - segment.size_bytes}
            )
        with segment.path.open("r+b") as file:
            file.truncate(segment.size_bytes)
            if rows:
                file.seek(segment.size_bytes)
                head = _HEAD.pack(BOUNDARY, 0)
                file.write(_FRAME.pack(len(head), zlib.crc32(head)) + head)
                segment.size_bytes = file.tell()
                last = segment.first_offset + segment.frame_count
                self._recovered_group(segment, (start, first, last), rows, sources, acknowledged)
            file.flush()
            os.fsync(file.fileno())
        segment.synced_bytes = segment.size_bytes

    def _recovered_group(
        self,
        segment: _Segment,
        place: tuple[int, int, int],
        rows: Counter[str],
        sources: dict[str, int],
        acknowledged: int,
    ) -> None:
        start, first, last = place
        if rows and last > acknowledged:
            self._add_group(segment, start, first, last, rows=dict(rows), sources=sources)
            self.pending_rows.update(rows)


def _read_frames(data: bytes, first_offset: int) -> Iterator[tuple[Frame, int]]:
    """Whole frames of a segment's bytes with the position after each; ends before the first that is torn
    or damaged.
    """
    view, position, offset = memoryview(data), 0, first_offset
    while position + _FRAME.size <= len(data):
        length, checksum = _FRAME.unpack_from(data, position)
        end = position + _FRAME.size + length
        if not _HEAD.size <= length <= MAX_FRAME_BYTES or end > len(data):
            return
        if zlib.crc32(view[position + _FRAME.size : end]) != checksum:
            return
        kind, source = _HEAD.unpack_from(data, position + _FRAME.size)
        yield Frame(offset, kind, source, data[position + _FRAME.size + _HEAD.size : end]), end
        position, offset = end, offset + 1


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
