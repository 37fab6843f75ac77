"""The writer of a lake table: groups, duplicates, offsets, evolving columns, bounds and disks that fail."""

import asyncio
import errno
import os
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pyarrow as pa
import pytest
import sqlalchemy as sa
from boarfish.errors import FailedPrecondition, InvalidArgument, ResourceExhausted, to_status
from deltalake.exceptions import TableNotFoundError
from google.rpc import error_details_pb2

from services.common.database import open_database
from services.common.lake import Lake, LakeTable, TableKind
from services.common.storage import ROWS_MISSING
from services.ingestion import delta, delta_log, tables, writer
from services.ingestion.notes import Notes, Written
from services.ingestion.settings import IngestionSettings
from services.ingestion.writer import Spooled, TableWriter

MIGRATIONS = Path(delta.__file__).parent / "migrations"


class Bench:
    """A writer over a folder of its own, and a reader beside it."""

    def __init__(self, home: Path, **changes: Any) -> None:
        self.settings = IngestionSettings(home=home, **changes)
        self.folder = self.settings.lake_path / "labels" / "some"
        self._tasks: list[asyncio.Task[None]] = []
        self._engines: list[sa.Engine] = []
        self.start()

    def start(self) -> None:
        """A writer as after a restart."""
        engine = open_database(self.settings.database("ingestion"), MIGRATIONS)
        self.engine = engine
        self._engines.append(engine)
        self.writer = TableWriter("labels/some", self.folder, engine, self.settings)
        self._tasks.append(asyncio.create_task(self.writer.run()))

    async def stop(self) -> None:
        """Ends every writer."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for engine in self._engines:
            engine.dispose()
        self._tasks, self._engines = [], []

    @property
    def table(self) -> LakeTable:
        """The table as readers see it."""
        return Lake(self.settings.lake_path).table(TableKind.LABELS, "some")

    def values(self) -> list[Any]:
        """The column `value`, having checked `_sequence`."""
        rows = self.table.read()
        assert rows["_sequence"].to_pylist() == list(range(1, rows.num_rows + 1))
        return list(rows["value"].to_pylist())


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    made = Bench(tmp_path)
    yield made
    await made.stop()


def rows(*values: str, **more: list[Any]) -> pa.Table:
    return pa.table({"value": list(values), **more})


async def test_what_arrives_together_goes_in_one_commit(bench: Bench) -> None:
    puts = [bench.writer.put(f"request-{number}", rows(str(number), "x")) for number in range(20)]
    written = await asyncio.gather(*puts)
    assert [one.last_sequence for one in written] == list(range(2, 41, 2))
    assert bench.values() == [text for number in range(20) for text in (str(number), "x")]
    with bench.engine.connect() as connection:
        assert len(connection.execute(sa.select(tables.commits)).all()) <= 2


async def test_a_group_takes_no_more_rows_than_it_may(tmp_path: Path) -> None:
    bench = Bench(tmp_path, group_rows=3)
    await asyncio.gather(*(bench.writer.put(str(number), rows("a", "b")) for number in range(4)))
    with bench.engine.connect() as connection:
        assert len(connection.execute(sa.select(tables.commits)).all()) == 4
    await bench.stop()


async def test_the_same_request_is_written_once(bench: Bench) -> None:
    first, second = await asyncio.gather(
        bench.writer.put("one", rows("a")), bench.writer.put("one", rows("a"))
    )
    assert (first, second) == (Written(1, 1, duplicate=False), Written(1, 1, duplicate=True))
    await bench.writer.put("two", rows("b"))
    await bench.stop()
    bench.start()
    assert await bench.writer.put("one", rows("a")) == Written(1, 1, duplicate=True)
    assert bench.values() == ["a", "b"]


async def test_spool_offsets_are_written_once_and_per_spool(bench: Bench) -> None:
    stream = Spooled()
    await bench.writer.put_spooled(stream, "left", 7, rows("a"))
    await bench.writer.put_spooled(stream, "left", 9, rows("b"))
    await bench.writer.put_spooled(Spooled(), "right", 1, rows("c"))
    assert (await bench.writer.put_spooled(Spooled(), "left", 9, rows("b"))).duplicate
    await bench.stop()
    bench.start()
    assert (await bench.writer.put_spooled(Spooled(), "left", 8, rows("a"))).duplicate
    assert not (await bench.writer.put_spooled(Spooled(), "left", 10, rows("d"))).duplicate
    assert bench.values() == ["a", "b", "c", "d"]


async def test_while_a_table_is_held_nothing_is_written(bench: Bench) -> None:
    async with bench.writer.held() as last:
        assert last == 0
    await bench.writer.put("one", rows("a", "b"))
    async with bench.writer.held() as last:
        assert last == 2
        put = asyncio.create_task(bench.writer.put("two", rows("c")))
        await asyncio.sleep(0.1)
        assert not put.done()
        assert bench.values() == ["a", "b"]
    assert await put == Written(3, 1, duplicate=False)
    await bench.stop()
    bench.start()
    async with bench.writer.held() as last:  # as after a restart: the disk is looked at first
        assert last == 3


async def test_columns_may_come_later(bench: Bench) -> None:
    await bench.writer.put("one", rows("a"))
    await bench.writer.put("two", rows("b", extra=[4]))
    await bench.writer.put("three", rows("c"))
    await bench.stop()
    bench.start()
    await bench.writer.put("four", rows("d", extra=[5]))
    found = bench.table.read()
    assert found["extra"].to_pylist() == [None, 4, None, 5]
    assert bench.values() == ["a", "b", "c", "d"]
    assert found.schema.field("extra").type == pa.int64()


async def test_a_column_of_another_type_is_refused_alone(bench: Bench) -> None:
    await bench.writer.put("one", rows("a"))
    answers = await asyncio.gather(
        bench.writer.put("two", pa.table({"value": [3]})),
        bench.writer.put("three", rows("b")),
        return_exceptions=True,
    )
    assert isinstance(answers[0], InvalidArgument)
    assert answers[0].violations[0].field == "value"
    assert answers[1] == Written(2, 1, duplicate=False)
    assert bench.values() == ["a", "b"]


async def test_a_full_queue_says_when_to_come_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path, queue_bytes=1024 * 1024)
    big = pa.table({"value": ["x" * 400_000]})
    answers = await asyncio.gather(
        *(bench.writer.put(str(number), big) for number in range(6)), return_exceptions=True
    )
    refused = [answer for answer in answers if isinstance(answer, ResourceExhausted)]
    assert len(refused) == 4
    status = to_status(refused[0])
    details = [one for one in status.details if one.Is(error_details_pb2.RetryInfo.DESCRIPTOR)]
    assert len(details) == 1
    await bench.writer.put("5", big)  # the queue is empty again
    assert bench.table.row_count() == 3
    await bench.stop()


async def test_after_a_failed_offset_nothing_of_the_stream_is_taken(tmp_path: Path) -> None:
    bench = Bench(tmp_path, queue_bytes=1024 * 1024)
    stream = Spooled()
    big = pa.table({"value": ["x" * 600_000]})
    answers = await asyncio.gather(
        bench.writer.put_spooled(stream, "spool", 1, big),
        bench.writer.put_spooled(stream, "spool", 2, big),
        bench.writer.put_spooled(stream, "spool", 3, rows("small")),
        return_exceptions=True,
    )
    assert not isinstance(answers[0], Exception)
    assert isinstance(answers[1], ResourceExhausted)
    assert isinstance(answers[2], ResourceExhausted)
    again = Spooled()
    for offset, part in ((2, rows("second")), (3, rows("small"))):
        assert not (await bench.writer.put_spooled(again, "spool", offset, part)).duplicate
    assert bench.values()[1:] == ["second", "small"]
    await bench.stop()


@pytest.mark.parametrize(
    ("number", "kind", "code"),
    [
        (errno.ENOSPC, ResourceExhausted, grpc.StatusCode.RESOURCE_EXHAUSTED),
        (errno.EROFS, FailedPrecondition, grpc.StatusCode.FAILED_PRECONDITION),
        (errno.EACCES, FailedPrecondition, grpc.StatusCode.FAILED_PRECONDITION),
    ],
)
@pytest.mark.parametrize("place", ["data", "log", "link"])
async def test_a_disk_that_fails_is_named_and_the_writer_goes_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, *, number: int, kind: type, code: Any, place: str
) -> None:
    await bench.writer.put("one", rows("a"))

    def fails(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as broken:
        if place == "data":
            broken.setattr(delta.pq, "ParquetWriter", fails)
        elif place == "log":
            broken.setattr(delta_log.os, "fsync", fails)
        else:
            broken.setattr(delta_log.os, "link", fails)
        with pytest.raises(kind) as caught:
            await bench.writer.put("two", rows("b"))
    assert caught.value.code == code  # type: ignore[attr-defined]
    assert str(bench.folder) in str(caught.value)
    assert await bench.writer.put("two", rows("b")) == Written(2, 1, duplicate=False)
    assert bench.values() == ["a", "b"]
    assert not list((bench.folder / "_delta_log").glob(".*.tmp"))
    assert len(list(bench.folder.glob("part-*"))) == 2


async def test_a_commit_that_was_made_but_not_synced_is_not_made_twice(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.writer.put("one", rows("a"))
    with monkeypatch.context() as broken:

        def fails(_: Path) -> None:
            raise OSError(errno.EDQUOT, "quota")

        real = delta_log.sync
        broken.setattr(
            delta_log, "sync", lambda path: fails(path) if path.name == "_delta_log" else real(path)
        )
        with pytest.raises(ResourceExhausted):
            await bench.writer.put("two", rows("b"))
    assert await bench.writer.put("two", rows("b")) == Written(2, 1, duplicate=True)
    assert bench.values() == ["a", "b"]


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("commits", [1, 3])
async def test_a_folder_that_is_away_for_a_while_costs_nothing(
    bench: Bench, *, commits: int, restarted: bool
) -> None:
    for number in range(commits):
        await bench.writer.put(str(number), rows(str(number)))
    away = bench.folder.with_name("away")
    bench.folder.rename(away)
    if restarted:
        await bench.stop()
        bench.start()
    for _ in range(2):
        with pytest.raises(FailedPrecondition, match="lacks rows that were acknowledged") as caught:
            await bench.writer.put("new", rows("new"))
        assert caught.value.reason == ROWS_MISSING
        assert str(bench.folder) in caught.value.message
    assert not bench.folder.exists()
    away.rename(bench.folder)
    assert (await bench.writer.put("0", rows("0"))).duplicate
    assert not (await bench.writer.put("new", rows("new"))).duplicate
    assert bench.values() == [*map(str, range(commits)), "new"]


async def test_a_table_that_has_lost_its_newest_commits_is_left_alone(bench: Bench) -> None:
    for number in range(4):
        await bench.writer.put(str(number), rows(str(number)))
    await bench.stop()
    log = bench.folder / "_delta_log"
    for version in (2, 3):
        (log / f"{version:020d}.json").rename(log / f"{version}.away")
    bench.start()
    with pytest.raises(FailedPrecondition, match="holds 2 commits of at least 3"):
        await bench.writer.put("new", rows("new"))
    for version in (2, 3):
        (log / f"{version}.away").rename(log / f"{version:020d}.json")
    assert await bench.writer.put("new", rows("new")) == Written(5, 1, duplicate=False)
    assert (await bench.writer.put("3", rows("3"))).duplicate


async def test_a_folder_that_may_not_be_read_is_not_taken_for_a_new_table(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.writer.put("one", rows("a"))
    await bench.stop()
    bench.start()

    def not_found(_: str) -> None:
        raise TableNotFoundError("does not exist or you don't have access")

    def shut(path: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    with monkeypatch.context() as broken:
        broken.setattr(delta, "DeltaTable", not_found)
        broken.setattr(delta, "has_entries", shut)
        with pytest.raises(FailedPrecondition, match="cannot be written"):
            await bench.writer.put("one", rows("a"))
    assert (await bench.writer.put("one", rows("a"))).duplicate
    assert bench.values() == ["a"]


async def test_a_database_that_cannot_be_written_is_named_and_leaves_no_file_behind(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.writer.put("one", rows("a"))

    def full(*_: Any) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(Notes, "_add_offset", full)
        with pytest.raises(ResourceExhausted) as caught:
            await bench.writer.put_spooled(Spooled(), "spool", 1, rows("b"))
    assert caught.value.metadata["folder"] == str(bench.settings.home)
    assert len(list(bench.folder.glob("part-*"))) == 1
    assert not (await bench.writer.put_spooled(Spooled(), "spool", 1, rows("b"))).duplicate
    assert bench.values() == ["a", "b"]


async def test_many_requests_go_in_groups_that_a_query_can_name(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "MOST_PUTS", 10)
    await asyncio.gather(*(bench.writer.put(str(number), rows(str(number))) for number in range(25)))
    assert bench.values() == [str(number) for number in range(25)]
    with bench.engine.connect() as connection:
        assert len(connection.execute(sa.select(tables.commits)).all()) == 3


async def test_a_notice_without_a_commit_is_struck_out(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    await bench.writer.put("one", rows("a"))
    with monkeypatch.context() as broken:

        def dies(*_: Any) -> None:
            raise OSError(errno.ENOSPC, "full")

        broken.setattr(delta.DeltaFile, "commit", dies)
        with pytest.raises(ResourceExhausted):
            await bench.writer.put("two", rows("b"))
    await bench.stop()
    bench.start()
    assert await bench.writer.put("two", rows("b")) == Written(2, 1, duplicate=False)


async def test_one_poisoned_put_does_not_take_the_others_along(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = delta.DeltaFile.prepare

    def fails_for_poison(self: delta.DeltaFile, table: pa.Table) -> delta.Prepared:
        if "poison" in table["value"].to_pylist():
            raise RuntimeError("cannot be written")
        return real(self, table)

    monkeypatch.setattr(delta.DeltaFile, "prepare", fails_for_poison)
    answers = await asyncio.gather(
        bench.writer.put("one", rows("a")),
        bench.writer.put("two", rows("poison")),
        bench.writer.put("three", rows("c")),
        return_exceptions=True,
    )
    assert isinstance(answers[1], RuntimeError)
    assert bench.values() == ["a", "c"]


async def test_compaction_keeps_rows_order_and_versions(tmp_path: Path) -> None:
    bench = Bench(tmp_path, small_file_limit=4)
    for number in range(30):
        more = {"extra": [number]} if number > 10 else {}
        await bench.writer.put(str(number), rows(str(number), **more))
    assert bench.values() == [str(number) for number in range(30)]
    assert bench.table.read(version=12, after=10)["value"].to_pylist() == ["10", "11"]
    live = list(bench.folder.glob("part-*.parquet"))
    assert len(live) > 30  # the replaced ones stay for readers that have them open
    await bench.stop()
    bench.start()
    assert (await bench.writer.put("3", rows("3"))).duplicate
    await bench.writer.put("new", rows("30"))
    assert bench.values() == [str(number) for number in range(31)]
    await bench.stop()


async def test_replaced_files_go_when_readers_are_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delta, "KEEP_REMOVED_S", -1.0)
    bench = Bench(tmp_path, small_file_limit=2)
    for number in range(12):
        await bench.writer.put(str(number), rows(str(number)))
    await bench.writer.put("last", rows("last"))
    await asyncio.sleep(0.05)
    assert len(list(bench.folder.glob("part-*.parquet"))) <= 4
    assert bench.values() == [*map(str, range(12)), "last"]
    await bench.stop()


async def test_the_log_is_summed_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delta, "CHECKPOINT_EVERY", 5)
    bench = Bench(tmp_path)
    reader = bench.table
    for number in range(13):
        await bench.writer.put(str(number), rows(str(number)))
        assert reader.last_sequence() == number + 1
    log = bench.folder / "_delta_log"
    assert (log / "_last_checkpoint").is_file()
    assert list(log.glob("*.checkpoint.parquet"))
    await bench.stop()
    bench.start()
    await bench.writer.put("13", rows("13"))
    assert bench.values() == [str(number) for number in range(14)]
    await bench.stop()


async def test_a_second_writer_is_noticed(bench: Bench) -> None:
    await bench.writer.put("one", rows("a"))
    delta_log.append_entry(bench.folder, 1, "OTHER", [])
    with pytest.raises(FileExistsError):
        await bench.writer.put("two", rows("b"))
    assert await bench.writer.put("two", rows("b")) == Written(2, 1, duplicate=False)


async def test_times_that_no_one_can_name_do_no_harm(bench: Bench) -> None:
    far = pa.array([2**62], pa.timestamp("us", "UTC"))
    await bench.writer.put("one", pa.table({"value": ["a"], "event_time": far}))
    assert bench.table.row_count() == 1
