"""Versions of a dataset: any order of records and amendments reads like a plain list that is changed."""

from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from services.common.datasets import AMENDMENTS, Changes, History
from services.common.lake import SEQUENCE

READ = ["record", "after", "column", "label"]
PUT = st.integers(1, 4)
AMEND = st.lists(st.tuples(st.integers(0, 30), st.sampled_from(["a", "b", None])), min_size=1, max_size=4)


class Plain:
    """A dataset as a list; `versions[v]` is what version v must read like: label by record."""

    def __init__(self) -> None:
        self.rows: dict[int, str] = {}
        self.versions: list[dict[int, str]] = [{}]
        self.record_count = 0
        self.first_version: list[int] = []
        self.amendments: list[dict[str, Any]] = []

    def put(self, count: int) -> None:
        for _ in range(count):
            self.record_count += 1
            self.rows[self.record_count] = "new"
            self.first_version.append(len(self.versions))
            self.versions.append(dict(self.rows))

    def amend(self, wishes: list[tuple[int, str | None]]) -> None:
        after = self.record_count
        for wish, label in wishes:
            if not self.rows:
                return
            record = sorted(self.rows)[wish % len(self.rows)]
            row = {"record": record, "after": after, "column": "works", "label": label}
            self.amendments.append(row)
            if label is None:
                del self.rows[record]
            else:
                self.rows[record] = label
            self.versions.append(dict(self.rows))

    def history(self) -> History:
        schema = pa.schema([AMENDMENTS.field(name) for name in READ])
        return History(pa.Table.from_pylist(self.amendments, schema=schema))

    def records(self) -> pa.RecordBatch:
        sequence = np.arange(1, self.record_count + 1)
        return pa.record_batch({SEQUENCE: sequence, "works": pa.repeat("new", len(sequence))})


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(PUT, AMEND), min_size=1, max_size=12))
def test_every_version_reads_like_a_plain_list(steps: list[int | list[tuple[int, str | None]]]) -> None:
    plain = Plain()
    for step in steps:
        plain.put(step) if isinstance(step, int) else plain.amend(step)
    history, batch = plain.history(), plain.records()
    for version, expected in enumerate(plain.versions):
        records, count = history.split(version)
        changed = history.changes(count).apply(batch.slice(0, records))
        assert dict(zip(changed[SEQUENCE].to_pylist(), changed["works"].to_pylist(), strict=True)) == expected
        assert records - len(history.deleted(count)) == len(expected)
    for record, version in enumerate(plain.first_version, 1):
        assert history.version_of(record) == version


def test_numbers_are_relabelled_in_the_columns_type_and_others_are_left_alone() -> None:
    changes = Changes(np.array([2]), np.array([1, 9]), pa.array(["0.25", "7"]), "price")
    batch = pa.record_batch({SEQUENCE: [1, 2, 3], "price": [1.5, 2.5, None], "town": ["x", "y", "z"]})
    changed = changes.apply(batch)
    assert changed.to_pylist() == [
        {SEQUENCE: 1, "price": 0.25, "town": "x"},
        {SEQUENCE: 3, "price": None, "town": "z"},
    ]
    assert changed.schema == batch.schema
    assert changes.apply(batch.select([SEQUENCE, "town"]))["town"].to_pylist() == ["x", "z"]
