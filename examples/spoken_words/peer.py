"""What scikit-learn makes of the spectrograms by itself, on the same split: `python -m
examples.spoken_words.peer`.
"""

from typing import Any

import numpy as np
import torch
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from examples.spoken_words.data import table
from models.configs import SignalConfig
from models.data.signals import Signals
from models.data.split import group_split


def main() -> None:
    """Prints a line a peer, on flattened spectrograms at half their fineness and on the bands' means and
    spreads.
    """
    rows = table()
    signals = Signals("audio", SignalConfig(seconds=1.0))
    waves, _ = signals.arrays(rows.column("sound"))
    picture = signals.picture
    parts = [picture(torch.from_numpy(waves[start : start + 64]))[:, 0] for start in range(0, len(waves), 64)]
    spectra = torch.cat(parts)
    flat = torch.nn.functional.avg_pool2d(spectra, 2).flatten(1).numpy()
    summary = torch.cat([spectra.mean(2), spectra.std(2)], 1).numpy()
    language = rows.column("language").to_numpy(zero_copy_only=False).astype(str)
    groups = rows.column("prompt").to_numpy(zero_copy_only=False).astype(str)
    train, valid = group_split(groups, 0.25, 42)
    regression = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=300))
    peers: dict[str, tuple[Any, np.ndarray]] = {
        "logistic regression, flattened": (regression, flat),
        "logistic regression, bands": (regression, summary),
        "gradient boosting, bands": (HistGradientBoostingClassifier(max_iter=60, random_state=42), summary),
    }
    for name, (peer, features) in peers.items():
        said = peer.fit(features[train], language[train]).predict(features[valid])
        print(f"{name:32} accuracy {np.mean(said == language[valid]):.3f}")


if __name__ == "__main__":
    main()
