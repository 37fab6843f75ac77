"""Calibration with an interval, and quality estimated without labels: what intervals cover, simulated."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from audit.fairness.rates import group_rates
from audit.profiles.quality import QualityCounter, QualityProfile
from audit.rot.calibration import (
    Calibration,
    calibration_curve,
    calibration_error,
    calibration_of,
    weighted_calibration,
)
from audit.rot.estimated import ESTIMATED_RATES, estimated_auc, estimated_rates
from audit.rot.importance import importance
from audit.rot.quality import auc

BINS = 20


def counted(score: np.ndarray, label: np.ndarray | None = None) -> QualityProfile:
    counter = QualityCounter(BINS, score, score >= 0.5, label)
    profile = QualityProfile(BINS)
    parts = [counter.predictions(), *([] if label is None else [counter.labels()])]
    profile.merge_all([QualityProfile.of(BINS, counts[0], sums[0]) for counts, sums in parts])
    return profile


def bold(score: np.ndarray) -> np.ndarray:
    """Scores that say more than they know: the true chance lies nearer to a half."""
    return 0.5 + 0.7 * (score - 0.5)


def realised(score: np.ndarray, label: np.ndarray) -> dict[str, float]:
    """Rates of the confusion matrix."""
    rates = group_rates(np.zeros(len(score), np.int64), score >= 0.5, label, 1)
    return {name: float(rates.rate(name)[0][0]) for name in ESTIMATED_RATES}


def test_the_curve_has_the_shares_of_each_bin() -> None:
    score, label = np.array([0.01, 0.02, 0.91, 0.92, 0.93]), np.array([0, 1, 1, 1, 0], bool)
    found = calibration_curve(counted(score, label))
    assert found.mean_score == pytest.approx([0.015, 0.92])
    assert found.share == pytest.approx([1 / 2, 2 / 3])
    assert found.count.tolist() == [2, 3]
    assert (found.upper - found.lower > 0.6).all()
    assert len(calibration_curve(QualityProfile(BINS)).share) == 0


@pytest.mark.parametrize(("count", "honest"), [(200, True), (2_000, True), (200, False), (2_000, False)])
def test_the_calibration_error_s_interval_covers(count: int, honest: bool) -> None:
    rng = np.random.default_rng(count + 1)
    true = 0.0 if honest else 0.3 * 0.25
    inside, values, raw = 0, [], []
    for _ in range(400):
        score = rng.random(count)
        label = rng.random(count) < (score if honest else bold(score))
        found = calibration_error(counted(score, label))
        inside += found.lower <= true <= found.upper
        values.append(found.value)
        curve = calibration_curve(counted(score, label))
        raw.append(curve.count @ np.abs(curve.mean_score - curve.share) / count)
    assert inside >= 360
    assert abs(np.mean(values) - true) < 0.75 * abs(np.mean(raw) - true)


def test_the_calibration_error_of_few_people_is_hardly_known() -> None:
    assert not calibration_error(QualityProfile(BINS)).known
    for count in (1, 5):
        found = calibration_error(counted(np.full(count, 0.6), np.ones(count, bool)))
        assert found.upper - found.lower > 0.4
        assert found.warnings


def test_a_perfectly_wrong_score_has_an_error_of_nearly_one() -> None:
    found = calibration_error(counted(np.full(1_000, 0.99), np.zeros(1_000, bool)))
    assert found.value == pytest.approx(0.99, abs=0.01)
    assert found.lower > 0.9


def test_every_rate_estimated_without_labels_covers_what_came_true() -> None:
    rng = np.random.default_rng(1)
    inside, aucs = dict.fromkeys(ESTIMATED_RATES, 0), 0
    for _ in range(200):
        # A reference of its own each time, so that its sampling error is part of what is covered.
        known, score = rng.random(3_000), rng.beta(2, 1.3, 1_000)
        calibration = calibration_of(counted(known, rng.random(3_000) < bold(known)))
        label = rng.random(1_000) < bold(score)
        found = estimated_rates(counted(score), calibration)
        for name, truth in realised(score, label).items():
            inside[name] += found[name].lower <= truth <= found[name].upper
        expected = estimated_auc(counted(score), calibration)
        aucs += expected.lower <= auc(counted(score, label)).value <= expected.upper
    assert all(180 <= hits <= 199 for hits in inside.values()), inside
    assert 180 <= aucs <= 199


def test_what_the_estimate_cannot_see_it_does_not_cover() -> None:
    rng = np.random.default_rng(2)
    known, score = rng.random(5_000), rng.random(5_000)
    calibration = calibration_of(counted(known, rng.random(5_000) < known))
    truth = realised(score, rng.random(5_000) < 1 - score)["accuracy"]
    assert estimated_rates(counted(score), calibration)["accuracy"].lower > truth + 0.3


def moved(count: int, shift: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two features of which the score knows the first alone; the outcome depends on both, the second moves by
    `shift`.
    """
    features = rng.normal(size=(count, 2))
    features[:, 1] += shift
    score = 1 / (1 + np.exp(-features[:, 0]))
    return features, score, rng.random(count) < 1 / (1 + np.exp(-features[:, 0] - 1.5 * features[:, 1]))


def test_weights_make_estimates_cover_when_inputs_move_that_the_score_does_not_know() -> None:
    rng = np.random.default_rng(3)
    inside = {"plain": 0, "weighted": 0}
    for _ in range(100):
        before, score, label = moved(3_000, 0.0, rng)
        now, new_score, new_label = moved(1_000, 0.7, rng)
        weights = importance(before, now, rng=rng, classifier=lambda _: LogisticRegression())
        maps = {
            "plain": calibration_of(counted(score, label)),
            "weighted": weighted_calibration(score, label, weights.reference, BINS),
        }
        truth = realised(new_score, new_label)["base_rate"]
        for name, calibration in maps.items():
            found = estimated_rates(counted(new_score), calibration)["base_rate"]
            inside[name] += found.lower <= truth <= found.upper
    assert inside["plain"] == 0
    assert inside["weighted"] >= 88


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 300), st.integers(0, 20), st.floats(0.1, 50))
def test_equal_weights_change_nothing_however_large(count: int, seed: int, weight: float) -> None:
    rng = np.random.default_rng(seed)
    score = rng.random(count)
    label = rng.random(count) < score
    plain = calibration_of(counted(score, label))
    found = weighted_calibration(score, label, np.full(count, weight), BINS)
    assert found.chance == pytest.approx(plain.chance)
    assert found.variance == pytest.approx(plain.variance)
    assert found.labelled_count == pytest.approx(count)


def test_weights_count_as_fewer_rows_where_they_differ() -> None:
    found = weighted_calibration([0.5] * 4, [True] * 4, [1, 1, 0, 0], BINS)
    assert found.labelled_count == pytest.approx(2)
    for wrong, words in (([1.0], "lengths differ"), ([-1.0] * 4, "0 or more")):
        with pytest.raises(ValueError, match=words):
            weighted_calibration([0.5] * 4, [True] * 4, wrong, BINS)


@pytest.mark.parametrize("count", [0, 1, 5])
def test_of_nobody_one_and_five_little_is_estimated(count: int) -> None:
    known = np.random.default_rng(4).random(2_000)
    calibration = calibration_of(counted(known, np.random.default_rng(5).random(2_000) < known))
    profile = counted(np.linspace(0.3, 0.8, count))
    found = estimated_rates(profile, calibration)
    for estimate in found.values():
        assert estimate.warnings
        assert not estimate.known or estimate.upper - estimate.lower > 0.3
    known_rates = [name for name, estimate in found.items() if estimate.known]
    assert known_rates == {0: [], 1: ["accuracy", "negative_predictive_value", "base_rate"]}.get(
        count, [*ESTIMATED_RATES]
    )
    assert estimated_auc(profile, calibration).known == (count == 5)


def test_a_reference_of_few_labels_and_bins_that_differ_are_said() -> None:
    calibration = calibration_of(counted(np.array([0.2, 0.8]), np.array([False, True])))
    found = estimated_rates(counted(np.linspace(0, 1, 500)), calibration)["accuracy"]
    assert found.warnings == ("the scores' meaning rests on 2 labelled rows",)
    other = Calibration(np.zeros(3), np.zeros(3), 10)
    for function in (estimated_rates, estimated_auc):
        with pytest.raises(ValueError, match="score bins differ: 20 and 3"):
            function(counted(np.array([0.5])), other)
