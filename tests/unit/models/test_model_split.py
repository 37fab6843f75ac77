import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.data.split import column_split, group_split, random_split, time_split


@given(st.integers(0, 300), st.floats(0.01, 0.99), st.integers(0, 2**31))
def test_every_row_is_on_one_side(count: int, share: float, seed: int) -> None:
    for train, valid in (
        random_split(count, share, seed),
        time_split(np.arange(count) // 3, share),
        group_split(np.arange(count) % 7, share, seed),
        column_split(np.arange(count) % 2),
    ):
        assert np.array_equal(np.sort(np.r_[train, valid]), np.arange(count))
        assert np.all(np.diff(train) > 0)
        assert np.all(np.diff(valid) > 0)


def test_random_is_repeatable_and_of_the_asked_size() -> None:
    train, valid = random_split(1_000, 0.2, 7)
    assert (len(train), len(valid)) == (800, 200)
    assert np.array_equal(valid, random_split(1_000, 0.2, 7)[1])
    assert not np.array_equal(valid, random_split(1_000, 0.2, 8)[1])


def test_the_latest_are_held_out() -> None:
    times = np.array([5, 1, 4, 2, 3])
    train, valid = time_split(times, 0.4)
    assert times[train].max() < times[valid].min()
    assert sorted(times[valid]) == [4, 5] or sorted(times[valid]) == [5]


def test_groups_stay_whole() -> None:
    groups = np.repeat(np.arange(40), 5)
    train, valid = group_split(groups, 0.25, 3)
    assert not set(groups[train]) & set(groups[valid])
    assert 45 <= len(valid) <= 55


@pytest.mark.parametrize("share", [0.0, 1.0, -1.0, float("nan")])
def test_a_share_out_of_range_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        random_split(10, share, 0)
