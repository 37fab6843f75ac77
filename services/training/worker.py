"""The worker, `python -m services.training.worker FOLDER`: a process that makes one job's model versions.

Rows are read from the lake, split, and each model of the plan is fitted, evaluated, exported, checked
against ONNX Runtime and staged in the job's folder; then all are added to the model store and logged to
MLflow. Whatever is staged is not made again, so a worker that was killed goes on where it was. The worker
writes no database but MLflow's: the service ends the job.

It reports by lines on its standard output (`job_folder.Report`), writes its log to standard error, stops on
SIGTERM and dies with the service.
"""

import logging
import math
import os
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from boarfish.errors import BoarfishError, FieldViolation, InvalidArgument
from boarfish.v1 import training_pb2

from services.common.lake import Lake
from services.common.model_store import ModelStore
from services.common.storage import storage_error
from services.training import staging
from services.training.curve import Curve
from services.training.datasets import DatasetVersion, read_rows
from services.training.job_folder import JobFolder, Report, send
from services.training.plan import PlannedModel, planned_models
from services.training.prepare import Prepared, prepare
from services.training.problem import metric_of
from services.training.reporter import Reporter
from services.training.tracking import Tracker
from services.training.weights import find_weights
from services.training.worker_process import STOPPED_EXIT_CODE

if TYPE_CHECKING:
    from models.figures import Figure
    from models.progress import Progress
    from models.recipe import FitContext, Recipe

logger = logging.getLogger(__name__)


class Worker:
    """One job's work.

    `report` tells the service, `stopped` is set when the service wants the worker to end.
    """

    def __init__(self, folder: JobFolder, report: Callable[[Report], None], stopped: threading.Event) -> None:
        self.folder = folder
        self.order, self.task = folder.read()
        self.plan = planned_models(self.task)
        self._store = ModelStore(self.order.models)
        self._stopped = stopped
        seconds = [planned.seconds for planned in self.plan]
        self._reporter = Reporter(seconds, lambda progress: report(Report(progress=progress)))

    def run(self) -> tuple[str, ...]:
        """Does the job; the ids of its versions, best first.

        Raises:
            TrainingStopped: it was told to.
            BoarfishError: the job cannot be done, and why.
        """
        prepared = self._prepare()
        tracker = Tracker(Path(self.order.mlflow))
        for planned in self.plan:
            self._check_stopped()
            if not staging.is_staged(self._staged(planned)):
                self._make(planned, prepared)
        return self._register(tracker)

    def find_rate(self, index: int) -> training_pb2.FindLearningRateResponse:
        """Sweeps the learning rate of model `index` of the plan. Raises as `run` does."""
        from models.finder import RateFound

        prepared = self._prepare()
        planned = self.plan[index]
        self._reporter.stage(f"{planned.name}: finding the learning rate", index=index, model=planned.name)
        context = replace(self._context(planned), find_only=True, checkpoint_folder=None)
        try:
            planned.recipe().fit(prepared.problem, prepared.train, prepared.valid, context)
        except RateFound as swept:
            found = swept.found
            return training_pb2.FindLearningRateResponse(
                learning_rates=found.rates, losses=found.losses, suggestion=found.valley,
                steep=found.steep, minimum=found.minimum,
            )  # fmt: skip
        raise InvalidArgument.of(
            FieldViolation("model_index", f"is that of a {planned.name}, which has no learning rate to find")
        )

    def _prepare(self) -> Prepared:
        self._reporter.stage("reading rows")
        order = self.order
        version = DatasetVersion(order.dataset, order.dataset_version, order.dataset_version)
        return prepare(read_rows(Lake(order.lake), version, self.task), self.task)

    def _make(self, planned: PlannedModel, prepared: Prepared) -> None:
        """Fits one model of the plan and stages it."""
        from models.progress import TrainingFailed

        tell = partial(self._reporter.stage, index=planned.index, model=planned.name)
        tell(f"{planned.name}: preparing")
        curve = Curve.open(self._curve(planned))
        recipe = planned.recipe()
        figures: list[Figure] = shown(recipe, prepared)

        def on_progress(progress: "Progress") -> None:
            self._reporter.fitting(progress, planned.fit_share)
            curve.add(progress)

        context = self._context(planned, on_progress=on_progress, on_figure=figures.append)
        try:
            fitted = recipe.fit(prepared.problem, prepared.train, prepared.valid, context)
        except TrainingFailed as error:
            raise TrainingFailed(f"{error}{where_it_fails(recipe, prepared)}") from error
        curve.end()
        self._check_stopped()
        tell(f"{planned.name}: evaluating and exporting", fraction=planned.fit_share)
        staging.stage(
            self._staged(planned),
            self.order,
            planned,
            prepared,
            fitted,
            curve=self._curve(planned),
            figures=figures,
        )

    def _context(
        self,
        planned: PlannedModel,
        *,
        on_progress: "Callable[[Progress], None]" = lambda progress: None,
        on_figure: "Callable[[Figure], None]" = lambda figure: None,
    ) -> "FitContext":
        from models.recipe import FitContext

        weights = planned.weights
        return FitContext(
            seed=planned.seed,
            checkpoint_folder=self.folder.checkpoints(planned.index, planned.name),
            on_progress=on_progress,
            on_figure=on_figure,
            should_stop=self._stopped.is_set,
            weights=find_weights(weights, self._store, Path(self.order.weights)) if weights else None,
            threads=self.order.threads,
        )

    def _register(self, tracker: Tracker) -> tuple[str, ...]:
        """Adds what is staged to the model store and logs it to MLflow."""
        from models.metrics import METRICS

        last = self.plan[-1]
        self._reporter.stage("registering", index=last.index, fraction=1.0, model=last.name)
        metric = metric_of(self.task)
        sign = -1.0 if METRICS[metric] else 1.0
        ranked = []
        for planned in self.plan:
            self._check_stopped()
            stored = staging.add_to(self._store, self._staged(planned))
            tracker.log(stored, planned.parameters, Curve.open(self._curve(planned)))
            value = stored.manifest.metrics[metric].value
            ranked.append((math.inf if math.isnan(value) else sign * value, planned.index, stored.id))
        return tuple(identity for _, _, identity in sorted(ranked))

    def _staged(self, planned: PlannedModel) -> Path:
        return self.folder.staged(planned.index, planned.name)

    def _curve(self, planned: PlannedModel) -> Path:
        return self.folder.curve(planned.index, planned.name)

    def _check_stopped(self) -> None:
        if self._stopped.is_set():
            from models.progress import TrainingStopped

            raise TrainingStopped


def shown(recipe: "Recipe", prepared: Prepared) -> "list[Figure]":
    """A batch as the model is shown it; nothing where none of it can be shown."""
    from models.data.show import batch_figure
    from models.progress import TrainingFailed

    try:
        return [batch_figure(prepared.problem, prepared.train, config=getattr(recipe, "config", None))]
    except TrainingFailed:
        return []


def where_it_fails(recipe: "Recipe", prepared: Prepared) -> str:
    """The step at which a row of the training part fails on its way to a batch, as a sentence; the whole way
    is logged.

    Empty where rows come through and the failure lies elsewhere.
    """
    from models.data.show import summary

    steps = summary(prepared.problem, prepared.train, getattr(recipe, "config", None))
    for step in steps:
        logger.info("a row's way to a batch: %s", step)
    return f" On its way to a batch: {steps[-1]}" if steps and steps[-1].error else ""


def failure_sentence(error: BaseException, folder: JobFolder) -> str:
    """Why a job failed and what to do, in a sentence for people."""
    from models.progress import TrainingFailed

    if isinstance(error, BoarfishError):
        return error.message
    if isinstance(error, TrainingFailed):
        return str(error)
    meant = storage_error(error, folder.path)
    if meant is not None:
        return meant.message
    if isinstance(error, MemoryError) or "DefaultCPUAllocator" in str(error):
        return (
            "The machine ran out of memory. Give it more, or train on fewer rows, with a smaller batch_size "
            "or smaller hidden_sizes, and create the job again."
        )
    said = " ".join(str(error).split())[:300]
    if isinstance(error, ValueError):
        return f"The models cannot be made from these rows or settings: {said}"
    return (
        f"Something went wrong that was not foreseen ({type(error).__name__}: {said}). "
        "The job's log has the trace; please report it, then create the job again."
    )


def claim_stdout() -> int:
    """The standard output as a descriptor for reports.

    What libraries print goes to standard error from now on.
    """
    descriptor = os.dup(1)
    os.dup2(2, 1)
    return descriptor


def work(folder: JobFolder, tell: Callable[[Report], None], stopped: threading.Event) -> int:
    """Runs the worker on `folder` and tells how it ended; the exit status."""
    from models.progress import TrainingStopped

    try:
        worker = Worker(folder, tell, stopped)
        if worker.order.find_rate_of is None:
            report = Report(finished=worker.run())
        else:
            report = Report(found=worker.find_rate(worker.order.find_rate_of))
    except (TrainingStopped, BrokenPipeError):
        logger.info("stopped as asked, or the service is gone")
        return STOPPED_EXIT_CODE
    except BaseException as error:
        logger.exception("the job failed")
        tell(Report(failed=failure_sentence(error, folder)))
        return 1
    tell(report)
    return 0


def listen() -> threading.Event:
    """Logs to standard error; the event that SIGTERM sets from now on."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return stopped


def leave(status: int) -> NoReturn:
    """Ends the process. Libraries' threads and exit handlers have nothing left to do; some take seconds."""
    logging.shutdown()
    os._exit(status)


def main(arguments: list[str]) -> int:
    """Runs the worker on the folder in `arguments`; the exit status."""
    descriptor = claim_stdout()
    return work(JobFolder(Path(arguments[0])), partial(send, descriptor), listen())


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
