"""Runs the monitoring service: `python -m services.monitoring`."""

import threading
from functools import partial
from pathlib import Path

from boarfish.v1 import monitoring_pb2
from boarfish.v1.monitoring_pb2_grpc import add_MonitoringServiceServicer_to_server

from services.common.database import open_database
from services.common.lake import Lake
from services.common.server import Harness, run
from services.monitoring.appeal_watch import AppealWatch
from services.monitoring.appeals import Appeals
from services.monitoring.audits import Audits
from services.monitoring.checkpoints import Checkpoints, keep_signing, sign_or_log
from services.monitoring.consumer import Consumer
from services.monitoring.contested import ContestedPredictions
from services.monitoring.detection import Detection
from services.monitoring.gates import Gates
from services.monitoring.health import Health
from services.monitoring.references import References
from services.monitoring.service import MonitoringService, Parts
from services.monitoring.settings import MonitoringSettings
from services.monitoring.subscriptions import Subscriptions
from services.monitoring.windows import Windows
from services.monitoring.worker import Worker

NAME = "monitoring"
MIGRATIONS = Path(__file__).parent / "migrations"


async def start(harness: Harness) -> None:
    """Adds the service to `harness` and starts to follow the lake."""
    settings = harness.settings
    assert isinstance(settings, MonitoringSettings)
    engine = open_database(settings.database(NAME), MIGRATIONS)
    write_lock = threading.Lock()
    # The worker's thread and the calls' threads each have handles of their own on the lake's tables.
    lake = Lake(settings.lake_path)
    references = References(engine, lake)
    windows = Windows(engine, references, write_lock)
    contested = ContestedPredictions(Lake(settings.lake_path), references)
    parts = Parts(
        engine=engine,
        write_lock=write_lock,
        references=references,
        health=Health(engine, Lake(settings.lake_path), references, windows),
        windows=windows,
        audits=Audits(engine, references, windows, write_lock, settings.home / "audits"),
        gates=Gates(engine, references, windows),
        appeals=Appeals(engine, contested, write_lock, due_days=settings.appeal_due_days),
        subscriptions=Subscriptions(settings.watcher_limit),
        checkpoints=Checkpoints(engine, settings.home / "ledger"),
    )
    service = MonitoringService(parts)
    worker = Worker(
        lake,
        Consumer(engine, lake, references, write_lock, batch_rows=settings.monitoring_batch_rows),
        Detection(engine, references, write_lock),
        windows,
        service.publish,
        appeals=AppealWatch(engine, contested, write_lock),
        full_rows=settings.monitoring_batch_rows,
        poll_interval_s=settings.poll_interval_s,
        idle_interval_s=settings.idle_interval_s,
    )
    harness.add_service(
        add_MonitoringServiceServicer_to_server,
        service,
        monitoring_pb2.DESCRIPTOR.services_by_name["MonitoringService"],
    )
    harness.on_stop(partial(sign_or_log, parts.checkpoints))
    harness.on_stop(worker.stop)
    harness.spawn(worker.run(), "worker")
    harness.spawn(keep_signing(parts.checkpoints), "checkpoints")
    harness.spawn(_end_streams(harness, parts.subscriptions), "streams")


async def _end_streams(harness: Harness, subscriptions: Subscriptions) -> None:
    await harness.stopping.wait()
    subscriptions.end()


def main() -> None:
    """Reads the settings and serves until asked to stop."""
    settings = MonitoringSettings()
    run(NAME, settings.monitoring_address, settings, start)


if __name__ == "__main__":
    main()
