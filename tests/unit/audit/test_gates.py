"""Gates: pass, fail or inconclusive, each with its reason."""

import math

import numpy as np
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


def test_the_worst_of_many_speaks_and_those_too_few_to_judge_are_named():
    found = {"the gap of women": proportion(5, 1000), "the gap of men": proportion(300, 1000)}
    failed = gates.each_at_most("gap", "the gap", found, 0.1, too_few=["a", "b", "c", "d", "e", "f", "g"])
    assert failed.verdict is Verdict.FAIL
    assert "The gap of men is 0.3" in failed.sentence
    assert failed.sentence.endswith("It is the worst of 2. Too few to judge: a, b, c, d, e and 2 more.")
    assert gates.each_at_most("gap", "the gap", {"women": proportion(5, 1000)}, 0.1).verdict is Verdict.PASS
    nobody = gates.each_at_most("gap", "the gap", {}, 0.1, too_few=["everyone"])
    assert nobody.verdict is Verdict.INCONCLUSIVE
    assert "Too few to judge: everyone." in nobody.sentence


def test_what_must_be_fresh_is_dated():
    assert gates.done_within("audit", "audit", None, 30).verdict is Verdict.FAIL
    assert gates.done_within("audit", "audit", 30.0, 30).verdict is Verdict.PASS
    stale = gates.done_within("audit", "audit", 31.2, 30)
    assert stale.verdict is Verdict.FAIL
    assert "31 days old; at most 30 days" in stale.sentence


@pytest.mark.parametrize("count", [0, 1, 5, 29])
def test_a_lasting_interval_waits_for_data(count):
    assert (
        gates.at_least("q", "accuracy", gates.lasting_share(count, count), 0.5).verdict
        is Verdict.INCONCLUSIVE
    )
    gap = gates.lasting_gap((0, count), (900, 1000))
    assert gates.at_most("gap", "the gap", gap, 0.99).verdict is Verdict.INCONCLUSIVE


def test_a_lasting_interval_holds_at_every_look_and_is_not_much_wider_than_one_of_one_look():
    rng = np.random.default_rng(11)
    missed = 0
    for _ in range(300):
        hits = np.cumsum(rng.random(4000) < 0.85)
        looks = [gates.lasting_share(int(hits[count - 1]), count) for count in range(100, 4001, 100)]
        missed += any(not one.lower <= 0.85 <= one.upper for one in looks)
    # 300 runs at 5 % give at most 27 with a probability of 0.999.
    assert missed <= 27
    at_once = proportion(850, 1000)
    wider = gates.lasting_share(850, 1000)
    assert 1.2 < (wider.upper - wider.lower) / (at_once.upper - at_once.lower) < 1.8


def test_a_lasting_share_is_never_certain():
    perfect = gates.lasting_share(1000, 1000)
    assert perfect.value == 1
    assert perfect.lower < 0.999


@given(st.integers(0, 400), st.integers(0, 400))
def test_a_gap_is_the_same_from_either_side(left, right):
    one, other = gates.lasting_gap((left, 400), (right, 400)), gates.lasting_gap((right, 400), (left, 400))
    assert one.value == pytest.approx(other.value) == pytest.approx(abs(left - right) / 400)
    assert one.lower == pytest.approx(other.lower)
    assert one.upper == pytest.approx(other.upper)
    assert 0 <= one.lower <= one.value <= one.upper
