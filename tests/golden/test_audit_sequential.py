"""Looking every day: how often a repeated z-test cries wolf, and how often the sequential test does."""

import math

import numpy as np
import pytest

from audit.drift.sequential import SequentialTest


def test_a_z_test_repeated_for_thirty_days_alarms_in_29_per_cent_of_quiet_runs() -> None:
    rng = np.random.default_rng(1)
    runs, days = 20_000, 30
    sums = rng.standard_normal((runs, days)).cumsum(axis=1)
    alarmed = (np.abs(sums / np.sqrt(np.arange(1, days + 1))) > 1.959964).any(axis=1)
    assert alarmed.mean() == pytest.approx(0.29, abs=0.01)


@pytest.mark.parametrize(
    ("shares", "reference_rows", "rows", "days", "runs"),
    [
        ([0.5, 0.5], 500, 200, 30, 400),
        ([0.11, 0.89], 13_757, 190, 365, 60),
        ([0.4, 0.3, 0.2, 0.06, 0.04], 300, 19, 365, 60),
        ([0.02] * 25 + [0.5], 2_000, 100, 180, 60),
    ],
)
def test_ours_alarms_in_at_most_five_per_cent_however_long_one_looks(
    shares: list[float], reference_rows: int, rows: int, days: int, runs: int
) -> None:
    rng = np.random.default_rng(2)
    alarms = 0
    for _ in range(runs):
        test = SequentialTest(rng.multinomial(reference_rows, shares))
        alarms += any(test.update(rng.multinomial(rows, shares)) >= 20 for _ in range(days))
    assert alarms / runs <= 0.05


def test_evidence_is_one_on_average_at_a_fixed_day() -> None:
    rng = np.random.default_rng(3)
    shares, found = [0.2, 0.3, 0.5], []
    for _ in range(2_000):
        test = SequentialTest(rng.multinomial(400, shares))
        for _ in range(5):
            test.update(rng.multinomial(20, shares))
        found.append(test.e_value)
    assert np.mean(found) <= 1 + 3 * np.std(found) / math.sqrt(len(found))


@pytest.mark.parametrize(("rows", "within"), [(190, 5), (19, 45)])
def test_a_change_after_two_quiet_years_is_noticed_in_days_and_dated(rows: int, within: int) -> None:
    """A group of 7.3 % that stays away, among 18 values; alarms held at 5 % over 14 columns."""
    rng = np.random.default_rng(4)
    before = np.array([0.073, *rng.dirichlet(np.ones(17)) * 0.927])
    after = np.array([0.0, *before[1:] / before[1:].sum()])
    test = SequentialTest(rng.multinomial(13_757, before))
    assert max(test.update(rng.multinomial(rows, before)) for _ in range(731)) < 20 * 14
    delay = next(day for day in range(1, 100) if test.update(rng.multinomial(rows, after)) >= 20 * 14)
    assert delay <= within
    assert abs(test.likely_start - 732) <= (2 if rows > 100 else 10)
