"""Late labels: when they come, whether early ones are like late ones, and rates that do not take the early
for all.
"""

import numpy as np
import pytest

from audit.rot.late_labels import label_arrival, late_rate, selection_by_delay


def arrivals(
    count: int, rng: np.random.Generator, *, slower: float = 0.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Outcomes, ages of up to 60 days, delays of about 10 (longer by `slower` for positive outcomes), NaN
    where the label is out.
    """
    outcome, age = rng.random(count) < 0.4, rng.uniform(0, 60, count)
    delay = rng.exponential(10 + slower * outcome, count)
    return outcome, age, np.where(delay <= age, delay, np.nan)


def test_the_curve_is_kaplan_and_meier_s() -> None:
    found = label_arrival([9, 9, 9, 2, 9], [1, 3, np.nan, np.nan, 3])
    assert found.delay.tolist() == [1, 3]
    assert found.share == pytest.approx([1 / 5, 1 - 4 / 5 * 1 / 3])
    assert found.by(0.5) == (0.0, 0.0, 1.0)
    assert found.by(2.9)[0] == pytest.approx(0.2)
    assert found.by(99)[0] == pytest.approx(found.share[1])


def test_it_covers_the_share_that_will_have_come_though_most_are_young() -> None:
    rng = np.random.default_rng(1)
    inside = 0
    for _ in range(200):
        _, age, delay = arrivals(300, rng)
        _, lower, upper = label_arrival(age, delay).by(30)
        inside += lower <= 1 - np.exp(-3) <= upper
        assert np.mean(delay <= 30) < lower
    assert 180 <= inside <= 199


def test_labels_of_nobody_one_and_five_say_little() -> None:
    assert len(label_arrival([], []).share) == 0
    assert label_arrival([5.0], [np.nan]).by(9) == (0.0, 0.0, 1.0)
    for count, least in ((1, 0.7), (5, 0.4)):
        share, lower, upper = label_arrival([9.0] * count, [2.0] * count).by(5)
        assert (share, upper) == (1.0, 1.0)
        assert upper - lower > least
    for age, wrong in ((9.0, 10.0), (9.0, -1.0), (np.nan, np.nan), (-1.0, np.nan)):
        with pytest.raises(ValueError, match="between 0 and it"):
            label_arrival([age], [wrong])


def selected(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hits, which labels have come, classes: the last class is right less often and labelled less often."""
    classes = rng.integers(0, 4, count)
    hit = rng.random(count) < np.array([0.9, 0.8, 0.7, 0.4])[classes]
    return hit, rng.random(count) < np.array([0.9, 0.7, 0.5, 0.2])[classes], classes


def test_the_rate_by_class_covers_where_the_rate_of_what_is_seen_does_not() -> None:
    rng = np.random.default_rng(2)
    by_class, seen = 0, 0
    for _ in range(300):
        found = late_rate(*selected(1_000, rng), 4)
        by_class += found.by_class.lower <= 0.7 <= found.by_class.upper
        seen += found.seen.lower <= 0.7 <= found.seen.upper
        assert found.lowest <= found.by_class.value <= found.highest
    assert 275 <= by_class <= 300
    assert seen <= 10


def test_when_all_labels_have_come_every_rate_is_the_same() -> None:
    hit, _, classes = selected(500, np.random.default_rng(3))
    found = late_rate(hit, np.ones(500, bool), classes, 4)
    assert found.by_class.value == pytest.approx(found.seen.value)
    assert found.lowest == found.highest == hit.mean()


def test_a_class_without_labels_leaves_bounds_alone() -> None:
    hit, labelled, classes = selected(1_000, np.random.default_rng(4))
    labelled[classes == 3] = False
    found = late_rate(hit, labelled, classes, 5)
    assert not found.by_class.known
    silent = (classes == 3).sum()
    assert found.by_class.warnings[0].startswith(f"{silent} of 1,000 predictions are of a kind")
    assert found.highest - found.lowest == pytest.approx((~labelled).mean())


def test_of_nobody_one_and_five_little_is_known() -> None:
    nobody = late_rate([], [], [], 3)
    assert (nobody.seen.known, nobody.by_class.known, nobody.lowest, nobody.highest) == (
        False,
        False,
        0.0,
        1.0,
    )
    for count, words in ((1, "1 person"), (5, "5 people")):
        found = late_rate([True] * count, [True] * count, [0] * count, 1).by_class
        assert found.warnings == (f"only {words}: too few to say",)
        assert found.upper - found.lower > 0.2
    with pytest.raises(ValueError, match="lengths differ"):
        late_rate([True], [True, False], [0], 1)


def test_outcomes_that_take_longer_are_found_and_equal_ones_hardly_ever() -> None:
    rng = np.random.default_rng(5)
    found = {0.0: 0, 15.0: 0}
    for slower in found:
        for _ in range(200):
            outcome, age, delay = arrivals(1_500, rng, slower=slower)
            sign = selection_by_delay(outcome, age, delay, early=7, settled=40)
            found[slower] += sign.found
            assert sign.effect.count == ((age >= 40) & (delay <= 40)).sum()
    assert found[0.0] <= 18
    assert found[15.0] >= 180
    assert "not like those that come late" in sign.sentence


@pytest.mark.parametrize("count", [0, 1, 5])
def test_few_labels_are_not_judged_by_their_delay(count: int) -> None:
    sign = selection_by_delay([True] * count, [99.0] * count, [1.0] * count, early=5, settled=30)
    assert not sign.found
    assert f"{count} early and 0 late labels; needs 30 of each" in sign.sentence
    with pytest.raises(ValueError, match="must lie below"):
        selection_by_delay([], [], [], early=5, settled=5)
