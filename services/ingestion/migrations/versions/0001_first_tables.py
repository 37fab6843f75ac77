"""The first tables."""

from alembic import op

from services.ingestion.tables import metadata

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Makes datasets, commits, requests and offsets."""
    metadata.create_all(op.get_bind())
