"""`python -m services.inference` runs the inference service."""

import gc
import sys
from pathlib import Path

from boarfish.v1 import inference_pb2, inference_pb2_grpc
from inference import open_inference_pb2, open_inference_pb2_grpc

from services.common.channels import open_channel
from services.common.database import open_database
from services.common.outbox import Outbox
from services.common.server import Harness, run
from services.common.settings import read_settings
from services.inference.delivery import Deliverer
from services.inference.deployments import Deployments
from services.inference.open_inference import OpenInferenceService
from services.inference.prediction import Predictor
from services.inference.runtimes.torchserve_process import TorchServeProcess
from services.inference.service import InferenceService
from services.inference.settings import InferenceSettings
from services.inference.spool import Spool

GC_ALLOCATIONS = 50_000
SWITCH_INTERVAL_S = 0.0005


async def start(harness: Harness) -> None:
    """Loads the deployments and adds the services to the harness's server; ready when it returns."""
    settings = harness.settings
    assert isinstance(settings, InferenceSettings)
    engine = open_database(settings.database("inference"), Path(__file__).parent / "migrations")
    outbox = Outbox(engine)
    spool = Spool(
        settings.spool_path, max_bytes=settings.spool_max_bytes, segment_bytes=settings.spool_segment_bytes
    )
    torchserve = TorchServeProcess(
        settings.torchserve_path,
        java=settings.inference_java,
        start_within_s=settings.inference_torchserve_start_s,
    )
    deployments = Deployments(engine, outbox, spool, torchserve, settings=settings, spawn=harness.spawn)
    predictor = Predictor(
        spool,
        threads=settings.inference_threads,
        inline_rows=settings.inference_inline_rows,
        inline_s=settings.inference_inline_s,
    )
    ingestion = open_channel(settings.ingestion_address, settings)
    monitoring = open_channel(settings.monitoring_address, settings)

    async def stop() -> None:
        await deployments.drain()
        await torchserve.close()
        predictor.close()
        spool.close()
        await ingestion.close(None)
        await monitoring.close(None)
        engine.dispose()

    harness.on_stop(stop)
    await deployments.load()
    deliverer = Deliverer(spool, ingestion, batch_s=settings.spool_batch_s, sync_s=settings.spool_sync_s)
    harness.spawn(deliverer.sync(), "spool sync")
    harness.spawn(deliverer.deliver(), "spool delivery")
    harness.spawn(outbox.deliver({"boarfish.v1.MonitoringService": monitoring}), "outbox")
    harness.add_service(
        inference_pb2_grpc.add_InferenceServiceServicer_to_server,
        InferenceService(deployments, predictor, spool),  # type: ignore[abstract]  # some RPCs come later
        inference_pb2.DESCRIPTOR.services_by_name["InferenceService"],
    )
    harness.add_service(
        open_inference_pb2_grpc.add_GRPCInferenceServiceServicer_to_server,
        OpenInferenceService(deployments, predictor),
        open_inference_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"],
    )


async def _start_process(harness: Harness) -> None:
    """Starts, then takes what stays loaded out of the garbage collector's rounds.

    Calls come and go without cycles, so the collector may look seldom. What works behind the answers in other
    threads hands the interpreter back after a tenth of the usual time, so that an answer waits less for it.
    """
    await start(harness)
    gc.set_threshold(GC_ALLOCATIONS)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.collect()
    gc.freeze()


def main() -> None:
    """Runs until it is told to stop."""
    settings = read_settings(InferenceSettings)
    run("inference", settings.inference_address, settings, _start_process)


if __name__ == "__main__":
    main()
