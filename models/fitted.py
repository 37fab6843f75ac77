"""What every fitted model can do, whatever it is inside."""

from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from models.data.tabular import TabularRows


class FittedModel(Protocol):
    """A model that has been trained. `kind` names what it is ("tabular_net")."""

    kind: str

    def predict(self, rows: TabularRows) -> npt.NDArray[np.float32]:
        """Probability of the positive class, `(N,)`, 0 to 1."""

    def save(self, folder: Path) -> None:
        """Writes the weights and what they mean into `folder`, without pickle."""

    def export_onnx(self, path: Path) -> None:
        """Writes one ONNX graph with all preprocessing inside: see `models.export.onnx`."""

    def export_archive(self, path: Path, *, name: str, version: str) -> None:
        """Writes a TorchServe archive: see `models.export.mar`."""
