"""The outbox's table alone."""

from alembic import op

from services.common import outbox

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Creates it."""
    outbox.create_table(op)
