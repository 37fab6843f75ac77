"""Looks inside a net that segments: pictures with their masks, each class's IoU, and which pixels are taken
for which.
"""

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from models.data.masked_pictures import columns_of
from models.data.pictures import decode
from models.figures import Bars, Figure, Matrix, Picture, Pictures
from models.interpret.confusion import MOST_CLASSES
from models.interpret.drawing import LONGEST_SIDE, LUMA, Pixels, png, resized

if TYPE_CHECKING:
    from models.mask_model import Counts, MaskModel

WORST_SHOWN = 8
OTHERS_SHOWN = 4
GAP_PIXELS = 4
COVER = 0.65
# Okabe and Ito's colours, which every eye tells apart; the first class, mostly the background, has none.
COLOURS = np.array(
    [
        (0, 114, 178),
        (230, 159, 0),
        (0, 158, 115),
        (204, 121, 167),
        (213, 94, 0),
        (86, 180, 233),
        (240, 228, 66),
    ],
    np.float64,
)


def figures_of(model: "MaskModel", valid: pa.Table) -> list[Figure]:
    """Masks, IoU bars and confusion on the validation rows, in this order; none where no row can be read."""
    tables = model.judged(valid).net
    if not len(tables):
        return []
    return [masks_figure(model, valid), iou_figure(model, tables), confusion_figure(tables, model.classes)]


def masks_figure(model: "MaskModel", valid: pa.Table) -> Figure:
    """Figure "masks": the pictures with the lowest IoU, then some of the others, each three times: as it is,
    with its true mask, with the mask that the net gives.
    """
    from models.mask_model import mask_of, picture_ious

    rows, quality = model.rows(valid), picture_ious(model.judged(valid).net)
    order = np.argsort(quality, kind="stable")
    others = order[WORST_SHOWN:]
    spaced = others[:: max(len(others) // OTHERS_SHOWN, 1)][:OTHERS_SHOWN]
    shown = []
    column = valid.column(columns_of(model.problem)[0])
    for place in np.concatenate([order[:WORST_SHOWN], spaced]):
        row = int(rows.readable[place])
        picture = np.asarray(decode(column[row].as_py()))
        truth = model.truth(valid, row, rows)
        said = mask_of(model.logits(rows.pixels[row : row + 1])[0], truth.shape)
        both = [painted(picture, mask) for mask in (truth, said)]
        caption = f"{rows.id_name} {rows.ids[row]}: IoU {quality[place]:.2f}"
        shown.append(Picture(png(beside([picture, *both])), caption, rows.ids[row]))
    sentence = (
        f"The {min(WORST_SHOWN, len(order))} of {len(order):,} validation pictures with the lowest IoU, then "
        "others: each as it is, with its true mask, and with the mask that the net gives it."
    )
    return Figure("masks", "True masks and the net's", sentence, Pictures(tuple(shown)))


def iou_figure(model: "MaskModel", tables: "Counts") -> Figure:
    """Figure "class_iou": one bar a class, lowest first, with an interval that resamples pictures."""
    found = sorted(model.class_estimates(tables).items(), key=lambda pair: pair[1].value)
    lowest, estimate = found[0]
    sentence = (
        f"Lowest is “{lowest}” at {estimate.value:.2f} (95 % interval {estimate.lower:.2f} to "
        f"{estimate.upper:.2f}); 1 would be the very same pixels."
    )
    columns = zip(*((one.value, one.lower, one.upper) for _, one in found), strict=True)
    values, lower, upper = (tuple(column) for column in columns)
    bars = Bars(tuple(name for name, _ in found), values, "intersection over union", lower, upper)
    return Figure("class_iou", "How well each class is outlined", sentence, bars)


def confusion_figure(tables: "Counts", classes: tuple[str, ...]) -> Figure:
    """Figure "pixel_confusion": of each class's pixels the share that is said to be of each class."""
    counts = tables.sum(0)
    errors = counts.sum(0) + counts.sum(1) - 2 * np.diag(counts)
    shown = np.sort(np.argsort(-errors, kind="stable")[:MOST_CLASSES])
    names = tuple(classes[one] for one in shown)
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    values = tuple(tuple(float(one) for one in row) for row in share[np.ix_(shown, shown)])
    right = np.trace(counts) / max(counts.sum(), 1)
    sentence = f"{right:.1%} of {counts.sum():,} pixels are of the class that is said."
    if len(shown) < len(classes):
        sentence += f" Of {len(classes)} classes the {len(shown)} with the most errors are shown."
    return Figure(
        "pixel_confusion",
        "Which pixels are taken for which",
        sentence,
        Matrix(names, names, values, "is", "said"),
    )


def painted(picture: Pixels, mask: Pixels) -> Pixels:
    """The picture uint8 `(H, W, 3)` in grey, with the pixels of every class but the first in that class's
    colour.
    """
    colour = COLOURS[(mask.astype(int) - 1) % len(COLOURS)]
    cover = np.where(mask > 0, COVER, 0.0)[..., None]
    grey = (picture @ LUMA)[..., None]
    found: Pixels = ((1 - cover) * grey + cover * colour).round().astype(np.uint8)
    return found


def beside(pictures: list[Pixels]) -> Pixels:
    """Pictures of one size side by side at a thumbnail's size, white between them."""
    small = [resized(picture, LONGEST_SIDE) for picture in pictures]
    gap = np.full((len(small[0]), GAP_PIXELS, 3), 255, np.uint8)
    parts = [part for one in small for part in (one, gap)]
    return np.concatenate(parts[:-1], axis=1)
