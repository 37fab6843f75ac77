from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from boarfish.v1 import common_pb2
from hypothesis import given
from hypothesis import strategies as st

from services.common.rows import RowSchema
from services.inference.bulk import BulkRows
from services.inference.events import SENT, SENT_COMPRESSED, sent_rows
from services.inference.inputs import InputLayout, TwoTexts
from tests.integration.inference.requests import arrow_request, people
from tests.integration.inference.small_models import employment

TASK = employment()
SCHEMA, LAYOUT = RowSchema.for_predictions(TASK), InputLayout(TASK)
BULK = BulkRows(SCHEMA, LAYOUT)


def sent(table: pa.Table) -> bytes:
    return arrow_request(table).batch.arrow_ipc


def narrow(table: pa.Table) -> pa.Table:
    return table.cast(pa.schema([(name, pa.int8()) for name in table.column_names]))


def change(table: pa.Table, name: str, values: Any) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), name, values)


@pytest.mark.parametrize("count", [1, 7, 300])
@pytest.mark.parametrize("narrowed", [False, True])
def test_it_reads_what_the_long_way_reads(count: int, narrowed: bool) -> None:
    table = people(count).select([*reversed(people(1).column_names)])
    data = sent(narrow(table) if narrowed else table)
    expected = LAYOUT.from_batch(SCHEMA.decode(common_pb2.RowBatch(arrow_ipc=data)).rows)
    found = BULK.read(data)
    assert found is not None
    inputs, (event,) = found
    assert inputs.row_count == event.row_count == count
    for kind, array in expected.by_name().items():
        assert inputs.by_name()[kind].dtype == array.dtype
        assert np.array_equal(inputs.by_name()[kind], array)


def test_sensitive_attributes_may_be_absent() -> None:
    table = people(5)
    kept = [name for name in table.column_names if name in (*LAYOUT.numeric, *LAYOUT.code)]
    assert BULK.read(sent(table.select(kept))) is not None


@pytest.mark.parametrize(
    "table",
    [
        change(people(3), "AGEP", pa.array([30.0, None, 31.0])),
        change(people(3), "AGEP", pa.array([30.0, float("nan"), 31.0])),
        change(people(3), "AGEP", pa.array([30.0, float("inf"), 31.0])),
        change(people(3), "AGEP", pa.array([30.0, 1e300, 31.0])),
        change(people(3), "AGEP", pa.array([30.0, -1.0, 31.0])),
        change(people(3), "SCHL", pa.array([1, 99, 2])),
        change(people(3), "SCHL", pa.array([1, -(2**63), 2])),
        change(people(3), "SCHL", pa.array([1, 2**63 - 1, 2])),
        change(people(3), "SCHL", pa.array([1, None, 2])),
        change(people(3), "SCHL", pa.array([1.0, 2.0, 3.0])),
        change(people(3), "SEX", pa.array([1, -(2**63), 2])),
        people(3).append_column("more", pa.array([1, 2, 3])),
        people(3).drop_columns(["SCHL"]),
        people(0),
        pa.Table.from_batches([*people(3).to_batches(), *people(3).to_batches()]),
    ],
)
def test_all_else_takes_the_long_way(table: pa.Table) -> None:
    assert BULK.read(sent(table)) is None


@given(st.binary(max_size=600))
def test_bytes_that_are_no_arrow_take_the_long_way(data: bytes) -> None:
    assert BULK.read(data) is None


@given(st.lists(st.integers(0, 3000), min_size=1, max_size=20), st.randoms(use_true_random=False))
def test_damaged_arrow_never_raises(places: list[int], dice: Any) -> None:
    damaged = bytearray(sent(people(20)))
    for place in places:
        damaged[place % len(damaged)] = dice.randrange(256)
    BULK.read(bytes(damaged))


def test_a_long_body_is_compressed() -> None:
    short, long = sent_rows(b"x" * 100, 1), sent_rows(b"x" * 100_000, 1)
    assert short is not None
    assert long is not None
    assert (short.encoding, long.encoding) == (SENT, SENT_COMPRESSED)
    assert len(long.body) < 1000


@pytest.mark.parametrize(
    "words", [("no", "yes"), ("", "ja"), ("Łódź", "Łódź"), ("", ""), ("not this", "this")]
)
def test_two_texts_stand_where_they_are_chosen(words: tuple[str, str]) -> None:
    yes = np.array([True, False, False, True])
    column = TwoTexts(*words).chosen(yes)
    column.validate(full=True)
    assert column.to_pylist() == [words[int(one)] for one in yes]
