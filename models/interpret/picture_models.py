"""What is looked at in a net of pictures, by the kind of its task.

Classes: `models.interpret.pictures`. Labels: how the threshold was chosen, and how well each label is told.
Numbers: `models.interpret.regression`. Points: the worst ones, drawn. And, where a plan asks for it, whether
changed copies of the validation pictures would have helped.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from models.data.augment import augment
from models.data.picture_rows import IMAGE, PictureRows, as_input
from models.figures import Bars, Figure, Lines, Picture, Pictures, Table
from models.interpret import pictures as classes_of_pictures
from models.interpret import regression
from models.interpret.drawing import png, resized
from models.interpret.losses import hardest
from models.recipe import BINARY, MULTICLASS, MULTILABEL

if TYPE_CHECKING:
    from models.data.targets import Values
    from models.picture_model import PictureModel

MOST_TARGETS = 4
MOST_PICTURES = 12
MOST_LABELS = 30
COPIED_ROWS = 128
# Blue for what is true and orange for what was said: told apart by every eye.
TRUE_COLOUR, SAID_COLOUR = (0, 114, 178), (230, 159, 0)


def figures_of(model: "PictureModel", valid: pa.Table) -> list[Figure]:
    """All figures of a fitted model on the validation rows, most telling first; none where no row can be
    read.
    """
    rows = model.rows(valid)
    if not len(rows.readable):
        return []
    label, prediction = model.labels(valid, rows), model.predict(rows)
    ids = [rows.ids[int(row)] for row in rows.readable]
    target = model.spec.target
    if target.kind in (BINARY, MULTICLASS):
        found = _classes(model, rows, label, prediction, ids)
    elif target.kind == MULTILABEL:
        found = [
            threshold_figure(label, prediction, target.threshold),
            label_figure(label, prediction, target.classes, target.threshold),
        ]
    elif model.spec.points:
        return [worst_points(rows, label, prediction, ids)]
    else:
        found = []
        for at, name in enumerate(target.names[:MOST_TARGETS]):
            numbers = prediction.reshape(len(label), -1)[:, at]
            more = regression.figures_of(
                label[:, at], numbers, name, ids, valid.take(pa.array(rows.readable))
            )
            found += [replace(one, name=f"{one.name}_{at}") for one in more] if at else more
    copies = model.spec.config.test_time_augmentations
    if copies and model.spec.type == IMAGE:
        found.append(changed_copies(model, rows, label, copies))
    return found


def threshold_figure(label: "Values", probability: npt.NDArray[np.float32], chosen: float) -> Figure:
    """Figure "threshold": micro F1 of labels `(N, L)` at each threshold that was tried."""
    from models.picture_model import THRESHOLDS, f1_at

    scores = [f1_at(label, probability, threshold) for threshold in THRESHOLDS]
    body = Lines(tuple(THRESHOLDS.tolist()), (("micro F1", tuple(scores)),), "threshold", "micro F1")
    return Figure(
        "threshold",
        "Where a label is given",
        f"A label is given from a probability of {chosen:.2f} on, where micro F1 is highest "
        f"({max(scores):.3f}; at 0.50 it is {f1_at(label, probability, 0.5):.3f}).",
        body,
    )


def label_figure(
    label: "Values", probability: npt.NDArray[np.float32], names: Sequence[str], threshold: float
) -> Figure:
    """Figure "labels": F1 of each label, the 30 most frequent ones, best first."""
    given, there = probability >= threshold, label > 0.5
    counts = there.sum(0)
    either = counts + given.sum(0)
    scores = np.divide(2 * (there & given).sum(0), either, out=np.zeros(len(names)), where=either > 0)
    frequent = np.argsort(-counts, kind="stable")[:MOST_LABELS]
    order = frequent[np.argsort(-scores[frequent], kind="stable")]
    bars = tuple(f"{names[one]} ({counts[one]})" for one in order)
    best, worst = names[order[0]], names[order[-1]]
    return Figure(
        "labels",
        "How well each label is told",
        f"{best} is told best and {worst} worst; in brackets the validation rows that have the label.",
        Bars(bars, tuple(scores[order].tolist()), "F1"),
    )


def worst_points(
    rows: PictureRows, label: "Values", prediction: npt.NDArray[np.float32], ids: Sequence[str]
) -> Figure:
    """Figure "top_losses" of points in pixels `(M, 2 P)`: a ring where each is, a cross where it was said to
    be.
    """
    sizes = rows.sizes[rows.readable]
    apart = np.linalg.norm((prediction - label).reshape(len(label), -1, 2), axis=2).mean(1)
    drawn = []
    for place in hardest(apart, MOST_PICTURES):
        row = int(rows.readable[place])
        to_drawn = rows.values.shape[1] / np.tile(sizes[place], label.shape[1] // 2)
        pixels = _with_points(rows.values[row], label[place] * to_drawn, prediction[place] * to_drawn)
        drawn.append(Picture(png(pixels), f"{apart[place]:.1f} pixels off", ids[place]))
    return Figure(
        "top_losses",
        "Points that are farthest off",
        f"A blue ring is where a point is, an orange cross where it was said to be. Half of the "
        f"{len(label):,} pictures are off by {np.median(apart):.1f} pixels or less.",
        Pictures(tuple(drawn)),
    )


def changed_copies(model: "PictureModel", rows: PictureRows, label: "Values", copies: int) -> Figure:
    """Figure "test_time_augmentation": the metrics of plain predictions beside those averaged with `copies`
    changed ones. What is served is the plain prediction.
    """
    from models.assess import assess
    from models.picture_model import finished

    target = model.spec.target
    problem = replace(model.spec.problem, threshold=target.threshold)
    generator = torch.Generator().manual_seed(0)
    plain, sums = [], []
    with torch.inference_mode():
        for start in range(0, len(rows.readable), COPIED_ROWS):
            pixels = torch.from_numpy(rows.values[rows.readable[start : start + COPIED_ROWS]]).permute(
                0, 3, 1, 2
            )
            learnt = finished(target, model.net(pixels.float() / 255))
            plain.append(learnt)
            for _ in range(copies):
                changed = augment(pixels, model.spec.config.augment, generator=generator).images
                learnt = learnt + finished(target, model.net(changed))
            sums.append(learnt / (copies + 1))
    found = [
        assess(problem, label, label, target.finish(torch.cat(parts).numpy())).metrics
        for parts in (plain, sums)
    ]
    cells = tuple((name, found[0][name].value, found[1][name].value) for name in found[0])
    name, before, after = next((cell for cell in cells if cell[0] == problem.metric), cells[0])
    return Figure(
        "test_time_augmentation",
        "Averaged over changed copies",
        f"With {copies} changed copies of each picture {name.replace('_', ' ')} is {after:.4f}, without "
        f"{before:.4f}. What is served is the prediction without.",
        Table(("metric", "plain", f"averaged with {copies} copies"), cells),
    )


def _classes(
    model: "PictureModel",
    rows: PictureRows,
    label: "Values",
    prediction: npt.NDArray[np.float32],
    ids: Sequence[str],
) -> list[Figure]:
    from models.picture_model import class_names

    chance = prediction if prediction.ndim == 2 else np.stack([1 - prediction, prediction], 1)
    return classes_of_pictures.figures_of(
        model.net.without_front(),
        seen(model, rows),
        chance,
        label.astype(np.int64),
        class_names(model.spec.problem),
        ids,
        lambda some: as_input((torch.from_numpy(some),))[0],
    )


def seen(model: "PictureModel", rows: PictureRows) -> npt.NDArray[np.uint8]:
    """The pictures that the net looks at, of the readable rows, uint8 `(M, S, S, 3)`."""
    values = rows.values[rows.readable]
    if model.spec.type == IMAGE:
        return values
    with torch.inference_mode():
        parts = [
            (255 * model.net.pictures(torch.from_numpy(values[start : start + COPIED_ROWS]))).round().byte()
            for start in range(0, len(values), COPIED_ROWS)
        ]
    return torch.cat(parts).permute(0, 2, 3, 1).contiguous().numpy()


def _with_points(
    pixels: npt.NDArray[np.uint8], true: npt.NDArray[np.float64], said: npt.NDArray[np.float64]
) -> npt.NDArray[np.uint8]:
    from PIL import Image, ImageDraw

    enlarged = resized(pixels)
    scale, arm = len(enlarged) / len(pixels), len(enlarged) // 32
    image = Image.fromarray(enlarged)
    draw = ImageDraw.Draw(image)
    for x, y in scale * true.reshape(-1, 2):
        draw.ellipse((x - arm, y - arm, x + arm, y + arm), outline=TRUE_COLOUR, width=2)
    for x, y in scale * said.reshape(-1, 2):
        draw.line((x - arm, y - arm, x + arm, y + arm), fill=SAID_COLOUR, width=2)
        draw.line((x - arm, y + arm, x + arm, y - arm), fill=SAID_COLOUR, width=2)
    return np.asarray(image)
