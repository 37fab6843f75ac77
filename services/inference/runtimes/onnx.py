"""ONNX Runtime inside the service: the model's own preprocessing, one session a model, CUDA where there
is one.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from boarfish.errors import FailedPrecondition

from services.inference.inputs import InputLayout, ModelInputs

OUTPUT = "probability"
_TYPES = {"numeric": "tensor(float)", "code": "tensor(int64)", "category": "tensor(string)"}


class OnnxRuntime:
    """A session on the model at `path`.

    One thread computes one request by default: on small models a second thread costs more than it brings,
    and large requests run side by side. Raises `FailedPrecondition` (reason `MODEL_UNUSABLE`) for a file
    that is no model or takes other inputs than the task's.
    """

    in_process = True
    ready = True
    status = "ready"

    def __init__(self, path: Path, layout: InputLayout, *, threads: int = 1) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        there = ort.get_available_providers()
        providers = [one for one in ("CUDAExecutionProvider", "CPUExecutionProvider") if one in there]
        try:
            self._session = ort.InferenceSession(str(path), options, providers=providers)
        except Exception as error:  # onnxruntime's errors have no common base
            raise _unusable(path, f"cannot be loaded ({str(error).splitlines()[0][:300]})") from error
        self._check(path, layout)
        # What `run` does beyond this are checks of the inputs' names, which were made once and for all.
        self._run: Callable[..., Any] = getattr(self._session, "_sess", self._session).run
        self._outputs = [OUTPUT]

    def _check(self, path: Path, layout: InputLayout) -> None:
        widths = {
            "numeric": len(layout.numeric),
            "code": len(layout.code),
            "category": len(layout.category),
        }
        wanted = {name: (_TYPES[name], width) for name, width in widths.items() if width}
        found = {
            one.name: (one.type, one.shape[-1] if one.shape else None) for one in self._session.get_inputs()
        }
        if found.keys() != wanted.keys() or any(
            found[name][0] != kind
            or (found[name][1] not in (width, None) and not isinstance(found[name][1], str))
            for name, (kind, width) in wanted.items()
        ):
            raise _unusable(path, f"takes the inputs {found}, and the task gives {wanted}")
        if OUTPUT not in (one.name for one in self._session.get_outputs()):
            raise _unusable(path, f"has no output {OUTPUT}")

    def score(self, inputs: ModelInputs) -> np.ndarray:
        """Probabilities `(N,) float32`."""
        scores: np.ndarray = self._run(self._outputs, inputs.by_name(), None)[0]
        return scores

    async def predict(self, inputs: ModelInputs, timeout_s: float) -> np.ndarray:
        """As `score`, on a thread of its own. A computation cannot be broken off, so `timeout_s` is not
        looked at.
        """
        return await asyncio.to_thread(self.score, inputs)

    async def close(self) -> None:
        """Nothing to do: the session goes with its last user."""


def _unusable(path: Path, what: str) -> FailedPrecondition:
    return FailedPrecondition(f"{path} {what}.", reason="MODEL_UNUSABLE", metadata={"file": str(path)})
