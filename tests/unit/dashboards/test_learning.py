"""What the pages on training and cleaning make of the services' answers."""

import math

import pytest
from boarfish import load_task
from boarfish.v1 import common_pb2, figure_pb2, task_pb2, training_pb2

from dashboards import amending, learning, learning_charts
from dashboards.words import duration, number_with_interval


def point(epoch: int, **metrics: float) -> training_pb2.CurvePoint:
    return training_pb2.CurvePoint(
        model="net", epoch=epoch, train_loss=1 / epoch, validation_loss=math.nan, metrics=metrics
    )


def version(identity: str, model: str, accuracy: float, **parameters: str) -> training_pb2.ModelVersion:
    made = training_pb2.ModelVersion(id=identity * 64, task_name="t", model=model, parameters=parameters)
    made.metrics["accuracy"].CopyFrom(
        common_pb2.Estimate(value=accuracy, lower=accuracy - 0.1, upper=accuracy + 0.1)
    )
    return made


def test_a_curve_has_a_row_an_epoch_and_charts_of_what_is_known():
    table = learning.curve_table([point(1), point(2, auc=0.8)])
    assert table["epoch"].tolist() == [1, 2]
    train, validation = learning_charts.losses(table).data
    assert list(train.y) == [1.0, 0.5]
    assert len(validation.y) == 0
    [auc] = learning_charts.metrics(table).data
    assert (list(auc.x), list(auc.y)) == ([2], [0.8])


def test_without_epochs_there_is_an_empty_curve():
    table = learning.curve_table([])
    assert table.empty
    assert "train_loss" in table.columns


def test_versions_stand_beside_one_another_and_what_differs_comes_first():
    chosen = [
        version("a", "net", 0.8, seed="0", epochs="5"),
        version("b", "forest", 0.9, seed="0", trees="100"),
    ]
    assert learning.metrics_table(chosen).loc["accuracy"].tolist() == ["0.8 (0.7 to 0.9)", "0.9 (0.8 to 1)"]
    settings = learning.settings_table(chosen)
    assert settings["Differs"].tolist() == ["yes", "yes", "", ""]
    assert settings.loc["trees"].tolist()[1:] == ["–", "100"]
    dots = learning_charts.beside(["a", "b"], chosen, "accuracy").data[0]
    assert dots.error_x.array == pytest.approx((0.1, 0.1))


def test_each_suggestion_of_a_sweep_is_marked():
    found = training_pb2.FindLearningRateResponse(
        learning_rates=[1e-4, 1e-2], losses=[1, 2], suggestion=1e-3, steep=2e-3, minimum=0
    )
    figure = learning_charts.rate_sweep(found)
    assert [one.text for one in figure.layout.annotations] == ["valley: 0.001", "steepest: 0.002"]


def test_trees_have_no_rate_to_sweep():
    task = task_pb2.Task()
    task.training.models.add().random_forest.SetInParent()
    task.training.models.add().tabular_net.SetInParent()
    assert learning.nets(task) == {1: "tabular_net"}


def test_hard_pictures_are_found_by_their_id_each_once():
    figure = figure_pb2.Figure(name="top_losses")
    for row_id in ("a", "b", "a", ""):
        figure.pictures.pictures.add(png=b"png", caption="is x, said y", row_id=row_id)
    assert [row.row_id for row in amending.hard_rows(figure, task_pb2.Task())] == ["a", "b"]


@pytest.mark.parametrize(
    ("cell", "row_id"),
    [({"number": 12345678.0}, "12345678"), ({"text": "x7"}, "x7")],
)
def test_hard_rows_of_a_table_are_found_by_their_first_column(cell, row_id):
    figure = figure_pb2.Figure(name="top_losses")
    figure.table.columns.extend(["row", "loss", "is"])
    cells = [cell, {"number": 2.34567}, {"text": "yes"}]
    figure.table.rows.add(cells=[figure_pb2.FigureCell(**one) for one in cells])
    [row] = amending.hard_rows(figure, task_pb2.Task())
    assert row == (row_id, b"", "**loss** 2.346 · **is** yes", {})


def test_a_row_is_told_in_the_words_of_the_task():
    employment = load_task("examples/employment/task.yaml")
    row = {"loss": "5.03", "AGEP": "83", "MAR": "2", "id": "7", "year": "2015", "employed": "1", "SEX": ""}
    assert amending.contents_of(row, employment) == {"Age in years": "83", "Marital status": "2 (widowed)"}
    assert amending.verdict_of(row, employment) == "**loss** 5.03"


def test_labels_are_those_of_the_task_in_its_words():
    employment = load_task("examples/employment/task.yaml")
    labels = amending.labels_of(employment)
    assert set(labels) == {employment.target.positive_value, employment.target.negative_value}
    assert all("(" in words for words in labels.values())
    shapes = task_pb2.Task(kind=task_pb2.TASK_KIND_MULTICLASS_CLASSIFICATION)
    shapes.target.classes.extend(["circle", "square"])
    assert amending.labels_of(shapes) == {"circle": "It is: circle", "square": "It is: square"}
    assert amending.labels_of(task_pb2.Task(kind=task_pb2.TASK_KIND_REGRESSION)) == {}


def test_rows_that_cannot_be_named_cannot_be_amended():
    assert "no id column" in amending.why_not(task_pb2.Task())
    assert amending.why_not(task_pb2.Task(id_column="id")) == ""
    points = task_pb2.Task(id_column="id", target=task_pb2.Target(name="x", more_columns=["y"]))
    assert "deleted here but not relabelled" in amending.why_not(points)


def test_numbers_and_spans_in_words():
    assert number_with_interval(common_pb2.Estimate(value=0.5, lower=math.nan)) == "0.5"
    assert number_with_interval(common_pb2.Estimate(value=math.nan, warnings=["no rows"])) == "no rows"
    assert [duration(s) for s in (0.2, 75, 200, 9_000)] == [
        "a second",
        "75 seconds",
        "3 minutes",
        "2.5 hours",
    ]
