"""A test that may be looked at every day: evidence against "nothing has changed", however often one looks.

Each day's counts are betted on. The null is a Dirichlet-multinomial that has seen the reference and
everything since, so the reference counts as the sample that it is. The alternatives are
Dirichlet-multinomials that have seen only what came since a day on which a change may have begun, and lean
on the reference's shares with a few rows' weight. Money starts on each day's alternative out of a purse
that never runs dry (what is left after t days is 1 / log2(t + 2)), so a change that comes after years of
quiet still meets enough of it. Alternatives that began long ago are thinned to a few for each doubling of
their age, and their money goes to the next younger one, which is a bet like any other.

What the money comes to is the e-value. With independent days and shares that are as uncertain as the
reference leaves them (Jeffreys' prior), it is a test martingale under the null, and reaches 1 / alpha with
probability at most alpha, ever (Ville's inequality). For fixed shares this is an approximation that
simulation finds to be on the safe side: `tests/golden/test_audit_sequential.py`. Rows that depend on each
other (members of a household) make it speak too soon: say so by `design_effect`, or ask for magnitude too.

Sources: Ville 1939; Shafer, "Testing by betting", JRSS A 2021; Ramdas, Grünwald, Vovk, Shafer,
"Game-theoretic statistics and safe anytime-valid inference", Statistical Science 2023; Shin, Ramdas,
Rinaldo, "E-detectors: a nonparametric framework for sequential change detection", 2022; Krichevsky and
Trofimov 1981 (the null's prior).
"""

import math
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.float64]

PRIOR_ROWS = (10.0, 100.0)
"""Weights, in rows, with which alternatives lean on the reference: for large changes and for small ones."""
JEFFREYS = 0.5
KEPT_PER_DOUBLING = 4
LARGEST_LOG = 690.0


class SequentialTest:
    """The evidence of one column.

    `reference`: counts `(K,)` by value or bin; daily counts must be aligned with it. `design_effect`: how
    many rows tell as much as one independent row; 1 when rows are independent.

    Too little data: with no day, or days without rows, the e-value is at most 1. One row or five move it by
    a factor of the order of 1. A reference without rows is a uniform guess that weighs half a row a value.
    """

    def __init__(self, reference: npt.ArrayLike, *, design_effect: float = 1.0) -> None:
        if design_effect < 1:
            raise ValueError(f"design_effect is {design_effect}; must be at least 1")
        self._weight = 1 / design_effect
        self._null = self._weight * np.asarray(reference, np.float64) + JEFFREYS
        self._base = self._null / self._null.sum()
        self._seen = np.zeros_like(self._null)
        self._looks = 0
        self._starts = np.zeros(0, np.int64)
        self._since = np.zeros((0, len(self._null)))
        self._log_money = np.zeros((0, len(PRIOR_ROWS)))

    @classmethod
    def resume(
        cls, reference: npt.ArrayLike, state: Mapping[str, Any] | None, *, design_effect: float = 1.0
    ) -> Self:
        """The test as `state()` left it; a new one for `None`."""
        test = cls(reference, design_effect=design_effect)
        if state is not None:
            test._seen = np.asarray(state["seen"], np.float64)
            test._looks = int(state["looks"])
            test._starts = np.asarray(state["starts"], np.int64)
            test._since = np.asarray(state["since"], np.float64).reshape(len(test._starts), -1)
            test._log_money = np.asarray(state["log_money"], np.float64).reshape(len(test._starts), -1)
        return test

    def state(self) -> dict[str, Any]:
        """What `resume` needs, as JSON can hold it: about 25 starts of K counts, however many looks there
        were.
        """
        return {
            "seen": self._seen.tolist(),
            "looks": self._looks,
            "starts": self._starts.tolist(),
            "since": self._since.tolist(),
            "log_money": self._log_money.tolist(),
        }

    @property
    def e_value(self) -> float:
        """Evidence so far: about 1 is none, 20 comes up once in 20 such tests at most where nothing has
        changed.
        """
        return math.exp(min(self.log_e_value, LARGEST_LOG))

    @property
    def log_e_value(self) -> float:
        """Natural logarithm of the evidence; unlike `e_value` it is not cut off."""
        return float(np.logaddexp.reduce([*self._log_money.ravel(), math.log(_left(self._looks))]))

    @property
    def likely_start(self) -> int:
        """The look, from 1, with which a change most likely began; 0 while the evidence is below 2."""
        if self.log_e_value < math.log(2):
            return 0
        return int(self._starts[int(np.argmax(np.logaddexp.reduce(self._log_money, axis=1)))])

    def update(self, counts: npt.ArrayLike) -> float:
        """Adds one day's counts `(K,)` and gives the new `e_value`. A day without rows is a look that says
        nothing.

        Raises `ValueError` when the counts are not aligned with the reference.
        """
        day = np.asarray(counts, np.float64) * self._weight
        if day.shape != self._null.shape:
            raise ValueError(f"a day has {day.size} values; the reference has {self._null.size}")
        stake = (_left(self._looks) - _left(self._looks + 1)) / len(PRIOR_ROWS)
        self._looks += 1
        self._starts = np.append(self._starts, self._looks)
        self._since = np.vstack([self._since, np.zeros_like(day)])
        self._log_money = np.vstack([self._log_money, np.full(len(PRIOR_ROWS), math.log(stake))])
        # (starts, priors, values)
        bets = self._since[:, None, :] + np.multiply.outer(PRIOR_ROWS, self._base)
        self._log_money += _log_probability(day, bets) - _log_probability(day, self._null + self._seen)
        self._since += day
        self._seen = self._seen + day
        self._thin()
        return self.e_value

    def _thin(self) -> None:
        """Of the starts within each doubling of age keeps the oldest and the youngest few."""
        doubling = np.log2(self._looks - self._starts + 1).astype(np.int64)
        kept = np.ones(len(self._starts), bool)
        for age in np.unique(doubling):
            places = np.flatnonzero(doubling == age)
            for place in places[1 : len(places) - KEPT_PER_DOUBLING + 1]:
                self._log_money[place + 1] = np.logaddexp(self._log_money[place + 1], self._log_money[place])
                kept[place] = False
        self._starts, self._since = self._starts[kept], self._since[kept]
        self._log_money = self._log_money[kept]


def _left(looks: int) -> float:
    """Share of the money that no bet has got yet."""
    return 1 / math.log2(looks + 2)


def _log_probability(counts: Counts, concentration: Counts) -> Any:
    """Log Dirichlet-multinomial probability of a sequence with these counts `(K,)`, by concentration `(...,
    K)`.

    Without the multinomial coefficient, which cancels in a ratio.
    """
    from scipy.special import gammaln

    total, used = concentration.sum(axis=-1), counts > 0
    each = gammaln(concentration[..., used] + counts[used]) - gammaln(concentration[..., used])
    return gammaln(total) - gammaln(total + counts.sum()) + each.sum(axis=-1)
