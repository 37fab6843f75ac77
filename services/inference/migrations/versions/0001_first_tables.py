"""The first tables of inference."""

from alembic import op

from services.common import outbox
from services.inference.tables import metadata

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Creates every table as it stands in the first release."""
    metadata.create_all(op.get_bind())
    outbox.create_table(op)
