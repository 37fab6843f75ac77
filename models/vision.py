"""Pictures, and what becomes one, to classes, labels, numbers or points: the recipe `ConvNet`.

Rows are read and changed in `models.data.picture_rows`, the net is a body with a new head
(`models.nets.heads`), and what comes of a fit is a `models.picture_model.PictureModel`. Method: Howard and
Gugger, "Deep Learning for Coders", chapters 4 to 7 and 13 to 15.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, mse_loss

from models.assess import quick_metrics
from models.configs import ConvNetConfig
from models.data.picture_rows import IMAGE, PictureBatches, PictureRows, RowSource, picture_input
from models.data.signals import Signals
from models.data.targets import TargetSpec, Values, read_target
from models.mean_picture import MeanPictures
from models.nets.heads import Body, Head, body_of
from models.nets.picture import PictureNet, Range
from models.picture_model import KIND, PictureModel, PictureSpec, best_threshold, finished
from models.progress import TrainingFailed
from models.recipe import BINARY, MULTICLASS, MULTILABEL, REGRESSION, FitContext, Problem
from models.training import device_for, fit_net

# A sigmoid never reaches its ends: points on a picture's edge are within reach.
POINT_RANGE = 1.1


class ConvNet:
    """The recipe: BINARY, MULTICLASS, MULTILABEL or REGRESSION (points too) from one picture, sound, series
    or file.
    """

    name = KIND

    def __init__(self, config: ConvNetConfig) -> None:
        self.config = config

    def fit(self, problem: Problem, train: pa.Table, valid: pa.Table, context: FitContext) -> PictureModel:
        """See `models.recipe.Recipe`. Rows that cannot be read are left out, up to a tenth of a part.

        With `context.weights` the body starts from them, and learns with the head after `frozen_epochs` in
        which the head alone does.
        """
        config = self.config
        check(problem, config)
        train_rows = PictureRows.read(train, problem, config, part="training", context=context)
        valid_rows = PictureRows.read(
            valid, problem, config, part="validation", size=config.image_size, context=context
        )
        warnings = [train_rows.check("training"), valid_rows.check("validation")]
        label, valid_label = (
            read_target(table.take(pa.array(rows.readable)), problem)
            for table, rows in ((train, train_rows), (valid, valid_rows))
        )
        spec = PictureSpec.of(problem, config, target_spec(problem, label))
        torch.manual_seed(context.seed)
        body = body_of(config.architecture, context.weights)
        net = picture_net(spec, body, config)
        if problem.kind == MULTILABEL:
            start_at_shares(net, label)
        if config.fit.frozen_epochs and context.weights is None:
            warnings.append("frozen_epochs trained the head on a body without pretrained weights.")
        device = device_for(context)
        batches = PictureBatches(
            RowSource(train_rows, learnt(spec, label, train_rows), device),
            RowSource(valid_rows, learnt(spec, valid_label, valid_rows), device),
            config,
            seed=context.seed,
            device=device,
            class_count=spec.target.width if problem.kind == MULTICLASS else None,
            points=problem.target.points,
        )
        fit_net(
            net,
            batches,
            loss_of(problem, config.label_smoothing),
            config.fit,
            context,
            name=KIND,
            metrics=None if spec.points else metrics_of(problem, spec.target),
            groups=[*body.groups, list(net.head.parameters())],
        )
        means = mean_pictures(spec, train_rows, label)
        model = PictureModel(net, spec, means=means, warnings=tuple(filter(None, warnings)))
        model.keep(valid, valid_rows)
        if problem.kind == MULTILABEL and len(valid_rows.readable):
            threshold = best_threshold(valid_label, model.predict(valid_rows))
            model.spec = replace(spec, target=replace(spec.target, threshold=threshold))
        return model


def check(problem: Problem, config: ConvNetConfig) -> None:
    """Raises `TrainingFailed` for a problem or settings that a net of pictures cannot be fitted with."""
    if problem.kind not in (BINARY, MULTICLASS, MULTILABEL, REGRESSION):
        raise TrainingFailed(
            f"A conv_net does not learn a {problem.kind} task. Choose another kind of model."
        )
    given = picture_input(problem)
    if problem.target.points and (given.type != IMAGE or len(problem.target.names) % 2):
        raise TrainingFailed(
            "Points are x and y of places in a picture: give an image and an even number of target columns, "
            f"not {given.type} and {len(problem.target.names)}."
        )


def target_spec(problem: Problem, train: Values) -> TargetSpec:
    """What the net's numbers stand for; points are learnt from -1 to 1, so they are not scaled."""
    spec = TargetSpec.of(problem, train)
    if not problem.target.points:
        return spec
    return replace(
        spec, means=(0.0,) * spec.width, deviations=(1.0,) * spec.width, minimum=None, maximum=None
    )


def mean_pictures(spec: PictureSpec, rows: PictureRows, label: Values) -> MeanPictures | None:
    """Each class's mean picture, where there are pictures and classes."""
    if spec.type != IMAGE or spec.target.kind not in (BINARY, MULTICLASS):
        return None
    count = 2 if spec.target.kind == BINARY else spec.target.width
    return MeanPictures.of(rows.values, rows.readable, label.astype(np.int64), count)


def picture_net(spec: PictureSpec, body: Body, config: ConvNetConfig) -> PictureNet:
    """The net with a new head, which ends in the range of a regression where there is one."""
    head: nn.Sequential = Head(body.channel_count, spec.target.width, config.dropout)
    means, deviations = (torch.tensor(values) for values in (spec.target.means, spec.target.deviations))
    if spec.points:
        head.append(Range(torch.full_like(means, -POINT_RANGE), torch.full_like(means, POINT_RANGE)))
    elif spec.target.bounds is not None:
        low, high = spec.target.bounds
        head.append(Range((low - means) / deviations, (high - means) / deviations))
    front = None if spec.type == IMAGE else Signals(spec.type, config.signal).picture
    return PictureNet(body, head, front=front, size=config.image_size)


def start_at_shares(net: PictureNet, label: Values) -> None:
    """Lets the last layer give each label `(N, L)` its share of the training rows at first: with many labels
    of which few are there, a start at one half wastes the first epochs on unlearning it (Lin and others,
    "Focal loss for dense object detection", ICCV 2017, section 4.1).
    """
    share = torch.from_numpy((label.sum(0) + 1) / (len(label) + 2)).float()
    with torch.no_grad():
        net.head[-1].bias.copy_(torch.logit(share))  # type: ignore[operator]


def learnt(spec: PictureSpec, label: Values, rows: PictureRows) -> Tensor:
    """Labels of the readable rows as the net learns them: classes int64 `(M,)`; labels, and numbers with mean
    0 and deviation 1, float32 `(M, W)`; points from -1 to 1 of their picture.
    """
    target = spec.target
    if target.kind == MULTICLASS:
        return torch.from_numpy(label)
    if target.kind != REGRESSION:
        return torch.from_numpy(label.reshape(len(label), -1).astype(np.float32))
    if spec.points:
        sizes = np.tile(rows.sizes[rows.readable], target.width // 2)
        return torch.from_numpy((2 * label / sizes - 1).astype(np.float32))
    scaled = (target.learnt(label) - target.means) / target.deviations
    return torch.from_numpy(scaled.astype(np.float32))


def loss_of(problem: Problem, smoothing: float) -> Callable[[Tensor, Tensor], Tensor]:
    """The loss of outputs and targets. `smoothing` gives that share of the truth to all classes alike
    (Szegedy and others 2016, section 7); of targets that mixup made, too.
    """

    def of_classes(output: Tensor, target: Tensor) -> Tensor:
        return cross_entropy(output.float(), target, label_smoothing=smoothing)

    def of_labels(output: Tensor, target: Tensor) -> Tensor:
        return binary_cross_entropy_with_logits(output.float(), target * (1 - smoothing) + smoothing / 2)

    def of_numbers(output: Tensor, target: Tensor) -> Tensor:
        return mse_loss(output.float(), target)

    return {MULTICLASS: of_classes, REGRESSION: of_numbers}.get(problem.kind, of_labels)


def metrics_of(problem: Problem, target: TargetSpec) -> Callable[[Tensor, Tensor], dict[str, float]]:
    """A few metrics of all outputs and targets of a validation, for the curve."""

    def metrics(output: Tensor, label: Tensor) -> dict[str, float]:
        prediction = target.finish(finished(target, output.float()).cpu().numpy())
        values: npt.NDArray[np.generic] = label.cpu().numpy()
        if target.kind == REGRESSION:
            values = target.finish(finished(target, label.float()).cpu().numpy()).reshape(len(values), -1)
        return quick_metrics(problem, values[:, 0] if target.kind == BINARY else values, prediction)

    return metrics
