from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from boarfish.v1 import task_pb2
from hypothesis import given
from hypothesis import strategies as st

from services.common.rows import CATEGORY, CODE, NUMERIC
from services.inference import events
from services.inference.events import EventRows, EventSource, EventTimes, chunks, encode, encode_batch
from services.inference.inputs import InputLayout, RowPacking, concatenate
from services.inference.prediction_ids import PredictionIds, texts
from services.inference.shadow import write_events
from services.inference.spool import Spool

COLUMNS = (("age", NUMERIC), ("town", CATEGORY), ("job", CODE))
SOURCE = EventSource("homes", "ab" * 32, "CHAMPION", COLUMNS, 0.5, "yes", "no")
ROWS = [[1.5, "Łódź", 3], [float("nan"), "", -(2**63)], [0.0, "b", 2**53 + 1]]


def read(chunk: events.Chunk) -> pa.Table:
    return pa.ipc.open_stream(chunk.arrow_ipc).read_all()


def write(
    spool: Spool, source: EventSource, rows: list[EventRows], scores: list[float], simulation: str = ""
) -> bytes:
    ids = PredictionIds().many(len(scores)).tobytes()
    write_events(
        spool,
        source,
        rows,
        ids=ids,
        scores=np.array(scores).tobytes(),
        times=EventTimes(1_000_000, 2_000_000, 77),
        simulation=simulation,
    )
    return ids


def test_packed_rows_become_the_columns_of_the_contract(tmp_path: Path) -> None:
    spool = Spool(tmp_path, max_bytes=1 << 20, segment_bytes=1 << 16)
    packing = RowPacking(COLUMNS)
    first = write(spool, SOURCE, [EventRows(events.PACKED, 3, packing.pack(ROWS))], [0.1, 0.5, 0.9], "swap")
    write(spool, SOURCE, [EventRows(events.PACKED, 1, packing.pack(ROWS[:1]))], [0.2])
    group = spool.next_group(0)
    assert group is not None
    (chunk,) = chunks(group)
    table = read(chunk)
    assert chunk.deployment == "homes"
    assert chunk.offset == group.last_offset
    assert table.num_rows == 4
    assert (
        table["prediction_id"].to_pylist()[:3]
        == texts(np.frombuffer(first, np.uint8).reshape(3, 16)).to_pylist()
    )
    assert table["age"].to_pylist() == [1.5, None, 0.0, 1.5]
    assert table["town"].to_pylist() == ["Łódź", None, "b", "Łódź"]
    assert table["job"].to_pylist() == [3, None, 2**53 + 1, 3]
    assert table["score"].to_pylist() == [0.1, 0.5, 0.9, 0.2]
    assert table["decision"].to_pylist() == ["no", "yes", "yes", "no"]
    assert table["simulation"].to_pylist() == ["swap"] * 3 + [""]
    assert set(table["role"].to_pylist()) == {"CHAMPION"}
    assert table["latency_us"].to_pylist() == [77] * 4
    assert table.schema.field("event_time").type == pa.timestamp("us", "UTC")
    spool.close()


def test_deployments_go_in_messages_of_their_own_and_the_same_ones_again(tmp_path: Path) -> None:
    spool = Spool(tmp_path, max_bytes=1 << 20, segment_bytes=1 << 16)
    other = EventSource("other", "cd" * 32, "SHADOW", (("x", NUMERIC),), 0.5, "yes", "no")
    batch = pa.RecordBatch.from_pydict({"x": pa.array([1.0, None])})
    packed = EventRows(events.PACKED, 1, RowPacking(COLUMNS).pack(ROWS[:1]))
    write(spool, SOURCE, [packed], [0.3])
    write(spool, other, encode_batch(batch), [0.4, 0.6])
    write(spool, SOURCE, [packed], [0.7])
    group = spool.next_group(0)
    assert group is not None
    made = chunks(group)
    assert [chunk.deployment for chunk in made] == ["other", "homes"]
    assert made[0].offset < made[1].offset == group.last_offset
    assert read(made[0])["x"].to_pylist() == [1.0, None]
    assert read(made[1])["score"].to_pylist() == [0.3, 0.7]
    assert chunks(group) == made
    spool.close()


def test_large_batches_are_cut_into_events_that_fit_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MAX_FRAME_ROWS", 10)
    batch = pa.RecordBatch.from_pydict({"x": pa.array(np.arange(25.0))})
    parts = encode_batch(batch)
    assert sum(part.row_count for part in parts) == 25
    assert max(part.row_count for part in parts) <= 10


@given(
    st.lists(
        st.tuples(st.floats(allow_infinity=False), st.text(), st.integers(-(2**63), 2**63 - 1)), max_size=20
    )
)
def test_packing_keeps_every_value(rows: list[tuple[float, str, int]]) -> None:
    packing = RowPacking(COLUMNS)
    age, town, job = packing.unpack([(len(rows), packing.pack([list(row) for row in rows]))])
    np.testing.assert_array_equal(age.fill_null(np.nan).to_numpy(), np.array([row[0] for row in rows], float))
    assert [value or "" for value in town.to_pylist()] == [row[1] for row in rows]
    assert job.fill_null(-(2**63)).to_pylist() == [row[2] for row in rows]


def test_rows_one_by_one_and_as_arrow_give_the_model_the_same() -> None:
    task = task_pb2.Task(
        features=[task_pb2.Feature(name=name, type=kind, allow_missing=True) for name, kind in COLUMNS]
    )
    layout = InputLayout(task)
    one_by_one = layout.from_rows([layout.fill([1.5, "a", 3]), layout.fill([None, None, None])])
    batch = pa.RecordBatch.from_pydict(
        {"age": pa.array([1.5, None]), "town": pa.array(["a", None]), "job": pa.array([3, None], pa.int64())}
    )
    bulk = layout.from_batch(batch)
    for name, array in one_by_one.by_name().items():
        np.testing.assert_array_equal(array, bulk.by_name()[name])
        assert array.dtype == bulk.by_name()[name].dtype
    assert concatenate([one_by_one, bulk]).row_count == 4


def test_encode_keeps_scores_and_ids_in_order() -> None:
    content = encode(EventRows(events.PACKED, 1, b"body"), b"i" * 16, b"s" * 8, EventTimes(1, 2, 3), "ü")
    assert int.from_bytes(content[:4], "little") == 1
    assert content.endswith(b"i" * 16 + b"s" * 8 + b"body")


def test_rows_as_they_were_sent_become_the_columns_of_the_contract(tmp_path: Path) -> None:
    spool = Spool(tmp_path, max_bytes=1 << 20, segment_bytes=1 << 16)
    columns = (("age", NUMERIC), ("job", CODE), ("born", CODE))
    source = EventSource("homes", "ab" * 32, "CHAMPION", columns, 0.5, "yes", "no")
    for count, kind in ((2, pa.int8()), (3000, pa.int64())):
        sink = pa.BufferOutputStream()
        table = pa.table(
            {"job": pa.array(range(count)).cast(kind, safe=False), "age": pa.array([7] * count, kind)}
        )
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        sent = events.sent_rows(sink.getvalue().to_pybytes(), count)
        assert sent is not None
        write(spool, source, [sent], [0.25] * count)
    group = spool.next_group(0)
    assert group is not None
    (chunk,) = chunks(group)
    found = read(chunk)
    assert found["job"].to_pylist() == [0, 1, *range(3000)]
    assert found["age"].to_pylist() == [7.0] * 3002
    assert found["born"].null_count == 3002
    assert [found.schema.field(name).type for name, _ in columns] == [pa.float64(), pa.int64(), pa.int64()]
    spool.close()
