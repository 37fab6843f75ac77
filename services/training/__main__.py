"""The training service as a process: `python -m services.training`."""

from pathlib import Path

from boarfish.v1 import training_pb2, training_pb2_grpc

from services.common.channels import open_channel
from services.common.database import open_database
from services.common.lake import Lake
from services.common.outbox import Outbox
from services.common.server import Harness, run
from services.training.dispatcher import Dispatcher
from services.training.feed import JobFeed
from services.training.jobs import JobBook
from services.training.service import TrainingService
from services.training.settings import TrainingSettings

NAME = "training"
MIGRATIONS = Path(__file__).parent / "migrations"


async def start(harness: Harness) -> None:
    """Opens the book, takes up the jobs that were running, and serves."""
    settings = harness.settings
    assert isinstance(settings, TrainingSettings)
    engine = open_database(settings.database(NAME), MIGRATIONS)
    outbox = Outbox(engine)
    book = JobBook(engine, outbox, queue_limit=settings.training_queue_limit)
    feed = JobFeed()
    dispatcher = Dispatcher(settings, book, feed)
    channels = {
        "boarfish.v1.MonitoringService": open_channel(settings.monitoring_address, settings),
        "boarfish.v1.IngestionService": open_channel(settings.ingestion_address, settings),
    }

    async def close() -> None:
        await dispatcher.stop()
        for channel in channels.values():
            await channel.close(None)
        engine.dispose()

    harness.on_stop(close)
    harness.add_service(
        training_pb2_grpc.add_TrainingServiceServicer_to_server,
        TrainingService(settings, book, feed, dispatcher, Lake(settings.lake_path)),  # type: ignore[abstract]  # some RPCs come later
        training_pb2.DESCRIPTOR.services_by_name["TrainingService"],
    )
    harness.spawn(outbox.deliver(channels), "outbox")
    harness.spawn(dispatcher.run(), "jobs")


def main() -> None:
    """Runs the service until it is told to stop."""
    settings = TrainingSettings()
    run(NAME, settings.training_address, settings, start)


if __name__ == "__main__":
    main()
