"""The book of training jobs: each change of state in one transaction with what others must hear of it.

A job goes QUEUED, RUNNING and then to one of SUCCEEDED, FAILED and CANCELLED; an ended job never changes
again. Each step is an update that holds only from the states that it may start from, so that of two who
would end a job one does. What the ledger and ingestion must hear goes into the outbox of the same
transaction.
"""

import datetime as dt
import math
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import sqlalchemy as sa
from boarfish.errors import FieldViolation, InvalidArgument, NotFound, ResourceExhausted
from boarfish.v1 import ingestion_pb2, monitoring_pb2, task_pb2, training_pb2
from google.protobuf import json_format

from services.common.database import database_folder
from services.common.model_store import StoredModel
from services.common.outbox import Outbox
from services.common.storage import writing_to
from services.training.tables import job as job_table
from services.training.tables import model_version as version_table

QUEUED = training_pb2.TRAINING_JOB_STATE_QUEUED
RUNNING = training_pb2.TRAINING_JOB_STATE_RUNNING
SUCCEEDED = training_pb2.TRAINING_JOB_STATE_SUCCEEDED
FAILED = training_pb2.TRAINING_JOB_STATE_FAILED
CANCELLED = training_pb2.TRAINING_JOB_STATE_CANCELLED
ENDED = (SUCCEEDED, FAILED, CANCELLED)

APPEND_LEDGER_ENTRY = "/boarfish.v1.MonitoringService/AppendLedgerEntry"
UPLOAD_PROFILE = "/boarfish.v1.IngestionService/UploadProfile"
ACTOR = "training"
QUEUE_RETRY_AFTER_S = 30.0


class JobBook:
    """The jobs and model versions in training's database.

    Every method blocks for the disk; any thread may call it.
    """

    def __init__(self, engine: sa.Engine, outbox: Outbox, *, queue_limit: int = 1000) -> None:
        self._engine = engine
        self._place = database_folder(str(engine.url)) or engine.url.render_as_string()
        self._outbox = outbox
        self._queue_limit = queue_limit

    def find_request(self, request: training_pb2.CreateTrainingJobRequest) -> training_pb2.TrainingJob | None:
        """The job that `request.request_id` made; `None` when there is none.

        Raises:
            InvalidArgument: the id made a job, but by a request with another body.
        """
        with self._engine.connect() as connection:
            query = sa.select(job_table).where(job_table.c.request_id == request.request_id)
            row = connection.execute(query).first()
            if row is None:
                return None
            if row.request != request.SerializeToString(deterministic=True):
                text = (
                    f"made training job {row.id} with another task or dataset: repeat that request "
                    "as it was, or give this one an id of its own"
                )
                raise InvalidArgument(
                    f"request_id {text}", [FieldViolation("request_id", text)], reason="REQUEST_ID_REUSED"
                )
            return _job(connection, row)

    def create(
        self, request: training_pb2.CreateTrainingJobRequest, dataset_version: int
    ) -> training_pb2.TrainingJob:
        """A new QUEUED job on `dataset_version`; the job that is there when `request` was sent before.

        Raises:
            InvalidArgument: as `find_request` does.
            ResourceExhausted: as many jobs wait as may.
        """
        if (present := self.find_request(request)) is not None:
            return present
        waiting = sa.select(sa.func.count()).where(job_table.c.state == QUEUED)
        identity = uuid.uuid4().hex
        task = request.task
        try:
            with self._transaction() as connection:
                if connection.execute(waiting).scalar_one() >= self._queue_limit:
                    raise ResourceExhausted(
                        f"{self._queue_limit} training jobs wait already: try again when some have ended, "
                        "or cancel some",
                        retry_after_s=QUEUE_RETRY_AFTER_S,
                        reason="QUEUE_FULL",
                    )
                connection.execute(
                    job_table.insert().values(
                        id=identity,
                        request_id=request.request_id,
                        request=request.SerializeToString(deterministic=True),
                        task=task.SerializeToString(deterministic=True),
                        dataset=request.dataset,
                        dataset_version=dataset_version,
                        state=QUEUED,
                        create_time_us=_now_us(),
                    )
                )
                self._tell_ledger(
                    connection,
                    "training_job.created",
                    f"training_job/{identity}",
                    task=task.name,
                    dataset=request.dataset,
                    dataset_version=dataset_version,
                    models=[str(plan.WhichOneof("plan")) for plan in task.training.models],
                    request_id=request.request_id,
                )
        except sa.exc.IntegrityError:
            # Sent twice at the same moment: the other one was first.
            if (present := self.find_request(request)) is None:
                raise
            return present
        return self.get(identity)

    def get(self, identity: str) -> training_pb2.TrainingJob:
        """One job. Raises `NotFound`."""
        with self._engine.connect() as connection:
            return _job(connection, self._row(connection, identity))

    def task(self, identity: str) -> task_pb2.Task:
        """One job's task. Raises `NotFound`."""
        with self._engine.connect() as connection:
            return task_pb2.Task.FromString(self._row(connection, identity).task)

    def page(self, size: int, before: int | None = None) -> tuple[list[training_pb2.TrainingJob], int | None]:
        """At most `size` jobs, newest first, that came before number `before`; where the next page starts.

        Model cards are left out; `GetTrainingJob` and `GetModelVersion` have them.
        """
        query = sa.select(job_table).order_by(job_table.c.number.desc()).limit(size + 1)
        if before is not None:
            query = query.where(job_table.c.number < before)
        with self._engine.connect() as connection:
            rows = connection.execute(query).all()
            jobs = [_job(connection, row) for row in rows[:size]]
        for job in jobs:
            for version in job.model_versions:
                version.ClearField("model_card")
        return jobs, rows[size - 1].number if len(rows) > size else None

    def unfinished(self) -> list[training_pb2.TrainingJob]:
        """Jobs that have not ended: those that were begun first, each group in the order in which it came."""
        query = (
            sa.select(job_table)
            .where(job_table.c.state.in_((QUEUED, RUNNING)))
            .order_by(job_table.c.state.desc(), job_table.c.number)
        )
        with self._engine.connect() as connection:
            return [_job(connection, row) for row in connection.execute(query).all()]

    def begin(self, identity: str) -> bool:
        """QUEUED to RUNNING; False when the job was cancelled before."""
        with self._transaction() as connection:
            return self._change(connection, identity, (QUEUED,), state=RUNNING)

    def resume(self, identity: str, *, after_death: bool, resume_limit: int) -> bool:
        """Counts that a RUNNING job is taken up again; False when it has ended, or its worker died too often.

        `after_death`: its worker was killed, rather than the service with it. Only such deaths count toward
        `resume_limit`.
        """
        with self._transaction() as connection:
            allowed = self._row(connection, identity).death_count < resume_limit or not after_death
            return allowed and self._change(
                connection,
                identity,
                (RUNNING,),
                resume_count=job_table.c.resume_count + 1,
                death_count=job_table.c.death_count + int(after_death),
            )

    def save_progress(self, identity: str, progress: training_pb2.TrainingProgress) -> None:
        """Keeps how far a RUNNING job is, for whoever asks after a restart."""
        with self._transaction() as connection:
            self._change(connection, identity, (RUNNING,), progress=progress.SerializeToString())

    def succeed(self, identity: str, models: Sequence[StoredModel]) -> bool:
        """Ends a RUNNING job with its model versions, best first.

        False when it has ended otherwise meanwhile.
        """
        done = training_pb2.TrainingProgress(stage="done", fraction_done=1.0)
        with self._transaction() as connection:
            if not self._end(connection, identity, (RUNNING,), SUCCEEDED, progress=done.SerializeToString()):
                return False
            for rank, model in enumerate(models):
                connection.execute(
                    version_table.insert().values(
                        id=model.id,
                        job_id=identity,
                        rank=rank,
                        task_name=model.manifest.task_name,
                        version=model.version.SerializeToString(deterministic=True),
                    )
                )
                self._tell_of_version(connection, model)
            self._tell_ledger(
                connection,
                "training_job.succeeded",
                f"training_job/{identity}",
                model_versions=[model.id for model in models],
            )
        return True

    def fail(self, identity: str, reason: str) -> bool:
        """Ends a job that has not ended as FAILED, with the reason in words.

        False when it has ended otherwise.
        """
        with self._transaction() as connection:
            if not self._end(connection, identity, (QUEUED, RUNNING), FAILED, error=reason):
                return False
            self._tell_ledger(
                connection, "training_job.failed", f"training_job/{identity}", reason=reason[:1000]
            )
        return True

    def cancel(self, identity: str) -> training_pb2.TrainingJob:
        """Ends a job that has not ended as CANCELLED.

        An ended one is returned as it is. Raises `NotFound`.
        """
        with self._transaction() as connection:
            if self._end(connection, identity, (QUEUED, RUNNING), CANCELLED):
                self._tell_ledger(connection, "training_job.cancelled", f"training_job/{identity}")
            else:
                self._row(connection, identity)
        return self.get(identity)

    def version_page(
        self, task_name: str, size: int, before: int | None = None
    ) -> tuple[list[training_pb2.ModelVersion], int | None]:
        """At most `size` model versions, newest first, of one task where it is named.

        And where the next page starts.
        """
        query = sa.select(version_table).order_by(version_table.c.number.desc()).limit(size + 1)
        if task_name:
            query = query.where(version_table.c.task_name == task_name)
        if before is not None:
            query = query.where(version_table.c.number < before)
        with self._engine.connect() as connection:
            rows = connection.execute(query).all()
        versions = [training_pb2.ModelVersion.FromString(row.version) for row in rows[:size]]
        return versions, rows[size - 1].number if len(rows) > size else None

    def versions_starting(self, prefix: str) -> list[training_pb2.ModelVersion]:
        """The model versions whose id starts with `prefix` (hex), at most 10."""
        query = sa.select(version_table.c.version).where(version_table.c.id.like(f"{prefix}%")).limit(10)
        with self._engine.connect() as connection:
            return [training_pb2.ModelVersion.FromString(row.version) for row in connection.execute(query)]

    @contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        with writing_to(self._place), self._engine.begin() as connection:
            yield connection

    def _tell_of_version(self, connection: sa.Connection, model: StoredModel) -> None:
        metrics = {name: estimate.value for name, estimate in model.manifest.metrics.items()}
        self._tell_ledger(
            connection,
            "model_version.registered",
            f"model_version/{model.id}",
            task=model.manifest.task_name,
            model=model.manifest.model,
            training_job=model.manifest.training_job_id,
            dataset=model.manifest.dataset,
            dataset_version=model.manifest.dataset_version,
            metrics={name: value for name, value in metrics.items() if math.isfinite(value)},
        )
        if not model.has_reference_profile:
            return
        upload = ingestion_pb2.UploadProfileRequest(
            request_id=f"reference-{model.id}",
            kind=ingestion_pb2.PROFILE_KIND_REFERENCE,
            model_version=model.id,
            profile=model.reference_profile,
            task=model.task,
        )
        self._outbox.enqueue(connection, UPLOAD_PROFILE, upload)

    def _tell_ledger(self, connection: sa.Connection, action: str, subject: str, **details: object) -> None:
        entry = monitoring_pb2.AppendLedgerEntryRequest(
            request_id=f"{subject}/{action}", actor=ACTOR, action=action, subject=subject
        )
        json_format.ParseDict(details, entry.details)
        self._outbox.enqueue(connection, APPEND_LEDGER_ENTRY, entry)

    def _end(
        self, connection: sa.Connection, identity: str, start: Sequence[int], state: int, **values: object
    ) -> bool:
        return self._change(connection, identity, start, state=state, end_time_us=_now_us(), **values)

    def _change(
        self, connection: sa.Connection, identity: str, start: Sequence[int], **values: object
    ) -> bool:
        change = job_table.update().where(job_table.c.id == identity, job_table.c.state.in_(start))
        return connection.execute(change.values(**values)).rowcount == 1

    def _row(self, connection: sa.Connection, identity: str) -> sa.Row[tuple[object, ...]]:
        row = connection.execute(sa.select(job_table).where(job_table.c.id == identity)).first()
        if row is None:
            raise NotFound(
                f"There is no training job {identity}. ListTrainingJobs names those that there are.",
                reason="TRAINING_JOB_NOT_FOUND",
            )
        return row


def _job(connection: sa.Connection, row: sa.Row[tuple[object, ...]]) -> training_pb2.TrainingJob:
    job = training_pb2.TrainingJob(
        id=row.id,
        task=task_pb2.Task.FromString(row.task),
        dataset=row.dataset,
        dataset_version=row.dataset_version,
        state=row.state,
        error=row.error,
        resume_count=row.resume_count,
    )
    if row.progress:
        job.progress.ParseFromString(row.progress)
    job.create_time.FromMicroseconds(row.create_time_us)
    if row.end_time_us is not None:
        job.end_time.FromMicroseconds(row.end_time_us)
    if row.state == SUCCEEDED:
        query = sa.select(version_table.c.version).where(version_table.c.job_id == row.id)
        for found in connection.execute(query.order_by(version_table.c.rank)):
            job.model_versions.add().ParseFromString(found.version)
    return job


def _now_us() -> int:
    return int(dt.datetime.now(dt.UTC).timestamp() * 1_000_000)
