"""What runs models: one small interface, an implementation a file.

A new runtime is a class with these members and a branch in `services.inference.deployments`.
"""

from typing import Protocol

import numpy as np

from services.inference.inputs import ModelInputs


class Runtime(Protocol):
    """One model version, loaded somewhere."""

    @property
    def in_process(self) -> bool:
        """Whether `score` may be called: the model runs inside this process and blocks the thread that
        asks.
        """

    @property
    def ready(self) -> bool:
        """Whether it can answer now."""

    @property
    def status(self) -> str:
        """Why it cannot, or that it can, in words."""

    def score(self, inputs: ModelInputs) -> np.ndarray:
        """Probabilities `(N,) float32`, computed on the calling thread."""

    async def predict(self, inputs: ModelInputs, timeout_s: float) -> np.ndarray:
        """Probabilities `(N,) float32`. Raises `Unavailable` when there is no answer within `timeout_s`."""

    async def close(self) -> None:
        """Lets go of the model."""
