"""MLflow: each model version as a run with its parameters and curves, and as a registered version.

MLflow takes seconds to import and to set up its database, so a thread does that while models are fitted, and
all is logged at the end. Large files stay where they are: the registered version's source is the folder in
the model store, and its tag `boarfish_id` the version's id. Logging the same version again changes nothing,
so a worker may be killed at any point.

The book of jobs and the model store are what Boarfish itself relies on; MLflow is a copy for people and
their tools, and when it cannot be written the job goes on and says so in its log.
"""

import contextlib
import fcntl
import logging
import math
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from services.common.model_store import EVALUATION, MODEL_CARD, TASK, StoredModel
from services.training.curve import Curve

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

logger = logging.getLogger(__name__)

SMALL_FILES = (MODEL_CARD, EVALUATION, TASK)
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "GIT_PYTHON_REFRESH": "quiet",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
}


class Tracker:
    """Opens MLflow in the background from the moment it is made.

    `folder` takes artifacts, `<folder>.db` is the database.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._client: MlflowClient | None = None
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._open, name="mlflow", daemon=True)
        self._thread.start()

    def log(self, model: StoredModel, parameters: Mapping[str, str], curve: Curve) -> bool:
        """Logs a model version, once however often it is called.

        False, with the reason in the log, when MLflow cannot be written.
        """
        self._thread.join()
        try:
            if self._error is not None or self._client is None:
                raise self._error or RuntimeError("MLflow did not open")
            with self._lock():
                _log(self._client, self._folder, model, parameters, curve)
        except Exception:
            logger.exception("MLflow could not be written; the model version is complete without it")
            return False
        return True

    def _open(self) -> None:
        try:
            os.environ.update(QUIET)
            for name in ("mlflow", "alembic"):
                logging.getLogger(name).setLevel(logging.ERROR)
            from mlflow.tracking import MlflowClient

            self._folder.mkdir(parents=True, exist_ok=True)
            uri = f"sqlite:///{self._folder}.db"
            client = MlflowClient(tracking_uri=uri, registry_uri=uri)
            with self._lock():
                client.search_experiments(max_results=1)
            self._client = client
        except Exception as error:
            self._error = error

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        """One worker at a time:

        MLflow's first set-up of its database, and find-or-make, are not safe against each other.
        """
        with (self._folder / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _log(
    client: "MlflowClient", folder: Path, model: StoredModel, parameters: Mapping[str, str], curve: Curve
) -> None:
    from mlflow.entities import Metric, Param

    manifest = model.manifest
    name = manifest.task_name
    if _is_registered(client, model):
        return
    experiment = _experiment(client, name, folder)
    for half in client.search_runs([experiment], f"tags.boarfish_id = '{model.id}'"):
        client.delete_run(half.info.run_id)
    tags = {
        "boarfish_id": model.id,
        "boarfish_job": manifest.training_job_id,
        "boarfish_dataset": manifest.dataset,
        "boarfish_dataset_version": str(manifest.dataset_version),
    }
    run_name = f"{manifest.model} {model.id[:12]}"
    run = client.create_run(experiment, start_time=curve.start_ms, tags=tags, run_name=run_name).info
    results = [
        Metric(f"validation_{key}", estimate.value, curve.end_ms, 0)
        for key, estimate in manifest.metrics.items()
        if math.isfinite(estimate.value)
    ]
    points = [Metric(name, value, time_ms, epoch) for epoch, time_ms, name, value in curve.points()]
    client.log_batch(
        run.run_id, metrics=results, params=[Param(key, value) for key, value in parameters.items()]
    )
    for start in range(0, len(points), 1000):
        client.log_batch(run.run_id, metrics=points[start : start + 1000])
    for file in SMALL_FILES:
        client.log_artifact(run.run_id, str(model.path / file))
    _register(client, name)
    client.create_model_version(
        name,
        source=str(model.path),
        run_id=run.run_id,
        tags={"boarfish_id": model.id, "model": manifest.model},
        description=manifest.baseline.statement,
    )
    client.set_terminated(run.run_id, "FINISHED", end_time=curve.end_ms)


def _is_registered(client: "MlflowClient", model: StoredModel) -> bool:
    found: Sequence[object] = client.search_model_versions(
        f"name = '{model.manifest.task_name}' and tag.boarfish_id = '{model.id}'"
    )
    return bool(found)


def _experiment(client: "MlflowClient", name: str, folder: Path) -> str:
    present = client.get_experiment_by_name(name)
    if present is not None:
        return str(present.experiment_id)
    return str(client.create_experiment(name, artifact_location=(folder / name).as_uri()))


def _register(client: "MlflowClient", name: str) -> None:
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
            raise
