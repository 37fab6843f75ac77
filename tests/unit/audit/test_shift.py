"""Weights for rows that moved, and covariate shift told apart from concept shift where the data can tell."""

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression

from audit.rot.importance import LARGEST_ODDS, importance
from audit.rot.shift import Change, explain_change


def logistic(_: int) -> LogisticRegression:
    """Smooth, and right for normal features that move."""
    return LogisticRegression()


def linear(_: int) -> LinearRegression:
    """Right for a loss that grows with a feature."""
    return LinearRegression()


def window(
    count: int, rng: np.random.Generator, *, shift: float = 0.0, harder: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Features, and a loss that grows with the first of them; `harder` is added to the loss of every row."""
    features = rng.normal(size=(count, 2))
    features[:, 0] += shift
    return features, 0.5 * features[:, 0] + harder + rng.normal(0, 0.5, count)


def explained(rng: np.random.Generator, count: int = 800, **change: float) -> Change:
    before, now = window(count, rng), window(count, rng, **change)
    return explain_change(*before, *now, rng=rng, classifier=logistic, regressor=linear)


def test_odds_are_the_density_ratio_of_normals_that_moved() -> None:
    rng = np.random.default_rng(1)
    before, now = rng.normal(0, 1, (4_000, 1)), rng.normal(1, 1, (2_000, 1))
    found = importance(before, now, rng=rng, classifier=logistic)
    assert np.log(found.reference) == pytest.approx(before[:, 0] - 0.5, abs=0.6)
    assert np.average(before[:, 0], weights=found.reference) == pytest.approx(1, abs=0.15)
    assert 500 < found.effective_count < 3_000


def test_where_nothing_moved_all_rows_count() -> None:
    rng = np.random.default_rng(2)
    found = importance(rng.normal(size=(1_000, 3)), rng.normal(size=(1_000, 3)), rng=rng)
    assert found.effective_count > 800
    assert found.reference.mean() == pytest.approx(1, abs=0.15)


def test_missing_numbers_and_windows_apart_have_bounded_odds() -> None:
    rng = np.random.default_rng(3)
    before, now = rng.normal(0, 1, (300, 1)), rng.normal(50, 1, (300, 1))
    before[::7] = np.nan
    found = importance(before, now, rng=rng)
    assert found.current.max() <= LARGEST_ODDS
    assert found.reference.min() >= 1 / LARGEST_ODDS


def test_features_that_cannot_be_compared_are_refused() -> None:
    rng = np.random.default_rng(4)
    with pytest.raises(ValueError, match="cannot be compared"):
        importance(np.zeros((200, 2)), np.zeros((200, 3)), rng=rng)
    for count in (0, 1, 5, 99):
        with pytest.raises(ValueError, match=f"{count} and 200 rows; needs 100"):
            importance(np.zeros((count, 2)), np.zeros((200, 2)), rng=rng)


def test_the_parts_add_up_to_the_change() -> None:
    found = explained(np.random.default_rng(5), shift=0.7, harder=0.2)
    assert found.covariate.value + found.concept.value == pytest.approx(found.total.value)


def test_other_inputs_are_told_from_another_meaning_and_each_is_sized_rightly() -> None:
    rng = np.random.default_rng(6)
    said = {
        "covariate": np.zeros(2, np.int64),
        "concept": np.zeros(2, np.int64),
        "nothing": np.zeros(2, np.int64),
    }
    made = {"covariate": {"shift": 0.8}, "concept": {"harder": 0.3}, "nothing": {}}
    sized = 0
    for name, change in made.items():
        for _ in range(60):
            found = explained(rng, **change)
            said[name] += [found.covariate.lower > 0, found.concept.lower > 0]
            sized += found.covariate.lower <= 0.5 * change.get("shift", 0) <= found.covariate.upper
            sized += found.concept.lower <= change.get("harder", 0) <= found.concept.upper
    assert (said["covariate"][0], said["concept"][1]) == (60, 60)
    assert said["covariate"][1] <= 5
    assert said["concept"][0] <= 5
    assert (said["nothing"] <= 5).all()
    assert 330 <= sized <= 360


def test_a_change_is_said_in_words() -> None:
    rng = np.random.default_rng(7)
    assert "other inputs account for +0." in explained(rng, shift=0.8).sentence
    assert "other outcomes of the same inputs account for +0." in explained(rng, harder=0.4).sentence
    assert "neither other inputs nor another meaning" in explained(rng).sentence


def test_without_outcomes_on_both_sides_nothing_is_told_apart() -> None:
    rng = np.random.default_rng(8)
    features, loss = window(200, rng)
    found = explain_change(features, loss, features + 3, None, rng=rng)
    assert found.sentence == (
        "Whether inputs or their meaning changed cannot be told: no outcomes are known in the current "
        "window, and the inputs alone do not show it."
    )
    assert not any(one.known for one in (found.total, found.covariate, found.concept))
    assert "known in the reference" in explain_change(features, None, features, loss, rng=rng).sentence


@pytest.mark.parametrize("count", [0, 1, 5])
def test_too_few_rows_tell_nothing(count: int) -> None:
    rng = np.random.default_rng(9)
    found = explain_change(*window(count, rng), *window(500, rng, harder=5), rng=rng)
    assert f"{count} and 500 rows have outcomes; needs 100" in found.sentence
    assert not found.concept.known


def test_windows_that_share_no_rows_are_not_told_apart() -> None:
    rng = np.random.default_rng(10)
    found = explain_change(*window(150, rng), *window(150, rng, shift=5), rng=rng, classifier=logistic)
    assert found.total.lower > 2
    assert not found.covariate.known
    assert "the windows share rows that count as" in found.sentence
    with pytest.raises(ValueError, match="200 and 200 rows have 3 and 200 losses"):
        explain_change(np.zeros((200, 1)), [1.0] * 3, np.zeros((200, 1)), [1.0] * 200, rng=rng)
