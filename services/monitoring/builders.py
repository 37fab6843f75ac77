"""Who built what serves, as the ledger names them: nobody reviews an appeal against their own work.

Builders of a model version are the people whom its lines and those of its training job name, and those who
deployed, promoted or approved it. Services are no people.
"""

import json
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from services.monitoring import tables

SERVICES = frozenset({"boarfish", "ingestion", "training", "inference", "monitoring"})
_NAMING = ("requested_by", "trained_by", "registered_by", "approved_by", "promoted_by")
_LARGEST_READ = 10_000


def builders(connection: sa.Connection, model_version: str) -> dict[str, str]:
    """Who built a model version: each name as `same_name` makes it, with what they did (the ledger's action).

    Empty where the ledger names nobody.
    """
    table = tables.ledger
    lines = list(_lines(connection, table.c.subject.in_(_subjects("model_version", model_version))))
    jobs = {job for line in lines if (job := json.loads(line.details).get("training_job"))}
    for job in sorted(jobs):
        lines += _lines(connection, table.c.subject.in_(_subjects("training_job", job)))
    lines += _lines(
        connection,
        sa.and_(
            table.c.action.startswith("deployment.", autoescape=True),
            table.c.details.contains(f'"{model_version}"', autoescape=True),
        ),
    )
    found: dict[str, str] = {}
    for line in lines:
        for name in _people(line):
            found.setdefault(same_name(name), line.action)
    return found


def same_name(name: str) -> str:
    """A name without differences of case and of spaces."""
    return " ".join(name.split()).casefold()


def _people(line: Any) -> Iterator[str]:
    details = json.loads(line.details)
    for name in (line.actor, *(details.get(key) for key in _NAMING)):
        if isinstance(name, str) and name.strip() and same_name(name) not in SERVICES:
            yield name


def _lines(connection: sa.Connection, where: sa.ColumnElement[bool]) -> Iterator[Any]:
    table = tables.ledger
    query = sa.select(table.c.actor, table.c.action, table.c.details).where(where)
    yield from connection.execute(query.order_by(table.c.sequence).limit(_LARGEST_READ))


def _subjects(kind: str, identity: str) -> list[str]:
    return [f"{kind}/{identity}", f"{kind}s/{identity}"]
