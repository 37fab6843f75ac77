"""A service's own database: opened, migrated forward, backed up before. SQLite, or Postgres by its URL.

Migrations are Alembic revisions in `services/<name>/migrations/versions`; there is no `alembic.ini`.
"""

import datetime as dt
import fcntl
import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from boarfish.errors import FailedPrecondition

from services.common.storage import writing_to

if TYPE_CHECKING:
    from alembic.script import ScriptDirectory

logger = logging.getLogger(__name__)


def open_database(url: str, migrations: Path, *, backup: bool = True) -> sa.Engine:
    """An engine on `url` whose schema is at the newest revision in `migrations`.

    An SQLite file that is due for migration is first copied beside itself (`name.db.20261124T101500.bak`).
    SQLite runs in WAL mode with `synchronous=FULL`: what is committed survives a power cut. Raises
    `FailedPrecondition` or `ResourceExhausted` that name the folder.
    """
    folder = database_folder(url)
    with writing_to(folder or "the database"):
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
            with _held(folder):
                _migrate(url, migrations, backup=backup)
        else:
            _migrate(url, migrations, backup=backup)
    engine = sa.create_engine(url)
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", _set_up_sqlite)
    return engine


@contextmanager
def write_transaction(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A transaction that reads and then writes: no other writer comes between.

    On SQLite it takes the write lock at once (`BEGIN IMMEDIATE`); `engine.begin()` takes it at the first
    write, so what was read before may be old by then. On Postgres it is SERIALIZABLE. Raises the errors of
    `writing_to` with the database's folder.
    """
    place = database_folder(engine.url) or engine.url.host or "the database"
    with writing_to(place), engine.connect() as connection:
        if engine.dialect.name != "sqlite":
            connection.execution_options(isolation_level="SERIALIZABLE")
        with connection.begin():
            if engine.dialect.name == "sqlite":
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection


def database_folder(url: str | sa.URL) -> Path | None:
    """The folder of an SQLite database; `None` for a server's."""
    parsed = sa.make_url(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database or parsed.database == ":memory:":
        return None
    return Path(parsed.database).parent


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Lets one process at a time migrate in `folder`: SQLite does not wait to switch to WAL mode."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _set_up_sqlite(connection: sqlite3.Connection, _: Any) -> None:
    for pragma in ("busy_timeout=10000", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _migrate(url: str, migrations: Path, *, backup: bool) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "alembic"))
    config.set_main_option("version_locations", str(migrations / "versions"))
    config.set_main_option("path_separator", "newline")
    scripts = ScriptDirectory.from_config(config)
    newest = scripts.get_current_head()
    engine = _migration_engine(url)
    try:
        present = _present_revision(engine)
        if present == newest:
            return
        _require_known(present, scripts, engine)
        if present is not None and backup and engine.dialect.name == "sqlite":
            _back_up(Path(str(engine.url.database)))
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    finally:
        engine.dispose()
    logger.info("database migrated", extra={"from": present, "to": newest})


def _migration_engine(url: str) -> sa.Engine:
    """On SQLite, one whose transactions hold the write lock and undo changes of the schema when they fail.

    Python's sqlite3 begins no transaction before DDL by itself; see "Serializable isolation / Savepoints /
    Transactional DDL" in SQLAlchemy's page on SQLite.
    """
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    if engine.dialect.name == "sqlite":

        @sa.event.listens_for(engine, "connect")
        def _connected(connection: sqlite3.Connection, _: Any) -> None:
            connection.isolation_level = None
            _set_up_sqlite(connection, _)

        @sa.event.listens_for(engine, "begin")
        def _begun(connection: sa.Connection) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _present_revision(engine: sa.Engine) -> str | None:
    from alembic.migration import MigrationContext

    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def _require_known(present: str | None, scripts: "ScriptDirectory", engine: sa.Engine) -> None:
    if present is None or present in {revision.revision for revision in scripts.walk_revisions()}:
        return
    place = engine.url.render_as_string(hide_password=True)
    raise FailedPrecondition(
        f"The database {place} is at revision {present}, which this version of Boarfish does not know: "
        "a newer one wrote it. Install that version again, or put back the backup that lies beside the file.",
        reason="DATABASE_TOO_NEW",
        metadata={"revision": present},
    )


def _back_up(source: Path) -> None:
    target = source.with_name(f"{source.name}.{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%S%f}.bak")
    unfinished = target.with_suffix(".part")
    with closing(sqlite3.connect(source)) as present, closing(sqlite3.connect(unfinished)) as copy:
        present.backup(copy)
    unfinished.replace(target)
    logger.info("database backed up", extra={"file": str(target)})
