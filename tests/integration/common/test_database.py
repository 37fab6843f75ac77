"""Databases on a real SQLite file: migrated forward, backed up first, whole again when a migration fails."""

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from boarfish.errors import FailedPrecondition

from services.common.database import open_database, write_transaction

FIRST = """
import sqlalchemy as sa
from alembic import op

revision, down_revision, branch_labels, depends_on = "0001", None, None, None


def upgrade() -> None:
    columns = sa.Column("id", sa.Integer, primary_key=True), sa.Column("text", sa.String, unique=True)
    op.create_table("note", *columns)
"""
SECOND = """
import sqlalchemy as sa
from alembic import op

revision, down_revision, branch_labels, depends_on = "0002", "0001", None, None


def upgrade() -> None:
    op.add_column("note", sa.Column("author", sa.String, server_default="nobody"))
    with op.batch_alter_table("note") as table:
        table.alter_column("text", nullable=False)
"""
BROKEN = SECOND.replace('"0002", "0001"', '"0003", "0002"').replace("author", "extra")
BROKEN += "    raise RuntimeError('half-way')\n"


@pytest.fixture
def migrations(tmp_path: Path) -> Path:
    folder = tmp_path / "migrations"
    (folder / "versions").mkdir(parents=True)
    (folder / "versions" / "0001_first.py").write_text(FIRST)
    return folder


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/state/notes.db"


def columns(engine: sa.Engine) -> set[str]:
    return {column["name"] for column in sa.inspect(engine).get_columns("note")}


def test_a_new_database_gets_every_table_and_no_backup(url: str, migrations: Path, tmp_path: Path) -> None:
    (migrations / "versions" / "0002_second.py").write_text(SECOND)
    engine = open_database(url, migrations)
    assert columns(engine) == {"id", "text", "author"}
    with engine.connect() as connection:
        pragma = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert pragma == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 10000}
    engine.dispose()
    assert list((tmp_path / "state").glob("*.bak")) == []


def test_a_due_migration_backs_the_file_up_first(url: str, migrations: Path, tmp_path: Path) -> None:
    engine = open_database(url, migrations)
    with engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO note (text) VALUES ('kept')")
    engine.dispose()
    open_database(url, migrations).dispose()
    assert list((tmp_path / "state").glob("*.bak")) == []

    (migrations / "versions" / "0002_second.py").write_text(SECOND)
    engine = open_database(url, migrations)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT text, author FROM note").all() == [("kept", "nobody")]
    engine.dispose()
    backups = list((tmp_path / "state").glob("*.bak"))
    assert len(backups) == 1
    with closing(sqlite3.connect(backups[0])) as backup:
        assert backup.execute("SELECT * FROM note").fetchall() == [(1, "kept")]


def test_a_migration_that_fails_leaves_the_database_as_it_was(url: str, migrations: Path) -> None:
    (migrations / "versions" / "0002_second.py").write_text(SECOND)
    open_database(url, migrations).dispose()
    (migrations / "versions" / "0003_broken.py").write_text(BROKEN)
    with pytest.raises(RuntimeError, match="half-way"):
        open_database(url, migrations)
    (migrations / "versions" / "0003_broken.py").unlink()
    engine = open_database(url, migrations)
    assert columns(engine) == {"id", "text", "author"}
    engine.dispose()


def test_a_database_of_a_newer_version_is_refused(url: str, migrations: Path) -> None:
    (migrations / "versions" / "0002_second.py").write_text(SECOND)
    open_database(url, migrations).dispose()
    (migrations / "versions" / "0002_second.py").unlink()
    with pytest.raises(FailedPrecondition, match="0002") as refused:
        open_database(url, migrations)
    assert refused.value.reason == "DATABASE_TOO_NEW"


def test_two_processes_may_open_it_at_once(url: str, migrations: Path) -> None:
    (migrations / "versions" / "0002_second.py").write_text(SECOND)
    failures: list[BaseException] = []

    def open_it() -> None:
        try:
            open_database(url, migrations).dispose()
        except BaseException as error:
            failures.append(error)

    Path(url.removeprefix("sqlite:///")).parent.mkdir()
    threads = [threading.Thread(target=open_it) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_write_transaction_lets_no_other_writer_between(url: str, migrations: Path) -> None:
    engine = open_database(url, migrations)

    def add_one() -> None:
        for _ in range(20):
            with write_transaction(engine) as connection:
                count = connection.exec_driver_sql("SELECT count(*) FROM note").scalar_one()
                connection.exec_driver_sql(f"INSERT INTO note (text) VALUES ('{count}')")

    threads = [threading.Thread(target=add_one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(DISTINCT text) FROM note").scalar_one() == 80

    def undo() -> None:
        with write_transaction(engine) as connection:
            connection.exec_driver_sql("DELETE FROM note")
            raise ValueError("undone")

    with pytest.raises(ValueError, match="undone"):
        undo()
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM note").scalar_one() == 80
    engine.dispose()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, migrations: Path) -> None:
    (tmp_path / "file").touch()
    # /sys refuses new folders to everyone, root included, whom a missing write bit would not stop.
    for folder in (tmp_path / "file" / "state", Path("/sys/boarfish")):
        with pytest.raises(FailedPrecondition, match=str(folder)):
            open_database(f"sqlite:///{folder}/notes.db", migrations)
