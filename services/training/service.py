"""The face of training:

`TrainingService` of protos/boarfish/v1/training.proto over the book of jobs and its dispatcher.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from boarfish.errors import FieldViolation, InvalidArgument
from boarfish.task_checks import check_task
from boarfish.v1 import training_pb2, training_pb2_grpc

from services.common.lake import Lake
from services.common.model_store import resolve_prefix
from services.common.pages import next_token, page_size, position_of
from services.training import datasets
from services.training.dispatcher import Dispatcher
from services.training.feed import JobFeed
from services.training.jobs import ENDED, JobBook

WATCH_INTERVAL_S = 0.1


class TrainingService(training_pb2_grpc.TrainingServiceServicer):
    """Answers the RPCs. The harness ends its watchers when the service stops."""

    def __init__(self, book: JobBook, feed: JobFeed, dispatcher: Dispatcher, lake: Lake) -> None:
        self._book = book
        self._feed = feed
        self._dispatcher = dispatcher
        self._lake = lake

    async def CreateTrainingJob(
        self, request: training_pb2.CreateTrainingJobRequest, context: Any
    ) -> training_pb2.CreateTrainingJobResponse:
        """Queues a job, once for each request_id."""
        job = await asyncio.to_thread(self._create, request)
        self._dispatcher.wake()
        return training_pb2.CreateTrainingJobResponse(job=job)

    def _create(self, request: training_pb2.CreateTrainingJobRequest) -> training_pb2.TrainingJob:
        if (present := self._book.find_request(request)) is not None:
            return present
        if problems := check_task(request.task):
            raise InvalidArgument.of(*(FieldViolation(f"task.{field}", text) for field, text in problems))
        version = datasets.find_version(self._lake, request.dataset, request.dataset_version)
        datasets.check_columns(self._lake, request.dataset, request.task)
        return self._book.create(request, version.version)

    async def GetTrainingJob(
        self, request: training_pb2.GetTrainingJobRequest, context: Any
    ) -> training_pb2.GetTrainingJobResponse:
        """One job as it is now."""
        return training_pb2.GetTrainingJobResponse(job=await self._job(request.id))

    async def ListTrainingJobs(
        self, request: training_pb2.ListTrainingJobsRequest, context: Any
    ) -> training_pb2.ListTrainingJobsResponse:
        """Jobs, newest first, without model cards."""
        before = position_of(request, request.page_token)
        jobs, rest = await asyncio.to_thread(self._book.page, page_size(request.page_size), before)
        jobs = [self._feed.running(job.id) or job for job in jobs]
        return training_pb2.ListTrainingJobsResponse(jobs=jobs, next_page_token=next_token(request, rest))

    async def CancelTrainingJob(
        self, request: training_pb2.CancelTrainingJobRequest, context: Any
    ) -> training_pb2.CancelTrainingJobResponse:
        """Ends a job that has not ended, and answers when its worker is gone."""
        job = await asyncio.to_thread(self._book.cancel, request.id)
        self._feed.publish(job)
        await asyncio.shield(self._dispatcher.stop_worker(request.id))
        return training_pb2.CancelTrainingJobResponse(job=job)

    async def WatchTrainingJob(
        self, request: training_pb2.WatchTrainingJobRequest, context: Any
    ) -> AsyncIterator[training_pb2.WatchTrainingJobResponse]:
        """Streams a job's state: at once, then at most every 0.1 s as it changes, last when it has ended."""
        while True:
            change = self._feed.change(request.id)
            job = await self._job(request.id)
            yield training_pb2.WatchTrainingJobResponse(job=job)
            if job.state in ENDED:
                return
            await change.wait()
            await asyncio.sleep(WATCH_INTERVAL_S)

    async def ListModelVersions(
        self, request: training_pb2.ListModelVersionsRequest, context: Any
    ) -> training_pb2.ListModelVersionsResponse:
        """Model versions, newest first."""
        before = position_of(request, request.page_token)
        size = page_size(request.page_size)
        versions, rest = await asyncio.to_thread(self._book.version_page, request.task_name, size, before)
        token = next_token(request, rest)
        return training_pb2.ListModelVersionsResponse(model_versions=versions, next_page_token=token)

    async def GetModelVersion(
        self, request: training_pb2.GetModelVersionRequest, context: Any
    ) -> training_pb2.GetModelVersionResponse:
        """One model version by its id or an unambiguous prefix."""
        found = {one.id: one for one in await asyncio.to_thread(self._book.versions_starting, request.id)}
        return training_pb2.GetModelVersionResponse(
            model_version=found[resolve_prefix(request.id, list(found))]
        )

    async def _job(self, identity: str) -> training_pb2.TrainingJob:
        running = self._feed.running(identity)
        return running if running is not None else await asyncio.to_thread(self._book.get, identity)
