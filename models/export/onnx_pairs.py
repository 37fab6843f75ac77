"""A Siamese net as an ONNX graph: two pictures of any sizes in, how likely the pair is of the positive class
out.

Inputs: `image_1` and `image_2`, uint8 `[N, H, W, 3]`, red, green and blue, as `models.data.pictures.decode`
gives them; the two may differ in height and width. Output: `probability` float32 `[N]`. Properties: `inputs`,
the names of the task's columns, and `classes`, the negative one first, as JSON.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import onnx
import pyarrow as pa
import torch
from torch import Tensor, nn

from models.data.picture_pairs import columns_of
from models.data.pictures import decode
from models.export.module_graph import module_graph, session_of
from models.export.picture_input import take_pictures
from models.nets.siamese import SiameseNet
from models.recipe import Parity

if TYPE_CHECKING:
    from models.siamese import FittedSiamese

ROWS_CHECKED = 64
# Of a probability: on the very same pixels, and where the graph resizes pictures itself, which Pillow and
# ONNX Runtime do alike but for one grey level of 255 in some pixels.
NET_TOLERANCE, TOLERANCE = 1e-4, 2e-2


class Answering(nn.Module):
    """The net with a probability at its end."""

    def __init__(self, net: SiameseNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """float32 `(N,)`."""
        return torch.sigmoid(self.net(first, second))


def pair_graph(model: "FittedSiamese") -> Any:
    """The ONNX model, checked."""
    size = model.config.image_size
    example = torch.zeros(2, 3, size, size)
    graph_model = module_graph(
        Answering(model.net),
        {"picture_1": example, "picture_2": example.clone()},
        ["probability"],
        {"picture_1": {0: "N"}, "picture_2": {0: "N"}},
        description="Siamese net with its preprocessing",
        properties={
            "inputs": json.dumps(columns_of(model.problem)),
            "classes": json.dumps(model.classes, ensure_ascii=False),
        },
    )
    take_pictures(graph_model, {"image_1": "picture_1", "image_2": "picture_2"}, size)
    onnx.checker.check_model(graph_model)
    return graph_model


def parity(model: "FittedSiamese", path: Path, valid: pa.Table, *, threads: int) -> Parity:
    """ONNX Runtime's answers against the model's own, on at most 64 rows of `valid` that can be read, evenly
    spaced.

    Pictures are compared twice: resized already (1e-4), and as they are in the table (2e-2). The first that
    differs too much is told, else the second.
    """
    session = session_of(path, threads)
    rows = model.rows(valid)
    chosen = rows.readable[:: max(len(rows.readable) // ROWS_CHECKED, 1)][:ROWS_CHECKED]
    if not len(chosen):
        return Parity(0.0, NET_TOLERANCE, 0)
    ids = [rows.ids[int(row)] for row in chosen]
    first, second = rows.first[chosen], rows.second[chosen]
    expected = model.probability(first, second)
    (found,) = session.run(["probability"], {"image_1": first, "image_2": second})
    net = _parity(found, expected, NET_TOLERANCE, ids)
    if not net.equal:
        return net
    columns = [valid.column(name) for name in columns_of(model.problem)]
    found = np.empty(len(chosen), np.float32)
    for number, row in enumerate(chosen):
        pictures = (np.asarray(decode(column[int(row)].as_py()))[None] for column in columns)
        feed = dict(zip(("image_1", "image_2"), pictures, strict=True))
        found[number] = session.run(["probability"], feed)[0][0]
    return _parity(found, expected, TOLERANCE, ids)


def _parity(
    found: npt.NDArray[np.float32], expected: npt.NDArray[np.float32], tolerance: float, ids: list[str]
) -> Parity:
    difference = np.nan_to_num(np.abs(found - expected), nan=np.inf)
    worst = int(difference.argmax())
    where = f"validation row {ids[worst]}"
    return Parity(float(difference[worst]), tolerance, len(difference), where=where)
