"""What a worker tells the service as it goes: the stage at once, numbers at most ten times a second.

The job's fraction is the sum of its models' shares of the work; the time left is what the work of this
process so far lets expect.
"""

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from boarfish.v1 import training_pb2

if TYPE_CHECKING:
    from models.progress import Progress

INTERVAL_S = 0.1
READING_SHARE = 0.02
# Time left is not guessed from less of the job than this.
LEAST_FRACTION = 0.03


class Reporter:
    """Adds the progress of one model after the other up to that of the job.

    `seconds` is the expected work of each model; only the ratios count. `send` takes each message.
    """

    def __init__(
        self,
        seconds: Sequence[float],
        send: Callable[[training_pb2.TrainingProgress], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        total = sum(seconds)
        self._shares = [(1 - READING_SHARE) * one / total for one in seconds]
        self._send = send
        self._clock = clock
        self._index = 0
        self._latest = training_pb2.TrainingProgress()
        self._sent_at = float("-inf")
        self._began: tuple[float, float] | None = None

    def stage(self, stage: str, *, index: int | None = None, fraction: float = 0.0, model: str = "") -> None:
        """Says what is being done:

        `fraction` (0 to 1) of model `index` of the plan is behind it; `None`: none is begun.
        """
        if index is not None and (index != self._index or model != self._latest.model):
            self._latest = training_pb2.TrainingProgress(model=model)
            self._index = index
        self._latest.stage = stage
        self._tell(0.0 if index is None else self._whole(fraction), at_once=True)

    def fitting(self, progress: "Progress", fit_share: float) -> None:
        """Passes on the progress of the model that is being fitted, which is `fit_share` of its work."""
        latest = self._latest
        at_once = progress.stage != latest.stage or progress.epoch != latest.epoch
        latest.stage = progress.stage
        latest.epoch, latest.epoch_count, latest.step = progress.epoch, progress.epoch_count, progress.step
        latest.train_loss, latest.validation_loss = progress.train_loss, progress.validation_loss
        latest.rows_per_s = progress.rows_per_s
        for name, value in progress.metrics.items():
            latest.metrics[name] = value
        whole = self._whole(progress.fraction_done * fit_share)
        if self._began is None:
            # Imports and set-up before it say nothing of the rate of work.
            self._began = (self._clock(), whole)
        self._tell(whole, at_once=at_once)

    def _whole(self, fraction: float) -> float:
        before = sum(self._shares[: self._index])
        return READING_SHARE + before + self._shares[self._index] * min(1.0, max(0.0, fraction))

    def _tell(self, fraction: float, *, at_once: bool) -> None:
        now = self._clock()
        if not at_once and now - self._sent_at < INTERVAL_S:
            return
        self._latest.fraction_done = fraction
        if self._began is not None and fraction - self._began[1] >= LEAST_FRACTION:
            rate = (fraction - self._began[1]) / max(now - self._began[0], 1e-6)
            self._latest.time_left.FromMilliseconds(round(1000 * (1 - fraction) / rate))
        self._sent_at = now
        self._send(self._latest)
