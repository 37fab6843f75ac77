"""Why a model's loss changed: because other rows come in (covariate shift), or because the same rows now come
to something else (concept shift). Told apart only where outcomes are known in both windows.

Concept shift is the difference of the expected loss on the rows that both windows share, where like can be
compared with like; covariate shift is the rest of the change, which other rows account for. Both the odds of
a row's window and the expected losses are learned from the data, in such a way that small errors of either
do not move the answer.

Sources: Cai, Namkoong and Yadlowsky, "Diagnosing model performance under distribution shift", 2023 (the
decomposition over shared rows); Li, Morgan and Zaslavsky, "Balancing covariates via propensity score
weighting", JASA 2018 (overlap weights); Chernozhukov and others, "Double/debiased machine learning",
Econometrics Journal 2018 (augmented estimates and cross-fitting).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from audit.estimate import CONFIDENCE, Estimate, unknown
from audit.intervals import z_of
from audit.rot.importance import FOLDS, MINIMUM, Classifier, Floats, boosted_trees, importance

FEWEST_SHARED = 50

Regressor = Callable[[int], Any]
"""Makes an untrained scikit-learn regressor from a seed."""


@dataclass(frozen=True)
class Change:
    """Current loss minus the reference's, and the parts of it that inputs and outcomes account for, in the
    loss's units: above 0 is worse. `sentence` says what the data can tell, and what they cannot.
    """

    total: Estimate
    covariate: Estimate
    concept: Estimate
    sentence: str


def boosted_losses(seed: int) -> Any:
    """Shallow boosted trees, which take numbers as they are, missing ones too."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    return HistGradientBoostingRegressor(max_iter=60, max_depth=3, min_samples_leaf=20, random_state=seed)


def explain_change(
    reference: npt.ArrayLike,
    reference_loss: npt.ArrayLike | None,
    current: npt.ArrayLike,
    current_loss: npt.ArrayLike | None,
    *,
    rng: np.random.Generator,
    classifier: Classifier = boosted_trees,
    regressor: Regressor = boosted_losses,
    confidence: float = CONFIDENCE,
) -> Change:
    """Splits the change of the mean loss between two windows of features `(N, D)` and `(M, D)`, float, and
    losses `(N,)` and `(M,)`; a loss is `None` where no outcome is known.

    Intervals are normal, from each row's influence. Nothing is told apart, and the sentence says why, without
    outcomes on a side, for fewer than 100 rows on a side (so at n = 0, 1 and 5), and where the shared rows
    count as fewer than 50 on a side. Raises `ValueError` for lengths that differ.
    """
    if reference_loss is None or current_loss is None:
        side = "the reference" if reference_loss is None else "the current window"
        return _untold(f"no outcomes are known in {side}, and the inputs alone do not show it", confidence)
    before, now = np.asarray(reference_loss, float), np.asarray(current_loss, float)
    rows, current_rows = np.asarray(reference, float), np.asarray(current, float)
    if len(before) != len(rows) or len(now) != len(current_rows):
        raise ValueError(f"{len(rows)} and {len(current_rows)} rows have {len(before)} and {len(now)} losses")
    if min(len(before), len(now)) < MINIMUM:
        reason = f"{len(before):,} and {len(now):,} rows have outcomes; needs {MINIMUM} on either side"
        return _untold(reason, confidence)
    total = float(now.mean() - before.mean())
    pulls = (before.mean() - before) / len(before), (now - now.mean()) / len(now)
    whole = _normal(total, *pulls, confidence)
    odds = importance(rows, current_rows, rng=rng, classifier=classifier)
    # Chance that a row is of the current window, both being equally large.
    chances = tuple(one / (1 + one) for one in (odds.reference, odds.current))
    shared = min(_effective(chances[0]), _effective(1 - chances[1]))
    if shared < FEWEST_SHARED:
        few = f"the windows share rows that count as {shared:.0f}; needs {FEWEST_SHARED}"
        return _untold(few, confidence, whole)
    as_before = _expected(rows, before, current_rows, regressor, rng)
    as_now = _expected(current_rows, now, rows, regressor, rng)[::-1]
    value, own = _on_shared_rows((before, now), as_before, as_now, chances)
    concept = _normal(value, *own, confidence)
    covariate = _normal(total - value, pulls[0] - own[0], pulls[1] - own[1], confidence)
    return Change(whole, covariate, concept, _sentence(whole, covariate, concept))


def _expected(
    rows: Floats, loss: Floats, others: Floats, regressor: Regressor, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Loss expected of `rows`, each by a regressor that had not seen it, and of `others`, by what was learned
    from `rows`.
    """
    fold = rng.permutation(len(rows)) % FOLDS
    own = np.empty(len(rows))
    for held in range(FOLDS):
        fitted = regressor(int(rng.integers(2**31))).fit(rows[fold != held], loss[fold != held])
        own[fold == held] = fitted.predict(rows[fold == held])
    return own, regressor(int(rng.integers(2**31))).fit(rows, loss).predict(others)


def _on_shared_rows(
    loss: tuple[Floats, Floats],
    as_before: tuple[Floats, Floats],
    as_now: tuple[Floats, Floats],
    chances: tuple[Floats, ...],
) -> tuple[float, tuple[Floats, Floats]]:
    """Mean difference of the loss on shared rows, and each row's pull on it, of the reference and the current
    window: `as_before` and `as_now` are losses expected under either, of the rows of both.
    """
    before, now = loss
    terms, shares = [], []
    for side, chance in enumerate(chances):
        overlap = chance * (1 - chance)
        surprise = (1 - chance) * (now - as_now[1]) if side else -chance * (before - as_before[0])
        terms.append((overlap * (as_now[side] - as_before[side]) + surprise) / (2 * len(chance)))
        shares.append(overlap / (2 * len(chance)))
    whole = float(shares[0].sum() + shares[1].sum())
    value = float(terms[0].sum() + terms[1].sum()) / whole
    first, second = ((term - value * share) / whole for term, share in zip(terms, shares, strict=True))
    return value, (first, second)


def _normal(value: float, first: Floats, second: Floats, confidence: float) -> Estimate:
    """`value` with the interval that each row's pull on it gives; rows of a window are drawn alike."""
    variance = len(first) * first.var() + len(second) * second.var()
    half = z_of(confidence) * float(np.sqrt(variance))
    return Estimate(value, value - half, value + half, confidence, len(first) + len(second))


def _untold(reason: str, confidence: float, total: Estimate | None = None) -> Change:
    none = unknown(reason, 0, confidence)
    sentence = f"Whether inputs or their meaning changed cannot be told: {reason}."
    return Change(none if total is None else total, none, none, sentence)


def _effective(weight: Floats) -> float:
    return float(weight.sum() ** 2 / (weight**2).sum())


def _sentence(total: Estimate, covariate: Estimate, concept: Estimate) -> str:
    causes = [
        f"{words} account for {part.value:+.3g} ({part.lower:+.3g} to {part.upper:+.3g})"
        for words, part in (("other inputs", covariate), ("other outcomes of the same inputs", concept))
        if part.lower > 0 or part.upper < 0
    ]
    told = " and ".join(causes) or "neither other inputs nor another meaning of them surely changed it"
    return f"The mean loss changed by {total.value:+.3g} ({total.lower:+.3g} to {total.upper:+.3g}); {told}."
