"""Realised quality against scikit-learn, and accuracy estimated without labels."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, brier_score_loss, roc_auc_score

from audit.profiles.quality import QualityCounter, QualityProfile
from audit.rot.calibration import calibration_error
from audit.rot.estimated import estimated_accuracy
from audit.rot.quality import Quality, auc, quality

BINS = 50


def counted(score: np.ndarray, label: np.ndarray | None) -> QualityProfile:
    counter = QualityCounter(BINS, score, score >= 0.5, label)
    parts = [counter.predictions(), *([] if label is None else [counter.labels()])]
    profile = QualityProfile(BINS)
    profile.merge_all([QualityProfile.of(BINS, counts[0], sums[0]) for counts, sums in parts])
    return profile


def people(count: int, seed: int, a: float = 1.0, b: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Scores that mean what they say, and outcomes."""
    rng = np.random.default_rng(seed)
    score = rng.beta(a, b, count)
    return score, rng.random(count) < score


def test_it_agrees_with_scikit_learn() -> None:
    score, label = people(20_000, 1)
    found = quality(counted(score, label))
    assert found.accuracy.value == accuracy_score(label, score >= 0.5)
    assert found.brier.value == pytest.approx(brier_score_loss(label, score))
    assert found.auc.value == pytest.approx(roc_auc_score(label, score), abs=0.001)
    assert found.base_rate.value == label.mean()
    assert found.selection_rate.value == (score >= 0.5).mean()
    assert (found.row_count, found.labelled_count) == (20_000, 20_000)


def test_intervals_cover_what_they_should() -> None:
    truth = quality(counted(*people(400_000, 2)))
    inside = {"accuracy": 0, "auc": 0, "brier": 0}
    for seed in range(200):
        found = quality(counted(*people(500, 100 + seed)))
        for name in inside:
            estimate = getattr(found, name)
            inside[name] += estimate.lower <= getattr(truth, name).value <= estimate.upper
    assert all(hits >= 180 for hits in inside.values()), inside


def test_calibration_error_is_small_for_honest_scores_and_not_for_bold_ones() -> None:
    score, label = people(50_000, 3)
    honest = calibration_error(counted(score, label)).value
    bold = calibration_error(counted(np.clip(1.6 * score - 0.3, 0, 1), label)).value
    assert honest < 0.02
    assert bold > 0.08


def test_accuracy_is_estimated_where_scores_still_mean_the_same() -> None:
    reference = counted(*people(20_000, 4))
    inside = 0
    for seed in range(100):
        score, label = people(2_000, 1_000 + seed, 4, 1.5)
        found = estimated_accuracy(counted(score, None), reference)
        inside += found.lower <= ((score >= 0.5) == label).mean() <= found.upper
    assert inside >= 90


def test_bold_scores_are_made_honest_by_the_reference() -> None:
    score, label = people(20_000, 5)
    bold = np.clip(1.6 * score - 0.3, 0, 1)
    found = estimated_accuracy(counted(bold, None), counted(bold, label))
    assert found.value == pytest.approx(((bold >= 0.5) == label).mean(), abs=0.01)
    assert np.maximum(bold, 1 - bold).mean() > found.value + 0.05


def test_without_predictions_or_reference_nothing_is_estimated() -> None:
    some = counted(*people(10, 6))
    assert estimated_accuracy(QualityProfile(BINS), some).warnings == ("no predictions yet",)
    assert not estimated_accuracy(some, None).known
    assert not estimated_accuracy(some, QualityProfile(BINS)).known


def test_no_label_gives_no_rate() -> None:
    found = quality(counted(people(50, 7)[0], None))
    for name in ("accuracy", "auc", "brier", "calibration_error", "true_positive_rate", "base_rate"):
        assert not getattr(found, name).known
        assert getattr(found, name).warnings
    assert found.selection_rate.known


@pytest.mark.parametrize(("count", "words"), [(1, "only 1 person"), (5, "only 5 people")])
def test_a_rate_of_few_people_says_so(count: int, words: str) -> None:
    found: Quality = quality(counted(*people(count, 8)))
    assert found.accuracy.warnings == (f"{words}: too few to say",)
    assert found.accuracy.upper - found.accuracy.lower > 0.3
    assert found.calibration_error.warnings


def test_auc_needs_both_outcomes_and_counts_ties_half() -> None:
    score = np.array([0.1, 0.9])
    assert not auc(counted(score, np.array([True, True]))).known
    assert auc(counted(score, np.array([False, True]))).value == 1
    assert auc(counted(np.array([0.5, 0.5]), np.array([False, True]))).value == 0.5


def test_score_bins_that_differ_do_not_merge() -> None:
    with pytest.raises(ValueError, match="50 and 10"):
        QualityProfile(50).merge_all([QualityProfile(10)])
