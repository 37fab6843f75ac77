"""The class of each pixel: the recipe `Unet`.

Rows are read and changed in `models.data.masked_pictures`, the net is in `models.nets.unet`, and what comes
of a fit is a `models.mask_model.MaskModel`.
"""

from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from models.callbacks.base import Callback
from models.configs import UnetConfig
from models.data.batches import ShuffledBatches
from models.data.masked_pictures import (
    VALID_BATCH_ROWS,
    MaskChanges,
    MaskedPictures,
    as_input,
    columns_of,
)
from models.mask_model import KIND, MaskModel, PlainMask
from models.metrics import class_ious
from models.nets.heads import body_of
from models.nets.unet import UNet
from models.progress import TrainingFailed
from models.recipe import SEGMENTATION, FitContext, Problem
from models.training import device_for, fit_net

if TYPE_CHECKING:
    from models.learner import Learner


class Unet:
    """The recipe: SEGMENTATION of one picture."""

    name = KIND

    def __init__(self, config: UnetConfig) -> None:
        self.config = config

    def fit(self, problem: Problem, train: pa.Table, valid: pa.Table, context: FitContext) -> MaskModel:
        """See `models.recipe.Recipe`. Rows whose picture or mask cannot be used are left out, up to a tenth
        of a part. With `context.weights` the body starts from them.
        """
        config = self.config
        if problem.kind != SEGMENTATION:
            raise TrainingFailed(
                f"A unet does not learn a {problem.kind} task. Choose another kind of model."
            )
        columns_of(problem)
        train_rows = MaskedPictures.read(train, problem, config, part="training", size=0, context=context)
        valid_rows = MaskedPictures.read(
            valid, problem, config, part="validation", size=config.image_size, context=context
        )
        warnings = [train_rows.check("training"), valid_rows.check("validation")]
        counts = class_pixels(train_rows, len(problem.target.classes))
        warnings.append(check_classes(counts, problem.target.classes, len(train_rows.readable)))
        if config.fit.frozen_epochs and context.weights is None:
            warnings.append(
                "frozen_epochs trained the way up alone on a body without pretrained weights, seldom a help."
            )
        torch.manual_seed(context.seed)
        net = UNet(body_of(config.architecture, context.weights), len(counts))
        batches = ShuffledBatches(
            train_rows.source(),
            valid_rows.source(),
            config.fit.batch_size,
            seed=context.seed,
            transform=MaskChanges(config, device_for(context)),
            always=as_input,
            valid_batch_size=VALID_BATCH_ROWS,
        )
        callbacks = [PixelTally(len(counts))]
        fit_net(net, batches, loss, config.fit, context, name=KIND, groups=net.groups, callbacks=callbacks)
        rule = PlainMask.of(train_rows.masks[train_rows.readable], len(counts))
        model = MaskModel(net, problem, config, rule, warnings=tuple(filter(None, warnings)))
        model.keep(valid, valid_rows)
        return model


class PixelTally(Callback):
    """Mean IoU and share of right pixels of a validation, counted batch by batch: logits of all pixels would
    not fit into memory.
    """

    order: ClassVar[int] = 40

    def __init__(self, class_count: int) -> None:
        self._class_count = class_count
        self._counts = torch.zeros(class_count**2, dtype=torch.int64)

    def before_validate(self, learner: "Learner") -> None:
        self._counts.zero_()

    def after_batch(self, learner: "Learner") -> None:
        if learner.training:
            return
        place = learner.batch[-1] * self._class_count + learner.prediction.argmax(1)
        self._counts += torch.bincount(place.flatten(), minlength=len(self._counts)).cpu()

    def after_epoch(self, learner: "Learner") -> None:
        table = self._counts.reshape(self._class_count, -1).double().numpy()
        if table.sum():
            learner.metrics["mean_iou"] = float(np.nanmean(class_ious(table)))
            learner.metrics["accuracy"] = float(np.trace(table) / table.sum())


def loss(logits: Tensor, mask: Tensor) -> Tensor:
    """Mean negative log likelihood of a pixel's class."""
    return cross_entropy(logits.float(), mask)


def class_pixels(rows: MaskedPictures, class_count: int) -> np.ndarray:
    """Pixels of each class in the readable rows, int64 `(C,)`."""
    return np.bincount(rows.masks[rows.readable].reshape(-1), minlength=class_count)


def check_classes(counts: np.ndarray, classes: tuple[str, ...], row_count: int) -> str:
    """A warning about classes that no training mask shows; "" for none.

    Raises:
        TrainingFailed: fewer than two rows, or one class only.
    """
    if row_count < 2:
        raise TrainingFailed(f"There are {row_count} training rows; a unet needs two at least.")
    there = np.flatnonzero(counts)
    if len(there) < 2:
        raise TrainingFailed(
            f"Every pixel of every training mask is {classes[there[0]]!r}: there is nothing to tell apart. "
            "Add pictures that show another class."
        )
    if len(there) == len(classes):
        return ""
    lacking = [name for name, count in zip(classes, counts, strict=True) if not count]
    named = ", ".join(lacking[:10]) + (f" and {len(lacking) - 10} more" if len(lacking) > 10 else "")
    return f"No training mask shows {named}: it is never predicted rightly."
