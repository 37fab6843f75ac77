import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest
from boarfish.errors import ResourceExhausted

from services.inference.spool import Spool

SOURCE = json.dumps({"deployment": "homes"})


def open_spool(folder: Path, *, max_bytes: int = 1 << 20, segment_bytes: int = 1 << 16) -> Spool:
    return Spool(folder, max_bytes=max_bytes, segment_bytes=segment_bytes)


def content(number: int, row_count: int = 1, size: int = 20) -> bytes:
    return row_count.to_bytes(4, "little") + str(number).encode().ljust(size)


def read_all(spool: Spool) -> list[int]:
    found, after = [], 0
    while (group := spool.next_group(after)) is not None:
        found += [int(frame.content[4:]) for frame in group.frames()]
        after = group.last_offset
    return found


def append(spool: Spool, *numbers: int) -> list[int]:
    return [spool.append(SOURCE, "homes", content(number), 1) for number in numbers]


def test_events_come_out_in_order_and_go_when_acknowledged(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    append(spool, *range(5))
    group = spool.next_group(0)
    assert group is not None
    append(spool, 5)
    assert group.rows == {"homes": 5}
    assert spool.pending_rows["homes"] == 6
    assert read_all(spool) == [0, 1, 2, 3, 4, 5]
    spool.acknowledge(group.last_offset)
    assert spool.pending_rows["homes"] == 1
    assert read_all(spool) == [5]


def test_offsets_only_grow_over_restarts(tmp_path: Path) -> None:
    last = 0
    for number in range(4):
        spool = open_spool(tmp_path)
        (offset,) = append(spool, number)
        assert offset > last
        group = spool.next_group(0)
        assert group is not None
        last = max(offset, group.last_offset)
        spool.acknowledge(2**62)
        spool.close()
    assert open_spool(tmp_path).spool_id == spool.spool_id


def test_a_group_is_the_same_after_a_restart(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    append(spool, 1, 2)
    first = spool.next_group(0)
    assert first is not None
    append(spool, 3)
    # No close: the process is gone.
    again = open_spool(tmp_path)
    found = again.next_group(0)
    assert found is not None
    assert (found.first_offset, found.last_offset) == (first.first_offset, first.last_offset)
    assert read_all(again) == [1, 2, 3]
    assert again.pending_rows["homes"] == 3


def test_what_was_acknowledged_is_not_sent_after_a_restart(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    append(spool, 1, 2)
    group = spool.next_group(0)
    assert group is not None
    append(spool, 3)
    spool.acknowledge(group.last_offset)
    assert read_all(open_spool(tmp_path)) == [3]


def test_many_segments_and_their_removal(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, segment_bytes=4096)
    append(spool, *range(1000))
    assert len(list(tmp_path.glob("*.segment"))) > 5
    assert read_all(spool) == list(range(1000))
    spool.acknowledge(2**62)
    assert len(list(tmp_path.glob("*.segment"))) == 1
    assert spool.size_bytes < 4096
    assert read_all(spool) == []


@pytest.mark.parametrize("seed", range(25))
def test_a_torn_tail_is_cut_at_any_byte(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    spool = open_spool(tmp_path)
    append(spool, *range(10))
    spool.close()
    (segment,) = tmp_path.glob("*.segment")
    whole = segment.read_bytes()
    segment.write_bytes(whole[: rng.integers(0, len(whole))])
    found = read_all(open_spool(tmp_path))
    assert found == list(range(len(found)))
    assert read_all(open_spool(tmp_path)) == found


@pytest.mark.parametrize("seed", range(25))
def test_a_damaged_byte_ends_the_segment_there(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    spool = open_spool(tmp_path)
    append(spool, *range(10))
    spool.close()
    (segment,) = tmp_path.glob("*.segment")
    data = bytearray(segment.read_bytes())
    data[rng.integers(0, len(data))] ^= 1 + int(rng.integers(0, 255))
    segment.write_bytes(data)
    found = read_all(open_spool(tmp_path))
    assert found == list(range(len(found)))


def test_random_bytes_behind_the_last_event_are_cut(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    append(spool, 1, 2)
    spool.close()
    (segment,) = tmp_path.glob("*.segment")
    with segment.open("ab") as file:
        file.write(os.urandom(1000))
    again = open_spool(tmp_path)
    append(again, 3)
    assert read_all(again) == [1, 2, 3]


def test_the_bound_is_reported_and_room_comes_back(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, max_bytes=64 * 1024)
    number = 0
    while spool.size_bytes < spool.max_bytes:
        spool.check_room()
        append(spool, number)
        number += 1
    with pytest.raises(ResourceExhausted) as caught:
        spool.check_room()
    assert caught.value.reason == "SPOOL_FULL"
    assert caught.value.retry_after_s
    assert spool.size_bytes < 80 * 1024
    assert read_all(spool) == list(range(number))
    spool.acknowledge(2**62)
    spool.check_room()


def test_a_full_disk_leaves_no_half_event(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = open_spool(tmp_path)
    append(spool, 1)
    real = os.write

    def nearly_full(descriptor: int, data: bytes) -> int:
        monkeypatch.setattr(
            os, "write", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left on device"))
        )
        return real(descriptor, data[:10])

    monkeypatch.setattr(os, "write", nearly_full)
    with pytest.raises(ResourceExhausted):
        append(spool, 2)
    monkeypatch.setattr(os, "write", real)
    append(spool, 3)
    assert read_all(spool) == [1, 3]
    assert read_all(open_spool(tmp_path)) == [1, 3]


def test_it_says_when_there_is_something_to_send(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    calls: list[int] = []
    spool.on_event = lambda: calls.append(1)
    append(spool, 1, 2, 3)
    assert len(calls) == 1
    spool.next_group(0)
    append(spool, 4)
    assert len(calls) == 2
