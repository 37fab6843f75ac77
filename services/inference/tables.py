"""Tables of inference's database: the deployments.

Requests are kept serialised, to tell a repeat from another wish for the same name. Times are microseconds
since 1970 (UTC).
"""

import sqlalchemy as sa

metadata = sa.MetaData()

deployment = sa.Table(
    "deployment",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("request_id", sa.Text, nullable=False, unique=True),
    sa.Column("request", sa.LargeBinary, nullable=False, comment="CreateDeploymentRequest as it came."),
    sa.Column("task", sa.LargeBinary, nullable=False, comment="Task that the versions were trained for."),
    sa.Column("champion_version", sa.Text, nullable=False),
    sa.Column("champion_runtime", sa.Integer, nullable=False, comment="RuntimeKind."),
    sa.Column("shadow_version", sa.Text, nullable=True),
    sa.Column("shadow_runtime", sa.Integer, nullable=True, comment="RuntimeKind."),
    sa.Column("rung", sa.Integer, nullable=False, comment="Rung."),
    sa.Column("create_time_us", sa.BigInteger, nullable=False),
)
