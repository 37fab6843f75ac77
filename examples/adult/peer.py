"""What scikit-learn and XGBoost make of Adult by themselves, on the same columns and parts:
`python -m examples.adult.peer`.
"""

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from xgboost import XGBClassifier

from examples.adult.data import CATEGORY, NUMERIC, TRAIN, table

SENSITIVE = ("race", "sex")


def main() -> None:
    """Prints a line a peer."""
    rows = table()
    numeric = np.stack([rows.column(name).to_numpy() for name in NUMERIC], axis=1)
    names = [name for name in CATEGORY if name not in SENSITIVE]
    columns = [rows.column(name).to_numpy(zero_copy_only=False).astype(str) for name in names]
    one_hot = np.concatenate([column[:, None] == np.unique(column) for column in columns], axis=1)
    matrix = np.concatenate([numeric, one_hot], axis=1)
    label = rows.column("income").to_numpy(zero_copy_only=False) == ">50K"
    train = rows.column("part").to_numpy() == TRAIN
    peers = {
        "scikit-learn logistic regression": make_pipeline(
            StandardScaler(), LogisticRegression(max_iter=1000)
        ),
        "scikit-learn random forest": RandomForestClassifier(100, min_samples_leaf=5, random_state=42),
        "scikit-learn gradient boosting": HistGradientBoostingClassifier(random_state=42),
        "XGBoost": XGBClassifier(n_estimators=200, learning_rate=0.1, max_depth=6, random_state=42),
    }
    for name, peer in peers.items():
        said: npt.NDArray[np.bool_] = peer.fit(matrix[train], label[train]).predict(matrix[~train])
        print(f"{name:34} accuracy {np.mean(said == label[~train]):.4f}")


if __name__ == "__main__":
    main()
