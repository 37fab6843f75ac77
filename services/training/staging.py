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
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from boarfish.errors import FailedPrecondition
from boarfish.v1 import training_pb2
from google.protobuf import json_format

from services.common import model_store
from services.common.model_store import ModelStore, StoredModel
from services.training.evaluation import Evaluation, evaluate
from services.training.figures import to_proto
from services.training.job_folder import Order
from services.training.model_card import model_card
from services.training.plan import PlannedModel
from services.training.prepare import Prepared

if TYPE_CHECKING:
    from models.figures import Figure
    from models.recipe import FittedModel


def is_staged(staged: Path) -> bool:
    """Whether a worker before has staged this model; what is staged is whole."""
    return (staged / model_store.MANIFEST).is_file()


def stage(
    staged: Path,
    order: Order,
    planned: PlannedModel,
    prepared: Prepared,
    fitted: "FittedModel",
    *,
    curve: Path,
    figures: "Sequence[Figure]",
) -> None:
    """Evaluates and exports `fitted` into `staged`, with the `figures` that its fit gave and its curve.

    Raises:
        FailedPrecondition: its ONNX file does not give what the model gives.
    """
    task = prepared.task
    coming = staged.with_name("staging")
    shutil.rmtree(coming, ignore_errors=True)
    coming.mkdir(parents=True)
    fitted.save(coming)
    fitted.export_onnx(coming / model_store.MODEL_ONNX)
    parity = check_parity(coming / model_store.MODEL_ONNX, prepared, fitted, threads=order.threads)
    version = training_pb2.ModelVersion(
        task_name=task.name,
        model=planned.name,
        dataset=order.dataset,
        dataset_version=order.dataset_version,
        training_job_id=order.job_id,
        parameters=planned.parameters,
        parity=parity,
    )
    version.create_time.FromNanoseconds(time.time_ns())
    if hasattr(fitted, "export_archive"):
        fitted.export_archive(coming / model_store.MODEL_ARCHIVE, name=task.name, version=order.job_id[:12])
    evaluation = evaluate(prepared, fitted.assess(prepared.train, prepared.valid))
    for name, estimate in evaluation.metrics.items():
        version.metrics[name].CopyFrom(estimate)
    version.baseline.CopyFrom(evaluation.baseline)
    version.warnings.extend(evaluation.warnings)
    looks = training_pb2.GetModelVersionFiguresResponse(
        figures=map(to_proto, (*fitted.figures(prepared.train, prepared.valid), *figures))
    )
    (coming / model_store.FIGURES).write_bytes(looks.SerializeToString(deterministic=True))
    shutil.copyfile(curve, coming / model_store.CURVE)
    for name, content in fitted.files().items():
        (coming / name).write_bytes(content)
    _describe(coming, version, prepared, evaluation)
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


def check_parity(
    path: Path, prepared: Prepared, fitted: "FittedModel", *, threads: int
) -> training_pb2.ExportParity:
    """How nearly ONNX Runtime's answers on validation rows are the model's own.

    Raises:
        FailedPrecondition: they differ by more than the kind of model's tolerance.
    """
    parity = fitted.check_onnx(path, prepared.valid, threads=threads)
    if not parity.equal:
        place = f" at {parity.where}" if parity.where else ""
        raise FailedPrecondition(
            f"model.onnx does not give what the model gives: its {parity.what} differs by "
            f"{parity.largest_difference:.2g}{place}, more than {parity.tolerance:g}. "
            "Nothing was registered. Please report it.",
            reason="EXPORT_DIFFERS",
        )
    return training_pb2.ExportParity(
        what=parity.what,
        largest_difference=parity.largest_difference,
        tolerance=parity.tolerance,
        count=parity.count,
    )


def _describe(
    folder: Path,
    version: training_pb2.ModelVersion,
    prepared: Prepared,
    evaluation: Evaluation,
) -> None:
    """Writes the files that say what the version is."""
    task = prepared.task
    as_json = json_format.MessageToDict(task, preserving_proto_field_name=True)
    (folder / model_store.TASK).write_text(json.dumps(as_json, indent=1, ensure_ascii=False))
    if evaluation.profile is not None:
        profile = evaluation.profile.SerializeToString(deterministic=True)
        (folder / model_store.REFERENCE_PROFILE).write_bytes(profile)
    document = json.dumps(evaluation.document(), indent=1, ensure_ascii=False)
    (folder / model_store.EVALUATION).write_text(document)
    card = model_card(
        task,
        version,
        train_count=prepared.train.num_rows,
        valid_count=prepared.valid.num_rows,
        subgroups=evaluation.subgroups,
    )
    (folder / model_store.MODEL_CARD).write_text(card)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
