"""A service's own database: opened, migrated forward, backed up before that. SQLite by default, Postgres by its URL.

Migrations are Alembic revisions in `services/<name>/migrations/versions`; there is no `alembic.ini`.
"""

import datetime as dt
import logging
import sqlite3
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from services.common.storage import writing_to

logger = logging.getLogger(__name__)


def open_database(url: str, migrations: Path, *, backup: bool = True) -> sa.Engine:
    """An engine on `url` whose schema is at the newest revision in `migrations`.

    An SQLite file that is due for migration is first copied beside itself (`name.db.20261124T101500.bak`). SQLite runs in WAL mode with
    `synchronous=FULL`: what is committed survives a power cut. Raises `FailedPrecondition` or `ResourceExhausted` that name the folder.
    """
    folder = database_folder(url)
    with writing_to(folder or url):
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
        engine = sa.create_engine(url)
        if engine.dialect.name == "sqlite":
            sa.event.listen(engine, "connect", _set_up_sqlite)
        _migrate(engine, migrations, backup=backup)
    return engine


def database_folder(url: str) -> Path | None:
    """The folder of an SQLite database; `None` for a server's."""
    parsed = sa.make_url(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database or parsed.database == ":memory:":
        return None
    return Path(parsed.database).parent


def _set_up_sqlite(connection: sqlite3.Connection, _: Any) -> None:
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=10000"):
        connection.execute(f"PRAGMA {pragma}")


def _migrate(engine: sa.Engine, migrations: Path, *, backup: bool) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "alembic"))
    config.set_main_option("version_locations", str(migrations / "versions"))
    config.set_main_option("path_separator", "os")
    newest = ScriptDirectory.from_config(config).get_current_head()
    with engine.connect() as connection:
        present = MigrationContext.configure(connection).get_current_revision()
    if present == newest:
        return
    if present is not None and backup and engine.dialect.name == "sqlite":
        _back_up(engine)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    logger.info("database migrated", extra={"from": present, "to": newest})


def _back_up(engine: sa.Engine) -> None:
    source = Path(str(engine.url.database))
    target = source.with_name(f"{source.name}.{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%S}.bak")
    with sqlite3.connect(source) as present, sqlite3.connect(target) as copy:
        present.backup(copy)
    logger.info("database backed up", extra={"file": str(target)})
