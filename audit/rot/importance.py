"""How much each labelled row counts for the rows that a model meets now, when inputs have moved: density
ratios from a classifier that tells the two apart.

Sources: Sugiyama, Krauledat and Müller, "Covariate shift adaptation by importance weighted cross validation",
JMLR 2007; Bickel, Brückner and Scheffer, "Discriminative learning under covariate shift", JMLR 2009 (weights
from a classifier); Kish, "Survey Sampling", 1965 (effective number of rows).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

FOLDS = 5
MINIMUM = 100
LARGEST_ODDS = 50.0
"""A row is never taken to be more than this many times as likely in one window as in the other."""

Classifier = Callable[[int], Any]
"""Makes an untrained scikit-learn classifier with `predict_proba` from a seed."""


@dataclass(frozen=True)
class Importance:
    """`reference` `(N,)` and `current` `(M,)` float64: the odds that a row is of the current window rather
    than of the reference, both being equally large; 1 where they are equally dense.

    `effective_count` is how many rows the reference's count as when weighted so: N where nothing moved, a few
    where the current rows lie at its edge.
    """

    reference: Floats
    current: Floats
    effective_count: float


def boosted_trees(seed: int) -> Any:
    """Shallow boosted trees, which take numbers as they are, missing ones too."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(max_iter=60, max_depth=3, min_samples_leaf=20, random_state=seed)


def importance(
    reference: npt.ArrayLike,
    current: npt.ArrayLike,
    *,
    rng: np.random.Generator,
    classifier: Classifier = boosted_trees,
) -> Importance:
    """Odds of every row of `reference` `(N, D)` and `current` `(M, D)`, float, each by a classifier that had
    not seen it (5 folds).

    Raises `ValueError` for other numbers of columns, and for fewer than 100 rows on a side (so at n = 0, 1
    and 5): a density ratio of so few is a guess.
    """
    before, now = np.asarray(reference, float), np.asarray(current, float)
    if before.ndim != 2 or now.ndim != 2 or before.shape[1] != now.shape[1]:
        raise ValueError(f"features of shapes {before.shape} and {now.shape} cannot be compared")
    if min(len(before), len(now)) < MINIMUM:
        raise ValueError(f"{len(before):,} and {len(now):,} rows; needs {MINIMUM} on either side")
    rows, is_current = np.concatenate([before, now]), np.repeat([False, True], [len(before), len(now)])
    # Each window is spread evenly over the folds, so that their shares are the same in all.
    fold = np.concatenate([rng.permutation(len(one)) % FOLDS for one in (before, now)])
    chance = np.empty(len(rows))
    for held in range(FOLDS):
        fitted = classifier(int(rng.integers(2**31))).fit(rows[fold != held], is_current[fold != held])
        chance[fold == held] = fitted.predict_proba(rows[fold == held])[:, 1]
    with np.errstate(divide="ignore"):
        odds = chance / (1 - chance) * (len(before) / len(now))
    odds = np.clip(odds, 1 / LARGEST_ODDS, LARGEST_ODDS)
    weights = odds[: len(before)]
    return Importance(weights, odds[len(before) :], float(weights.sum() ** 2 / (weights**2).sum()))
