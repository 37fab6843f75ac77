"""What scikit-learn makes of single pixels by itself, on the same split: `python -m
examples.emoji_masks.peer`.

A pixel is told by its colour, its place, and the mean and spread of colours about it at three widths.
"""

import io

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.ndimage import uniform_filter
from sklearn.ensemble import HistGradientBoostingClassifier

from examples.emoji_masks.data import table
from models.data.split import group_split
from models.metrics import mean_iou

WIDTHS = (5, 11, 25)
PIXELS_A_PICTURE = 100


def main() -> None:
    """Prints the peer's mean IoU."""
    rows = table()
    groups = rows.column("base").to_numpy(zero_copy_only=False).astype(str)
    train, valid = group_split(groups, 0.25, 42)
    pictures, masks = ([pixels(one) for one in rows.column(name).to_pylist()] for name in ("picture", "mask"))
    draws = np.random.default_rng(42)
    features, label = [], []
    for row in train:
        chosen = draws.choice(masks[row].size, PIXELS_A_PICTURE, replace=False)
        features.append(pixel_features(pictures[row])[chosen])
        label.append(masks[row].reshape(-1)[chosen])
    trees = HistGradientBoostingClassifier(random_state=42).fit(
        np.concatenate(features), np.concatenate(label)
    )
    tables = np.empty((len(valid), 2, 2))
    for number, row in enumerate(valid):
        said = trees.predict(pixel_features(pictures[row]))
        place = (2 * masks[row].reshape(-1) + said).astype(int)
        tables[number] = np.bincount(place, minlength=4).reshape(2, 2)
    found = mean_iou(tables)
    right = np.trace(tables, axis1=1, axis2=2).sum() / tables.sum()
    print(f"mean IoU {found.value:.3f} ({found.lower:.3f} to {found.upper:.3f}), pixels {right:.3f}")


def pixel_features(picture: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Of each pixel of a picture `(H, W, 3)`, `(H W, 23)`."""
    height, width = picture.shape[:2]
    parts = [picture, np.moveaxis(np.mgrid[:height, :width].astype(float), 0, 2)]
    for wide in WIDTHS:
        mean = uniform_filter(picture, (wide, wide, 1))
        parts += [mean, np.sqrt(np.maximum(uniform_filter(picture**2, (wide, wide, 1)) - mean**2, 0))]
    return np.concatenate(parts, 2).reshape(height * width, -1)


def pixels(content: bytes) -> npt.NDArray[np.float64]:
    """A picture file as numbers."""
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image).astype(float)


if __name__ == "__main__":
    main()
