"""What scikit-learn makes of the pairs by itself, on the same split: `python -m examples.stamps.peer`."""

import io
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from examples.stamps.data import table
from models.data.split import group_split
from models.metrics import auc

SMALL, BINS = 12, 8


def main() -> None:
    """Prints a line a peer."""
    rows = table()
    first, second = (
        np.stack([features(one) for one in rows.column(name).to_pylist()]) for name in ("first", "second")
    )
    apart = np.abs(first - second)
    label = rows.column("same").to_numpy(zero_copy_only=False) == "yes"
    groups = rows.column("set").to_numpy(zero_copy_only=False).astype(str)
    train, valid = group_split(groups, 0.25, 42)
    peers: dict[str, Any] = {
        "logistic regression": make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000)),
        "gradient boosting": HistGradientBoostingClassifier(random_state=42),
    }
    for name, peer in peers.items():
        score = peer.fit(apart[train], label[train]).predict_proba(apart[valid])[:, 1]
        found = auc(label[valid], score)
        accuracy = np.mean((score >= 0.5) == label[valid])
        interval = f"{found.lower:.3f} to {found.upper:.3f}"
        print(f"{name:20} AUC {found.value:.3f} ({interval}), accuracy {accuracy:.3f}")


def features(content: bytes) -> npt.NDArray[np.float64]:
    """A picture 12 x 12 small, and how often each of 512 colours is in it, each of equal weight in sum."""
    with Image.open(io.BytesIO(content)) as image:
        small = np.asarray(image.resize((SMALL, SMALL), Image.Resampling.BOX)) / 255
        levels = np.asarray(image).reshape(-1, 3).astype(int) * BINS // 256
    colours = np.bincount(levels @ [BINS * BINS, BINS, 1], minlength=BINS**3) / len(levels)
    return np.concatenate([small.reshape(-1), colours * small.size])


if __name__ == "__main__":
    main()
