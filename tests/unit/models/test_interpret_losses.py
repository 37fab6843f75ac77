"""Top losses: largest first, with the ids by which a person finds the rows again; and how numbers miss."""

import datetime
import io

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from models.interpret import regression
from models.interpret.losses import LONGEST_TEXT, ROW, hardest, top_loss_pictures, top_losses

CLASSES = ("no", "yes")
PROBABILITY = np.array([[0.9, 0.1], [0.2, 0.8], [0.99, 0.01], [0.4, 0.6]])
LABEL = [0, 0, 1, 1]
IDS = ["a", "b", "c", "d"]


def rows() -> pa.Table:
    moment = datetime.datetime(2026, 5, 4, 3, 2, tzinfo=datetime.UTC)
    return pa.table(
        {
            "age": [30.5, None, 50.0, 60.0],
            "text": ["short", "x" * (LONGEST_TEXT + 1), None, "last"],
            "when": pa.array([moment] * 4, pa.timestamp("us", "UTC")),
            "picture": [b"1", b"2", b"3", b"4"],
            "series": [[1.0], [2.0], [3.0], [4.0]],
        }
    )


def test_the_hardest_row_comes_first_and_a_row_that_was_not_read_not_at_all():
    assert hardest([1.0, np.nan, 3.0, 2.0], 2).tolist() == [2, 3]
    assert hardest([], 5).tolist() == []


def test_a_table_of_top_losses_has_ids_first_and_what_a_person_can_read():
    figure = top_losses(LABEL, PROBABILITY, CLASSES, IDS, rows(), most=3)
    assert figure.name == "top_losses"
    assert figure.body.columns == (ROW, "loss", "is", "said", "how sure", "age", "text", "when")
    assert [row[0] for row in figure.body.rows] == ["c", "b", "d"]
    assert figure.body.rows[0][1:5] == (pytest.approx(-np.log(0.01)), "yes", "no", "99%")
    assert figure.body.rows[1][5] == ""
    assert figure.body.rows[1][6] == "x" * LONGEST_TEXT + "…"
    assert figure.body.rows[1][7] == "2026-05-04 03:02+00:00"
    assert "2 of them were decided wrongly" in figure.sentence


def test_pictures_bear_the_rows_id_and_can_be_opened():
    pictures = np.zeros((4, 6, 9, 3), np.uint8)
    figure = top_loss_pictures(pictures, LABEL, PROBABILITY, CLASSES, IDS, most=2)
    assert [picture.row_id for picture in figure.body.pictures] == ["c", "b"]
    assert figure.body.pictures[0].caption == "is yes, said no (99% sure)"
    width, height = Image.open(io.BytesIO(figure.body.pictures[0].png)).size
    assert width / height == pytest.approx(9 / 6, rel=0.02)


def test_no_rows_are_said_to_be_none():
    figure = top_losses([], np.empty((0, 2)), CLASSES, [], rows().slice(0, 0))
    assert figure.body.rows == ()
    assert figure.sentence == "There are no validation rows to look at."


def test_predictions_that_are_too_low_in_one_part_are_named():
    predicted = np.repeat(np.arange(10.0), 20)
    noise = np.tile([-0.1, 0.1], 100)
    actual = predicted + noise + np.where(predicted == 7, 5.0, 0.0)
    figure = regression.residuals(actual, predicted, "minutes")
    assert figure.body.values[7] == pytest.approx(5.0)
    assert "7 to 7 (too low by 5)" in figure.sentence
    assert figure.sentence.count("too") == 1


def test_unbiased_predictions_are_said_to_be_so():
    predicted = np.repeat(np.arange(10.0), 20)
    figure = regression.residuals(predicted + np.tile([-1.0, 1.0], 100), predicted, "minutes")
    assert figure.sentence.startswith("Nowhere")


def test_numbers_have_their_figures_and_a_row_without_prediction_is_left_out():
    actual, predicted = [1.0, 2.0, 3.0, 4.0], [1.0, np.nan, 9.0, 4.5]
    points, _, largest = regression.figures_of(actual, predicted, "minutes", IDS, rows())
    assert points.body.names == ("a", "c", "d")
    assert "Half of the predictions lie within 0.5" in points.sentence
    assert [row[0] for row in largest.body.rows] == ["c", "d", "a"]
    assert largest.body.rows[0][1:4] == (6.0, 3.0, 9.0)


def test_many_rows_give_a_bounded_number_of_points():
    actual = np.arange(5_000.0)
    figure = regression.predicted_and_actual(actual, actual, "m", [str(one) for one in range(5_000)])
    assert len(figure.body.x) == regression.MOST_POINTS
    assert figure.body.x[-1] == 4_999


def test_without_rows_numbers_say_so():
    figures = regression.figures_of([], [], "m", [], rows().slice(0, 0))
    assert all("There are no validation rows" in figure.sentence for figure in figures)
