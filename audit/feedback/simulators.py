"""Three worlds with a feedback loop that can be switched off, to know what a detector finds and what it
imagines.

Every world is vectorised over `runs` independent copies and takes its randomness as a generator.
Sources: Ensign and others, "Runaway feedback loops in predictive policing", FAT* 2018 (the urn); Chaney and
others, "How algorithmic confounding in recommendation systems increases homogeneity", RecSys 2018; the
channel that mislabels its own videos: Howard and Gugger, "Deep Learning for Coders", chapter 3.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def policing_urn(
    rates: npt.ArrayLike,
    *,
    draws: int = 2000,
    runs: int = 300,
    rng: np.random.Generator,
    corrected: bool = False,
    loop: bool = True,
) -> Floats:
    """Share of the visits that each district gets after `draws` days, float64 `(runs, districts)`.

    A patrol goes where a ball drawn from an urn says; what it finds there, on average the district's true
    rate (0 to 1), is added as that part of a ball. Each district starts with one ball. `corrected` divides
    what is added by P(visit), so that it no longer depends on where one looked. Without the `loop` patrols go
    everywhere alike whatever they find. Rates .6 and .4 give .867 of the visits to the first as observed and
    .601 corrected (Ensign and others 2018).
    """
    true_rates = np.asarray(rates, float)
    if true_rates.ndim != 1 or not len(true_rates) or (true_rates < 0).any() or (true_rates > 1).any():
        raise ValueError("rates must be a list of numbers between 0 and 1, one a district")
    districts = len(true_rates)
    balls = np.ones((runs, districts))
    if not loop:
        return np.full((runs, districts), 1 / districts)
    every_run = np.arange(runs)
    for _ in range(draws):
        chance = balls / balls.sum(1, keepdims=True)
        visited = np.minimum((chance.cumsum(1) < rng.random((runs, 1))).sum(1), districts - 1)
        found = true_rates[visited]
        balls[every_run, visited] += found / chance[every_run, visited] if corrected else found
    shares: Floats = balls / balls.sum(1, keepdims=True)
    return shares


@dataclass(frozen=True)
class Shows:
    """What a recommender showed: counts of each item in each window, int64 `(windows, items)`."""

    counts: Ints


def recommender(
    *,
    items: int = 50,
    users: int = 500,
    windows: int = 20,
    rng: np.random.Generator,
    loop: bool = True,
    exploration: float = 0.0,
) -> Shows:
    """A recommender that shows items in proportion to the square of their clicks so far, window by window.

    Tastes do not change: every item is liked by a user with a chance of its own, about one half. With the
    `loop` clicks decide what is shown next; without, everything is shown alike. `exploration` is the share of
    shows that are chosen at random, 0 to 1.
    """
    appeal = rng.uniform(0.4, 0.6, items)
    clicks = np.full(items, 10.0)
    shown = np.zeros((windows, items), np.int64)
    for window in range(windows):
        likeliest = clicks**2 / (clicks**2).sum()
        chance = exploration / items + (1 - exploration) * likeliest if loop else np.full(items, 1 / items)
        shown[window] = rng.multinomial(users, chance)
        clicks += rng.binomial(shown[window], appeal)
    return Shows(shown)


@dataclass(frozen=True)
class Videos:
    """A channel's videos, one row each in the order of time.

    `window` int64; `decision` what the model called it; `truth` what it is; `label` what the channel then
    tagged it; `influenced` whether the channel had seen the model's tag. All but `window` bool, `(N,)`.
    """

    window: Ints
    decision: npt.NDArray[np.bool_]
    truth: npt.NDArray[np.bool_]
    label: npt.NDArray[np.bool_]
    influenced: npt.NDArray[np.bool_]


def channel(
    *,
    videos: int = 4000,
    windows: int = 10,
    rng: np.random.Generator,
    loop: bool = True,
    audited: float = 0.1,
) -> Videos:
    """A channel whose videos a model tags, right in four of five cases; its labels are next month's training
    data.

    With the `loop` the channel copies the model's tag for all but the share `audited` of its videos, which
    people tag without having seen it; without the loop people tag all of them, and err in one of twenty.
    """
    window = np.sort(rng.integers(0, windows, videos))
    truth = rng.random(videos) < 0.4
    decision = np.where(rng.random(videos) < 0.8, truth, ~truth)
    by_hand = np.where(rng.random(videos) < 0.95, truth, ~truth)
    influenced = rng.random(videos) >= audited
    label = np.where(influenced & loop, decision, by_hand)
    return Videos(window, decision, truth, label, influenced)
