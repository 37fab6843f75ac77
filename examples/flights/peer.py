"""What scikit-learn makes of the flights by itself, on the same columns, logarithm and time order:
`python -m examples.flights.peer [SHARE]`.
"""

import sys

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression
from sklearn.preprocessing import OrdinalEncoder

from examples.flights.data import WEATHER, table

VALIDATION_SHARE = 0.2


def main(share: float) -> None:
    """Prints a line a peer."""
    rows = table(share)
    numeric = np.stack([rows.column(name).to_numpy() for name in ("distance", "seats", *WEATHER)], axis=1)
    scheduled = rows.column("scheduled").cast("int64").to_numpy()[:, None]
    columns = [
        rows.column(name).to_numpy(zero_copy_only=False) for name in ("carrier", "origin", "dest", "model")
    ]
    places = OrdinalEncoder().fit_transform(np.stack(columns, axis=1))
    minutes = rows.column("air_time").to_numpy()
    cut = round(len(minutes) * (1 - VALIDATION_SHARE))
    boosting = HistGradientBoostingRegressor(max_iter=300, max_leaf_nodes=63, random_state=42)
    peers = {
        "linear regression on distance": (LinearRegression(), numeric[:, :1], minutes),
        "gradient boosting": (
            boosting,
            np.concatenate([numeric, places, scheduled], axis=1),
            np.log1p(minutes),
        ),
    }
    for name, (peer, matrix, target) in peers.items():
        said = peer.fit(matrix[:cut], target[:cut]).predict(matrix[cut:])
        said = said if target is minutes else np.expm1(said)
        error = said - minutes[cut:]
        print(
            f"scikit-learn {name:30} mean absolute error {np.abs(error).mean():.2f}, "
            f"root mean squared {np.sqrt((error**2).mean()):.2f} minutes"
        )


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 1.0)
