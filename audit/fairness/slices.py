"""The worst-off slice that nobody named: a tree over attributes finds it, and other rows judge it.

Half of the rows, drawn at random, grow the tree; the slice that stands out most in it is then measured on the
other half alone, so that its loss is not flattered by having been searched for. As only that one slice is
tested, its interval needs no correction for the many that were looked at.

Sources: Chung and others, "Automated data slicing for model validation", IEEE TKDE 2019 (slices as
conjunctions of attributes); Athey and Imbens, "Recursive partitioning for heterogeneous causal effects", PNAS
2016 (one half to search, the other to estimate).
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from audit.estimate import CONFIDENCE, Estimate, unknown
from audit.fairness.estimates import Floats, GroupEstimates, Ints, group_means
from audit.intervals import difference_bounds, wilson

MAXIMUM_VALUES = 20
BANDS = 10
MINIMUM = 50
DEPTH = 3

Rows = npt.NDArray[np.bool_]
Slice = Mapping[int, frozenset[int]]
"""Codes that are allowed, by the position of the attribute; what is not named may be anything."""


@dataclass(frozen=True)
class WorstSlice:
    """The slice in words ("age is 30 to 45"), and its mean loss beside everyone else's on rows that did not
    choose it.

    `difference` is slice minus everyone else, in the loss's units; `found` when its whole interval lies above
    0. `rows` bool `(N,)`: who of all rows is in the slice. Without conditions there is no slice.
    """

    conditions: tuple[str, ...]
    inside: Estimate
    outside: Estimate
    difference: Estimate
    found: bool
    rows: Rows
    sentence: str


@dataclass(frozen=True)
class _Attribute:
    """Codes int `(N,)` of an attribute's values, `size` of them: numbers by band between `edges` (code i lies
    below edge i), texts by their place in `texts`; last of all one for missing values where there are some.
    """

    name: str
    codes: Ints
    size: int
    missing: bool
    texts: tuple[str, ...] = ()
    edges: tuple[float, ...] = ()

    def parts(self) -> Iterator[tuple[int, ...]]:
        """Sets of codes to set against all others: all numbers below an edge, or one text, or missing."""
        if self.texts:
            return ((code,) for code in range(self.size))
        return (tuple(range(end)) for end in range(1, self.size))

    def words(self, allowed: frozenset[int]) -> str:
        """What it is to have one of these codes: `age is 30 to 45`, `race is not A`, `job is missing`."""
        gap = self.size - 1 if self.missing else -1
        bands = sorted(allowed - {gap})
        named = [self._range(bands[0], bands[-1])] if self.edges and bands else []
        if self.texts:
            ruled_out = sorted(set(range(self.size)) - allowed)
            if len(ruled_out) < len(allowed):
                return f"{self.name} is not {' or '.join(self._text(code) for code in ruled_out)}"
            named = [self._text(code) for code in bands]
        return f"{self.name} is {' or '.join([*named, *(['missing'] if gap in allowed else [])])}"

    def _text(self, code: int) -> str:
        return self.texts[code] if code < len(self.texts) else "missing"

    def _range(self, first: int, last: int) -> str:
        below = f"{self.edges[last]:g}" if last < len(self.edges) else ""
        if first == 0:
            return f"below {below}" if below else "present"
        return f"{self.edges[first - 1]:g} to {below}" if below else f"{self.edges[first - 1]:g} or more"


def worst_slice(
    attributes: Mapping[str, npt.ArrayLike],
    loss: npt.ArrayLike,
    *,
    rng: np.random.Generator,
    depth: int = DEPTH,
    minimum: int = MINIMUM,
    confidence: float = CONFIDENCE,
) -> WorstSlice:
    """Looks for the slice of up to `depth` conditions whose mean loss lies above everyone else's.

    `attributes` maps names to values `(N,)`: numbers are cut at their deciles, texts are taken one by one
    (the 19 most frequent; the others are one value), missing values are a value of their own. `loss` float
    `(N,)`: 1 for a wrong decision and 0 for a right one, or any loss of which more is worse. Intervals are
    Wilson's for losses of 0 and 1 and Student's t for others; that of the difference is Zou and Donner's.

    A slice has at least `minimum` rows of the searched half, and so have the rest of them. With fewer than
    `4 * minimum` rows (so at n = 0, 1 and 5), or losses that no attribute separates, nothing is found and the
    sentence says so. Raises `ValueError` for lengths that differ, a loss that is not finite or a `minimum`
    below 2.
    """
    losses = np.asarray(loss, float)
    if minimum < 2:
        raise ValueError(f"minimum is {minimum}; must be 2 or more")
    if not np.isfinite(losses).all():
        raise ValueError("losses must be finite")
    coded = [_coded(name, pd.Series(np.asarray(values)), len(losses)) for name, values in attributes.items()]
    if len(losses) < 4 * minimum:
        return _nothing(len(losses), f"there are {len(losses):,} rows; it needs {4 * minimum:,}", confidence)
    search = rng.permutation(len(losses)) < len(losses) // 2
    tree = _slices({}, coded, losses, search, depth=depth, minimum=minimum)
    best, chosen = max(
        ((_lead(one, coded, losses, search), one) for one in tree), key=_first, default=(0.0, {})
    )
    if best <= 0:
        return _nothing(len(losses), "no attribute separates larger losses from smaller", confidence)
    words = tuple(coded[position].words(allowed) for position, allowed in chosen.items())
    return _judged(words, _members(chosen, coded), losses, ~search, confidence)


def _slices(
    start: Slice, coded: Sequence[_Attribute], losses: Floats, inside: Rows, *, depth: int, minimum: int
) -> Iterator[Slice]:
    """Every node of the tree below `start`, whose rows are `inside`."""
    split = _split(coded, losses, inside, minimum) if depth else None
    if split is None:
        return
    position, part = split
    attribute = coded[position]
    here = start.get(position, frozenset(range(attribute.size)))
    for allowed in (here & part, here - part):
        child = {**start, position: allowed}
        yield child
        members = inside & np.isin(attribute.codes, list(allowed))
        yield from _slices(child, coded, losses, members, depth=depth - 1, minimum=minimum)


def _split(
    coded: Sequence[_Attribute], losses: Floats, inside: Rows, minimum: int
) -> tuple[int, frozenset[int]] | None:
    """The attribute and its codes that, set against the others, take most of the losses' variance away."""
    best, found = 0.0, None
    own = losses[inside] - losses[inside].mean()
    for position, attribute in enumerate(coded):
        codes, size = attribute.codes[inside], attribute.size
        counts = np.bincount(codes, minlength=size)
        sums = np.bincount(codes, own, minlength=size)
        for part in attribute.parts():
            n, total = int(counts[list(part)].sum()), float(sums[list(part)].sum())
            if minimum <= n <= len(own) - minimum:
                gained = total**2 * (1 / n + 1 / (len(own) - n))
                if gained > best * (1 + 1e-9) + 1e-12:
                    best, found = gained, (position, frozenset(part))
    return found


def _lead(found: Slice, coded: Sequence[_Attribute], losses: Floats, search: Rows) -> float:
    """By how many standard errors of the searched rows the slice's loss lies above the others'."""
    members = _members(found, coded)
    own, others = losses[search & members], losses[search & ~members]
    spread = math.sqrt(losses[search].var() * (1 / len(own) + 1 / len(others)))
    return float(own.mean() - others.mean()) / spread


def _first(ranked: tuple[float, Slice]) -> float:
    return ranked[0]


def _members(found: Slice, coded: Sequence[_Attribute]) -> Rows:
    rows = np.ones(len(coded[0].codes), bool)
    for position, allowed in found.items():
        rows &= np.isin(coded[position].codes, list(allowed))
    return rows


def _judged(
    words: tuple[str, ...], members: Rows, losses: Floats, judging: Rows, confidence: float
) -> WorstSlice:
    groups, own = (~members[judging]).astype(np.int64), losses[judging]
    if groups.all() or not groups.any():
        return _nothing(len(losses), "none of the other rows lies in the one that stands out", confidence)
    if np.isin(own, (0.0, 1.0)).all():
        count, hits = np.bincount(groups, minlength=2), np.bincount(groups, own, minlength=2)
        both = GroupEstimates(hits / count, *wilson(hits, count, confidence), count, confidence)
    else:
        both = group_means(groups, own, 2, confidence)
    inside, outside = both.estimate(0), both.estimate(1)
    low, high = difference_bounds(
        (inside.value, inside.lower, inside.upper), (outside.value, outside.lower, outside.upper)
    )
    apart = Estimate(
        inside.value - outside.value, float(low), float(high), confidence, len(own), inside.warnings
    )
    found = apart.lower > 0
    interval = f"{apart.value:+.3g}, {100 * confidence:g} % interval {low:+.3g} to {high:+.3g}"
    sentence = (
        f"Where {' and '.join(words)}, the mean loss is {inside.value:.3g} against {outside.value:.3g} "
        f"elsewhere ({interval}), among {inside.count:,} rows that did not choose the slice."
    )
    if not found:
        sentence = f"No slice is surely worse off; the likeliest is not. {sentence}"
    return WorstSlice(words, inside, outside, apart, found, members, sentence)


def _nothing(count: int, reason: str, confidence: float) -> WorstSlice:
    none = unknown(reason, count, confidence)
    rows = np.zeros(count, bool)
    return WorstSlice((), none, none, none, False, rows, f"No slice can be named: {reason}.")


def _coded(name: str, values: "pd.Series[float]", count: int) -> _Attribute:
    if len(values) != count:
        raise ValueError(f"{name} has {len(values)} values for {count} losses")
    absent = values.isna().to_numpy(bool)
    missing = bool(absent.any())
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        numbers = values.to_numpy(float)
        present = numbers[~absent]
        edges = np.unique(np.quantile(present, np.arange(1, BANDS) / BANDS)) if len(present) else present
        codes = np.where(absent, len(edges) + 1, np.searchsorted(edges, numbers, side="right"))
        return _Attribute(name, codes, len(edges) + 1 + missing, missing, edges=tuple(edges.tolist()))
    frequent = values[~absent].astype(str).value_counts().index.tolist()
    kept = frequent if len(frequent) <= MAXIMUM_VALUES else frequent[: MAXIMUM_VALUES - 1]
    texts = (*kept, *(["any other value"] if len(kept) < len(frequent) else []))
    place = values.astype(str).map({text: code for code, text in enumerate(kept)})
    codes = np.where(absent, len(texts), place.fillna(len(kept)).to_numpy(np.int64))
    return _Attribute(name, codes, len(texts) + missing, missing, texts)
