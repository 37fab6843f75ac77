"""The baseline of pictures: the class whose mean picture is nearest.

Source: Howard and Gugger, "Deep Learning for Coders", chapter 4 (pixel similarity), which reaches 95 % on two
digits. Pictures are looked at 32 by 32 pixels small, so that a thousand classes are compared in seconds.
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import adaptive_avg_pool2d

from models.baseline import BaselineComparison, compare_rows, compare_statistic
from models.metrics import auc, macro_f1_of
from models.recipe import BINARY, Problem

RULE = "the class whose mean picture is nearest"
SIZE = 32
ROWS_A_PART = 1024


@dataclass(frozen=True)
class MeanPictures:
    """`means` float32 `(C, D)`: each class's mean picture, NaN for a class that no row has."""

    means: npt.NDArray[np.float32]

    @classmethod
    def of(
        cls,
        pictures: npt.NDArray[np.uint8],
        chosen: npt.NDArray[np.int64],
        label: npt.NDArray[np.int64],
        class_count: int,
    ) -> Self:
        """From those at `chosen` `(M,)` of pictures `(N, H, W, 3)` of one size, and their classes `(M,)`."""
        sums = torch.zeros(class_count, SIZE * SIZE * 3)
        for start in range(0, len(chosen), ROWS_A_PART):
            part = slice(start, start + ROWS_A_PART)
            sums.index_add_(0, torch.from_numpy(label[part]), _small(pictures[chosen[part]]))
        counts = np.bincount(label, minlength=class_count)[:, None]
        means = np.divide(sums.numpy(), counts, out=np.full(sums.shape, np.nan), where=counts > 0)
        return cls(means.astype(np.float32))

    def nearness(self, pictures: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """How near each picture is to each class's mean, `(N, C)`: the mean absolute difference of pixels
        from 0 to 1, taken from 1; 0 for a class that has no mean.
        """
        means = torch.from_numpy(self.means)
        parts = [
            1 - torch.cdist(_small(pictures[start : start + ROWS_A_PART]), means, p=1) / means.shape[1]
            for start in range(0, len(pictures), ROWS_A_PART)
        ]
        found = torch.cat(parts).numpy() if parts else np.empty((0, len(means)), np.float32)
        return np.nan_to_num(found, nan=0.0)


def _small(pictures: npt.NDArray[np.uint8]) -> torch.Tensor:
    """`(N, D)` float32 from 0 to 1."""
    pixels = torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float() / 255
    return adaptive_avg_pool2d(pixels, SIZE).flatten(1)


def harder(
    comparison: BaselineComparison,
    problem: Problem,
    label: npt.NDArray[Any],
    prediction: npt.NDArray[np.float32],
    nearness: npt.NDArray[np.float32],
) -> BaselineComparison:
    """`comparison`, or the one with the nearest mean picture where that rule is the better one.

    `label` and `prediction` as `models.assess.assess` takes them, `nearness` `(N, C)`. By accuracy, macro F1
    and AUC; for other metrics a rule must give probabilities, which this one does not.
    """
    if problem.kind == BINARY:
        score = nearness[:, 1] - nearness[:, 0]
        said, nearest = prediction >= problem.threshold, score >= 0
    else:
        score = nearness.max(1)
        said, nearest = prediction.argmax(1), nearness.argmax(1)
    if problem.metric == "accuracy":
        found = compare_rows(RULE, "accuracy", said == label, nearest == label)
    elif problem.metric == "macro_f1" and problem.kind != BINARY:
        rows = [np.stack([label, one], 1).astype(float) for one in (said, nearest)]
        found = compare_statistic(RULE, "macro_f1", _macro_f1, *rows)
    elif problem.metric == "auc":
        rows = [np.stack([label, one], 1).astype(float) for one in (prediction, score)]
        found = compare_statistic(RULE, "auc", _auc, *rows)
    else:
        return comparison
    return found if found.baseline.value > comparison.baseline.value else comparison


def _macro_f1(rows: npt.NDArray[np.float64]) -> float:
    return macro_f1_of(rows.astype(np.int64))


def _auc(rows: npt.NDArray[np.float64]) -> float:
    return auc(rows[:, 0], rows[:, 1]).value
