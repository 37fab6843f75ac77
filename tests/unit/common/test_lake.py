"""The lake as readers see it: versions, pruning, order, and what is not there."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake

from services.common import lake as lake_module
from services.common.lake import Lake, LakeTable, TableKind


def add(root: Path, first: int, count: int, **more: list[Any]) -> None:
    """Rows `first` to `first + count - 1` as a commit."""
    sequence = list(range(first, first + count))
    rows = pa.table({"value": [f"v{number}" for number in sequence], **more, "_sequence": sequence})
    write_deltalake(str(root / "labels" / "some"), rows, mode="append", schema_mode="merge")


@pytest.fixture
def table(tmp_path: Path) -> LakeTable:
    for first in range(1, 41, 10):
        add(tmp_path, first, 10)
    return Lake(tmp_path).table(TableKind.LABELS, "some")


def test_nothing_is_there_yet(tmp_path: Path) -> None:
    table = Lake(tmp_path).table(TableKind.RECORDS, "none")
    assert not table.exists()
    assert table.last_sequence() == table.row_count() == table.row_count(5) == 0
    assert list(table.scan()) == []
    with pytest.raises(FileNotFoundError, match="no rows yet"):
        table.read()
    with pytest.raises(FileNotFoundError):
        table.schema()
    assert Lake(tmp_path).names(TableKind.RECORDS) == []


def test_a_table_is_seen_when_it_comes(tmp_path: Path) -> None:
    table = Lake(tmp_path).table(TableKind.LABELS, "some")
    assert not table.exists()
    add(tmp_path, 1, 3)
    assert table.last_sequence() == 3
    add(tmp_path, 4, 2, extra=[1, 2])
    assert table.last_sequence() == 5
    assert table.read()["extra"].to_pylist() == [None, None, None, 1, 2]
    assert Lake(tmp_path).names(TableKind.LABELS) == ["some"]


def test_versions_are_rows_up_to_a_sequence(table: LakeTable) -> None:
    assert table.last_sequence() == 40
    assert table.row_count(15) == 15
    assert table.row_count(99) == 40
    found = table.read(version=15, after=8)
    assert found["_sequence"].to_pylist() == list(range(9, 16))
    assert table.read(columns=["value"], version=2).to_pydict() == {"value": ["v1", "v2"]}


def test_rows_come_in_order_and_filtered(table: LakeTable) -> None:
    batches = list(table.scan(columns=["_sequence"], where=pc.field("value") != "v7", batch_size=4))
    assert all(batch.num_rows <= 4 for batch in batches)
    found = pa.Table.from_batches(batches)["_sequence"].to_pylist()
    assert found == [number for number in range(1, 41) if number != 7]


def test_files_without_such_rows_are_not_opened(table: LakeTable, tmp_path: Path) -> None:
    table.read()
    for path in (tmp_path / "labels" / "some").glob("*.parquet"):
        if pq.read_table(path)["_sequence"][0].as_py() < 31:
            path.unlink()
    assert table.read(after=30)["_sequence"].to_pylist() == list(range(31, 41))


def test_each_call_looks_at_the_log_once_and_only_when_it_has_grown(
    table: LakeTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table.read()
    looks: list[int] = []
    real = DeltaTable.update_incremental
    monkeypatch.setattr(DeltaTable, "update_incremental", lambda self: (looks.append(1), real(self)))
    table.read()
    table.last_sequence()
    assert looks == []
    add(tmp_path, 41, 1)
    looks.clear()
    assert table.read()["_sequence"].to_pylist() == list(range(1, 42))
    assert len(looks) == 1
    monkeypatch.setattr(lake_module, "REFRESH_AT_LEAST_S", -1.0)
    table.last_sequence()
    assert len(looks) == 2


def test_a_scan_under_way_sees_its_own_version(table: LakeTable, tmp_path: Path) -> None:
    batches = table.scan(columns=["_sequence"])
    first = next(batches)
    add(tmp_path, 41, 10)
    assert table.last_sequence() == 50
    rest = [row for batch in batches for row in batch.column(0).to_pylist()]
    assert first.column(0).to_pylist() + rest == list(range(1, 41))


def test_one_object_a_table_and_names_sorted(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    assert lake.table(TableKind.LABELS, "a") is lake.table(TableKind.LABELS, "a")
    (tmp_path / "labels" / "not-a-table").mkdir(parents=True)
    (tmp_path / "labels" / "first-commit-failed" / "_delta_log").mkdir(parents=True)
    assert not lake.table(TableKind.LABELS, "first-commit-failed").exists()
    for name in ("b", "a"):
        write_deltalake(str(tmp_path / "labels" / name), pa.table({"_sequence": [1]}))
    assert lake.names(TableKind.LABELS) == ["a", "b"]
