"""Appeals, and ways to find what the ledger says of a subject."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Creates the tables; `services/monitoring/tables.py` says what they hold."""
    op.create_table(
        "appeal",
        sa.Column("number", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("deployment", sa.Text(), nullable=False),
        sa.Column("prediction_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Integer(), nullable=False),
        sa.Column("due_us", sa.BigInteger(), nullable=False),
        sa.Column("delivered", sa.Boolean(), nullable=False),
        sa.Column("groups", sa.Text(), nullable=False),
        sa.Column("appeal", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
        sa.UniqueConstraint("id"),
    )
    for column in ("deployment", "prediction_id", "state"):
        op.create_index(op.f(f"ix_appeal_{column}"), "appeal", [column], unique=False)
    op.create_table(
        "appeal_request",
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("appeal_id", sa.Text(), nullable=False),
        sa.Column("request", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("request_id"),
    )
    for column in ("subject", "action"):
        op.create_index(op.f(f"ix_ledger_{column}"), "ledger", [column], unique=False)
