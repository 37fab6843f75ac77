"""The confusion matrix and what is read from it, against counts made by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from models.interpret.confusion import (
    MOST_CLASSES,
    class_rates,
    confusion_counts,
    confusion_matrix,
    most_confused,
    wilson,
)

CLASSES = ("cat", "dog", "fish")
LABEL, SAID = [0, 0, 0, 1, 1, 2], [0, 1, 1, 1, 0, 2]


def test_rows_are_what_is_and_columns_what_was_said():
    counts = confusion_counts(LABEL, SAID, 3)
    assert counts.tolist() == [[1, 2, 0], [1, 1, 0], [0, 0, 1]]
    figure = confusion_matrix(counts, CLASSES)
    assert figure.body.values[0] == (1.0, 2.0, 0.0)
    assert (figure.body.row_axis, figure.body.column_axis) == ("is", "said")
    assert figure.sentence.startswith("3 of 6 validation rows are on the diagonal")


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=40))
def test_counts_of_two_parts_add_up_to_those_of_the_whole(pairs):
    label, said = np.array(pairs, int).reshape(-1, 2).T
    half = len(label) // 2
    parts = confusion_counts(label[:half], said[:half], 5) + confusion_counts(label[half:], said[half:], 5)
    assert np.array_equal(parts, confusion_counts(label, said, 5))


@pytest.mark.parametrize("wrong", [-1, 3])
def test_a_class_that_is_not_there_is_an_error(wrong):
    with pytest.raises(ValueError, match="0 to 2"):
        confusion_counts([wrong], [0], 3)


def test_the_pair_that_is_confused_most_comes_first_and_pairs_that_never_were_not_at_all():
    figure = most_confused(confusion_counts(LABEL, SAID, 3), CLASSES)
    assert figure.body.rows == (("cat", "dog", 2.0, 2 / 3), ("dog", "cat", 1.0, 0.5))
    assert figure.sentence == "Most often “cat” is taken for “dog”: 2 of 3 times."


def test_without_errors_no_pair_is_named():
    figure = most_confused(confusion_counts([0, 1], [0, 1], 2), CLASSES[:2])
    assert figure.body.rows == ()
    assert "No validation row" in figure.sentence


def test_rates_come_worst_first_with_an_interval_and_say_who_has_none():
    recall, precision = class_rates(confusion_counts([0, 0, 0, 1], [0, 1, 1, 1], 3), CLASSES)
    assert recall.body.names == ("cat", "dog")
    assert recall.body.values == pytest.approx((1 / 3, 1.0))
    assert precision.body.values == pytest.approx((1 / 3, 1.0))
    assert recall.body.lower == pytest.approx((0.0615, 0.2065), abs=1e-3)
    assert "1 of 3 classes have no such rows" in recall.sentence


@settings(deadline=None)
@given(st.integers(1, 500).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of))))
def test_intervals_are_those_of_scipy(pair):
    hits, of = pair
    lower, upper = wilson(np.array([float(hits)]), np.array([float(of)]))
    expected = binomtest(hits, of).proportion_ci(0.95, method="wilson")
    assert (lower[0], upper[0]) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_of_very_many_classes_those_with_errors_are_shown():
    count = MOST_CLASSES + 40
    label = np.arange(count)
    said = label.copy()
    said[[3, count - 1]] = [count - 1, 3]
    figure = confusion_matrix(confusion_counts(label, said, count), [str(one) for one in label])
    assert len(figure.body.rows) == MOST_CLASSES
    assert {"3", str(count - 1)} <= set(figure.body.rows)
    assert f"Of {count} classes the {MOST_CLASSES}" in figure.sentence


def test_no_rows_give_figures_that_say_so():
    counts = confusion_counts([], [], 3)
    assert confusion_matrix(counts, CLASSES).sentence == "There are no validation rows to compare."
    assert [figure.body.names for figure in class_rates(counts, CLASSES)] == [(), ()]
