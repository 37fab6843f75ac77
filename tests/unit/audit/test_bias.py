"""Kinds of bias: each found where it is known to be, and not where it is known not to be."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata

from audit.bias import fitted, rates
from tests.golden.published import compas


@pytest.fixture(scope="module")
def people():
    """Race, label and decision of the COMPAS rows."""
    rows = compas()
    return pd.DataFrame(
        {
            "race": [row["race"] for row in rows],
            "label": [row["two_year_recid"] == "1" for row in rows],
            "decision": [row["score_text"] in ("Medium", "High") for row in rows],
            "priors": [float(row["priors_count"]) for row in rows],
            "age": [float(row["age"]) for row in rows],
        }
    )


def two_groups(count, seed=0):
    rng = np.random.default_rng(seed)
    return rng, np.where(rng.random(count) < 0.3, "a", "b")


def test_a_group_that_is_rarer_than_in_the_population_is_told():
    _, group = two_groups(2000)
    assert rates.representation(group, "a", 0.5).found
    assert not rates.representation(group, "a", 0.3).found
    with pytest.raises(ValueError, match="population_share"):
        rates.representation(group, "a", 0.0)


def test_the_past_that_the_compas_labels_record_differs(people):
    found = rates.historical(people.label, people.race, "African-American")
    assert found.found
    # 1,901 of 3,696 against 1,350 of 3,518 (ProPublica's file).
    assert found.effect.value == pytest.approx(1901 / 3696 - 1350 / 3518)
    rng, group = two_groups(3000)
    assert not rates.historical(rng.random(3000) < 0.4, group, "a").found


def test_records_that_err_more_for_a_group_are_told():
    rng, group = two_groups(4000)
    true = rng.random(4000) < 0.5
    error = np.where(group == "a", 0.2, 0.05)
    assert rates.measurement(np.where(rng.random(4000) < error, ~true, true), true, group, "a").found
    assert not rates.measurement(np.where(rng.random(4000) < 0.1, ~true, true), true, group, "a").found


def test_decisions_more_unequal_than_labels_are_told():
    rng, group = two_groups(6000)
    label = rng.random(6000) < np.where(group == "a", 0.4, 0.5)
    widened = rng.random(6000) < np.where(group == "a", 0.2, 0.6)
    found = rates.amplification(label, widened, group, "a")
    assert found.found
    assert found.effect.value == pytest.approx(0.3, abs=0.06)
    same = rng.random(6000) < np.where(group == "a", 0.4, 0.5)
    assert not rates.amplification(label, same, group, "a").found


def test_compas_amplifies(people):
    """The gap of the scores (58.8 % against 34.8 % elsewhere) is wider than that of the outcomes."""
    found = rates.amplification(people.label, people.decision, people.race, "African-American")
    assert found.found


def test_inputs_that_stand_in_for_a_group_are_named_strongest_first():
    rng, group = two_groups(3000)
    inputs = pd.DataFrame(
        {
            "noise": rng.normal(size=3000),
            "street": np.where(rng.random(3000) < 0.85, group, np.where(group == "a", "b", "a")),
        }
    )
    told = fitted.proxies(inputs, group, "a", rng=rng)
    assert told.finding.found
    assert told.columns[0][0] == "street"
    assert "street" in told.finding.sentence
    assert not fitted.proxies(inputs[["noise"]], group, "a", rng=rng).finding.found


def test_compas_inputs_tell_race(people):
    told = fitted.proxies(
        people[["priors", "age"]], people.race, "African-American", rng=np.random.default_rng(1)
    )
    assert told.finding.found


def test_unlike_groups_under_one_model_are_told():
    rng, group = two_groups(4000)
    x = rng.normal(size=4000)
    opposite = rng.random(4000) < 1 / (1 + np.exp(-np.where(group == "a", -2, 2) * x))
    assert fitted.aggregation(pd.DataFrame({"x": x}), opposite, group, "a", rng=rng).found
    alike = rng.random(4000) < 1 / (1 + np.exp(-2 * x))
    assert not fitted.aggregation(pd.DataFrame({"x": x}), alike, group, "a", rng=rng).found


def test_false_alarms_of_the_counted_checks_are_rare():
    alarms = []
    for seed in range(150):
        rng, group = two_groups(800, seed)
        label, decision = rng.random(800) < 0.4, rng.random(800) < 0.4
        alarms += [
            rates.historical(label, group, "a").found,
            rates.amplification(label, decision, group, "a").found,
            rates.representation(group, "a", 0.3).found,
        ]
    assert np.mean(alarms) <= 0.05


@pytest.mark.parametrize("count", [0, 1, 5])
def test_with_too_little_data_nothing_is_found(count):
    some, group = np.ones(count, bool), np.array(["a"] * count, object)
    inputs = pd.DataFrame({"x": np.ones(count)})
    rng = np.random.default_rng(0)
    found = [
        rates.representation(group, "a", 0.5),
        rates.historical(some, group, "a"),
        rates.measurement(some, some, group, "a"),
        rates.amplification(some, some, group, "a"),
        fitted.proxies(inputs, group, "a", rng=rng).finding,
        fitted.aggregation(inputs, some, group, "a", rng=rng),
    ]
    for one in found:
        assert not one.found
        assert one.sentence.startswith("Cannot be told yet")


def test_auc_counts_ties_by_half():
    inside = np.array([True, False, True, False])
    score = np.array([0.5, 0.5, 0.9, 0.1])
    assert fitted._auc(inside, score) == pytest.approx((rankdata(score)[inside].sum() - 3) / 4)
