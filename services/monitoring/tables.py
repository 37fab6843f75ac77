"""Tables of monitoring's database: what has been counted, noticed, audited and contested, and the ledger.

Profiles, alerts, audits and appeals are kept as serialised protos beside the columns that they are found by.
Days are whole days since 1970-01-01 (UTC), times are microseconds since then. Everything that one batch of
events changes is written in one transaction, the cursors included, so that a batch is counted once however
the process ends.
"""

import sqlalchemy as sa

metadata = sa.MetaData()

cursor = sa.Table(
    "cursor",
    metadata,
    sa.Column("name", sa.Text, primary_key=True, comment="Table of the lake (profiles/all)."),
    sa.Column("sequence", sa.BigInteger, nullable=False, comment="Everything up to it is read."),
)

reference = sa.Table(
    "reference",
    metadata,
    sa.Column("model_version", sa.Text, primary_key=True),
    sa.Column("task", sa.LargeBinary, nullable=False),
    sa.Column("profile", sa.LargeBinary, nullable=False),
)

deployment = sa.Table(
    "deployment",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column(
        "prediction_sequence", sa.BigInteger, nullable=False, comment="Predictions up to it are counted."
    ),
    sa.Column("label_sequence", sa.BigInteger, nullable=False, comment="Labels up to it are counted."),
    sa.Column(
        "watermark_us", sa.BigInteger, nullable=False, comment="Newest event time of a prediction; -1: none."
    ),
    sa.Column(
        "label_watermark_us", sa.BigInteger, nullable=False, comment="Newest event time of a label; -1: none."
    ),
    sa.Column("champion", sa.Text, nullable=False, comment="Model version of the newest champion row."),
    sa.Column(
        "shadow", sa.Text, nullable=False, comment="Model version of the newest shadow row; empty: none."
    ),
)

waiting_version = sa.Table(
    "waiting_version",
    metadata,
    sa.Column("deployment", sa.Text, primary_key=True),
    sa.Column("model_version", sa.Text, primary_key=True),
    sa.Column(
        "after_sequence", sa.BigInteger, nullable=False, comment="Its rows after it wait for their reference."
    ),
    sa.Column("row_count", sa.BigInteger, nullable=False, comment="Rows that wait."),
)

day_profile = sa.Table(
    "day_profile",
    metadata,
    sa.Column("deployment", sa.Text, primary_key=True),
    sa.Column("model_version", sa.Text, primary_key=True),
    sa.Column("role", sa.Integer, primary_key=True, comment="PredictionRole."),
    sa.Column("day", sa.Integer, primary_key=True),
    sa.Column("revision", sa.BigInteger, nullable=False, comment="Grows by 1 with every change."),
    sa.Column("row_count", sa.BigInteger, nullable=False),
    sa.Column("labelled_count", sa.BigInteger, nullable=False),
    sa.Column("profile", sa.LargeBinary, nullable=False),
)
# Found without touching the profiles themselves.
sa.Index(
    "day_profile_counts",
    *(
        day_profile.c[name]
        for name in ("deployment", "model_version", "role", "day", "revision", "row_count")
    ),
    day_profile.c.labelled_count,
)

total_profile = sa.Table(
    "total_profile",
    metadata,
    sa.Column("deployment", sa.Text, primary_key=True),
    sa.Column("model_version", sa.Text, primary_key=True),
    sa.Column("role", sa.Integer, primary_key=True, comment="PredictionRole."),
    sa.Column("first_day", sa.Integer, nullable=False),
    sa.Column("last_day", sa.Integer, nullable=False),
    sa.Column("row_count", sa.BigInteger, nullable=False),
    sa.Column("labelled_count", sa.BigInteger, nullable=False),
    sa.Column("revision", sa.BigInteger, nullable=False, comment="Grows by 1 with every change."),
    sa.Column("profile", sa.LargeBinary, nullable=False, comment="All days merged."),
)

window_profile = sa.Table(
    "window_profile",
    metadata,
    sa.Column("deployment", sa.Text, primary_key=True),
    sa.Column("model_version", sa.Text, primary_key=True),
    sa.Column("role", sa.Integer, primary_key=True, comment="PredictionRole."),
    sa.Column("start_day", sa.Integer, primary_key=True),
    sa.Column("end_day", sa.Integer, primary_key=True, comment="Excluded."),
    sa.Column(
        "revision", sa.BigInteger, nullable=False, comment="Sum of its days' revisions when it was made."
    ),
    sa.Column("profile", sa.LargeBinary, nullable=False, comment="A cache: its days merged."),
    sa.Column(
        "window", sa.LargeBinary, nullable=False, comment="A cache: the Window proto without its profile."
    ),
)

watch_state = sa.Table(
    "watch_state",
    metadata,
    sa.Column("deployment", sa.Text, primary_key=True),
    sa.Column("model_version", sa.Text, primary_key=True),
    sa.Column("state", sa.Text, nullable=False, comment="JSON: sequential tests and what was looked at."),
)

alert = sa.Table(
    "alert",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True, comment="Order of opening."),
    sa.Column("id", sa.Text, nullable=False, unique=True),
    sa.Column("deployment", sa.Text, nullable=False, index=True),
    sa.Column("model_version", sa.Text, nullable=False),
    sa.Column("kind", sa.Integer, nullable=False, comment="AlertKind."),
    sa.Column("state", sa.Integer, nullable=False, index=True, comment="AlertState."),
    sa.Column("alert", sa.LargeBinary, nullable=False),
    sa.Column("track", sa.Text, nullable=False, comment="JSON: what detection must remember of it."),
)

audit = sa.Table(
    "audit",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True, comment="Order of writing."),
    sa.Column("id", sa.Text, nullable=False, unique=True),
    sa.Column("request_id", sa.Text, nullable=False, unique=True),
    sa.Column(
        "request", sa.LargeBinary, nullable=False, comment="The request, to tell a repeat from a mix-up."
    ),
    sa.Column("deployment", sa.Text, nullable=False, index=True),
    sa.Column("audit", sa.LargeBinary, nullable=False, comment="The Audit proto without report and html."),
    sa.Column("report", sa.Text, nullable=False, comment="JSON, as hashed."),
    sa.Column("html", sa.Text, nullable=False),
)

ledger = sa.Table(
    "ledger",
    metadata,
    sa.Column(
        "sequence", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=False
    ),
    sa.Column("record_time_us", sa.BigInteger, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False, index=True),
    sa.Column("subject", sa.Text, nullable=False, index=True),
    sa.Column("details", sa.Text, nullable=False, comment="Canonical JSON."),
    sa.Column("request_id", sa.Text, nullable=False, unique=True),
    sa.Column("previous_hash", sa.Text, nullable=False),
    sa.Column("hash", sa.Text, nullable=False),
)

acknowledgement = sa.Table(
    "acknowledgement",
    metadata,
    sa.Column("request_id", sa.Text, primary_key=True),
    sa.Column(
        "request", sa.LargeBinary, nullable=False, comment="The request, to tell a repeat from a mix-up."
    ),
)

appeal = sa.Table(
    "appeal",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True, comment="Order of filing."),
    sa.Column("id", sa.Text, nullable=False, unique=True),
    sa.Column("deployment", sa.Text, nullable=False, index=True),
    sa.Column("prediction_id", sa.Text, nullable=False, index=True),
    sa.Column("state", sa.Integer, nullable=False, index=True, comment="AppealState."),
    sa.Column("due_us", sa.BigInteger, nullable=False),
    sa.Column("delivered", sa.Boolean, nullable=False, comment="No corrected label is still to come."),
    sa.Column("groups", sa.Text, nullable=False, comment="JSON: the person's sensitive attributes as texts."),
    sa.Column("appeal", sa.LargeBinary, nullable=False, comment="The Appeal proto."),
)

appeal_request = sa.Table(
    "appeal_request",
    metadata,
    sa.Column("request_id", sa.Text, primary_key=True),
    sa.Column("appeal_id", sa.Text, nullable=False),
    sa.Column(
        "request", sa.LargeBinary, nullable=False, comment="The request, to tell a repeat from a mix-up."
    ),
)
