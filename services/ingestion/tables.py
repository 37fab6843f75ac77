"""Ingestion's own memory: datasets, and which requests stand in which commit of which table."""

import sqlalchemy as sa

metadata = sa.MetaData()

datasets = sa.Table(
    "datasets",
    metadata,
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("task", sa.LargeBinary, nullable=False),
    sa.Column("create_time", sa.DateTime, nullable=False),
)

# One row a commit of a lake table. `number` counts a table's commits and is also the Delta transaction's
# version.
commits = sa.Table(
    "commits",
    metadata,
    sa.Column("table_name", sa.String, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("last_sequence", sa.BigInteger, nullable=False),
    sa.Column("create_time", sa.DateTime, nullable=False),
)

# One row a request that a commit holds, so that the same request sent again is acknowledged and not written
# again.
requests = sa.Table(
    "requests",
    metadata,
    sa.Column("table_name", sa.String, primary_key=True),
    sa.Column("request_id", sa.String, primary_key=True),
    sa.Column("commit_number", sa.Integer, nullable=False),
    sa.Column("last_sequence", sa.BigInteger, nullable=False),
    sa.Column("row_count", sa.BigInteger, nullable=False),
)

# How far each spool has come in a table, by commit; the newest two commits of a spool are kept.
offsets = sa.Table(
    "offsets",
    metadata,
    sa.Column("table_name", sa.String, primary_key=True),
    sa.Column("spool_id", sa.String, primary_key=True),
    sa.Column("commit_number", sa.Integer, primary_key=True),
    sa.Column("spool_offset", sa.BigInteger, nullable=False),
)
