"""The learning-rate finder as a process of its own: started, awaited, and gone with its caller."""

import asyncio
import sys
import uuid

from boarfish.errors import FailedPrecondition, ResourceExhausted
from boarfish.v1 import training_pb2

from services.training.job_folder import JobFolder, Order
from services.training.settings import TrainingSettings
from services.training.worker_process import Failed, Found, WorkerProcess

RETRY_AFTER_S = 20.0


class RateFinder:
    """Sweeps one at a time: a sweep takes the cores that a job would. Used on the event loop's thread."""

    def __init__(self, settings: TrainingSettings) -> None:
        self._settings = settings
        self._sweeping = False

    async def find(
        self, request: training_pb2.FindLearningRateRequest, dataset_version: int
    ) -> training_pb2.FindLearningRateResponse:
        """Sweeps the rate of one model on a dataset version; ends with its caller.

        Raises:
            ResourceExhausted: another sweep runs.
            FailedPrecondition: the sweep cannot be done from these rows; says why.
        """
        if self._sweeping:
            raise ResourceExhausted(
                "Another learning-rate sweep is running: try again when it has ended.",
                retry_after_s=RETRY_AFTER_S,
                reason="SWEEP_RUNNING",
            )
        self._sweeping = True
        name = f"sweep-{uuid.uuid4().hex}"
        folder = JobFolder(self._settings.jobs_path / name)
        try:
            return await self._sweep(request, dataset_version, folder, name)
        finally:
            self._sweeping = False
            await asyncio.to_thread(folder.remove)

    async def _sweep(
        self,
        request: training_pb2.FindLearningRateRequest,
        dataset_version: int,
        folder: JobFolder,
        name: str,
    ) -> training_pb2.FindLearningRateResponse:
        settings = self._settings
        order = Order(
            job_id=name,
            dataset=request.dataset,
            dataset_version=dataset_version,
            lake=str(settings.lake_path),
            models=str(settings.models_path),
            mlflow=str(settings.mlflow_path),
            weights=str(settings.weights_path),
            threads=settings.worker_threads,
            find_rate_of=request.model_index,
        )
        await asyncio.to_thread(folder.write, order, request.task)
        command = [sys.executable, "-m", "services.training.worker", str(folder.path)]
        log = settings.job_logs_path / "sweeps.log"
        worker = await WorkerProcess.start(command, log, threads=order.threads)
        end = await worker.follow(_unheard)
        if isinstance(end, Found):
            return end.response
        reason = end.reason if isinstance(end, Failed) else f"The sweep did not end by itself. See {log}."
        raise FailedPrecondition(reason, reason="SWEEP_FAILED")


async def _unheard(progress: training_pb2.TrainingProgress) -> None:
    """A sweep tells of its progress by its answer alone."""
