"""Gates: what must hold before a model may decide about more people, as data, and what is known of it.

A condition compares an estimate with a bound. It passes when the whole interval lies on the good side, fails
when the whole interval lies on the bad side, and is inconclusive between: more data, not a decision, is what
it asks for. A gate passes when every condition does, fails when one fails, and is inconclusive otherwise; a
gate without conditions passes nothing (it is inconclusive), since nobody has said what must hold.
"""

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass

from audit.estimate import Estimate


class Verdict(enum.Enum):
    """What a check comes to."""

    PASS = "pass"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class Check:
    """One condition: its name, what it came to, and in words why."""

    name: str
    verdict: Verdict
    sentence: str


@dataclass(frozen=True)
class GateResult:
    """The gate's verdict and every check, failures first."""

    verdict: Verdict
    checks: tuple[Check, ...]

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it does not pass, in words; of a gate that passes, what held."""
        standing = [check.sentence for check in self.checks if check.verdict is not Verdict.PASS]
        return tuple(standing or [check.sentence for check in self.checks])


def at_least(name: str, what: str, found: Estimate, bound: float) -> Check:
    """`found` must surely not lie below `bound`. `what` names it for people ("accuracy by labels")."""
    return _bounded(name, what, found, bound, higher_is_better=True)


def at_most(name: str, what: str, found: Estimate, bound: float) -> Check:
    """`found` must surely not lie above `bound`."""
    return _bounded(name, what, found, bound, higher_is_better=False)


def count_at_least(name: str, what: str, found: int, bound: int) -> Check:
    """There must be `bound` of something; fewer is inconclusive, since more may come."""
    verdict = Verdict.PASS if found >= bound else Verdict.INCONCLUSIVE
    still = "" if found >= bound else f"; {bound - found:,} more are needed"
    return Check(name, verdict, f"There are {found:,} {what} of the {bound:,} that are asked for{still}.")


def count_at_most(name: str, what: str, found: int, bound: int) -> Check:
    """There may be `bound` of something; more fail."""
    verdict = Verdict.PASS if found <= bound else Verdict.FAIL
    return Check(name, verdict, f"There are {found:,} {what}; at most {bound:,} are allowed.")


def answered(name: str, what: str, still_open: Sequence[str]) -> Check:
    """Every question must have been answered by a person; an open one fails, and is named."""
    if not still_open:
        return Check(name, Verdict.PASS, f"Every question of the {what} is answered.")
    first = still_open[0].rstrip("?") + "?"
    others = f", and {len(still_open) - 1} more" if len(still_open) > 1 else ""
    return Check(name, Verdict.FAIL, f"The {what} has open questions: “{first}”{others}.")


def evaluate(checks: Sequence[Check]) -> GateResult:
    """All checks together."""
    if not checks:
        nothing = Check(
            "conditions", Verdict.INCONCLUSIVE, "The task says nothing of what must hold for this rung."
        )
        return GateResult(Verdict.INCONCLUSIVE, (nothing,))
    order = (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS)
    ranked = tuple(sorted(checks, key=lambda check: order.index(check.verdict)))
    return GateResult(ranked[0].verdict, ranked)


def _bounded(name: str, what: str, found: Estimate, bound: float, *, higher_is_better: bool) -> Check:
    side = "at least" if higher_is_better else "at most"
    if not found.known:
        reason = found.warnings[0] if found.warnings else "too little data"
        return Check(name, Verdict.INCONCLUSIVE, f"{_capital(what)} cannot be told yet: {reason}.")
    if math.isnan(found.lower) or math.isnan(found.upper):
        reason = found.warnings[0] if found.warnings else "it has no interval"
        return Check(name, Verdict.INCONCLUSIVE, f"{_capital(what)} is {found.value:.3g}, but {reason}.")
    worst, best = (found.lower, found.upper) if higher_is_better else (found.upper, found.lower)
    good = worst >= bound if higher_is_better else worst <= bound
    bad = best < bound if higher_is_better else best > bound
    verdict = Verdict.PASS if good else Verdict.FAIL if bad else Verdict.INCONCLUSIVE
    interval = (
        f"{found.value:.3g} ({100 * found.confidence:.0f} % interval {found.lower:.3g} to {found.upper:.3g})"
    )
    ends = {
        Verdict.PASS: f"{side} {bound:.3g} is asked for, and surely so",
        Verdict.FAIL: f"{side} {bound:.3g} is asked for, and it surely is not",
        Verdict.INCONCLUSIVE: f"{side} {bound:.3g} is asked for, and the data cannot tell yet",
    }
    return Check(name, verdict, f"{_capital(what)} is {interval}: {ends[verdict]}.")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
