"""What ingestion's database says of one lake table: its commits, and the requests and spool offsets in each.

A commit is noted before it is made. The table itself says how many were made, so notes beyond that number do
not count; they stay until the next commit is noted in their place, in case the table is only out of reach.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from services.common.database import write_transaction
from services.ingestion import tables


@dataclass(frozen=True)
class Written:
    """Where a request's rows stand: the table's version that holds them, their number, and whether they
    stood there before.
    """

    last_sequence: int
    row_count: int
    duplicate: bool


class Notes:
    """The notes of one table. Its only writer alone calls this, from one thread at a time."""

    def __init__(self, table_name: str, engine: sa.Engine) -> None:
        self._name = table_name
        self._engine = engine

    def newest(self) -> int:
        """Number of the newest commit that was noted; 0 when there is none."""
        commits = tables.commits.c
        query = sa.select(sa.func.max(commits.number)).where(commits.table_name == self._name)
        with self._engine.connect() as connection:
            return int(connection.execute(query).scalar() or 0)

    def offsets(self, number: int) -> dict[str, int]:
        """How far each spool has come with commit `number`."""
        offsets = tables.offsets.c
        query = (
            sa.select(offsets.spool_id, sa.func.max(offsets.spool_offset))
            .where(offsets.table_name == self._name, offsets.commit_number <= number)
            .group_by(offsets.spool_id)
        )
        with self._engine.connect() as connection:
            return {spool: int(offset) for spool, offset in connection.execute(query)}

    def known(self, request_ids: Sequence[str], number: int) -> dict[str, Written]:
        """Those of `request_ids` that the commits up to `number` hold."""
        if not request_ids:
            return {}
        requests = tables.requests.c
        query = sa.select(tables.requests).where(
            requests.table_name == self._name,
            requests.request_id.in_(request_ids),
            requests.commit_number <= number,
        )
        with self._engine.connect() as connection:
            return {
                row.request_id: Written(row.last_sequence, row.row_count, duplicate=True)
                for row in connection.execute(query)
            }

    def add(
        self,
        number: int,
        last_sequence: int,
        requests: Mapping[str, Written],
        offsets: Mapping[str, int],
        *,
        again: bool,
    ) -> None:
        """Notes commit `number`. `again`: in place of one of that number that was not made.

        Raises the errors of `writing_to` with the database's folder.
        """
        commit = {
            "table_name": self._name,
            "number": number,
            "last_sequence": last_sequence,
            "create_time": dt.datetime.now(dt.UTC).replace(tzinfo=None),
        }
        rows = [
            {
                "table_name": self._name,
                "request_id": request_id,
                "commit_number": number,
                "last_sequence": written.last_sequence,
                "row_count": written.row_count,
            }
            for request_id, written in requests.items()
        ]
        with write_transaction(self._engine) as connection:
            if again:
                self._strike_out(connection, number)
            connection.execute(tables.commits.insert(), commit)
            if rows:
                connection.execute(tables.requests.insert(), rows)
            for spool_id, offset in offsets.items():
                self._add_offset(connection, number, spool_id, offset)

    def _strike_out(self, connection: sa.Connection, number: int) -> None:
        for table, column in (
            (tables.requests, tables.requests.c.commit_number),
            (tables.offsets, tables.offsets.c.commit_number),
            (tables.commits, tables.commits.c.number),
        ):
            connection.execute(table.delete().where(table.c.table_name == self._name, column >= number))

    def _add_offset(self, connection: sa.Connection, number: int, spool_id: str, offset: int) -> None:
        """The note before stays: it is the one that counts if the commit now noted is not made."""
        offsets = tables.offsets
        mine = (offsets.c.table_name == self._name) & (offsets.c.spool_id == spool_id)
        newest = connection.execute(sa.select(sa.func.max(offsets.c.commit_number)).where(mine)).scalar() or 0
        connection.execute(offsets.delete().where(mine, offsets.c.commit_number < newest))
        connection.execute(
            offsets.insert().values(
                table_name=self._name, spool_id=spool_id, commit_number=number, spool_offset=offset
            )
        )
