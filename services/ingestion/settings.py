"""Settings of the ingestion service, read once in its entry point."""

from pydantic import Field

from services.common.settings import MIB, Settings


class IngestionSettings(Settings):
    """What every service reads, and how much ingestion keeps in memory and in small files."""

    queue_bytes: int = Field(
        default=256 * MIB,
        ge=MIB,
        description="Rows of one table waiting for the disk, in bytes; more are refused.",
    )
    group_rows: int = Field(default=200_000, ge=1, description="Most rows that one commit takes.")
    small_file_bytes: int = Field(default=16 * MIB, ge=0, description="A data file below this size is small.")
    small_file_limit: int = Field(
        default=64, ge=2, description="Small files of a table before they are put together."
    )
