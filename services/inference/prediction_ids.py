"""Prediction ids: UUIDs of version 7, which sort by the time they were made.

The time has 60 bits in steps of 1/4096 ms, strictly increasing within a process; 62 bits are random.
Source: RFC 9562, section 5.7 and section 6.2, method 3.
"""

import os
import threading
import time

import numpy as np
import pyarrow as pa

TEXT_LENGTH = 36
_NS_PER_MS = 1_000_000
# Where each run of digits stands in the 32 digits, where in the text, and how long it is.
_DRAWN_BYTES = 8192
_PARTS = ((0, 0, 8), (8, 9, 4), (12, 14, 4), (16, 19, 4), (20, 24, 12))


class PredictionIds:
    """Makes ids; safe to use from several threads."""

    def __init__(self) -> None:
        self._last = 0
        self._lock = threading.Lock()
        self._drawn, self._used = b"", 0

    def _take(self, count: int) -> int:
        """First of `count` ticks that no one else gets."""
        now = time.time_ns()
        with self._lock:
            first = max(self._last + 1, (now << 12) // _NS_PER_MS)
            self._last = first + count - 1
        return first

    def one(self) -> bytes:
        """One id as its 16 bytes."""
        now = time.time_ns()
        with self._lock:
            tick = self._last = max(self._last + 1, (now << 12) // _NS_PER_MS)
            if self._used == len(self._drawn):
                self._drawn, self._used = os.urandom(_DRAWN_BYTES), 0
            random = int.from_bytes(self._drawn[self._used : self._used + 8]) & 0x3FFF_FFFF_FFFF_FFFF
            self._used += 8
        high = (tick >> 12 << 16) | 0x7000 | (tick & 0xFFF)
        return (high << 64 | 0x8000_0000_0000_0000 | random).to_bytes(16, "big")

    def many(self, count: int) -> np.ndarray:
        """`count` ids in increasing order, `(count, 16) uint8`."""
        ticks = np.uint64(self._take(count)) + np.arange(count, dtype=np.uint64)
        random = np.frombuffer(os.urandom(8 * count), np.uint64)
        halves = np.empty((count, 2), ">u8")
        halves[:, 0] = (
            (ticks >> np.uint64(12) << np.uint64(16)) | np.uint64(0x7000) | (ticks & np.uint64(0xFFF))
        )
        halves[:, 1] = (random & np.uint64(0x3FFF_FFFF_FFFF_FFFF)) | np.uint64(1 << 63)
        return halves.view(np.uint8).reshape(count, 16)


def text(identity: bytes) -> str:
    """An id as people and the lake write it."""
    digits = identity.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def texts(identities: np.ndarray) -> pa.Array:
    """Ids `(N, 16) uint8` as an Arrow array of texts."""
    count = len(identities)
    digits = np.frombuffer(np.ascontiguousarray(identities).tobytes().hex().encode(), np.uint8).reshape(
        count, 32
    )
    characters = np.full((count, TEXT_LENGTH), ord("-"), np.uint8)
    for taken, placed, length in _PARTS:
        characters[:, placed : placed + length] = digits[:, taken : taken + length]
    offsets = np.arange(0, (count + 1) * TEXT_LENGTH, TEXT_LENGTH, dtype=np.int32)
    return pa.Array.from_buffers(
        pa.utf8(), count, [None, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(characters))]
    )
