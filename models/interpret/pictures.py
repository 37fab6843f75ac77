"""All that is looked at in a net that classifies pictures, in bounded time: 24 maps at most.

A job's classifier of pictures calls `figures_of` once, after it has predicted the validation rows.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from models.figures import Figure, Picture, Pictures
from models.interpret.cam import grad_cam
from models.interpret.confusion import class_rates, confusion_counts, confusion_matrix, most_confused
from models.interpret.drawing import heat_over, png, resized
from models.interpret.losses import hardest, top_loss_pictures
from models.metrics import cross_entropy_rows

HARDEST = 8
SUREST = 8

ToInput = Callable[[npt.NDArray[np.uint8]], Tensor]


def figures_of(  # noqa: PLR0917 - what is known of each picture, in the order of the docstring
    net: nn.Module,
    pictures: npt.NDArray[np.uint8],
    probability: npt.ArrayLike,
    label: npt.ArrayLike,
    classes: Sequence[str],
    row_ids: Sequence[str],
    to_input: ToInput,
) -> list[Figure]:
    """Confusion, most confused, top losses, Grad-CAM, recall and precision, in this order.

    `pictures` uint8 `(N, H, W, 3)`, `probability` `(N, C)`, `label` int `(N,)`, `row_ids` N texts. `to_input`
    makes the net's input of a few pictures. Rows whose probability is NaN could not be read and are left out.
    """
    p, y = np.asarray(probability, float), np.asarray(label, np.int64)
    read = np.flatnonzero(~np.isnan(p).any(1))
    p, y, ids = p[read], y[read], [row_ids[int(row)] for row in read]
    counts = confusion_counts(y, p.argmax(1), len(classes))
    shown = pictures if len(read) == len(pictures) else pictures[read]
    looked = (
        [where_it_looked(net, shown, p, y, classes=classes, row_ids=ids, to_input=to_input)] if len(y) else []
    )
    return [
        confusion_matrix(counts, classes),
        most_confused(counts, classes),
        top_loss_pictures(shown, y, p, classes, ids),
        *looked,
        *class_rates(counts, classes),
    ]


def where_it_looked(
    net: nn.Module,
    pictures: npt.NDArray[np.uint8],
    probability: npt.NDArray[np.float64],
    label: npt.NDArray[np.int64],
    *,
    classes: Sequence[str],
    row_ids: Sequence[str],
    to_input: ToInput,
) -> Figure:
    """Figure "grad_cam": the hardest wrong ones twice, for what was said and for what is true; then sure
    ones.

    Shapes as in `figures_of`; at least one row, and no NaN.
    """
    said = probability.argmax(1)
    losses = cross_entropy_rows(label, probability)
    wrong = [row for row in hardest(losses, len(losses)) if said[row] != label[row]][:HARDEST]
    right = [row for row in hardest(-losses, len(losses)) if said[row] == label[row]][:SUREST]
    asked = [(row, one) for row in wrong for one in (said[row], label[row])]
    asked += [(row, said[row]) for row in right]
    rows = np.array([row for row, _ in asked])
    heat = grad_cam(net, to_input(pictures[rows]), [one for _, one in asked])
    drawn = tuple(
        Picture(
            png(heat_over(resized(pictures[row]), one_heat)),
            _caption(
                classes[one], float(probability[row, one]), said=one == said[row], true=one == label[row]
            ),
            row_ids[row],
        )
        for (row, one), one_heat in zip(asked, heat, strict=True)
    )
    sentence = "Light places speak for the class beneath the picture (Grad-CAM at the last spatial layer). "
    if wrong:
        sentence += (
            f"The {len(wrong)} hardest of the wrong ones come twice, for what was said and for what is true; "
            f"{len(right)} sure and right ones follow."
        )
    else:
        sentence += f"None of the {len(label):,} was decided wrongly; these are the {len(right)} surest."
    return Figure("grad_cam", "Where it looked", sentence, Pictures(drawn))


def _caption(name: str, probability: float, *, said: bool, true: bool) -> str:
    sure = f"{probability:.0%}"
    if said and true:
        return f"said {name} ({sure}), and is"
    return f"said {name} ({sure}), wrongly" if said else f"is {name} (given {sure})"
