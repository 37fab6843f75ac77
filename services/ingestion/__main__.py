"""`python -m services.ingestion` runs the ingestion service."""

from pathlib import Path

from boarfish.v1 import ingestion_pb2, ingestion_pb2_grpc

from services.common.database import open_database
from services.common.lake import Lake
from services.common.server import Harness, run
from services.ingestion.service import IngestionService
from services.ingestion.settings import IngestionSettings
from services.ingestion.writers import Writers


async def start(harness: Harness) -> None:
    """Adds the service to the harness's server."""
    settings = harness.settings
    assert isinstance(settings, IngestionSettings)
    engine = open_database(settings.database("ingestion"), Path(__file__).parent / "migrations")
    writers = Writers(engine, settings, harness.spawn)
    service = IngestionService(engine, Lake(settings.lake_path), writers)
    harness.add_service(
        ingestion_pb2_grpc.add_IngestionServiceServicer_to_server,
        service,
        ingestion_pb2.DESCRIPTOR.services_by_name["IngestionService"],
    )


def main() -> None:
    """Runs until it is told to stop."""
    settings = IngestionSettings()
    run("ingestion", settings.ingestion_address, settings, start)


if __name__ == "__main__":
    main()
