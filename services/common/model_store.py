"""The model store: each model version in a folder of its own, named by its manifest's SHA-256, never changed.

Training adds versions, inference reads them. `<root>/<id>/manifest.json` is a `ModelVersion` as proto JSON
(without `id` and `model_card`, which follow from the rest); it names every other file with its SHA-256, so
the id vouches for all of them:

    model.onnx  model.mar  weights.*  task.json  reference_profile.binpb  model_card.md  evaluation.json
    figures.binpb  curve.json

`model.mar` is there for the kinds of model that TorchServe can serve, `reference_profile.binpb` for tasks of
two classes.

Whatever is handed out is hashed first. A version that is being added becomes visible by one rename, whole or
not at all.
"""

import functools
import hashlib
import json
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from boarfish.errors import FailedPrecondition, FieldViolation, InvalidArgument, NotFound
from boarfish.v1 import profile_pb2, task_pb2, training_pb2
from google.protobuf import json_format

from services.common.storage import writing_to

MANIFEST = "manifest.json"
MODEL_ONNX = "model.onnx"
MODEL_ARCHIVE = "model.mar"
TASK = "task.json"
REFERENCE_PROFILE = "reference_profile.binpb"
MODEL_CARD = "model_card.md"
EVALUATION = "evaluation.json"
FIGURES = "figures.binpb"
CURVE = "curve.json"
REQUIRED_FILES = (MODEL_ONNX, TASK, MODEL_CARD, EVALUATION)
SHORTEST_PREFIX = 8

_ID = re.compile(r"[0-9a-f]{64}")
_PREFIX = re.compile(rf"[0-9a-f]{{{SHORTEST_PREFIX},64}}")


@dataclass(frozen=True)
class StoredModel:
    """One model version on disk. `manifest` lacks `id` and `model_card`; `version` has all."""

    id: str
    path: Path
    manifest: training_pb2.ModelVersion

    def path_of(self, name: str) -> Path:
        """Path of a file of this version, hashed just now.

        Raises:
            NotFound: the version has no such file.
            FailedPrecondition: it is missing or not what the manifest says (reason `MODEL_FILE_DAMAGED`).
        """
        self.read(name)
        return self.path / name

    def read(self, name: str) -> bytes:
        """Bytes of a file of this version, hashed just now. Raises as `path_of` does."""
        expected = self.manifest.files.get(name)
        if expected is None:
            there = ", ".join(sorted(self.manifest.files))
            raise NotFound(f"Model version {self.id[:12]} has no file {name}; it has {there}.")
        try:
            content = (self.path / name).read_bytes()
        except OSError as error:
            raise _damaged(self.path / name, f"cannot be read ({error.strerror})") from error
        if hashlib.sha256(content).hexdigest() != expected:
            raise _damaged(self.path / name, "does not have the SHA-256 that its manifest names")
        return content

    @functools.cached_property
    def task(self) -> task_pb2.Task:
        """The task that the version was trained for."""
        return json_format.Parse(self.read(TASK), task_pb2.Task())

    @property
    def has_reference_profile(self) -> bool:
        """Whether the version has one: versions for tasks of two classes do."""
        return REFERENCE_PROFILE in self.manifest.files

    @functools.cached_property
    def reference_profile(self) -> profile_pb2.Profile:
        """Profile of the held-out rows with their scores and labels: what later windows are compared with."""
        return profile_pb2.Profile.FromString(self.read(REFERENCE_PROFILE))

    @functools.cached_property
    def version(self) -> training_pb2.ModelVersion:
        """The version as `GetModelVersion` answers it, with id and model card."""
        whole = training_pb2.ModelVersion()
        whole.CopyFrom(self.manifest)
        whole.id = self.id
        whole.model_card = self.read(MODEL_CARD).decode()
        return whole


class ModelStore:
    """The versions under one root folder, which need not exist before the first is added."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)

    def add(self, folder: Path, manifest: training_pb2.ModelVersion) -> StoredModel:
        """Adds the files of `folder` as a version; added again with an equal manifest it is the same version.

        `manifest.files` is filled in from the files of `folder` (its top level, without a manifest); `id`
        and `model_card` of `manifest` are ignored. Returns once everything is on disk.

        Raises:
            FailedPrecondition: `folder` lacks one of `REQUIRED_FILES`, or the root cannot be written.
            ResourceExhausted: the disk is full.
        """
        sealed, content = seal(folder, manifest)
        identity = hashlib.sha256(content).hexdigest()
        target = self.root / identity
        if not target.exists():
            with writing_to(self.root):
                self._place(folder, sealed, content, target)
        return StoredModel(identity, target, sealed)

    def get(self, id_or_prefix: str) -> StoredModel:
        """The version with this id, or the only one whose id starts so (at least 8 characters).

        Raises:
            NotFound: there is none.
            InvalidArgument: more than one starts so, or the text is not one that an id could start with.
            FailedPrecondition: its manifest is damaged.
        """
        identity = resolve_prefix(id_or_prefix, self._ids())
        return self._open(identity)

    def list(self, task_name: str = "") -> Sequence[StoredModel]:
        """All versions, or those of one task, newest first. Raises as `get` does for a damaged one."""
        models = [self._open(identity) for identity in self._ids()]
        chosen = [model for model in models if task_name in ("", model.manifest.task_name)]
        return sorted(
            chosen, key=lambda model: (model.manifest.create_time.ToNanoseconds(), model.id), reverse=True
        )

    def _ids(self) -> Sequence[str]:
        try:
            return sorted(entry.name for entry in self.root.iterdir() if _ID.fullmatch(entry.name))
        except FileNotFoundError:
            return []

    def _open(self, identity: str) -> StoredModel:
        path = self.root / identity
        try:
            content = (path / MANIFEST).read_bytes()
        except OSError as error:
            raise _damaged(path / MANIFEST, f"cannot be read ({error.strerror})") from error
        if hashlib.sha256(content).hexdigest() != identity:
            raise _damaged(path / MANIFEST, "does not have the SHA-256 that its folder is named by")
        return StoredModel(identity, path, json_format.Parse(content, training_pb2.ModelVersion()))

    def _place(self, folder: Path, manifest: training_pb2.ModelVersion, content: bytes, target: Path) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        coming = self.root / f".adding-{target.name}"
        shutil.rmtree(coming, ignore_errors=True)
        coming.mkdir()
        for name in manifest.files:
            shutil.copyfile(folder / name, coming / name)
        (coming / MANIFEST).write_bytes(content)
        for path in (*coming.iterdir(), coming):
            _sync(path)
        coming.rename(target)
        _sync(self.root)


def seal(folder: Path, manifest: training_pb2.ModelVersion) -> tuple[training_pb2.ModelVersion, bytes]:
    """`manifest` with the hashes of the files in `folder`, and its bytes, whose SHA-256 is the id."""
    sealed = training_pb2.ModelVersion()
    sealed.CopyFrom(manifest)
    for field in ("id", "model_card", "files"):
        sealed.ClearField(field)
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.name != MANIFEST:
            sealed.files[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    lacking = [name for name in REQUIRED_FILES if name not in sealed.files]
    if lacking:
        raise FailedPrecondition(
            f"{folder} lacks {', '.join(lacking)}: a model version needs all of its files."
        )
    plain = json_format.MessageToDict(sealed, preserving_proto_field_name=True)
    return sealed, json.dumps(plain, indent=1, sort_keys=True, ensure_ascii=False).encode()


def resolve_prefix(id_or_prefix: str, identities: Sequence[str]) -> str:
    """The one of `identities` that is `id_or_prefix` or starts with it. Raises as `ModelStore.get` does."""
    if not _PREFIX.fullmatch(id_or_prefix):
        right = f"must be {SHORTEST_PREFIX} to 64 of the characters 0-9 and a-f"
        raise InvalidArgument(f"id {right}", [FieldViolation("id", right)])
    found = [identity for identity in identities if identity.startswith(id_or_prefix)]
    if not found:
        raise NotFound(f"There is no model version {id_or_prefix}.", reason="MODEL_VERSION_NOT_FOUND")
    if len(found) > 1:
        some = ", ".join(one[:16] for one in found[:5])
        several = f"starts {len(found)} model versions ({some}): give more characters"
        raise InvalidArgument(f"id {several}", [FieldViolation("id", several)], reason="AMBIGUOUS_PREFIX")
    return found[0]


def _damaged(path: Path, what: str) -> FailedPrecondition:
    return FailedPrecondition(
        f"{path} {what}. Restore it from a backup, or train the version again.",
        reason="MODEL_FILE_DAMAGED",
        metadata={"file": str(path)},
    )


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
