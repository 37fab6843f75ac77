"""The face of training:

`TrainingService` of protos/boarfish/v1/training.proto over the book of jobs and its dispatcher.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from boarfish.errors import FieldViolation, InvalidArgument, NotFound
from boarfish.task_checks import check_task
from boarfish.v1 import task_pb2, training_pb2, training_pb2_grpc

from services.common.lake import Lake
from services.common.model_store import CURVE, FIGURES, ModelStore, resolve_prefix
from services.common.pages import next_token, page_size, position_of
from services.training import datasets
from services.training.curve import Curve
from services.training.dispatcher import Dispatcher
from services.training.feed import JobFeed
from services.training.job_folder import JobFolder
from services.training.jobs import ENDED, JobBook
from services.training.plan import NETS, planned_models
from services.training.rate_finder import RateFinder
from services.training.settings import TrainingSettings
from services.training.weights import find_weights

WATCH_INTERVAL_S = 0.1


class TrainingService(training_pb2_grpc.TrainingServiceServicer):
    """Answers the RPCs. The harness ends its watchers when the service stops."""

    def __init__(
        self, settings: TrainingSettings, book: JobBook, feed: JobFeed, dispatcher: Dispatcher, lake: Lake
    ) -> None:
        self._settings = settings
        self._book = book
        self._feed = feed
        self._dispatcher = dispatcher
        self._lake = lake
        self._store = ModelStore(settings.models_path)
        self._rate_finder = RateFinder(settings)

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
        version = self._check(request.dataset, request.dataset_version, request.task)
        return self._book.create(request, version.version)

    def _check(self, dataset: str, version: int, task: task_pb2.Task) -> datasets.DatasetVersion:
        """The dataset version on which `task` is to be learnt. Raises what is wrong with either."""
        if problems := check_task(task):
            raise InvalidArgument.of(*(FieldViolation(f"task.{field}", text) for field, text in problems))
        found = datasets.find_version(self._lake, dataset, version)
        datasets.check_columns(self._lake, dataset, task)
        lacking = []
        for planned in planned_models(task):
            try:
                if planned.weights:
                    find_weights(planned.weights, self._store, self._settings.weights_path)
            except NotFound as error:
                place = f"task.training.models[{planned.index}].{planned.name}.weights"
                lacking.append(FieldViolation(place, error.message))
        if lacking:
            raise InvalidArgument.of(*lacking)
        return found

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

    async def GetTrainingCurve(
        self, request: training_pb2.GetTrainingCurveRequest, context: Any
    ) -> training_pb2.GetTrainingCurveResponse:
        """What was measured after each epoch so far; nothing of a job that failed or was cancelled."""
        job = await self._job(request.id)
        points = await asyncio.to_thread(self._curve, job)
        return training_pb2.GetTrainingCurveResponse(points=points)

    def _curve(self, job: training_pb2.TrainingJob) -> list[training_pb2.CurvePoint]:
        folder = JobFolder(self._settings.jobs_path / job.id)
        points: list[training_pb2.CurvePoint] = []
        for planned in planned_models(job.task):
            path = folder.curve(planned.index, planned.name)
            points += Curve.open(path).messages(planned.index, planned.name)
        if points or job.state not in ENDED:
            return points
        for place, version in enumerate(job.model_versions):
            stored = self._store.get(version.id)
            if CURVE in stored.manifest.files:
                points += Curve.open(stored.path_of(CURVE)).messages(place, version.model)
        return points

    async def GetModelVersionFigures(
        self, request: training_pb2.GetModelVersionFiguresRequest, context: Any
    ) -> training_pb2.GetModelVersionFiguresResponse:
        """The looks inside a version; none for one that was made before they were."""

        def read() -> bytes:
            stored = self._store.get(request.id)
            return stored.read(FIGURES) if FIGURES in stored.manifest.files else b""

        return training_pb2.GetModelVersionFiguresResponse.FromString(await asyncio.to_thread(read))

    async def FindLearningRate(
        self, request: training_pb2.FindLearningRateRequest, context: Any
    ) -> training_pb2.FindLearningRateResponse:
        """Sweeps the rate of one net of a task."""
        count = len(request.task.training.models)
        if request.model_index >= count:
            right = f"is {request.model_index}; the plan has {count} models, counted from 0"
            raise InvalidArgument.of(FieldViolation("model_index", right))
        name = planned_models(request.task)[request.model_index].name
        if name not in NETS:
            right = f"is that of a {name}, which has no learning rate to find; choose a net"
            raise InvalidArgument.of(FieldViolation("model_index", right))
        version = await asyncio.to_thread(self._check, request.dataset, request.dataset_version, request.task)
        return await self._rate_finder.find(request, version.version)

    async def _job(self, identity: str) -> training_pb2.TrainingJob:
        running = self._feed.running(identity)
        return running if running is not None else await asyncio.to_thread(self._book.get, identity)
