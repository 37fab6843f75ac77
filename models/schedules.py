"""Learning rate and momentum as functions of how far the fit is, 0 to 1. They hold no state, so a resumed fit
needs none.
"""

import math


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
