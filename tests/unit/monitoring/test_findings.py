"""What counts as a sure fall, a plain gap, a finding; and how it is said."""

import math

import numpy as np
import pytest
from boarfish.v1 import common_pb2, monitoring_pb2

from services.common import profiling
from services.monitoring import comparison, quality_watch, sentences, subgroup_watch
from services.monitoring.findings import Facts, findings
from services.monitoring.references import Reference
from services.monitoring.report import build
from services.monitoring.report_page import render
from tests.integration.monitoring.made_lake import CHAMPION, People, people, task


def reference() -> Reference:
    profile = profile_of(people(np.random.default_rng(99), 4000))
    return Reference(CHAMPION, task(), profile, comparison.reference_window(CHAMPION, task(), profile))


def profile_of(found: People) -> profiling.Profile:
    return profiling.reference_profile(task(), found.table(), found.score, found.label)


def accuracy(right: int, count: int) -> monitoring_pb2.Quality:
    share, half = right / count, 1.96 * math.sqrt(right / count * (1 - right / count) / count)
    estimate = common_pb2.Estimate(
        value=share, lower=share - half, upper=share + half, confidence=0.95, count=count
    )
    return monitoring_pb2.Quality(accuracy=estimate, estimated_accuracy=estimate)


@pytest.mark.parametrize(
    ("right", "count", "falls"),
    [(700, 1000, True), (790, 1000, False), (14, 20, False), (800, 1000, False)],
    ids=["far and sure", "too little", "too few to say", "hardly"],
)
def test_a_fall_must_be_large_and_sure(right: int, count: int, falls: bool) -> None:
    beside = reference()
    assert beside.window.quality.accuracy.value == pytest.approx(0.82, abs=0.02)
    for find in (quality_watch.realised_fall, quality_watch.estimated_fall):
        assert (find(accuracy(right, count), beside, 18000, 1) is not None) is falls


def test_later_looks_ask_for_more_evidence() -> None:
    beside = reference()
    quality = accuracy(178, 250)
    assert quality_watch.realised_fall(quality, beside, 18000, 1) is not None
    assert quality_watch.realised_fall(quality, beside, 18000, 100_000) is None


def test_without_labels_there_is_no_fall() -> None:
    nan = common_pb2.Estimate(value=math.nan, lower=math.nan, upper=math.nan)
    assert quality_watch.realised_fall(monitoring_pb2.Quality(accuracy=nan), reference(), 18000, 1) is None


def test_gaps_are_told_worst_first_and_a_fair_model_has_none() -> None:
    beside = reference()
    fair = profile_of(people(np.random.default_rng(1), 6000))
    unfair = profile_of(people(np.random.default_rng(1), 6000, unfair=True))
    assert not subgroup_watch.gaps(comparison.subgroups(fair, beside), 0.05)
    told = subgroup_watch.gaps(comparison.subgroups(unfair, beside), 0.05)
    assert [(gap.group, gap.rate) for gap in told] == [("female", "false_negative_rate")]
    assert not subgroup_watch.gaps(comparison.subgroups(unfair, beside), 0.0)


def test_findings_of_an_unfair_model_begin_with_its_gap_and_the_page_holds_them() -> None:
    beside = reference()
    window = comparison.window(profile_of(people(np.random.default_rng(2), 6000, unfair=True)), beside)
    window.period.start_time.FromSeconds(1_600_000_000)
    window.period.end_time.FromSeconds(1_600_604_800)
    facts = Facts(reference=beside, window=window, windows=[window], alerts=[], shadow=None)
    found = findings(facts)
    assert "female" in found[0]
    assert any("more common answer" in finding for finding in found)
    assert found.index("No input moved by enough to matter.") > 0
    audit = monitoring_pb2.Audit(id="1", deployment="<loans>", findings=found, period=window.period)
    page = render(build(audit, facts))
    assert "&lt;loans&gt;" in page
    assert "<script" not in page


def test_words() -> None:
    assert sentences.listed(["a", "b", "c"]) == "a, b and c"
    assert sentences.per_cent(0.113) == "11 %"
    assert sentences.per_cent(0.004) == "0.4 %"
    assert sentences.per_cent(math.nan) == "unknown"
    share = monitoring_pb2.ValueShare
    swapped = [
        share(value="1", window_share=0.89, reference_share=0.11),
        share(value="2", window_share=0.11, reference_share=0.89),
    ]
    assert (
        sentences.column_sentence(task(), "HOME", swapped) == "HOME: value 1 (owned) went from 11 % to 89 %"
    )
    gone = [
        share(value="1", window_share=0.44, reference_share=0.38),
        share(value="3", window_share=0.0, reference_share=0.05),
    ]
    assert sentences.column_sentence(task(), "HOME", gone) == "HOME: value 3 (shared) went from 5 % to 0 %"
