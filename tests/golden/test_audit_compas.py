"""COMPAS, two years, 7,214 people: ProPublica's published counts and rates, from rows and from a profile."""

import numpy as np
import pyarrow as pa
import pytest

from audit.fairness.comparison import rate_gaps
from audit.fairness.gaps import OutcomeWords, SubgroupQuality, subgroup_quality
from audit.fairness.rates import RATES, group_rates
from audit.intervals import clopper_pearson
from audit.profiles.profile import Profile
from audit.profiles.schema import ProfileSchema
from tests.golden.published import compas

WORDS = OutcomeWords("who were arrested again", "who were not arrested again")


def decisions() -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Predicted positive, label, race."""
    rows = compas()
    positive = np.array([row["score_text"] in ("Medium", "High") for row in rows])
    label = np.array([row["two_year_recid"] == "1" for row in rows])
    return positive, label, [row["race"] for row in rows]


@pytest.fixture(scope="module")
def groups() -> dict[str, SubgroupQuality]:
    positive, label, race = decisions()
    score = np.where(positive, 0.9, 0.1)
    table = pa.table({"priors": [float(row["priors_count"]) for row in compas()], "race": race})
    profile = Profile.empty(ProfileSchema.fit(table, numeric=["priors"], sensitive=["race"]))
    profile.add_rows(table, score, positive)
    profile.add_labels(score, positive, label, {"race": race})
    names = {"race": {name: name for name in race}}
    rated = subgroup_quality(profile, 30, names, words=WORDS)
    return {one.group[0][1]: one for one in rated}


@pytest.mark.parametrize(
    ("race", "counts", "false_positive", "false_negative"),
    [
        ("", (2681, 1282, 1216, 2035), 32.35, 37.40),
        ("African-American", (990, 805, 532, 1369), 44.85, 27.99),
        ("Caucasian", (1139, 349, 461, 505), 23.45, 47.72),
    ],
)
def test_published_counts_and_rates(
    race: str, counts: tuple[int, ...], false_positive: float, false_negative: float
) -> None:
    positive, label, races = decisions()
    codes = np.array([0 if not race or one == race else 1 for one in races])
    rates = group_rates(codes, positive, label, 2)
    found = (rates.true_negatives, rates.false_positives, rates.false_negatives, rates.true_positives)
    assert tuple(int(count[0]) for count in found) == counts
    assert round(100 * rates.rate("false_positive_rate")[0][0], 2) == false_positive
    assert round(100 * rates.rate("false_negative_rate")[0][0], 2) == false_negative


def test_the_profile_gives_the_same_as_the_rows(groups: dict[str, SubgroupQuality]) -> None:
    assert (
        groups["African-American"].quality.labelled_count,
        groups["Caucasian"].quality.labelled_count,
    ) == (
        3696,
        2454,
    )
    black, white = (
        groups[race].quality.false_positive_rate.value for race in ("African-American", "Caucasian")
    )
    assert (black, white) == (805 / 1795, 349 / 1488)
    assert round(black / white, 3) == 1.912


def test_the_gap_is_said_in_a_sentence_with_its_interval(groups: dict[str, SubgroupQuality]) -> None:
    gap = next(one for one in groups["African-American"].gaps if one.rate == "false_positive_rate")
    assert gap.significant
    assert gap.adjusted_p_value >= gap.p_value
    assert gap.difference.value == pytest.approx(805 / 1795 - 477 / 2168)
    assert gap.ratio.value == pytest.approx(805 / 1795 / (477 / 2168))
    assert gap.sentence == (
        "Of people who were not arrested again, the model decided positively for 44.8 % among people who are "
        "African-American against 22.0 % among everyone else "
        "(+22.8 points, 95 % interval +19.9 to +25.7)."
    )


def test_of_eight_people_nothing_is_claimed(groups: dict[str, SubgroupQuality]) -> None:
    group = groups["Native American"]
    rate = group.quality.false_positive_rate
    assert (rate.value, rate.count) == (3 / 8, 8)
    assert (round(rate.lower, 3), round(rate.upper, 3)) == (0.137, 0.694)
    assert rate.warnings == ("only 8 people: too few to say",)
    assert group.suppressed
    assert group.gaps == ()
    assert group.note == (
        "18 people with a known outcome: too few to rate. "
        "About 178 would show whether accuracy differs by 10 points."
    )


def test_equal_to_fairlearn() -> None:
    from fairlearn import metrics
    from sklearn.metrics import accuracy_score

    positive, label, races = decisions()
    names, codes = np.unique(races, return_inverse=True)
    rates = group_rates(codes, positive, label, len(names))
    same = {
        "selection_rate": metrics.selection_rate,
        "true_positive_rate": metrics.true_positive_rate,
        "false_positive_rate": metrics.false_positive_rate,
        "false_negative_rate": metrics.false_negative_rate,
        "true_negative_rate": metrics.true_negative_rate,
        "accuracy": accuracy_score,
    }
    assert set(same) < set(RATES)
    frame = metrics.MetricFrame(
        metrics=same, y_true=label, y_pred=positive, sensitive_features=np.array(races)
    )
    for name in same:
        assert np.abs(rates.rate(name)[0] - frame.by_group.loc[names, name].to_numpy(float)).max() <= 1e-12


@pytest.mark.parametrize(
    ("race", "published"),
    [("", (65.4, 64.3, 66.5)), ("African-American", (63.8, 62.2, 65.4)), ("Caucasian", (67.0, 65.1, 68.9))],
)
def test_accuracy_and_its_interval_as_published(race: str, published: tuple[float, float, float]) -> None:
    """Dressel and Farid, "The accuracy, fairness, and limits of predicting recidivism", 2018, table 2 (D)."""
    positive, label, races = decisions()
    codes = np.array([0 if not race or one == race else 1 for one in races])
    found = group_rates(codes, positive, label, 2).estimates("accuracy", interval=clopper_pearson).estimate(0)
    # Printed to a tenth of a point, one of nine bounds cut off and not rounded.
    assert (100 * found.value, 100 * found.lower, 100 * found.upper) == pytest.approx(published, abs=0.06)


def test_the_published_difference_is_the_largest_of_the_false_positive_rates() -> None:
    positive, label, races = decisions()
    names, codes = np.unique(races, return_inverse=True)
    found = rate_gaps(group_rates(codes, positive, label, len(names)), "false_positive_rate")
    assert found.ratio is not None
    assert names[np.nanargmax(found.difference.value)] == "African-American"
    assert found.significant[names == "African-American"].all()
    assert set(names[found.suppressed]) == {"Asian", "Native American"}
    assert not found.significant[found.suppressed].any()
