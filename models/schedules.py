"""Learning rate and momentum as functions of how far a fit is, 0 to 1. They hold no state, so a resumed fit
needs none.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial


def cosine(start: float, end: float, position: float) -> float:
    """From `start` at 0 to `end` at 1 along half a cosine."""
    return end + (start - end) * (1 + math.cos(math.pi * position)) / 2


def one_cycle(
    position: float,
    peak: float,
    *,
    warm_up: float = 0.25,
    start_division: float = 25.0,
    end_division: float = 1e5,
) -> float:
    """Learning rate: up to `peak` over the first `warm_up` of the fit, then down to next to nothing.

    Source: Smith and Topin, "Super-convergence", 2018; the divisions are those of the fastai library.
    """
    if position < warm_up:
        return cosine(peak / start_division, peak, position / warm_up)
    return cosine(peak, peak / end_division, (position - warm_up) / (1 - warm_up))


def cyclical_momentum(
    position: float, *, high: float = 0.95, low: float = 0.85, warm_up: float = 0.25
) -> float:
    """Momentum: down while the rate goes up, and back. Source: Smith, "A disciplined approach to
    hyper-parameters", 2018.
    """
    if position < warm_up:
        return cosine(high, low, position / warm_up)
    return cosine(low, high, (position - warm_up) / (1 - warm_up))


def flat_cosine(position: float, peak: float, *, flat: float = 0.75, end_division: float = 1e5) -> float:
    """Learning rate: `peak` for the first `flat` of the fit, then down to next to nothing; divisions as
    fastai's.
    """
    if position < flat:
        return peak
    return cosine(peak, peak / end_division, (position - flat) / (1 - flat))


def warm_restarts(position: float, peak: float, *, cycles: int = 3, growth: int = 2) -> float:
    """Learning rate: `cycles` times from `peak` down to 0, each cycle `growth` times as long as the one
    before.

    Source: Loshchilov and Hutter, "SGDR", 2017.
    """
    lengths = [growth**cycle for cycle in range(cycles)]
    left = position * sum(lengths)
    for length in lengths[:-1]:
        if left < length:
            return cosine(peak, 0.0, left / length)
        left -= length
    return cosine(peak, 0.0, left / lengths[-1])


def constant(position: float, peak: float) -> float:
    """Learning rate: `peak` throughout."""
    return peak


@dataclass(frozen=True)
class Schedule:
    """`rate(position, peak)`, and `momentum(position)` where it moves too."""

    rate: Callable[[float, float], float]
    momentum: Callable[[float], float] | None = None


SCHEDULES = {
    "one_cycle": Schedule(one_cycle, cyclical_momentum),
    "flat_cosine": Schedule(flat_cosine),
    "warm_restarts": Schedule(warm_restarts),
    "constant": Schedule(constant),
}

# The two parts of fastai's `fine_tune`: a frozen body's head warms up throughout, the whole net starts at a
# fifth.
FROZEN_ONE_CYCLE = Schedule(partial(one_cycle, warm_up=0.99), partial(cyclical_momentum, warm_up=0.99))
TUNED_ONE_CYCLE = Schedule(
    partial(one_cycle, warm_up=0.3, start_division=5.0), partial(cyclical_momentum, warm_up=0.3)
)


def group_rates(peak: float, division: float, count: int) -> tuple[float, ...]:
    """Rates of `count` parameter groups, deepest first: from `peak / division` to `peak` in equal ratios.

    Source: Howard and Ruder, "Universal Language Model Fine-tuning", 2018 (discriminative fine-tuning).
    """
    return tuple(peak * division ** (-(count - 1 - place) / max(count - 1, 1)) for place in range(count))
