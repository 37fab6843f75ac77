"""Tables of training's database: jobs and the model versions that they made.

Protos are kept serialised beside the columns that they are found by. Times are microseconds since 1970 (UTC).
"""

import sqlalchemy as sa

metadata = sa.MetaData()

job = sa.Table(
    "job",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True, comment="Order of coming."),
    sa.Column("id", sa.Text, nullable=False, unique=True),
    sa.Column("request_id", sa.Text, nullable=False, unique=True),
    sa.Column("request", sa.LargeBinary, nullable=False, comment="To tell a repeat from a mix-up."),
    sa.Column("task", sa.LargeBinary, nullable=False),
    sa.Column("dataset", sa.Text, nullable=False),
    sa.Column("dataset_version", sa.BigInteger, nullable=False),
    sa.Column("state", sa.Integer, nullable=False, index=True, comment="TrainingJobState."),
    sa.Column("error", sa.Text, nullable=False, default=""),
    sa.Column("progress", sa.LargeBinary, nullable=False, default=b""),
    sa.Column(
        "resume_count", sa.Integer, nullable=False, default=0, comment="Taken up again, for any cause."
    ),
    sa.Column("death_count", sa.Integer, nullable=False, default=0, comment="Its worker was killed."),
    sa.Column("create_time_us", sa.BigInteger, nullable=False),
    sa.Column("end_time_us", sa.BigInteger, nullable=True),
)

model_version = sa.Table(
    "model_version",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True, comment="Order of registering."),
    sa.Column("id", sa.Text, nullable=False, unique=True),
    sa.Column("job_id", sa.Text, sa.ForeignKey("job.id"), nullable=False),
    sa.Column("rank", sa.Integer, nullable=False, comment="0: the best of its job."),
    sa.Column("task_name", sa.Text, nullable=False, index=True),
    sa.Column("version", sa.LargeBinary, nullable=False, comment="The ModelVersion proto."),
    sa.UniqueConstraint("job_id", "rank"),
)
