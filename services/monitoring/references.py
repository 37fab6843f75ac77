"""What each model version is compared with: its task and the profile of its held-out rows.

Training uploads them through ingestion into the lake's table `profiles/all`; monitoring copies each
reference into its database once, in the order of the table, and keeps the decoded form in memory. A
version's first reference stands: a later upload for the same version is ignored, so that what was compared
yesterday is compared with the same today.
"""

import threading
from dataclasses import dataclass

import sqlalchemy as sa
from boarfish.v1 import monitoring_pb2, profile_pb2, task_pb2

from audit.profiles.profile import Profile
from services.common import profiling
from services.common.lake import PROFILES, Lake, TableKind
from services.monitoring import comparison, tables

CURSOR = f"profiles/{PROFILES}"


@dataclass(frozen=True)
class Reference:
    """One model version's task and held-out rows, and the same rated as a window."""

    model_version: str
    task: task_pb2.Task
    profile: Profile
    window: monitoring_pb2.Window


class References:
    """All references that have come, by model version. Safe to use from several threads."""

    def __init__(self, engine: sa.Engine, lake: Lake) -> None:
        self._engine = engine
        self._table = lake.table(TableKind.PROFILES, PROFILES)
        self._decoded: dict[str, Reference] = {}
        self._lock = threading.Lock()

    def get(self, model_version: str) -> Reference | None:
        """The reference of `model_version`; None when it has not come yet."""
        with self._lock:
            if model_version not in self._decoded:
                with self._engine.connect() as connection:
                    row = connection.execute(
                        sa.select(tables.reference).where(tables.reference.c.model_version == model_version)
                    ).first()
                if row is None:
                    return None
                self._decoded[model_version] = _decode(row)
            return self._decoded[model_version]

    def refresh(self, connection: sa.Connection) -> list[str]:
        """Copies references that came since the last time, inside the caller's transaction.

        The versions that are new.
        """
        if not self._table.exists():
            return []
        read_to = connection.execute(
            sa.select(tables.cursor.c.sequence).where(tables.cursor.c.name == CURSOR)
        ).scalar()
        last = self._table.last_sequence()
        if last <= (read_to or 0):
            return []
        rows = self._table.read(
            version=last, after=read_to or 0, columns=["kind", "model_version", "profile", "task"]
        )
        fresh = []
        for row in rows.to_pylist():
            if row["kind"] != "REFERENCE" or not row["task"]:
                continue
            known = sa.select(tables.reference.c.model_version).where(
                tables.reference.c.model_version == row["model_version"]
            )
            if connection.execute(known).first() is None:
                connection.execute(
                    sa.insert(tables.reference).values(
                        model_version=row["model_version"], task=row["task"], profile=row["profile"]
                    )
                )
                fresh.append(row["model_version"])
        if read_to is None:
            connection.execute(sa.insert(tables.cursor).values(name=CURSOR, sequence=last))
        else:
            connection.execute(
                sa.update(tables.cursor).where(tables.cursor.c.name == CURSOR).values(sequence=last)
            )
        return fresh


def _decode(row: sa.Row[tuple[str, bytes, bytes]]) -> Reference:
    task = task_pb2.Task.FromString(row.task)
    profile = profiling.from_proto(profile_pb2.Profile.FromString(row.profile))
    return Reference(
        row.model_version, task, profile, comparison.reference_window(row.model_version, task, profile)
    )
