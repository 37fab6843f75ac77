"""Deployments: names that apps call, each with its champion and shadow loaded, kept in the database over
restarts.

What is damaged or cannot be loaded makes its own deployment say so; the others go on.
"""

import asyncio
import logging
import math
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Protocol

import sqlalchemy as sa
from boarfish.errors import (
    AlreadyExists,
    BoarfishError,
    FailedPrecondition,
    FieldViolation,
    InvalidArgument,
    NotFound,
    Unavailable,
)
from boarfish.v1 import inference_pb2, monitoring_pb2, task_pb2

from services.common.model_store import MODEL_ARCHIVE, MODEL_ONNX, ModelStore, StoredModel
from services.common.outbox import Outbox
from services.common.rows import RowSchema
from services.inference.bulk import BulkRows
from services.inference.events import EventSource
from services.inference.inputs import InputLayout, TwoTexts
from services.inference.runtimes import Runtime
from services.inference.runtimes.onnx import OnnxRuntime
from services.inference.runtimes.torchserve import TorchServeRuntime
from services.inference.runtimes.torchserve_process import TorchServeProcess
from services.inference.settings import InferenceSettings
from services.inference.shadow import Shadow
from services.inference.spool import Spool
from services.inference.tables import deployment as table

logger = logging.getLogger(__name__)

ONNX = inference_pb2.RUNTIME_KIND_ONNX_RUNTIME
TORCHSERVE = inference_pb2.RUNTIME_KIND_TORCHSERVE
LEDGER_METHOD = "/boarfish.v1.MonitoringService/AppendLedgerEntry"
RETRY_AFTER_S = 1.0
BULK_WEIGHT = 0.1
_SERVICE_ACTOR = "inference service"
_SERVED_TYPES = frozenset(
    {task_pb2.FEATURE_TYPE_NUMERIC, task_pb2.FEATURE_TYPE_CODE, task_pb2.FEATURE_TYPE_CATEGORY}
)


class Spawn(Protocol):
    """Starts a background task that lives as long as the service."""

    def __call__(self, coroutine: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]: ...


class LiveVersion:
    """A model version in a role. `runtime` is `None` when it could not be loaded; `problem` says why."""

    def __init__(
        self, model_version: str, kind: int, source: EventSource, runtime: Runtime | None, problem: str
    ) -> None:
        self.model_version = model_version
        self.kind = kind
        self.source = source
        self.runtime = runtime
        self._problem = problem

    def answering(self) -> Runtime:
        """The runtime, if it can answer now. Raises `Unavailable` that says why not."""
        runtime = self.runtime
        if runtime is None or not runtime.ready:
            raise Unavailable(
                f"Model version {self.model_version[:12]} cannot answer: {self.status}",
                retry_after_s=RETRY_AFTER_S,
                reason="MODEL_NOT_READY",
            )
        return runtime

    @property
    def status(self) -> str:
        """How it is, in words."""
        return self.runtime.status if self.runtime is not None else self._problem

    def to_proto(self) -> inference_pb2.ServedVersion:
        """As `Deployment` shows it."""
        return inference_pb2.ServedVersion(
            model_version=self.model_version,
            runtime=inference_pb2.RuntimeKind.ValueType(self.kind),
            ready=self.runtime is not None and self.runtime.ready,
            status=self.status,
        )


class LiveDeployment:
    """One deployment as it answers now."""

    def __init__(
        self,
        row: Any,
        task: task_pb2.Task,
        champion: LiveVersion,
        shadow: LiveVersion | None,
        shadow_queue: Shadow | None,
    ) -> None:
        self.name: str = row.name
        self.rung: int = row.rung
        self.task = task
        self.schema = RowSchema.for_predictions(task)
        self.layout = InputLayout(task)
        self.bulk = BulkRows(self.schema, self.layout)
        self.champion = champion
        self.shadow = shadow
        self.shadow_queue = shadow_queue
        self.prediction_count = 0
        self.ns_per_byte = math.inf
        self.withholds = self.rung == inference_pb2.RUNG_SHADOW
        self.answered_by = inference_pb2.PredictResponse(
            model_version=champion.model_version,
            runtime=inference_pb2.RuntimeKind.ValueType(champion.kind),
            rung=inference_pb2.Rung.ValueType(self.rung),
        )
        self.words = (task.decision.negative_label, task.decision.positive_label)
        self.two_words = TwoTexts(*self.words)
        self._create_time_us: int = row.create_time_us

    def note_bulk(self, arrow_bytes: int, took_ns: int) -> None:
        """Learns what a byte of bulk costs in processor time: a mean in which older requests fade."""
        found = took_ns / arrow_bytes
        known = found if self.ns_per_byte == math.inf else self.ns_per_byte
        self.ns_per_byte = known + BULK_WEIGHT * (found - known)

    def to_proto(self, spool: Spool) -> inference_pb2.Deployment:
        """As `GetDeployment` answers it."""
        shown = inference_pb2.Deployment(
            name=self.name,
            task_name=self.task.name,
            champion=self.champion.to_proto(),
            shadow=self.shadow.to_proto() if self.shadow else None,
            rung=inference_pb2.Rung.ValueType(self.rung),
            prediction_count=self.prediction_count,
            pending_event_count=max(spool.pending_rows[self.name], 0),
            shadow_dropped_count=self.shadow_queue.dropped_count if self.shadow_queue else 0,
        )
        shown.create_time.FromMicroseconds(self._create_time_us)
        return shown


class Deployments:
    """All deployments of the service. `spawn` runs a background task for each shadow."""

    def __init__(
        self,
        engine: sa.Engine,
        outbox: Outbox,
        spool: Spool,
        torchserve: TorchServeProcess,
        *,
        settings: InferenceSettings,
        spawn: Spawn,
    ) -> None:
        self._engine = engine
        self._outbox = outbox
        self._spool = spool
        self._torchserve = torchserve
        self._settings = settings
        self._spawn = spawn
        self._store = ModelStore(settings.models_path)
        self._live: dict[str, LiveDeployment] = {}
        self._sessions: dict[Path, OnnxRuntime] = {}
        self._creating = asyncio.Lock()

    def get(self, name: str) -> LiveDeployment:
        """The deployment of this name. Raises `NotFound`."""
        live = self._live.get(name)
        if live is None:
            there = ", ".join(sorted(self._live)[:10]) or "none yet"
            raise NotFound(f"There is no deployment {name}; there is {there}.", reason="DEPLOYMENT_NOT_FOUND")
        return live

    def all(self) -> list[LiveDeployment]:
        """All deployments by name."""
        return [self._live[name] for name in sorted(self._live)]

    async def load(self) -> None:
        """Brings back every deployment of the database. Does not wait for TorchServe."""
        rows = await asyncio.to_thread(self._rows)
        for row in rows:
            self._live[row.name] = await self._bring_up(row)

    async def create(self, request: inference_pb2.CreateDeploymentRequest) -> LiveDeployment:
        """Creates a deployment; a repeat of an earlier request gives what that one made.

        Waits until its runtimes are ready, and not for ever: one that is not is shown so by its status.

        Raises:
            AlreadyExists: the name or the request id is taken by another request.
            NotFound: there is no such model version.
            InvalidArgument: an ambiguous prefix, or versions of two tasks.
            FailedPrecondition: a file of a version is damaged, or a model cannot be used.
        """
        async with self._creating:
            if (known := await asyncio.to_thread(self._known, request)) is not None:
                return self.get(known)
            champion = await self._verified(request.champion, "champion")
            shadow = await self._verified(request.shadow, "shadow") if request.HasField("shadow") else None
            if shadow is not None and _contract(shadow.task) != _contract(champion.task):
                raise InvalidArgument.of(
                    FieldViolation(
                        "shadow.model_version",
                        f"was trained for another task ({shadow.task.name}) or columns than the champion "
                        f"({champion.task.name})",
                    )
                )
            row = await asyncio.to_thread(self._insert, request, champion, shadow)
            live = self._live[row.name] = await self._bring_up(row)
        await self._wait_for_torchserve(live)
        return live

    async def drain(self) -> None:
        """Lets the shadows finish what they have."""
        await asyncio.gather(
            *(live.shadow_queue.drain() for live in self._live.values() if live.shadow_queue)
        )

    def _rows(self) -> list[Any]:
        with self._engine.connect() as connection:
            return list(connection.execute(sa.select(table).order_by(table.c.name)))

    def _known(self, request: inference_pb2.CreateDeploymentRequest) -> str | None:
        """Name of the deployment that an equal request made before. Raises `AlreadyExists` when another
        request did.
        """
        query = sa.select(table).where(
            (table.c.request_id == request.request_id) | (table.c.name == request.name)
        )
        with self._engine.connect() as connection:
            rows = list(connection.execute(query))
        for row in rows:
            if row.request_id == request.request_id and row.request == _wish(request):
                return str(row.name)
        for row in rows:
            if row.request_id == request.request_id:
                raise AlreadyExists(
                    f"The request_id {request.request_id} made deployment {row.name} by another request.",
                    reason="REQUEST_ID_TAKEN",
                )
        if rows:
            raise AlreadyExists(f"There is a deployment {request.name} already.", reason="DEPLOYMENT_EXISTS")
        return None

    async def _verified(self, wish: inference_pb2.ServedVersion, role: str) -> StoredModel:
        """The version with the file that its runtime needs, hashed and, for ONNX Runtime, loaded once."""

        def verify() -> StoredModel:
            model = self._store.get(wish.model_version)
            check_servable(model)
            if wish.runtime == ONNX:
                self._session(model, InputLayout(model.task))
            else:
                model.path_of(MODEL_ARCHIVE)
            return model

        try:
            return await asyncio.to_thread(verify)
        except InvalidArgument as error:
            violations = [
                FieldViolation(f"{role}.model_version", one.description) for one in error.violations
            ]
            raise InvalidArgument(error.message, violations, reason=error.reason) from error

    def _insert(
        self,
        request: inference_pb2.CreateDeploymentRequest,
        champion: StoredModel,
        shadow: StoredModel | None,
    ) -> Any:
        values = {
            "name": request.name,
            "request_id": request.request_id,
            "request": _wish(request),
            "task": champion.task.SerializeToString(),
            "champion_version": champion.id,
            "champion_runtime": request.champion.runtime,
            "shadow_version": shadow.id if shadow else None,
            "shadow_runtime": request.shadow.runtime if shadow else None,
            "rung": request.rung or inference_pb2.RUNG_SHADOW,
            "create_time_us": time.time_ns() // 1000,
        }
        with self._engine.begin() as connection:
            connection.execute(table.insert().values(values))
            self._outbox.enqueue(connection, LEDGER_METHOD, _ledger_entry(request, values))
            return connection.execute(sa.select(table).where(table.c.name == request.name)).one()

    async def _bring_up(self, row: Any) -> LiveDeployment:
        task = task_pb2.Task.FromString(row.task)
        champion = await self._version(row.name, task, row.champion_version, row.champion_runtime, "CHAMPION")
        shadow = queue = None
        if row.shadow_version is not None:
            shadow = await self._version(row.name, task, row.shadow_version, row.shadow_runtime, "SHADOW")
            if shadow.runtime is not None:
                queue = Shadow(
                    shadow.runtime, shadow.source, self._spool, self._settings.inference_shadow_queue_rows
                )
                self._spawn(queue.run(), name=f"shadow of {row.name}")
        return LiveDeployment(row, task, champion, shadow, queue)

    async def _version(
        self, deployment: str, task: task_pb2.Task, identity: str, kind: int, role: str
    ) -> LiveVersion:
        layout = InputLayout(task)
        source = EventSource(
            deployment, identity, role, layout.packing.columns, task.decision.threshold,
            task.decision.positive_label, task.decision.negative_label,
        )  # fmt: skip
        try:
            runtime = await self._runtime(identity, kind, layout)
        except BoarfishError as error:
            logger.error(
                "model version cannot be loaded", extra={"deployment": deployment, "error": error.message}
            )
            return LiveVersion(identity, kind, source, None, error.message)
        return LiveVersion(identity, kind, source, runtime, "")

    async def _runtime(self, identity: str, kind: int, layout: InputLayout) -> Runtime:
        if kind == ONNX:
            model = await asyncio.to_thread(self._store.get, identity)
            return await asyncio.to_thread(self._session, model, layout)
        name = _torchserve_name(identity)
        await self._torchserve.add(name, lambda: self._store.get(identity).path_of(MODEL_ARCHIVE))
        return TorchServeRuntime(self._torchserve, name, layout)

    def _session(self, model: StoredModel, layout: InputLayout) -> OnnxRuntime:
        path = model.path_of(MODEL_ONNX)
        session = self._sessions.get(path)
        if session is None:
            session = OnnxRuntime(path, layout, threads=self._settings.inference_onnx_threads)
            self._sessions[path] = session
        return session

    async def _wait_for_torchserve(self, live: LiveDeployment) -> None:
        for version in (live.champion, live.shadow):
            if version is not None and version.kind == TORCHSERVE:
                name = _torchserve_name(version.model_version)
                await self._torchserve.wait_ready(name, self._settings.inference_torchserve_start_s)


def _torchserve_name(identity: str) -> str:
    return f"model-{identity[:16]}"


def _wish(request: inference_pb2.CreateDeploymentRequest) -> bytes:
    """What was asked for, without what only answers carry."""
    wish = inference_pb2.CreateDeploymentRequest()
    wish.CopyFrom(request)
    for version in (wish.champion, wish.shadow) if wish.HasField("shadow") else (wish.champion,):
        version.ClearField("ready")
        version.ClearField("status")
    return wish.SerializeToString(deterministic=True)


def _contract(task: task_pb2.Task) -> bytes:
    """The parts of a task that callers and events depend on."""
    parts = task_pb2.Task(
        name=task.name,
        features=task.features,
        target=task.target,
        sensitive=task.sensitive,
        decision=task.decision,
        id_column=task.id_column,
        time_column=task.time_column,
    )
    return parts.SerializeToString(deterministic=True)


def _ledger_entry(
    request: inference_pb2.CreateDeploymentRequest, values: dict[str, Any]
) -> monitoring_pb2.AppendLedgerEntryRequest:
    details = {
        "champion": values["champion_version"],
        "champion_runtime": inference_pb2.RuntimeKind.Name(values["champion_runtime"]),
        "rung": inference_pb2.Rung.Name(values["rung"]),
    }
    if values["shadow_version"]:
        details["shadow"] = values["shadow_version"]
        details["shadow_runtime"] = inference_pb2.RuntimeKind.Name(values["shadow_runtime"])
    if request.override_reason:
        details["override_reason"] = request.override_reason
    entry = monitoring_pb2.AppendLedgerEntryRequest(
        request_id=f"deployment-{request.name}",
        actor=request.requested_by or _SERVICE_ACTOR,
        action="deployment.created",
        subject=f"deployments/{request.name}",
    )
    entry.details.update(details)
    return entry


def check_servable(model: StoredModel) -> None:
    """Raises `FailedPrecondition` for a version whose kind of task `Predict` cannot answer yet."""
    task = model.task
    unfit = sorted({one.type for one in task.features} - _SERVED_TYPES)
    if task.kind == task_pb2.TASK_KIND_BINARY_CLASSIFICATION and not unfit:
        return
    kind = task_pb2.TaskKind.Name(task.kind).removeprefix("TASK_KIND_").lower().replace("_", " ")
    types = [task_pb2.FeatureType.Name(one).removeprefix("FEATURE_TYPE_").lower() for one in unfit]
    inputs = f" over {', '.join(types)} features" if types else ""
    raise FailedPrecondition(
        f"Model version {model.id[:12]} is for a {kind} task{inputs}; deployments serve binary "
        "classification over numeric, code and category features so far. Its model.onnx runs in ONNX Runtime "
        "as it is.",
        reason="KIND_NOT_SERVED",
    )
