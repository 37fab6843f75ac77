"""Gates: what must hold before a model may decide about more people, as data, and what is known of it.

A condition compares an estimate with a bound. It passes when the whole interval lies on the good side, fails
when the whole interval lies on the bad side, and is inconclusive between: more data, not a decision, is what
it asks for. A gate passes when every condition does, fails when one fails, and is inconclusive otherwise; a
gate without conditions passes nothing (it is inconclusive), since nobody has said what must hold.

A gate is asked again and again until it passes, so an interval of one look would let anything through in the
end. `lasting_share` and `lasting_gap` give intervals that hold at every look at once.
"""

import enum
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from audit.estimate import CONFIDENCE, Estimate, unknown
from audit.experiments.differences import (
    TIGHTEST_AT,
    Arm,
    difference_of_means,
    paired_difference,
)


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


def each_at_most(
    name: str, what: str, found: Mapping[str, Estimate], bound: float, *, too_few: Sequence[str] = ()
) -> Check:
    """None of `found` may lie above `bound`; the worst of them speaks for all.

    `what` names all of them for people ("the gap in error rates"), the keys of `found` each one ("the gap in
    error rates between women and everyone else"). Intervals should pay for their number (Bonferroni). Those
    of `too_few` are named and not judged; where nobody is judged the check is inconclusive.
    """
    left_out = f" Too few to judge: {_listed(too_few)}." if too_few else ""
    if not found:
        sentence = f"{_capital(what)} cannot be told yet.{left_out}"
        return Check(name, Verdict.INCONCLUSIVE, sentence)
    checks = [(at_most(name, one, estimate, bound), estimate.value) for one, estimate in found.items()]
    ranks = {Verdict.FAIL: 2, Verdict.INCONCLUSIVE: 1, Verdict.PASS: 0}
    worst, _ = max(checks, key=lambda pair: (ranks[pair[0].verdict], pair[1]))
    among = f" It is the worst of {len(checks):,}." if len(checks) > 1 else ""
    return replace(worst, sentence=f"{worst.sentence}{among}{left_out}")


def count_at_least(name: str, what: str, found: int, bound: int) -> Check:
    """There must be `bound` of something; fewer is inconclusive, since more may come."""
    verdict = Verdict.PASS if found >= bound else Verdict.INCONCLUSIVE
    still = "" if found >= bound else f"; {bound - found:,} more are needed"
    return Check(name, verdict, f"{_capital(what)}: {found:,} of the {bound:,} that are asked for{still}.")


def count_at_most(name: str, what: str, found: int, bound: int) -> Check:
    """There may be `bound` of something; more fail."""
    verdict = Verdict.PASS if found <= bound else Verdict.FAIL
    return Check(name, verdict, f"{_capital(what)}: {found:,}; at most {bound:,} are allowed.")


def done_within(name: str, what: str, age_days: float | None, bound_days: int) -> Check:
    """Something must have been done at most `bound_days` ago; `None`: never. Older, or never, fails."""
    if age_days is None:
        return Check(
            name,
            Verdict.FAIL,
            f"There has been no {what} yet; one of the last {_days(bound_days)} is asked for.",
        )
    verdict = Verdict.PASS if age_days <= bound_days else Verdict.FAIL
    sentence = (
        f"The newest {what} is {_days(math.floor(age_days))} old; at most {_days(bound_days)} is allowed."
    )
    return Check(name, verdict, sentence)


def answered(name: str, what: str, still_open: Sequence[str]) -> Check:
    """Every question must have been answered by a person; an open one fails, and is named."""
    if not still_open:
        return Check(name, Verdict.PASS, f"Every question of the {what} is answered.")
    first = still_open[0].rstrip("?") + "?"
    others = f", and {len(still_open) - 1} more" if len(still_open) > 1 else ""
    return Check(name, Verdict.FAIL, f"The {what} has open questions: “{first}”{others}.")


def lasting_share(
    hits: int, count: int, *, confidence: float = CONFIDENCE, tightest_at: int = TIGHTEST_AT
) -> Estimate:
    """`hits / count` with an interval that holds however often one looks as `count` grows; tightest at
    `tightest_at`.

    The confidence sequence of `audit.experiments.differences`, with the variance of half a hit and half a
    miss more, so that it never is 0. Unknown at 0; without an interval below 30 (at 1, 5).
    """
    if count <= 0:
        return unknown("no people with a known outcome yet", 0, confidence)
    found = paired_difference(_arm(hits, count), confidence=confidence, tightest_at=tightest_at)
    few = () if found.known and math.isfinite(found.lower) else (f"{count} outcomes are too few to be sure",)
    return replace(found, warnings=few)


def lasting_gap(
    group: tuple[int, int],
    others: tuple[int, int],
    *,
    confidence: float = CONFIDENCE,
    tightest_at: int = TIGHTEST_AT,
) -> Estimate:
    """How far two shares, each hits and count, lie apart either way: 0 alike to 1 opposite, with an interval
    that holds however often one looks.

    Unknown when a side is empty; without an interval when one has fewer than 30.
    """
    if group[1] <= 0 or others[1] <= 0:
        return unknown("one side has no people yet", group[1] + others[1], confidence)
    apart = difference_of_means(_arm(*group), _arm(*others), confidence=confidence, tightest_at=tightest_at)
    nearest = max(0.0, apart.lower, -apart.upper) if math.isfinite(apart.lower) else math.nan
    return replace(apart, value=abs(apart.value), lower=nearest, upper=max(-apart.lower, apart.upper))


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
        f"{found.value:.3g} ({100 * found.confidence:.3g} % interval {found.lower:.3g} to {found.upper:.3g})"
    )
    ends = {
        Verdict.PASS: f"{side} {bound:.3g} is asked for, and surely so",
        Verdict.FAIL: f"{side} {bound:.3g} is asked for, and it surely is not",
        Verdict.INCONCLUSIVE: f"{side} {bound:.3g} is asked for, and the data cannot tell yet",
    }
    return Check(name, verdict, f"{_capital(what)} is {interval}: {ends[verdict]}.")


def _arm(hits: int, count: int) -> Arm:
    smoothed = (hits + 0.5) / (count + 1)
    return Arm(count, hits / count, smoothed * (1 - smoothed))


def _listed(names: Sequence[str], shown: int = 5) -> str:
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def _days(count: int) -> str:
    return "1 day" if count == 1 else f"{count:,} days"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
