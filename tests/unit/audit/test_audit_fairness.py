"""Groups, bands, rates from rows, gaps against everyone else and what too few people get."""

import numpy as np
import pytest

from audit.fairness.gaps import GAP_RATES, subgroup_quality
from audit.fairness.groups import band, band_names, display_name
from audit.fairness.impact import impact_ratios
from audit.fairness.rates import RATES, crossed_rates, crossings, group_rates
from audit.fairness.sample_size import rows_needed
from audit.intervals import difference, holm, wilson
from audit.profiles.profile import Profile
from tests.unit.audit.made_profiles import SCHEMA, groups, profile, scored

NAMES = {"SEX": {"1": "male", "2": "female"}}


def test_bands_are_named_as_their_edges_say() -> None:
    assert band([17.9, 18, 30, 29, float("nan"), 99], [18, 30]) == [
        "under 18",
        "18 to 30",
        "30 and over",
        "18 to 30",
        None,
        "30 and over",
    ]
    assert band_names([]) == ["all"]
    assert band([], [18]) == []


def test_groups_are_called_by_their_meaning_or_by_their_value() -> None:
    assert (
        display_name((("SEX", "2"), ("RACE", "Black")), NAMES | {"RACE": {"Black": "Black"}})
        == "female and Black"
    )
    assert display_name((("SEX", "9"),), NAMES) == "SEX 9"


def test_rates_by_group_are_those_of_each_group_alone() -> None:
    rng = np.random.default_rng(1)
    codes, positive, label = rng.integers(0, 4, 500), rng.random(500) < 0.6, rng.random(500) < 0.4
    found = group_rates(codes, positive, label, 5)
    assert found.count.tolist() == np.bincount(codes, minlength=5).tolist()
    for group in range(4):
        own = codes == group
        expected = (positive & ~label & own).sum() / (~label & own).sum()
        value, lower, upper = found.rate("false_positive_rate")
        assert value[group] == expected
        assert (lower[group], upper[group]) == wilson((positive & ~label & own).sum(), (~label & own).sum())
    for rate in RATES:
        assert np.isnan(found.rate(rate)[0][4])
    with pytest.raises(KeyError):
        found.rate("beauty")
    with pytest.raises(ValueError, match="lengths differ"):
        group_rates(codes, positive[:-1], label, 5)


def test_crossings_add_up_to_their_groups() -> None:
    rng = np.random.default_rng(2)
    sex, race = rng.integers(0, 2, 300), rng.integers(0, 3, 300)
    positive, label = rng.random(300) < 0.5, rng.random(300) < 0.5
    found = crossed_rates({"sex": (sex, 2), "race": (race, 3)}, positive, label)
    assert set(found) == {("sex",), ("race",), ("sex", "race")}
    crossed = found["sex", "race"].true_positives.reshape(2, 3)
    assert crossed.sum(axis=1).tolist() == found["sex",].true_positives.tolist()
    assert crossed.sum(axis=0).tolist() == found["race",].true_positives.tolist()
    both, count = crossings({"sex": (sex, 2), "race": (race, 3)})["sex", "race"]
    assert (count, both.tolist()) == (6, (3 * sex + race).tolist())


def test_gaps_are_against_everyone_else_and_corrected_together() -> None:
    rated = subgroup_quality(profile(3_000, 1), 30, NAMES)
    alone = [one for one in rated if len(one.group) == 1]
    assert [len(one.group) for one in rated] == sorted(len(one.group) for one in rated)
    rows, _, positive, label = scored(3_000, 1)
    women = np.array(rows.column("SEX").to_pylist()) == "2"
    one = next(one for one in alone if one.display_name == "female")
    gap = next(gap for gap in one.gaps if gap.rate == "false_negative_rate")
    missed = label & ~positive
    expected = difference(
        (missed & women).sum(), (label & women).sum(), (missed & ~women).sum(), (label & ~women).sum()
    )
    assert (gap.difference.value, gap.difference.lower) == pytest.approx((expected.value, expected.lower))
    gaps = [gap for one in alone for gap in one.gaps]
    assert len(gaps) == len(GAP_RATES) * len(alone)
    assert [gap.adjusted_p_value for gap in gaps] == pytest.approx(
        holm([gap.p_value for gap in gaps]).tolist()
    )
    assert all(gap.significant == (gap.adjusted_p_value < 0.05) for gap in gaps)


def test_where_nothing_differs_hardly_ever_anything_is_found() -> None:
    rng = np.random.default_rng(3)
    found = 0
    for seed in range(100):
        rows, score, positive, _ = scored(400, seed)
        label = rng.random(400) < 0.5
        made = Profile.empty(SCHEMA)
        made.add_rows(rows, score, positive)
        made.add_labels(score, positive, label, groups(rows))
        rated = [one for one in subgroup_quality(made, 30, {}) if len(one.group) == 1]
        found += any(gap.significant for one in rated for gap in one.gaps)
    assert found <= 10


@pytest.mark.parametrize("count", [1, 5])
def test_a_small_group_is_not_rated_and_is_told_how_many_would_do(count: int) -> None:
    rated = subgroup_quality(profile(count, 2), 100, {})
    assert rated
    assert all(one.suppressed and not one.gaps for one in rated)
    assert all("too few to rate. About " in one.note for one in rated)


def test_without_scored_rows_there_is_no_group() -> None:
    assert subgroup_quality(Profile.empty(SCHEMA), 30, {}) == []


def test_rows_needed_is_what_fleiss_gives() -> None:
    assert rows_needed(0.5) == 197
    assert rows_needed(0.5, gap=0.05) == 785
    assert rows_needed(0.0) == rows_needed(0.05)
    assert rows_needed(0.5, others=10**9) == 197
    assert rows_needed(0.5, others=392) == 393
    assert rows_needed(0.5, others=150) is None
    assert rows_needed(0.5, others=0) is None
    for wrong in ({"gap": 0.0}, {"power": 0.5}):
        with pytest.raises(ValueError, match="must"):
            rows_needed(0.5, **wrong)


def test_as_many_as_are_needed_find_the_gap_as_often_as_was_asked() -> None:
    rng = np.random.default_rng(4)
    needed = rows_needed(0.5, 0.1, others=2_000)
    assert needed is not None
    hits, other_hits = rng.binomial(needed, 0.6, 2_000), rng.binomial(2_000, 0.5, 2_000)
    seen = np.abs(hits / needed - other_hits / 2_000)
    spread = np.sqrt(0.24 / needed + 0.25 / 2_000)
    assert 0.77 < (seen > 1.96 * spread).mean() < 0.84


def test_impact_says_what_no_applicants_one_and_five_allow() -> None:
    nobody, one, five = impact_ratios({"none": (0, 0), "one": (1, 1), "five": (5, 0)})
    assert (np.isnan(nobody.ratio), nobody.flagged, nobody.rate.known) == (True, False, False)
    assert (one.ratio, one.rate.lower < 0.25) == (1.0, True)
    assert (five.ratio, five.flagged, five.rate.upper > 0.4) == (0.0, True, True)
    assert impact_ratios({}) == []
    assert np.isnan(impact_ratios({"a": (3, 0)})[0].ratio)
    with pytest.raises(ValueError, match="4 selected of 3"):
        impact_ratios({"a": (3, 4)})
