"""What the journal was told it still knows after it was opened again."""

import datetime as dt

import numpy as np

from examples.employment.journal import Journal

FIRST, SECOND = dt.date(2016, 1, 1), dt.date(2016, 1, 2)


def test_steps_and_days_survive_reopening(tmp_path):
    journal = Journal(tmp_path / "state" / "story.db")
    assert journal.result("train") is None
    assert journal.last_day() is None
    journal.finish("train", {"versions": ["a", "b"]})
    journal.add_day(FIRST, ["p1", "p2"], np.array([0, 1]))
    journal.add_day(SECOND, ["p3"], np.array([1]))
    journal.close()

    journal = Journal(tmp_path / "state" / "story.db")
    assert journal.result("train") == {"versions": ["a", "b"]}
    assert journal.last_day() == SECOND
    [(date, ids, labels)] = journal.unlabelled_until(FIRST)
    assert (date, ids, labels.tolist()) == (FIRST, ["p1", "p2"], [0, 1])
    journal.mark_labelled(FIRST)
    assert [date for date, *_ in journal.unlabelled_until(SECOND)] == [SECOND]
    journal.close()
