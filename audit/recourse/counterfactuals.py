"""The nearest changes that would have altered a decision, among those that a person can make.

Only features that the task calls changeable are touched, in the direction and within the bounds that it
gives: never who someone is. The search is over sets of at most three features, widened from the best of each
size (a beam), with values from the reference; a found number is then moved back towards the person's own as
far as the decision allows. It asks the model about a few hundred rows at once and needs no gradient, so any
served model will do. Sources: Wachter, Mittelstadt and Russell, "Counterfactual explanations without opening
the black box", 2018; Ustun, Spangher and Liu, "Actionable recourse in linear classification", FAT* 2019 (what
may change, and its cost as a shift of percentiles).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
import numpy.typing as npt

Value = float | str
Row = Mapping[str, Value]
Score = Callable[[Sequence[Row]], npt.ArrayLike]
"""Scores `(N,)`, 0 to 1, of N rows."""

MOST_CHANGES = 3
BEAM = 24
NUMBERS_TRIED = 12
BISECTIONS = 12


@dataclass(frozen=True)
class Changeable:
    """A feature that a person can change.

    A number moves "up", "down" or "any" way, within the range of `reference`, and costs the share of the
    reference that lies between (its shift in percentiles). A category may become one of `values`, at a cost
    of `switch_cost`.
    """

    name: str
    reference: npt.NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    direction: str = "any"
    whole: bool = False
    values: tuple[str, ...] = ()
    switch_cost: float = 0.5

    def candidates(self, now: Value) -> list[Value]:
        """Values to try instead of `now`, nearest first."""
        if self.values:
            return [value for value in self.values if value != now]
        if isinstance(now, str) or math.isnan(now) or not len(self.reference):
            return []
        tried = np.unique(np.quantile(self.reference, np.linspace(0, 1, NUMBERS_TRIED)))
        if self.whole:
            tried = np.unique(np.round(tried))
        way = {"up": tried > now, "down": tried < now, "any": tried != now}[self.direction]
        return [float(value) for value in sorted(tried[way], key=lambda value: abs(value - now))]

    def cost(self, now: Value, then: Value) -> float:
        """0 for no change, up to 1."""
        if now == then:
            return 0.0
        if isinstance(now, str) or isinstance(then, str):
            return self.switch_cost
        low, high = sorted((now, then))
        between = np.mean((self.reference > low) & (self.reference <= high)) if len(self.reference) else 0.0
        return float(max(between, 0.01))


@dataclass(frozen=True)
class Counterfactual:
    """Changes, by feature from and to; the `score` after them and their `cost` (sum over features, 0 to their
    number).
    """

    changes: Mapping[str, tuple[Value, Value]]
    score: float
    cost: float


@dataclass(frozen=True)
class Recourse:
    """The cheapest changes of each set of features, cheapest first; none when nothing within reach alters the
    decision.

    `sentence` says it in plain words.
    """

    found: tuple[Counterfactual, ...]
    sentence: str


def nearest_changes(
    row: Row,
    changeable: Sequence[Changeable],
    score: Score,
    *,
    threshold: float,
    count: int = 3,
) -> Recourse:
    """At most `count` ways to the other side of `threshold`, each over another set of features.

    A score at or above the threshold is a positive decision; for a row that has one already nothing is looked
    for.
    Raises `ValueError` for a changeable feature that the row lacks.
    """
    if lacking := [one.name for one in changeable if one.name not in row]:
        raise ValueError(f"the row lacks {', '.join(lacking)}")
    if float(np.asarray(score([row]))[0]) >= threshold:
        return Recourse((), "The decision is positive already; there is nothing to change.")
    reached: dict[frozenset[str], Counterfactual] = {}
    beam: list[dict[str, Value]] = [{}]
    for _ in range(min(MOST_CHANGES, len(changeable))):
        wider = _widened(beam, row, changeable)
        if not wider:
            break
        scores = np.asarray(score([{**row, **changes} for changes in wider]), float)
        costs = np.array([_cost(changes, row, changeable) for changes in wider])
        for place in np.flatnonzero(scores >= threshold):
            found = _smallest(wider[place], row, changeable, score, threshold)
            names = frozenset(found.changes)
            if names not in reached or found.cost < reached[names].cost:
                reached[names] = found
        short = np.flatnonzero(scores < threshold)
        beam = [
            wider[place] for place in short[np.argsort(costs[short] - scores[short], kind="stable")][:BEAM]
        ]
    ways = sorted(reached.values(), key=lambda one: (one.cost, len(one.changes)))
    plain = tuple(one for one in ways if not any(_within(other, one) for other in ways))[:count]
    return Recourse(plain, _sentence(plain))


def _widened(
    beam: Sequence[Mapping[str, Value]], row: Row, changeable: Sequence[Changeable]
) -> list[dict[str, Value]]:
    """Each change of the beam with one feature more, every set of values once."""
    wider: dict[tuple[tuple[str, Value], ...], dict[str, Value]] = {}
    for changes in beam:
        for one in changeable:
            if one.name not in changes:
                for value in one.candidates(row[one.name]):
                    made = {**changes, one.name: value}
                    wider[tuple(sorted(made.items(), key=lambda item: item[0]))] = made
    return list(wider.values())


def _smallest(
    changes: Mapping[str, Value],
    row: Row,
    changeable: Sequence[Changeable],
    score: Score,
    threshold: float,
) -> Counterfactual:
    """The same features changed by as little as the decision allows: needless ones left out, numbers moved
    back.
    """
    kept = dict(changes)
    for size in range(1, len(kept)):
        for names in combinations(kept, size):
            part = {name: kept[name] for name in names}
            if float(np.asarray(score([{**row, **part}]))[0]) >= threshold:
                return _smallest(part, row, changeable, score, threshold)
    for one in changeable:
        now = row[one.name]
        if one.name in kept and not isinstance(now, str) and not isinstance(kept[one.name], str):
            kept[one.name] = _moved_back(one, kept, row, score, threshold)
    after = float(np.asarray(score([{**row, **kept}]))[0])
    pairs = {name: (row[name], value) for name, value in kept.items()}
    return Counterfactual(pairs, after, _cost(kept, row, changeable))


def _moved_back(
    one: Changeable, changes: Mapping[str, Value], row: Row, score: Score, threshold: float
) -> float:
    near, far = float(row[one.name]), float(changes[one.name])
    for _ in range(BISECTIONS):
        middle = (near + far) / 2
        if one.whole:
            middle = float(round(middle))
            if middle in (near, far):
                break
        if float(np.asarray(score([{**row, **changes, one.name: middle}]))[0]) >= threshold:
            far = middle
        else:
            near = middle
    return far


def _cost(changes: Mapping[str, Value], row: Row, changeable: Sequence[Changeable]) -> float:
    return sum(one.cost(row[one.name], changes[one.name]) for one in changeable if one.name in changes)


def _within(other: Counterfactual, one: Counterfactual) -> bool:
    """Whether `other` does with fewer of the same features."""
    return set(other.changes) < set(one.changes)


def _sentence(ways: Sequence[Counterfactual]) -> str:
    if not ways:
        return "No change that is within the person's reach would have altered the decision."
    told = [
        " and ".join(
            f"{name} {_shown(then)} instead of {_shown(now)}" for name, (now, then) in way.changes.items()
        )
        for way in ways
    ]
    return f"The decision would have been positive with {'; or with '.join(told)}."


def _shown(value: Value) -> str:
    return value if isinstance(value, str) else f"{value:.4g}"
