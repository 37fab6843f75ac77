"""The datasets that there are: their tasks in ingestion's database, their versions in the lake."""

import datetime as dt

import sqlalchemy as sa
from boarfish.errors import AlreadyExists, NotFound
from boarfish.v1 import ingestion_pb2, task_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from services.common.database import write_transaction
from services.common.datasets import Dataset
from services.common.lake import Lake, TableKind
from services.ingestion import tables


class Catalogue:
    """Creates datasets and says what they are. Called from several threads."""

    def __init__(self, engine: sa.Engine, lake: Lake) -> None:
        self._engine = engine
        self._lake = lake
        self._datasets: dict[str, Dataset] = {}

    def create(self, name: str, task: task_pb2.Task) -> None:
        """Creates a dataset; one that is there with the same task is left as it is.

        Raises `AlreadyExists` when it is there with another task.
        """
        given = task.SerializeToString(deterministic=True)
        query = sa.select(tables.datasets.c.task).where(tables.datasets.c.name == name)
        with write_transaction(self._engine) as connection:
            present = connection.execute(query).scalar()
            if present is None:
                now = dt.datetime.now(dt.UTC).replace(tzinfo=None)
                connection.execute(tables.datasets.insert().values(name=name, task=given, create_time=now))
            elif present != given:
                raise AlreadyExists(
                    f"The dataset {name} is there already, with another task. Choose another name."
                )

    def names(self) -> list[str]:
        """Names of all datasets, sorted."""
        query = sa.select(tables.datasets.c.name).order_by(tables.datasets.c.name)
        with self._engine.connect() as connection:
            return list(connection.execute(query).scalars())

    def reader(self, name: str) -> Dataset:
        """The rows of a dataset; the same object for the same name."""
        return self._datasets.setdefault(name, Dataset(self._lake, name))

    def find(self, name: str) -> ingestion_pb2.Dataset:
        """A dataset as it is now.

        Raises `NotFound`, naming those that there are.
        """
        with self._engine.connect() as connection:
            row = connection.execute(sa.select(tables.datasets).where(tables.datasets.c.name == name)).first()
        if row is None:
            there = ", ".join(self.names()) or "none yet"
            raise NotFound(f"There is no dataset {name!r}. There are: {there}.")
        newest = self.reader(name).latest_version()
        dataset = ingestion_pb2.Dataset(
            name=name,
            latest_version=newest,
            row_count=self.reader(name).row_count(newest),
            create_time=_timestamp(row.create_time),
        )
        dataset.task.ParseFromString(row.task)
        return dataset

    def versions(self, name: str, before: int | None, limit: int) -> list[ingestion_pb2.DatasetVersion]:
        """The newest `limit` versions below `before`, newest first: one a commit of records or amendments."""
        reader = self.reader(name)
        newest = reader.latest_version()
        history = reader.history()
        records, amendments = history.split(newest if before is None else min(before - 1, newest))
        after = history.after
        found = [
            *(
                (history.version_of(sequence), time)
                for sequence, time in self._commits(TableKind.RECORDS, name, records, limit)
            ),
            *(
                (int(after[sequence - 1]) + sequence, time)
                for sequence, time in self._commits(TableKind.AMENDMENTS, name, amendments, limit)
            ),
        ]
        return [
            ingestion_pb2.DatasetVersion(
                dataset=name,
                version=version,
                row_count=reader.row_count(version),
                create_time=_timestamp(time),
            )
            for version, time in sorted(found, reverse=True)[:limit]
        ]

    def _commits(self, kind: TableKind, name: str, newest: int, limit: int) -> list[tuple[int, dt.datetime]]:
        """Last `_sequence` and time of the newest commits of a table up to row `newest`."""
        commits = tables.commits.c
        query = (
            sa.select(commits.last_sequence, commits.create_time)
            .where(commits.table_name == f"{kind}/{name}", commits.last_sequence <= newest)
            .order_by(commits.number.desc())
            .limit(limit)
        )
        with self._engine.connect() as connection:
            return [(row.last_sequence, row.create_time) for row in connection.execute(query)]


def _timestamp(moment: dt.datetime) -> Timestamp:
    value = Timestamp()
    value.FromDatetime(moment)
    return value
