"""Arrow IPC from outside: good streams, broken ones, and bombs."""

import random
import resource

import pyarrow as pa
import pytest
from boarfish.errors import InvalidArgument
from hypothesis import given, settings
from hypothesis import strategies as st

from services.common import arrow_ipc
from services.common.arrow_ipc import parts, read_arrow, row_bytes, to_ipc


def ipc(table: pa.Table, compression: str | None = None) -> bytes:
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_stream(sink, table.schema, options=options) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


TABLE = pa.table(
    {"a": list(range(1000)), "t": ["some text"] * 1000, "d": pa.array(["x", "y"] * 500).dictionary_encode()}
)


@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
def test_good_streams_are_read(compression: str | None) -> None:
    assert read_arrow(ipc(TABLE, compression), "batch").equals(TABLE)
    two = pa.concat_tables([TABLE, TABLE])
    assert read_arrow(ipc(two, compression), "batch").equals(two)
    views = pa.table(
        {"t": pa.array(["a text that is longer than twelve bytes", None, "b"], pa.string_view())}
    )
    assert read_arrow(ipc(views, compression), "batch").equals(views)


@pytest.mark.parametrize("compression", ["lz4", "zstd"])
@pytest.mark.parametrize("encoded", [False, True])
def test_what_unpacks_to_too_much_is_refused_before_it_is_unpacked(
    compression: str, monkeypatch: pytest.MonkeyPatch, *, encoded: bool
) -> None:
    monkeypatch.setattr(arrow_ipc, "MAX_DECODED_BYTES", 16 * 1024 * 1024)
    text = pa.array(["\0" * (128 * 1024 * 1024)], pa.large_utf8())
    data = ipc(pa.table({"t": text.dictionary_encode() if encoded else text}), compression)
    assert len(data) < 4 * 1024 * 1024
    del text
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    allocated = pa.total_allocated_bytes()
    with pytest.raises(InvalidArgument, match="unpacks to more than"):
        read_arrow(data, "batch")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 * 1024
    assert pa.total_allocated_bytes() <= allocated


def test_rows_without_bytes_are_bounded() -> None:
    with pytest.raises(InvalidArgument, match="more than 5000000 rows"):
        read_arrow(ipc(pa.table({"n": pa.nulls(2**30)})), "batch")


def test_values_that_many_rows_name_are_counted_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrow_ipc, "MAX_DECODED_BYTES", 16 * 1024 * 1024)
    long = "x" * 50_000
    indices = pa.array([0] * 1000, pa.int32())
    table = pa.table({"d": pa.DictionaryArray.from_arrays(indices, pa.array([long]))})
    with pytest.raises(InvalidArgument, match="unpacks to more than"):
        read_arrow(ipc(table), "batch")
    views = pa.DictionaryArray.from_arrays(indices, pa.array([long])).cast(pa.utf8()).cast(pa.string_view())
    with pytest.raises(InvalidArgument, match="unpacks to more than"):
        read_arrow(ipc(pa.table({"v": views})), "batch")
    # Binary views that share one buffer, and dictionaries of views and of lists.
    word = (len(long).to_bytes(4, "little") + long[:4].encode() + bytes(8)) * 1000
    shared = pa.Array.from_buffers(
        pa.binary_view(), 1000, [None, pa.py_buffer(word), pa.py_buffer(long.encode())]
    )
    with pytest.raises(InvalidArgument, match="unpacks to more than"):
        read_arrow(ipc(pa.table({"b": shared})), "batch")
    for kind in (pa.string_view(), pa.binary_view()):
        named = pa.DictionaryArray.from_arrays(indices, pa.array([long], kind))
        with pytest.raises(InvalidArgument, match="unpacks to more than"):
            read_arrow(ipc(pa.table({"v": named})), "batch")
    lists = pa.DictionaryArray.from_arrays(indices, pa.array([[1.0] * 10_000]))
    with pytest.raises(InvalidArgument, match="lists or structs as dictionary values"):
        read_arrow(ipc(pa.table({"l": lists})), "batch")


def test_parts_are_cut_by_the_bytes_of_their_rows() -> None:
    table = pa.table(
        {
            "b": pa.array([bytes(100), bytes(5), None, bytes(1), bytes(90)], pa.binary()),
            "l": [[1.0], None, [], [1.0, 2.0], [0.0]],
            "n": [1, 2, 3, 4, None],
        }
    )
    [batch] = table.to_batches()
    assert row_bytes(batch).tolist() == [116, 13, 8, 25, 106]
    cut = list(parts(batch, 50))
    assert [part.num_rows for part in cut] == [1, 3, 1]
    assert pa.Table.from_batches(cut).equals(table)
    assert row_bytes(batch.slice(3)).tolist() == [25, 106]
    assert read_arrow(to_ipc(cut[1]), "batch").equals(table.slice(1, 3))


def test_broken_streams_are_named() -> None:
    data = ipc(TABLE)
    invalid_text = data.replace(b"some text", b"some \xff\xfe\xfdt", 1)
    for broken in (
        b"",
        b"\0" * 64,
        b"not arrow at all",
        data[:60],
        data[: len(data) // 2],
        invalid_text,
        b"\xff" * 64,
    ):
        with pytest.raises(InvalidArgument) as caught:
            read_arrow(broken, "batch.arrow_ipc")
        assert [one.field for one in caught.value.violations] == ["batch.arrow_ipc"]
    with pytest.raises(InvalidArgument, match="has no rows"):
        read_arrow(ipc(TABLE.slice(0, 0)), "batch.arrow_ipc")


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400))
def test_random_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidArgument):
        read_arrow(data, "batch")


@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
def test_streams_with_bytes_changed_are_read_or_refused(compression: str | None) -> None:
    data = ipc(TABLE.slice(0, 50), compression)
    chance = random.Random(5)
    for _ in range(1500):
        changed = bytearray(data)
        for _ in range(chance.choice((1, 1, 2, 8))):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        try:
            assert read_arrow(bytes(changed), "batch").num_rows <= arrow_ipc.MAX_DECODED_ROWS
        except InvalidArgument:
            continue
