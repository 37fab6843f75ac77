"""Small pictures whose class, labels, number or point is easy to see, as the problems and tables that recipes
take.
"""

import io
from collections import OrderedDict

import numpy as np
import pyarrow as pa
from PIL import Image
from torch import nn

from models.configs import AugmentConfig, ConvNetConfig, FitConfig
from models.nets.heads import Architecture
from models.recipe import BINARY, MULTICLASS, MULTILABEL, REGRESSION, Input, Problem, Target

SIDE = 24
PICTURE = (Input("picture", "image"),)
CLASSES = ("red", "green", "blue")


class SmallNet(nn.Module):
    """Three convolutions, as an architecture needs them: enough for these pictures, and quick to export."""

    def __init__(self, class_count):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.middle = nn.Sequential(nn.Conv2d(16, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU())
        self.last = nn.Sequential(nn.Conv2d(32, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU())
        self.fc = nn.Linear(32, class_count)

    def body(self):
        return nn.Sequential(OrderedDict(list(self.named_children())[:3]))


SMALL = Architecture(SmallNet, "fc", "middle")


def encoded(pixels):
    content = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(content, "PNG")
    return content.getvalue()


def spots(count, seed):
    """Dark noise with a bright square of one colour: PNG, colour, and the square's centre `(N, 2)`."""
    draws = np.random.default_rng(seed)
    colours, corners = draws.integers(0, 3, count), draws.integers(0, SIDE - 8, (count, 2))
    pictures = []
    for colour, (x, y) in zip(colours, corners, strict=True):
        pixels = draws.integers(0, 60, (SIDE, SIDE, 3))
        pixels[y : y + 8, x : x + 8, colour] = 250
        pictures.append(encoded(pixels))
    return pa.array(pictures, pa.binary()), colours, corners + 4.0


def of_classes(count=60, seed=0):
    """MULTICLASS: the colour."""
    pictures, colours, _ = spots(count, seed)
    keys, names = [f"p{row}" for row in range(count)], [CLASSES[one] for one in colours]
    table = pa.table({"key": keys, "picture": pictures, "colour": names})
    target = Target(("colour",), classes=CLASSES)
    return Problem(MULTICLASS, PICTURE, target, "accuracy", id_column="key"), table


def of_two(count=60, seed=0):
    """BINARY: whether it is red."""
    pictures, colours, _ = spots(count, seed)
    table = pa.table({"picture": pictures, "red": ["yes" if one == 0 else "no" for one in colours]})
    return Problem(BINARY, PICTURE, Target(("red",), positive_value="yes", negative_value="no"), "auc"), table


def of_labels(count=60, seed=0):
    """MULTILABEL: whether it is red, and whether it is high; some are neither."""
    pictures, colours, centres = spots(count, seed)
    labels = [
        ";".join((["red"] if colour == 0 else []) + (["high"] if y < SIDE / 2 else []))
        for colour, (_, y) in zip(colours, centres, strict=True)
    ]
    target = Target(("labels",), classes=("red", "high"))
    return Problem(MULTILABEL, PICTURE, target, "micro_f1"), pa.table({"picture": pictures, "labels": labels})


def of_numbers(count=60, seed=0):
    """REGRESSION within bounds: how far right the square is."""
    pictures, _, centres = spots(count, seed)
    target = Target(("x",), minimum=0.0, maximum=float(SIDE))
    return Problem(REGRESSION, PICTURE, target, "mae"), pa.table({"picture": pictures, "x": centres[:, 0]})


def of_points(count=60, seed=0):
    """REGRESSION of a point: the square's centre."""
    pictures, _, centres = spots(count, seed)
    table = pa.table({"picture": pictures, "x": centres[:, 0], "y": centres[:, 1]})
    return Problem(REGRESSION, PICTURE, Target(("x", "y"), points=True), "mae"), table


def config(epochs=2, augment=None, **more):
    return ConvNetConfig(
        fit=FitConfig(epochs=epochs, batch_size=16, learning_rate=3e-3),
        image_size=SIDE,
        augment=augment or AugmentConfig(on=False),
        **more,
    )
