"""A test that may be looked at every day: evidence against "nothing has changed" that holds however often one looks.

Each day's counts are betted on: the alternative, made of the last days before it, against the null, a Dirichlet-multinomial
that has seen the reference and everything since. The product of the likelihood ratios is a test martingale under the null,
the reference's own sampling error included; a mixture over the day on which a change may begin (weights 1 / (t (t + 1)))
keeps it ready for a change that comes after years. By Ville's inequality it reaches 1 / alpha with probability at most alpha,
ever, when days are independent draws.

Sources: Ville 1939; Ramdas, Grunwald, Vovk, Shafer, "Game-theoretic statistics and safe anytime-valid inference", Statistical
Science 2023; Shin, Ramdas, Rinaldo, "E-detectors", 2022 (mixtures over the change point).
"""

import math
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.float64]

MEMORY_DAYS = 7
PRIOR_ROWS = 20.0
"""Weight, in rows, with which the alternative leans on the reference's shares."""
JEFFREYS = 0.5
LARGEST_LOG = 690.0


class SequentialTest:
    """The evidence of one column. `reference`: counts `(K,)` by value or bin; daily counts must be aligned with it."""

    def __init__(self, reference: npt.ArrayLike) -> None:
        self._null = np.asarray(reference, np.float64) + JEFFREYS
        self._base = self._null / self._null.sum()
        self._seen = np.zeros_like(self._null)
        self._recent: list[list[float]] = []
        self._looks = 0
        self._log_betted = -math.inf

    @classmethod
    def resume(cls, reference: npt.ArrayLike, state: Mapping[str, Any] | None) -> Self:
        """The test as `state()` left it; a new one for `None`."""
        test = cls(reference)
        if state is not None:
            test._seen = np.asarray(state["seen"], np.float64)
            test._recent = [list(day) for day in state["recent"]]
            test._looks = int(state["looks"])
            test._log_betted = -math.inf if state["log_betted"] is None else float(state["log_betted"])
        return test

    def state(self) -> dict[str, Any]:
        """What `resume` needs, as JSON can hold it."""
        return {
            "seen": self._seen.tolist(),
            "recent": self._recent,
            "looks": self._looks,
            "log_betted": None if self._log_betted == -math.inf else self._log_betted,
        }

    @property
    def e_value(self) -> float:
        """Evidence so far: 1 is none, 20 or more happens once in 20 such tests at most when nothing has changed."""
        waiting = 1 / (self._looks + 1)
        betted = math.exp(min(self._log_betted, LARGEST_LOG)) if self._log_betted > -math.inf else 0.0
        return betted + waiting

    def update(self, counts: npt.ArrayLike) -> float:
        """Adds one day's counts `(K,)` and gives the new `e_value`. A day without rows is a look that says nothing."""
        day = np.asarray(counts, np.float64)
        if day.shape != self._null.shape:
            raise ValueError(f"a day has {day.shape[0]} values; the reference has {self._null.shape[0]}")
        self._looks += 1
        log_weight = -math.log(self._looks * (self._looks + 1))
        recent = np.sum(self._recent, axis=0) if self._recent else np.zeros_like(day)
        alternative = PRIOR_ROWS * self._base + recent
        ratio = _log_dirichlet_multinomial(day, alternative) - _log_dirichlet_multinomial(day, self._null + self._seen)
        self._log_betted = float(np.logaddexp(self._log_betted, log_weight)) + ratio
        self._seen = self._seen + day
        self._recent = [*self._recent, day.tolist()][-MEMORY_DAYS:]
        return self.e_value


def _log_dirichlet_multinomial(counts: Counts, concentration: Counts) -> float:
    """Log probability of a sequence with these counts, without the multinomial coefficient, which cancels in a ratio."""
    from scipy.special import gammaln

    total, rows = concentration.sum(), counts.sum()
    used = counts > 0
    each = gammaln(concentration[used] + counts[used]) - gammaln(concentration[used])
    return float(gammaln(total) - gammaln(total + rows) + each.sum())
