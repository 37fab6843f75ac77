"""Pretrained weights that a plan names: an earlier model version, or a file in the folder of weights."""

import re
from pathlib import Path

from boarfish.errors import NotFound

from services.common.model_store import SHORTEST_PREFIX, ModelStore

_VERSION = re.compile(rf"[0-9a-f]{{{SHORTEST_PREFIX},64}}")


def find_weights(name: str, store: ModelStore, folder: Path) -> Path:
    """The file in `folder`, or the folder of the model version, that `name` names.

    Raises:
        NotFound: there is neither; says which files there are.
    """
    path = folder / name
    if path.is_file():
        return path
    if _VERSION.fullmatch(name):
        return store.get(name).path
    there = sorted(one.name for one in folder.glob("*") if one.is_file()) if folder.is_dir() else []
    has = f"it has {', '.join(there[:20])}" if there else "it is empty"
    raise NotFound(
        f"There are no weights {name}: put the file into {folder} ({has}), or give a model version's id.",
        reason="WEIGHTS_NOT_FOUND",
        metadata={"weights": name},
    )
