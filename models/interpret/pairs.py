"""Looks inside a net of pairs: the pairs that it finds hardest, side by side, and what is taken for what."""

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from models.figures import Figure
from models.interpret.confusion import class_rates, confusion_counts, confusion_matrix
from models.interpret.losses import top_loss_pictures

if TYPE_CHECKING:
    from models.siamese import FittedSiamese

GAP_SHARE = 16


def figures_of(model: "FittedSiamese", valid: pa.Table) -> list[Figure]:
    """Top losses, confusion, recall and precision on the validation rows, in this order; none where no row
    can be read.
    """
    rows = model.rows(valid)
    if not len(rows.readable):
        return []
    score, label = model.predict(rows), model.labels(valid, rows).astype(np.int64)
    probability = np.stack([1 - score, score], 1)
    first, second = rows.first[rows.readable], rows.second[rows.readable]
    gap = np.full((*first.shape[:2], max(first.shape[2] // GAP_SHARE, 1), 3), 255, np.uint8)
    ids = [rows.ids[int(row)] for row in rows.readable]
    counts = confusion_counts(label, score >= model.problem.threshold, 2)
    return [
        top_loss_pictures(np.concatenate([first, gap, second], 2), label, probability, model.classes, ids),
        confusion_matrix(counts, model.classes),
        *class_rates(counts, model.classes),
    ]
