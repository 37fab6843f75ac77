"""Fashion-MNIST (Xiao, Rasul and Vollgraf, 2017; MIT): 70,000 pictures of clothes, 28 x 28 grey, as
published.
"""

import gzip

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from examples.pictures import png
from examples.sources import Package, package_files

PACKAGE = Package("debian", "dataset-fashion-mnist")
FOLDER = "usr/share/datasets/fashion-mnist"
# Names of the labels 0 to 9, from the data set's own page.
CLASSES = (
    "T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip
# Bytes before the values in files of the IDX format.
PICTURES_HEADER, LABELS_HEADER = 16, 8
SIDE = 28


def table(share: float = 1.0) -> pa.Table:
    """60,000 rows to train on and 10,000 to judge by (`part` 1 and 2); of a share below 1, the first ones of
    both.
    """
    files = {
        name.rsplit("/", 1)[-1]: gzip.decompress(content)
        for name, content in package_files(PACKAGE, f"{FOLDER}/*")
    }
    return pa.concat_tables([_part(files, "train", share), _part(files, "t10k", share)])


def _part(files: dict[str, bytes], name: str, share: float) -> pa.Table:
    pixels = _values(files[f"{name}-images-idx3-ubyte.gz"], PICTURES_HEADER).reshape(-1, SIDE, SIDE)
    labels = _values(files[f"{name}-labels-idx1-ubyte.gz"], LABELS_HEADER)
    count = max(round(share * len(labels)), 100)
    return pa.table(
        {
            "id": [f"{name}-{place}" for place in range(count)],
            "part": pa.array([1 if name == "train" else 2] * count),
            "picture": pa.array([png(one) for one in pixels[:count]], pa.binary()),
            "kind": [CLASSES[one] for one in labels[:count]],
        }
    )


def _values(content: bytes, header: int) -> npt.NDArray[np.uint8]:
    return np.frombuffer(content, np.uint8, offset=header)
