"""Runs the jobs: starts a worker process for each, follows it, and sees that every job ends with a reason.

Jobs run in the order in which they came, `training_parallel_jobs` at a time. A worker that is killed is
started again and goes on from its checkpoint; so are, when the service starts, the jobs that were running
when it ended. All state is in the book, so the service may be killed at any point.
"""

import asyncio
import logging
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar

from boarfish.errors import BoarfishError, FailedPrecondition, ResourceExhausted
from boarfish.v1 import training_pb2
from sqlalchemy.exc import OperationalError

from services.common.model_store import ModelStore, StoredModel
from services.training.compute import worker_command
from services.training.feed import JobFeed
from services.training.job_folder import JobFolder, Order
from services.training.jobs import QUEUED, RUNNING, JobBook
from services.training.plan import planned_models
from services.training.settings import TrainingSettings
from services.training.worker_process import End, Failed, Finished, Found, WorkerProcess

logger = logging.getLogger(__name__)

SAVE_INTERVAL_S = 2.0
RETRY_S = 1.0
PAUSE_AFTER_DEATH_S = 0.5

P = ParamSpec("P")
T = TypeVar("T")


class Dispatcher:
    """The jobs of one service. Used on the event loop's thread; the book is called on others."""

    def __init__(self, settings: TrainingSettings, book: JobBook, feed: JobFeed) -> None:
        self._settings = settings
        self._book = book
        self._feed = feed
        self._store = ModelStore(settings.models_path)
        self._running: dict[str, asyncio.Task[None]] = {}
        self._workers: dict[str, WorkerProcess] = {}
        self._wake = asyncio.Event()
        self._stopping = False

    async def run(self) -> None:
        """Runs jobs for ever."""
        await self._tidy_up()
        while True:
            self._wake.clear()
            if len(self._running) < self._settings.training_parallel_jobs:
                for job in await _persist(self._book.unfinished):
                    if len(self._running) >= self._settings.training_parallel_jobs or self._stopping:
                        break
                    if job.id not in self._running:
                        self._running[job.id] = asyncio.create_task(self._run(job), name=f"job {job.id}")
            await self._wake.wait()

    def wake(self) -> None:
        """Says that a job has come."""
        self._wake.set()

    async def stop_worker(self, job_id: str) -> None:
        """Stops the worker of a job that has been cancelled, where it has one: by word, and soon by force."""
        worker = self._workers.get(job_id)
        if worker is not None:
            await worker.stop(self._settings.training_stop_grace_s)

    async def stop(self) -> None:
        """Stops all workers; their jobs go on when the service is started again."""
        self._stopping = True
        await asyncio.gather(*(self.stop_worker(job_id) for job_id in list(self._workers)))
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    async def _tidy_up(self) -> None:
        """Removes the folders of jobs that ended as the service died."""
        folder = self._settings.jobs_path
        if folder.is_dir():
            unfinished = {job.id for job in await _persist(self._book.unfinished)}
            for path in folder.iterdir():
                if path.name not in unfinished:
                    await asyncio.to_thread(shutil.rmtree, path, ignore_errors=True)

    async def _run(self, job: training_pb2.TrainingJob) -> None:
        folder = JobFolder(self._settings.jobs_path / job.id)
        try:
            if await self._take_up(job):
                await self._work(job.id, folder)
        except Exception as error:
            logger.exception("job failed unexpectedly", extra={"job": job.id})
            reason = (
                error.message
                if isinstance(error, BoarfishError)
                else "The training service met something that was not foreseen; its log has the trace. "
                "Create the job again with a request_id of its own."
            )
            await _persist(self._book.fail, job.id, reason)
        finally:
            self._running.pop(job.id, None)
            ended = await _persist(self._book.get, job.id)
            if ended.state not in (QUEUED, RUNNING):
                await asyncio.to_thread(folder.remove)
                logger.info("job ended", extra={"job": job.id, "state": ended.state, "error": ended.error})
            self._feed.publish(ended)
            self._wake.set()

    async def _take_up(self, job: training_pb2.TrainingJob) -> bool:
        if job.state == QUEUED:
            return await _persist(self._book.begin, job.id)
        limit = self._settings.training_resume_limit
        return await _persist(self._book.resume, job.id, after_death=False, resume_limit=limit)

    async def _work(self, job_id: str, folder: JobFolder) -> None:
        """Runs workers until the job has ended or the service stops."""
        limit = self._settings.training_resume_limit
        while not self._stopping:
            job = await _persist(self._book.get, job_id)
            if job.state != RUNNING:
                return
            self._feed.publish(job)
            end = await self._run_worker(job, folder)
            assert not isinstance(end, Found), "a job's worker makes models"
            if isinstance(end, Finished):
                models = await asyncio.to_thread(self._read_models, end)
                await _persist(self._book.succeed, job_id, models)
                return
            if isinstance(end, Failed):
                await _persist(self._book.fail, job_id, end.reason)
                return
            if self._stopping or (await _persist(self._book.get, job_id)).state != RUNNING:
                return
            logger.warning("worker died", extra={"job": job_id, "how": end.how})
            if not await _persist(self._book.resume, job_id, after_death=True, resume_limit=limit):
                reason = (
                    f"The worker {end.how}, after it had been taken up again {limit} times. {end.advice} "
                    f"What it wrote is in {self._log_path(job_id)}."
                )
                await _persist(self._book.fail, job_id, reason)
                return
            await asyncio.sleep(PAUSE_AFTER_DEATH_S)

    async def _run_worker(self, job: training_pb2.TrainingJob, folder: JobFolder) -> End:
        settings = self._settings
        order = Order(
            job_id=job.id,
            dataset=job.dataset,
            dataset_version=job.dataset_version,
            lake=str(settings.lake_path),
            models=str(settings.models_path),
            mlflow=str(settings.mlflow_path),
            weights=str(settings.weights_path),
            threads=settings.worker_threads,
        )
        await asyncio.to_thread(folder.write, order, job.task)
        process_count = max((planned.process_count for planned in planned_models(job.task)), default=1)
        command = worker_command(settings, folder.path, process_count)
        worker = await WorkerProcess.start(command, self._log_path(job.id), threads=order.threads)
        self._workers[job.id] = worker
        try:
            # A cancel that came while the worker was being started found none to stop.
            if self._stopping or (await _persist(self._book.get, job.id)).state != RUNNING:
                await worker.stop(settings.training_stop_grace_s)
            return await worker.follow(_Progress(job.id, self._feed, self._book).tell)
        finally:
            del self._workers[job.id]

    def _read_models(self, end: Finished) -> list[StoredModel]:
        models = [self._store.get(identity) for identity in end.versions]
        for model in models:
            # Hashed and parsed here, where a damaged file fails the job, and not inside the transaction.
            _ = model.version, model.task, model.reference_profile if model.has_reference_profile else None
        return models

    def _log_path(self, job_id: str) -> Path:
        return self._settings.job_logs_path / f"{job_id}.log"


@dataclass
class _Progress:
    """Passes a worker's progress on: to watchers at once, to the book at a new stage or after a while."""

    job_id: str
    feed: JobFeed
    book: JobBook
    stage: str = ""
    saved_at: float = 0.0

    async def tell(self, progress: training_pb2.TrainingProgress) -> None:
        self.feed.publish_progress(self.job_id, progress)
        now = time.monotonic()
        if progress.stage == self.stage and now - self.saved_at < SAVE_INTERVAL_S:
            return
        self.stage, self.saved_at = progress.stage, now
        try:
            await asyncio.to_thread(self.book.save_progress, self.job_id, progress)
        except (BoarfishError, OperationalError):
            logger.warning("progress not saved", exc_info=True, extra={"job": self.job_id})


async def _persist(change: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """`change(...)` on another thread, tried until the disk takes it: what a job came to must not be lost."""
    while True:
        try:
            return await asyncio.to_thread(change, *args, **kwargs)
        except (ResourceExhausted, FailedPrecondition, OperationalError) as error:
            logger.error("the book of jobs cannot be written", extra={"error": str(error)})
            await asyncio.sleep(RETRY_S)
