"""Kinds of bias that need a model to see: proxies of a sensitive attribute, and aggregation of unlike groups.

Both fit simple models of scikit-learn by cross-validation, so that nothing is judged on the rows that it was
fitted to. Inputs are a frame of numbers and categories `(N, F)`; groups are texts `(N,)`.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from audit.estimate import CONFIDENCE, Estimate, unknown
from audit.finding import Finding, not_told
from audit.intervals import z_of

FEW = 100
FOLDS = 5
TELLING = 0.6
"""AUC from which inputs tell the group: 0.5 is chance, 1 a perfect stand-in."""
MAX_ROWS = 50_000


@dataclass(frozen=True)
class Proxies:
    """How well the inputs together tell the group, and each column alone (AUC, 0.5 to 1), strongest first."""

    finding: Finding
    columns: tuple[tuple[str, float], ...]


def proxies(
    inputs: pd.DataFrame,
    group: npt.ArrayLike,
    one: str,
    *,
    rng: np.random.Generator,
    confidence: float = CONFIDENCE,
) -> Proxies:
    """Which inputs stand in for membership in `one`, that the model was not given.

    The effect is the cross-validated AUC at which boosted trees tell the group from the inputs (Hanley and
    McNeil's interval, 1982); found when it surely lies above 0.6. Past 50,000 rows a random part is looked
    at. Fewer than 100 of the group or of its rest: not told.
    """
    inside = np.asarray(group, object) == one
    chosen = np.sort(rng.permutation(len(inside))[:MAX_ROWS])
    frame, inside = _numbers(inputs.iloc[chosen]), inside[chosen]
    advice = "Ask of each such column whether the decision needs it, and look at error rates without it."
    smallest = min(int(inside.sum()), int((~inside).sum()))
    if smallest < FEW:
        reason = f"the group or its rest has {smallest} rows; needs {FEW}"
        return Proxies(not_told("proxies", unknown(reason, len(inside), confidence), advice), ())
    seed = int(rng.integers(2**31))
    effect = _auc_estimate(inside, _held_out_scores(frame, inside, seed), confidence)
    alone = {
        name: _auc(inside, _held_out_scores(frame[[name]], inside, seed, alone=True))
        for name in frame.columns
    }
    ranked = tuple(sorted(alone.items(), key=lambda item: -item[1]))
    found = effect.lower > TELLING
    strongest = ", ".join(f"{name} (AUC {value:.2f})" for name, value in ranked[:3])
    sentence = (
        f"The inputs tell {one} from everyone else (AUC {effect.value:.2f}); most by {strongest}."
        if found
        else f"The inputs do not surely tell {one} from the rest (AUC {effect.value:.2f}, 0.5 is chance)."
    )
    return Proxies(Finding("proxies", effect, found, sentence, advice), ranked)


def aggregation(
    inputs: pd.DataFrame,
    label: npt.ArrayLike,
    group: npt.ArrayLike,
    one: str,
    *,
    rng: np.random.Generator,
    confidence: float = CONFIDENCE,
) -> Finding:
    """Whether one model for all fits `one` worse than a model of its own would: `label` bool `(N,)`.

    The effect is the mean log loss of the group's rows under a logistic regression fitted to everyone, less
    that under one fitted to the group alone, by cross-validation, in nats: above 0 the group is served better
    by itself. The interval is that of paired means. Found when it surely lies above 0.01. Fewer than 100 rows
    of the group, or fewer than 10 of either label in it: not told.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    positive, inside = np.asarray(label, bool), np.asarray(group, object) == one
    advice = "Give the model what lets it tell the groups' ways apart, or fit the group by itself."
    own = positive[inside]
    if len(own) < FEW or min(int(own.sum()), int((~own).sum())) < 2 * FOLDS:
        reason = f"the group has {len(own)} rows; needs {FEW}, with {2 * FOLDS} of either label"
        return not_told("aggregation", unknown(reason, len(own), confidence), advice)
    columns = pd.get_dummies(_numbers(inputs), dummy_na=False).fillna(0.0).to_numpy(float)
    inner, rest = np.flatnonzero(inside), np.flatnonzero(~inside)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=int(rng.integers(2**31)))
    gain = np.empty(len(inner))
    for fitted, held_out in folds.split(inner, own):
        together = np.concatenate([rest, inner[fitted]])
        losses = []
        for rows in (together, inner[fitted]):
            model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
            model.fit(columns[rows], positive[rows])
            chance = np.clip(model.predict_proba(columns[inner[held_out]])[:, 1], 1e-6, 1 - 1e-6)
            losses.append(-np.log(np.where(own[held_out], chance, 1 - chance)))
        gain[held_out] = losses[0] - losses[1]
    half = z_of(confidence) * float(gain.std(ddof=1)) / math.sqrt(len(gain))
    mean = float(gain.mean())
    effect = Estimate(mean, mean - half, mean + half, confidence, len(gain))
    found = effect.lower > 0.01
    sentence = (
        f"One model for all serves {one} worse than its own would, by {mean:.3f} nats a row."
        if found
        else f"{one} is not surely served better by a model of its own ({mean:+.3f} nats a row)."
    )
    return Finding("aggregation", effect, found, sentence, advice)


def _numbers(inputs: pd.DataFrame) -> pd.DataFrame:
    """Categories as codes by their place in the alphabet; missing stays NaN."""
    frame = inputs.copy()
    for name in frame.columns:
        if not pd.api.types.is_numeric_dtype(frame[name]):
            codes = pd.Categorical(frame[name]).codes.astype(float)
            frame[name] = np.where(codes < 0, np.nan, codes)
    return frame.astype(float)


def _held_out_scores(
    frame: pd.DataFrame, inside: npt.NDArray[np.bool_], seed: int, *, alone: bool = False
) -> npt.NDArray[np.float64]:
    """Chance of each row being inside, by a model not fitted to it; a single column takes one tree."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.tree import DecisionTreeClassifier

    trees = HistGradientBoostingClassifier(max_iter=40, max_leaf_nodes=15, random_state=seed)
    tree = DecisionTreeClassifier(max_leaf_nodes=15, min_samples_leaf=20, random_state=seed)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    scores = cross_val_predict(
        tree if alone else trees, frame.to_numpy(), inside, cv=folds, method="predict_proba"
    )
    found: npt.NDArray[np.float64] = scores[:, 1]
    return found


def _auc(inside: npt.NDArray[np.bool_], score: npt.NDArray[np.float64]) -> float:
    from scipy.stats import rankdata

    positives, negatives = int(inside.sum()), int((~inside).sum())
    ranks = rankdata(score)[inside].sum()
    return float((ranks - positives * (positives + 1) / 2) / (positives * negatives))


def _auc_estimate(
    inside: npt.NDArray[np.bool_], score: npt.NDArray[np.float64], confidence: float
) -> Estimate:
    """AUC with Hanley and McNeil's interval."""
    value, m, n = _auc(inside, score), int(inside.sum()), int((~inside).sum())
    q1, q2 = value / (2 - value), 2 * value**2 / (1 + value)
    variance = (value * (1 - value) + (m - 1) * (q1 - value**2) + (n - 1) * (q2 - value**2)) / (m * n)
    half = z_of(confidence) * math.sqrt(max(variance, 0.0))
    return Estimate(value, max(0.0, value - half), min(1.0, value + half), confidence, m + n)
