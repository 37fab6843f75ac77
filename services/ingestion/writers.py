"""The writers of all tables, one each, made when the first row for a table arrives."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from services.common.lake import TableKind
from services.ingestion.settings import IngestionSettings
from services.ingestion.writer import TableWriter

Spawn = Callable[[Coroutine[Any, Any, Any], str], "asyncio.Task[Any]"]


class Writers:
    """Gives each table its only writer. `spawn` runs a writer in the background until the service stops."""

    def __init__(self, engine: sa.Engine, settings: IngestionSettings, spawn: Spawn) -> None:
        self._engine = engine
        self._settings = settings
        self._spawn = spawn
        self._writers: dict[tuple[TableKind, str], TableWriter] = {}

    def of(self, kind: TableKind, name: str) -> TableWriter:
        """The writer of a table."""
        key = (kind, name)
        if key not in self._writers:
            folder = Path(self._settings.lake_path) / kind / name
            writer = TableWriter(f"{kind}/{name}", folder, self._engine, self._settings)
            self._writers[key] = writer
            self._spawn(writer.run(), f"writer {kind}/{name}")
        return self._writers[key]
