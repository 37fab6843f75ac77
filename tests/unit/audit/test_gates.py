"""Gates: pass, fail or inconclusive, each with its reason."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit import gates
from audit.estimate import Estimate, unknown
from audit.gates import Check, Verdict
from audit.intervals import proportion


def test_an_interval_on_one_side_of_the_bound_decides():
    assert gates.at_least("quality", "accuracy", proportion(900, 1000), 0.85).verdict is Verdict.PASS
    assert gates.at_least("quality", "accuracy", proportion(700, 1000), 0.85).verdict is Verdict.FAIL
    between = gates.at_least("quality", "accuracy", proportion(87, 100), 0.85)
    assert between.verdict is Verdict.INCONCLUSIVE
    assert "cannot tell yet" in between.sentence
    assert gates.at_most("gap", "the largest gap", proportion(1, 1000), 0.05).verdict is Verdict.PASS
    assert gates.at_most("gap", "the largest gap", proportion(200, 1000), 0.05).verdict is Verdict.FAIL


@pytest.mark.parametrize("count", [0, 1, 5])
def test_too_little_data_is_never_a_pass(count):
    for found in (proportion(count, count), unknown("no labels yet"), Estimate(0.99, warnings=("one row",))):
        assert gates.at_least("quality", "accuracy", found, 0.9).verdict is Verdict.INCONCLUSIVE


def test_counts_and_questions_decide_too():
    assert gates.count_at_least("labels", "labelled people", 80, 100).verdict is Verdict.INCONCLUSIVE
    assert "20 more are needed" in gates.count_at_least("labels", "labelled people", 80, 100).sentence
    assert gates.count_at_most("alerts", "open alerts", 1, 0).verdict is Verdict.FAIL
    told = gates.answered("checklist", "ethics checklist", ["Should we do this at all?", "Who is harmed?"])
    assert told.verdict is Verdict.FAIL
    assert "“Should we do this at all?”, and 1 more" in told.sentence
    assert gates.answered("checklist", "ethics checklist", []).verdict is Verdict.PASS


def test_a_gate_without_conditions_passes_nobody():
    assert gates.evaluate([]).verdict is Verdict.INCONCLUSIVE


@given(st.lists(st.sampled_from(list(Verdict)), min_size=1))
def test_the_worst_check_decides_and_stands_first(verdicts):
    checks = [Check(str(place), verdict, f"sentence {place}") for place, verdict in enumerate(verdicts)]
    result = gates.evaluate(checks)
    if Verdict.FAIL in verdicts:
        assert result.verdict is Verdict.FAIL
    elif Verdict.INCONCLUSIVE in verdicts:
        assert result.verdict is Verdict.INCONCLUSIVE
    else:
        assert result.verdict is Verdict.PASS
    assert result.checks[0].verdict is result.verdict
    assert len(result.checks) == len(checks)
    assert len(result.reasons) >= 1


@given(st.floats(0, 1), st.floats(0, 0.5), st.floats(0, 1))
def test_moving_the_bound_the_easy_way_never_makes_it_worse(value, half, bound):
    found = Estimate(value, value - half, value + half, count=10)
    order = [Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS]
    strict = gates.at_least("q", "quality", found, bound).verdict
    easy = gates.at_least("q", "quality", found, bound - 0.1).verdict
    assert order.index(easy) >= order.index(strict)
    assert not math.isnan(found.value)
