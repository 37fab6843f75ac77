"""Detectors of feedback loops: signs that a model's own decisions make its future data.

Each gives a `Finding`: an effect with its interval, whether it is found at the stated level, and a plain
sentence. None proves a cause; each says what would settle it. With too little data nothing is found and the
warning says how little there was (every function at n = 0, 1 and 5).
"""

import math

import numpy as np
import numpy.typing as npt

from audit.estimate import CONFIDENCE, Estimate, unknown
from audit.finding import Finding, not_told
from audit.intervals import difference, z_of

FEW = 30
FEWEST_WINDOWS = 6
RESAMPLES = 999


def exposure_concentration(
    counts: npt.ArrayLike, *, rng: np.random.Generator, confidence: float = CONFIDENCE
) -> Finding:
    """Whether ever fewer items get what is shown: `counts` int `(windows, items)`, in the order of time.

    The effect is the change of the effective number of items (exp of the entropy, 1 to items) from the first
    to the last third of the windows, in relative terms: -0.5 means half as many. Its interval resamples each
    window's shows from its own shares, so that chance alone is allowed for; the entropy's bias from few shows
    is taken out by doubling (Miller 1955 for the bias; Efron 1979 for the bootstrap).
    """
    shown = np.asarray(counts, np.int64)
    name, advice = (
        "exposure_concentration",
        "Show some items at random, and compare what is liked among those.",
    )
    totals = shown.sum(1) if shown.ndim == 2 else np.empty(0, np.int64)
    if len(totals) < FEWEST_WINDOWS or int(totals.min()) < FEW:
        reason = f"needs {FEWEST_WINDOWS} windows of {FEW} shows at least"
        return not_told(name, unknown(reason, int(totals.sum()), confidence), advice)
    value = _narrowing(shown)
    drawn = np.array([_narrowing(_redrawn(shown, rng)) for _ in range(RESAMPLES // 4)])
    # A redrawn world has the bias of few shows twice; the spread is what is wanted of it.
    lower, upper = value + (
        np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2]) - np.median(drawn)
    )
    effect = Estimate(value, float(lower), float(upper), confidence, int(totals.sum()))
    found = effect.upper < 0
    change = f"{abs(100 * value):.0f} % {'fewer' if value < 0 else 'more'}"
    sentence = (
        f"What is shown has narrowed: in effect {change} items than at the start."
        if found
        else f"What is shown has not surely narrowed (in effect {change} items than at the start)."
    )
    return Finding(name, effect, found, sentence, advice)


def selective_labels(
    decision: npt.ArrayLike, labelled: npt.ArrayLike, *, confidence: float = CONFIDENCE
) -> Finding:
    """Whether outcomes are known mostly where the model said yes: both bool `(N,)`.

    The effect is the labelled share among positive decisions less that among negative ones, -1 to 1; found
    when its interval lies above 0.05. Source: Lakkaraju and others, "The selective labels problem", KDD 2017.
    """
    positive, known = np.asarray(decision, bool), np.asarray(labelled, bool)
    yes, no = int(positive.sum()), int((~positive).sum())
    advice = "Decide a small random share without the model, so that outcomes of refused cases are seen."
    effect = difference(
        int((positive & known).sum()), yes, int((~positive & known).sum()), no, confidence=confidence
    )
    if min(yes, no) < FEW:
        return not_told("selective_labels", _few(effect, f"fewer than {FEW} decisions of a kind"), advice)
    found = effect.lower > 0.05
    shares = (
        f"{100 * (positive & known).sum() / yes:.0f} % of positive decisions have an outcome, "
        f"{100 * (~positive & known).sum() / no:.0f} % of negative ones"
    )
    sentence = (
        f"Outcomes are seen mostly where the model said yes: {shares}. Quality is known for those alone."
        if found
        else f"Outcomes are seen about as often after either decision: {shares}."
    )
    return Finding("selective_labels", effect, found, sentence, advice)


def self_agreement(
    decision: npt.ArrayLike,
    label: npt.ArrayLike,
    influenced: npt.ArrayLike,
    *,
    confidence: float = CONFIDENCE,
) -> Finding:
    """Whether labels agree with decisions more often where the labeller had seen them: all bool `(N,)`.

    The effect is the agreement of influenced labels less that of independent ones, -1 to 1; 0 where seeing
    the decision changes nothing. Needs independent labels: without them nothing can be told.
    """
    agrees = np.asarray(decision, bool) == np.asarray(label, bool)
    seen = np.asarray(influenced, bool)
    first, second = int(seen.sum()), int((~seen).sum())
    advice = "Have a random share labelled by people who do not see the model's decision."
    effect = difference(
        int((agrees & seen).sum()), first, int((agrees & ~seen).sum()), second, confidence=confidence
    )
    if min(first, second) < FEW:
        return not_told("self_agreement", _few(effect, f"fewer than {FEW} labels of a kind"), advice)
    found = effect.lower > 0
    shares = (
        f"{100 * (agrees & seen).sum() / first:.0f} % of labels agree with the model where it was seen, "
        f"{100 * (agrees & ~seen).sum() / second:.0f} % where it was not"
    )
    sentence = (
        f"Labels copy the model: {shares}. Quality measured by the former is flattered."
        if found
        else f"Labels do not surely follow the model: {shares}."
    )
    return Finding("self_agreement", effect, found, sentence, advice)


def widening_shares(
    group_share: npt.ArrayLike,
    decided_share: npt.ArrayLike,
    *,
    confidence: float = CONFIDENCE,
) -> Finding:
    """Whether a group's share of the data drifts towards its share of the decisions: both `(windows,)`, 0 to
    1.

    The effect is the slope of next window's change of the group's share on how far decisions lie from it now:
    0 without a loop, 1 when next window's data are this window's decisions. Regression to the mean alone
    gives a slope too, so the slope on the share's own distance from its mean is taken out (two regressors,
    least squares, t interval).
    """
    share, decided = np.asarray(group_share, float), np.asarray(decided_share, float)
    advice = "Record part of the data independently of decisions, and compare the group's share there."
    if len(share) < 2 * FEWEST_WINDOWS or not np.isfinite(share).all() or not np.isfinite(decided).all():
        reason = f"needs {2 * FEWEST_WINDOWS} windows at least"
        return not_told("widening_shares", unknown(reason, len(share), confidence), advice)
    change = np.diff(share)
    design = np.stack([np.ones(len(change)), share[:-1] - share.mean(), (decided - share)[:-1]], 1)
    effect = _slope(design, change, confidence)
    if not effect.known:
        return not_told("widening_shares", effect, advice)
    found = effect.lower > 0
    sentence = (
        "The group's share of the data follows its share of the decisions: each window moves "
        f"{100 * effect.value:.0f} % of the way."
        if found
        else "The group's share of the data does not surely follow the decisions."
    )
    return Finding("widening_shares", effect, found, sentence, advice)


def changed_inputs(
    decision: npt.ArrayLike, before: npt.ArrayLike, after: npt.ArrayLike, *, confidence: float = CONFIDENCE
) -> Finding:
    """Whether an input moves with the decision that was made before: people seen twice, their `decision` bool
    and their input `before` and `after` it, float `(N,)`.

    The effect is the mean change after a positive decision less that after a negative one, in standard
    deviations of the input before (Welch's interval). People who were near the threshold are the fairest to
    compare.
    """
    positive = np.asarray(decision, bool)
    first, second = np.asarray(before, float), np.asarray(after, float)
    there = np.isfinite(first) & np.isfinite(second)
    positive, change, spread = (
        positive[there],
        (second - first)[there],
        float(np.std(first[there])) if there.any() else 0.0,
    )
    yes, no = change[positive], change[~positive]
    advice = "Compare people just above and just below the threshold, who are alike but for the decision."
    if min(len(yes), len(no)) < FEW or spread == 0:
        reason = f"needs {FEW} people of each decision, seen twice, with different values"
        return not_told("changed_inputs", unknown(reason, len(change), confidence), advice)
    value = float(yes.mean() - no.mean()) / spread
    half = z_of(confidence) * math.sqrt(yes.var(ddof=1) / len(yes) + no.var(ddof=1) / len(no)) / spread
    effect = Estimate(value, value - half, value + half, confidence, len(change))
    found = effect.lower > 0 or effect.upper < 0
    sentence = (
        f"The input moved differently after a positive decision, by {value:+.2f} standard deviations: it may "
        "now reflect the decision, not the person."
        if found
        else "The input moved alike after either decision."
    )
    return Finding("changed_inputs", effect, found, sentence, advice)


def _few(effect: Estimate, reason: str) -> Estimate:
    return Estimate(effect.value, effect.lower, effect.upper, effect.confidence, effect.count, (reason,))


def _narrowing(shown: npt.NDArray[np.int64]) -> float:
    third = max(1, len(shown) // 3)
    early, late = _effective(shown[:third]), _effective(shown[-third:])
    return late / early - 1


def _effective(shown: npt.NDArray[np.int64]) -> float:
    """Mean effective number of items over windows."""
    shares = shown / shown.sum(1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = -np.where(shares > 0, shares * np.log(shares), 0.0).sum(1)
    return float(np.exp(entropy).mean())


def _redrawn(shown: npt.NDArray[np.int64], rng: np.random.Generator) -> npt.NDArray[np.int64]:
    return np.stack([rng.multinomial(int(row.sum()), row / row.sum()) for row in shown])


def _slope(design: npt.NDArray[np.float64], change: npt.NDArray[np.float64], confidence: float) -> Estimate:
    from scipy.stats import t

    count, width = design.shape
    gram = design.T @ design
    if np.linalg.matrix_rank(design) < width:
        return unknown("decisions and data never differ, so their pull cannot be told", count, confidence)
    inverse = np.linalg.inv(gram)
    weights = inverse @ design.T @ change
    residual = change - design @ weights
    spread = math.sqrt(float(residual @ residual) / (count - width) * inverse[-1, -1])
    half = float(t.ppf(0.5 + confidence / 2, count - width)) * spread
    value = float(weights[-1])
    return Estimate(value, value - half, value + half, confidence, count)
