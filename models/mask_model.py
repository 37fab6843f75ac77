"""A U-Net that has been fitted: it predicts masks, is judged beside plain ones, exported, checked and looked
into.

Whatever the size at which the net works, a picture is judged at its own: the logits are stretched to it, and
each pixel takes the class of the highest.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from models.baseline import BaselineComparison, compare_rows, compare_statistic
from models.configs import UnetConfig
from models.data.masked_pictures import (
    VALID_BATCH_ROWS,
    MaskedPictures,
    Pixels,
    columns_of,
    read_mask,
    resized_mask,
)
from models.figures import Figure
from models.metrics import Estimate, bootstrap_estimate, class_ious, mean_estimate, mean_iou, mean_iou_of
from models.nets.unet import UNet
from models.recipe import Assessment, FitContext, Parity, Problem

KIND = "unet"
WEIGHTS, SPEC = "model.safetensors", "unet.json"
EVERYWHERE, AT_EACH_PLACE = "always the most frequent class", "always the most frequent class of each place"
# Classes whose own IoU is told.
MOST_CLASSES = 50

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class PlainMask:
    """What can be said of any picture without looking: the training masks' most frequent class, `everywhere`,
    and of each place, uint8 `(S, S)`.
    """

    everywhere: int
    places: Pixels

    @classmethod
    def of(cls, masks: Pixels, class_count: int) -> Self:
        """From masks uint8 `(N, S, S)`; the first of classes that are equally frequent."""
        counts = np.stack([np.count_nonzero(masks == number, axis=0) for number in range(class_count)])
        return cls(int(counts.sum((1, 2)).argmax()), counts.argmax(0).astype(np.uint8))


@dataclass(frozen=True)
class Judged:
    """Pixels by true class (down) and class said (across), of each readable row at its own size, int64
    `(M, C, C)`: what the net says, and the two plain masks.
    """

    net: Counts
    everywhere: Counts
    places: Counts


class MaskModel:
    """A fitted net, in evaluation mode on the CPU. `warnings` are said with its assessment."""

    kind = KIND

    def __init__(
        self,
        net: UNet,
        problem: Problem,
        config: UnetConfig,
        rule: PlainMask,
        *,
        warnings: tuple[str, ...] = (),
    ) -> None:
        self.net = net.eval()
        self.problem = problem
        self.config = config
        self.rule = rule
        self.warnings = warnings
        self._kept: tuple[pa.Table, MaskedPictures] | None = None
        self._judged: tuple[pa.Table, Judged] | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes by place."""
        return self.problem.target.classes

    def keep(self, table: pa.Table, rows: MaskedPictures) -> None:
        """Remembers how `table` was read: a job asks several things of the same rows."""
        self._kept = (table, rows)

    def rows(self, table: pa.Table) -> MaskedPictures:
        """The rows of `table` at the size that the net takes."""
        if self._kept is None or self._kept[0] is not table:
            size = self.config.image_size
            read = MaskedPictures.read(
                table, self.problem, self.config, part="validation", size=size, context=FitContext()
            )
            self.keep(table, read)
        assert self._kept is not None
        return self._kept[1]

    @torch.inference_mode()
    def logits(self, pixels: Pixels) -> Tensor:
        """Of pictures uint8 `(B, S, S, 3)`, few enough for one batch: float32 `(B, C, S, S)`."""
        found: Tensor = self.net(torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255)
        return found

    def predict(self, rows: MaskedPictures, use: Callable[[int, Tensor], None]) -> None:
        """Calls `use` with the place among the readable rows and the logits `(C, S, S)` of each, in order.
        All at once they would not fit into memory.
        """
        for start in range(0, len(rows.readable), VALID_BATCH_ROWS):
            chosen = rows.readable[start : start + VALID_BATCH_ROWS]
            for number, logits in enumerate(self.logits(rows.pixels[chosen]), start):
                use(number, logits)

    def truth(self, table: pa.Table, row: int, rows: MaskedPictures) -> Pixels:
        """The mask of a readable row at its own size, uint8 `(H, W)`."""
        width, height = (int(side) for side in rows.sizes[row])
        content = table.column(columns_of(self.problem)[1])[row].as_py()
        return read_mask(content, (width, height), len(self.classes))

    def judged(self, table: pa.Table) -> Judged:
        """Every pixel of every readable row of `table`."""
        if self._judged is None or self._judged[0] is not table:
            self._judged = (table, self._judge(table))
        return self._judged[1]

    def assess(self, train: pa.Table, valid: pa.Table) -> Assessment:
        """How good it is on `valid`, beside the better of two masks that do not look at the picture."""
        judged, rows = self.judged(valid), self.rows(valid)
        tables = judged.net.astype(float)
        metrics = {"mean_iou": mean_iou(tables), "accuracy": mean_estimate(right_share(judged.net))}
        metrics |= {f"iou_{name}": value for name, value in self.class_estimates(judged.net).items()}
        quality = np.full(len(rows.pixels), np.nan)
        quality[rows.readable] = picture_ious(judged.net)
        return Assessment(
            metrics,
            self._compare(judged),
            row_quality=quality,
            row_quality_name="mean_iou",
            warnings=self.warnings,
        )

    def class_estimates(self, tables: Counts) -> dict[str, Estimate]:
        """IoU of each class over all pictures `(M, C, C)`, with an interval that resamples pictures; of the
        first `MOST_CLASSES` classes that are there.
        """
        if not len(tables):
            return {}
        found = {}
        for number, name in enumerate(self.classes[:MOST_CLASSES]):
            # A class's share needs three counts of each picture and no more.
            parts = np.stack(
                [tables[:, number, number], tables[:, number].sum(1), tables[:, :, number].sum(1)], 1
            ).astype(float)
            if parts.any():
                found[name] = bootstrap_estimate(iou_of_parts, parts, low=0.0, high=1.0)
        return found

    def save(self, folder: Path) -> None:
        """Writes `model.safetensors`, whose tensors named `body.` serve as weights of another net, and
        `unet.json`.
        """
        from safetensors.torch import save_file

        state = {name: value.contiguous() for name, value in self.net.state_dict().items()}
        save_file(state, folder / WEIGHTS)
        about = {"config": asdict(self.config), "classes": self.classes}
        (folder / SPEC).write_text(json.dumps(about, indent=1, ensure_ascii=False))

    def export_onnx(self, path: Path) -> None:
        """Writes one ONNX graph: see `models.export.onnx_masks`."""
        from models.export.onnx import save_model
        from models.export.onnx_masks import mask_graph

        save_model(mask_graph(self), path)

    def check_onnx(self, path: Path, valid: pa.Table, *, threads: int) -> Parity:
        """Runs the graph on rows of `valid`: see `models.export.onnx_masks.parity`."""
        from models.export.onnx_masks import parity

        return parity(self, path, valid, threads=threads)

    def figures(self, train: pa.Table, valid: pa.Table) -> list[Figure]:
        """The looks inside, most telling first: see `models.interpret.masks`."""
        from models.interpret.masks import figures_of

        return figures_of(self, valid)

    def files(self) -> dict[str, bytes]:
        """None."""
        return {}

    def _judge(self, table: pa.Table) -> Judged:
        rows, count = self.rows(table), len(self.classes)
        found = np.zeros((3, len(rows.readable), count, count), np.int64)

        def judge(number: int, logits: Tensor) -> None:
            truth = self.truth(table, int(rows.readable[number]), rows)
            said = (
                mask_of(logits, truth.shape),
                np.full_like(truth, self.rule.everywhere),
                resized_mask(self.rule.places, truth.shape[::-1]),
            )
            for which, mask in enumerate(said):
                found[which, number] = pixel_table(truth, mask, count)

        self.predict(rows, judge)
        return Judged(*found)

    def _compare(self, judged: Judged) -> BaselineComparison:
        def compare(rule: str, tables: Counts) -> BaselineComparison:
            if self.problem.metric == "accuracy":
                return compare_rows(rule, "accuracy", right_share(judged.net), right_share(tables))
            both = (judged.net.astype(float), tables.astype(float))
            return compare_statistic(rule, "mean_iou", mean_iou_of, *both)

        # The harder of the two to beat.
        found = compare(EVERYWHERE, judged.everywhere), compare(AT_EACH_PLACE, judged.places)
        return max(found, key=lambda one: one.baseline.value)


def mask_of(logits: Tensor, shape: tuple[int, ...]) -> Pixels:
    """The likeliest class of each pixel at height and width `shape`, uint8, from logits `(C, S, S)`."""
    stretched = interpolate(logits[None], size=shape, mode="bilinear", align_corners=False)[0]
    found: npt.NDArray[Any] = stretched.argmax(0).numpy()
    return found.astype(np.uint8)


def pixel_table(truth: Pixels, said: Pixels, class_count: int) -> Counts:
    """Pixels by true class (down) and class said (across), int64 `(C, C)`."""
    place = truth.reshape(-1).astype(np.int64) * class_count + said.reshape(-1)
    return np.bincount(place, minlength=class_count**2).reshape(class_count, class_count)


def right_share(tables: Counts) -> npt.NDArray[np.float64]:
    """Share of each picture's pixels whose class is right, `(M,)`, of tables `(M, C, C)`."""
    right = np.trace(tables, axis1=1, axis2=2)
    return np.asarray(right / np.maximum(tables.sum((1, 2)), 1), np.float64)


def picture_ious(tables: Counts) -> npt.NDArray[np.float64]:
    """Each picture's IoU, averaged over the classes that it shows or is said to show, `(M,)`."""
    return np.array([np.nanmean(class_ious(table.astype(float))) for table in tables], np.float64)


def iou_of_parts(parts: npt.NDArray[np.float64]) -> float:
    """IoU from counts `(M, 3)`: pixels of the class in both masks, in the true one, in the one said."""
    both, true, said = parts.sum(0)
    either = true + said - both
    return float(both / either) if either else float("nan")
