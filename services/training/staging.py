"""A fitted model as the files of a model version, staged in the job's folder until all its models are made.

The folder appears by one rename when everything in it is on disk, with the manifest that the model store
will keep. So a version that was staged keeps its id however often the worker is killed before it is
registered.
"""

import hashlib
import json
import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from boarfish.errors import FailedPrecondition
from boarfish.v1 import training_pb2
from google.protobuf import json_format

from services.common import model_store
from services.common.model_store import ModelStore, StoredModel
from services.training.evaluation import Evaluation, evaluate
from services.training.job_folder import Order
from services.training.model_card import model_card
from services.training.plan import PlannedModel
from services.training.prepare import Prepared

if TYPE_CHECKING:
    from models.data.tabular import TabularRows
    from models.fitted import FittedModel

# Largest difference of a probability between the model and its ONNX file that is taken as equal.
PARITY_TOLERANCE = 1e-4
ROWS_A_RUN = 65_536


def is_staged(staged: Path) -> bool:
    """Whether a worker before has staged this model; what is staged is whole."""
    return (staged / model_store.MANIFEST).is_file()


def stage(
    staged: Path,
    order: Order,
    planned: PlannedModel,
    prepared: Prepared,
    fitted: "FittedModel",
) -> None:
    """Evaluates and exports `fitted` into `staged`.

    Raises:
        FailedPrecondition: its ONNX file does not give the same probabilities.
    """
    task = prepared.task
    coming = staged.with_name("staging")
    shutil.rmtree(coming, ignore_errors=True)
    coming.mkdir(parents=True)
    score = fitted.predict(prepared.valid)
    fitted.save(coming)
    fitted.export_onnx(coming / model_store.MODEL_ONNX)
    check_parity(coming / model_store.MODEL_ONNX, prepared.valid, score, threads=order.threads)
    version = training_pb2.ModelVersion(
        task_name=task.name,
        model=planned.name,
        dataset=order.dataset,
        dataset_version=order.dataset_version,
        training_job_id=order.job_id,
    )
    version.create_time.FromNanoseconds(time.time_ns())
    fitted.export_archive(coming / model_store.MODEL_ARCHIVE, name=task.name, version=order.job_id[:12])
    evaluation = evaluate(prepared, score)
    for name, estimate in evaluation.metrics.items():
        version.metrics[name].CopyFrom(estimate)
    version.baseline.CopyFrom(evaluation.baseline)
    _describe(coming, version, planned, prepared, evaluation)
    _, manifest = model_store.seal(coming, version)
    (coming / model_store.MANIFEST).write_bytes(manifest)
    for path in (*coming.iterdir(), coming):
        _sync(path)
    coming.rename(staged)
    _sync(staged.parent)


def add_to(store: ModelStore, staged: Path) -> StoredModel:
    """Adds a staged version to the model store; added again it is the same.

    Raises:
        FailedPrecondition: the staged files are not those that were staged.
    """
    content = (staged / model_store.MANIFEST).read_bytes()
    stored = store.add(staged, json_format.Parse(content, training_pb2.ModelVersion()))
    if stored.id != hashlib.sha256(content).hexdigest():
        raise FailedPrecondition(
            f"The files in {staged} were changed after they had been made. Create the job again.",
            reason="MODEL_FILE_DAMAGED",
        )
    return stored


def check_parity(path: Path, rows: "TabularRows", score: np.ndarray, *, threads: int) -> None:
    """Raises `FailedPrecondition` when ONNX Runtime's probabilities differ from `score`, float32 `(N,)`,
    anywhere.
    """
    difference = np.abs(onnx_scores(path, rows, threads=threads) - score)
    # A NaN on either side is not equal.
    if not bool(np.all(difference <= PARITY_TOLERANCE)):
        row = int(np.argmax(np.nan_to_num(difference, nan=np.inf)))
        most = f"{difference[row]:.2g}, more than {PARITY_TOLERANCE:g}"
        raise FailedPrecondition(
            f"model.onnx does not give what the model gives: at validation row {row} they differ by {most}. "
            "Nothing was registered. Please report it.",
            reason="EXPORT_DIFFERS",
        )


def onnx_scores(path: Path, rows: "TabularRows", *, threads: int) -> np.ndarray:
    """Probabilities of ONNX Runtime for `rows`, float32 `(N,)`."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    inputs = [one.name for one in session.get_inputs()]
    parts = []
    for start in range(0, len(rows), ROWS_A_RUN):
        part = rows.take(np.arange(start, min(start + ROWS_A_RUN, len(rows))))
        feed = {name: getattr(part, name) for name in inputs}
        parts.append(session.run(["probability"], feed)[0])
    return np.concatenate(parts) if parts else np.empty(0, np.float32)


def _describe(
    folder: Path,
    version: training_pb2.ModelVersion,
    planned: PlannedModel,
    prepared: Prepared,
    evaluation: Evaluation,
) -> None:
    """Writes the files that say what the version is."""
    task = prepared.task
    as_json = json_format.MessageToDict(task, preserving_proto_field_name=True)
    (folder / model_store.TASK).write_text(json.dumps(as_json, indent=1, ensure_ascii=False))
    profile = evaluation.profile.SerializeToString(deterministic=True)
    (folder / model_store.REFERENCE_PROFILE).write_bytes(profile)
    document = json.dumps(evaluation.document(), indent=1, ensure_ascii=False)
    (folder / model_store.EVALUATION).write_text(document)
    card = model_card(
        task,
        version,
        parameters=planned.parameters,
        train_count=len(prepared.train),
        valid_count=len(prepared.valid),
        subgroups=evaluation.subgroups,
    )
    (folder / model_store.MODEL_CARD).write_text(card)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
