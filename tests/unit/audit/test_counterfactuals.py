"""Nearest changes: valid, within reach, as small as can be."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.recourse.counterfactuals import Changeable, nearest_changes

REFERENCE = np.linspace(0, 100, 501)


def model(rows):
    """Approves by income, less debts, more for a contract; age counts too and must not be touched."""
    odds = [
        0.1 * (row["income"] - 60)
        - 0.05 * row["debts"]
        + (1.0 if row["contract"] == "yes" else 0.0)
        + 0.01 * row["age"]
        for row in rows
    ]
    return 1 / (1 + np.exp(-np.array(odds)))


REACH = [
    Changeable("income", REFERENCE, direction="up"),
    Changeable("debts", REFERENCE, direction="down"),
    Changeable("contract", values=("yes",)),
]
PERSON = {"income": 45.0, "debts": 20.0, "contract": "no", "age": 30.0}


def test_every_way_reaches_the_other_side_and_touches_only_what_may_change():
    recourse = nearest_changes(PERSON, REACH, model, threshold=0.5)
    assert recourse.found
    for way in recourse.found:
        changed = {**PERSON, **{name: then for name, (_, then) in way.changes.items()}}
        assert model([changed])[0] >= 0.5
        assert set(way.changes) <= {"income", "debts", "contract"}
        for name, (now, then) in way.changes.items():
            assert now == PERSON[name]
            assert then > now if name == "income" else then < now if name == "debts" else then == "yes"


def test_a_number_moves_no_further_than_it_must():
    way = nearest_changes(PERSON, [REACH[0]], model, threshold=0.5).found[0]
    # 0.1 (x - 60) - 1 + 0.3 = 0 at x = 67.
    assert way.changes["income"][1] == pytest.approx(67, abs=0.1)
    whole = Changeable("income", REFERENCE, direction="up", whole=True)
    assert nearest_changes(PERSON, [whole], model, threshold=0.5).found[0].changes["income"][1] == 67


def test_what_is_out_of_reach_is_said():
    poor = {**PERSON, "income": 1.0}
    recourse = nearest_changes(poor, REACH[1:], model, threshold=0.5)
    assert recourse.found == ()
    assert "No change that is within the person's reach" in recourse.sentence


def test_one_who_was_approved_has_nothing_to_change():
    assert nearest_changes({**PERSON, "income": 99.0}, REACH, model, threshold=0.5).found == ()


def test_a_way_with_fewer_changes_hides_those_that_need_more():
    ways = nearest_changes(PERSON, REACH, model, threshold=0.5, count=10).found
    sets = [set(way.changes) for way in ways]
    assert all(not one < other for one in sets for other in sets)
    assert [way.cost for way in ways] == sorted(way.cost for way in ways)


def test_a_feature_that_the_row_lacks_is_named():
    with pytest.raises(ValueError, match="lacks wealth"):
        nearest_changes(PERSON, [Changeable("wealth", REFERENCE)], model, threshold=0.5)


@settings(max_examples=40, deadline=None)
@given(st.floats(0, 100), st.floats(0, 100), st.sampled_from(["yes", "no"]))
def test_whatever_is_found_holds(income, debts, contract):
    person = {"income": income, "debts": debts, "contract": contract, "age": 20.0}
    for way in nearest_changes(person, REACH, model, threshold=0.6).found:
        changed = {**person, **{name: then for name, (_, then) in way.changes.items()}}
        assert model([changed])[0] >= 0.6
        assert changed["age"] == 20.0
        assert way.cost > 0
