"""The curve of one model: its losses and metrics after each epoch, kept in a file that outlives a killed
worker.
"""

import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from boarfish.v1 import training_pb2

if TYPE_CHECKING:
    from models.progress import Progress


KEEP_INTERVAL_MS = 500
LOSSES = ("train_loss", "validation_loss")


class Curve:
    """Measured values by epoch. Times are milliseconds since 1970."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.start_ms = _now_ms()
        self.end_ms = self.start_ms
        self._kept_ms = 0
        self._epochs: dict[int, tuple[int, dict[str, float]]] = {}

    @classmethod
    def open(cls, path: Path) -> "Curve":
        """The curve in `path`, or a new one that will be kept there."""
        curve = cls(path)
        try:
            kept = json.loads(path.read_text())
        except (FileNotFoundError, ValueError):
            return curve
        curve.start_ms, curve.end_ms = kept["start_ms"], kept["end_ms"]
        curve._epochs = {epoch: (time_ms, values) for epoch, time_ms, values in kept["epochs"]}
        return curve

    def add(self, progress: "Progress") -> None:
        """Takes in a report; the last one of an epoch stands. Values that are not finite are left out."""
        values = {
            **progress.metrics,
            "train_loss": progress.train_loss,
            "validation_loss": progress.validation_loss,
        }
        finite = {name: float(value) for name, value in values.items() if math.isfinite(value)}
        if not finite:
            return
        now_ms = _now_ms()
        self._epochs[progress.epoch] = (now_ms, finite)
        if now_ms - self._kept_ms >= KEEP_INTERVAL_MS:
            self._keep()
            self._kept_ms = now_ms

    def end(self) -> None:
        """Notes that the model has been fitted."""
        self.end_ms = _now_ms()
        self._keep()

    def points(self) -> Iterator[tuple[int, int, str, float]]:
        """Epoch, time, name and value of each point, in the order of epochs."""
        for epoch, (time_ms, values) in sorted(self._epochs.items()):
            for name, value in values.items():
                yield epoch, time_ms, name, value

    def messages(self, model_index: int, model: str) -> Iterator[training_pb2.CurvePoint]:
        """The points as they go over the wire, one message an epoch."""
        for epoch, (time_ms, values) in sorted(self._epochs.items()):
            metrics = {name: value for name, value in values.items() if name not in LOSSES}
            point = training_pb2.CurvePoint(
                model_index=model_index, model=model, epoch=epoch, metrics=metrics,
                train_loss=values.get("train_loss", math.nan),
                validation_loss=values.get("validation_loss", math.nan),
            )  # fmt: skip
            point.time.FromMilliseconds(time_ms)
            yield point

    def _keep(self) -> None:
        epochs = [(epoch, time_ms, values) for epoch, (time_ms, values) in self._epochs.items()]
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # Others read it while the worker writes: it is there whole or as it was.
        coming = self._path.with_suffix(".coming")
        coming.write_text(json.dumps({"start_ms": self.start_ms, "end_ms": self.end_ms, "epochs": epochs}))
        coming.replace(self._path)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
