import numpy as np
import pyarrow as pa
import pytest

from models.data.targets import TargetSpec, read_target, unseen_classes
from models.progress import TrainingFailed
from models.recipe import BINARY, MULTICLASS, MULTILABEL, REGRESSION, Problem, Target


def problem(kind: str, *, id_column: str = "", **target: object) -> Problem:
    return Problem(kind, (), Target(("y",), **target), "auc", id_column=id_column)  # type: ignore[arg-type]


SIZES = problem(MULTICLASS, classes=("small", "large"))
TAGS = problem(MULTILABEL, classes=("red", "blue"), separator=", ")


def test_classes_become_their_places() -> None:
    assert read_target(pa.table({"y": ["large", "small"]}), SIZES).tolist() == [1, 0]
    numbers = problem(BINARY, positive_value="1", negative_value="0")
    assert read_target(pa.table({"y": [1, 0, 1]}), numbers).tolist() == [1, 0, 1]


def test_several_labels_or_none() -> None:
    found = read_target(pa.table({"y": ["blue, red", "", None, "blue"]}), TAGS)
    assert found.tolist() == [[1, 1], [0, 0], [0, 0], [0, 1]]
    assert read_target(pa.table({"y": pa.array([], pa.utf8())}), TAGS).shape == (0, 2)


@pytest.mark.parametrize(
    ("asked", "values", "said"),
    [
        (SIZES, ["small", "huge"], "y must be one of small, large: it is 'huge' at row 1"),
        (SIZES, ["small", None], "it is None at row 1"),
        (TAGS, ["red", "green, red"], "a label that is not among the classes: it is 'green, red' at row 1"),
        (problem(REGRESSION), [1.0, np.inf], "a finite number: it is inf at row 1"),
        (problem(REGRESSION, logarithmic=True), [0.0, -1.0], "not be below 0.*: it is -1.0 at row 1"),
    ],
)
def test_a_label_that_cannot_be_is_named_with_its_row(
    asked: Problem, values: list[object], said: str
) -> None:
    with pytest.raises(TrainingFailed, match=said):
        read_target(pa.table({"y": values}), asked)


def test_rows_are_named_by_their_id_where_there_is_one_and_not_all_of_them() -> None:
    table = pa.table({"y": ["?"] * 9, "name": [f"n{place}" for place in range(9)]})
    with pytest.raises(TrainingFailed, match=r"at name n0, .* at name n4 and 4 more"):
        read_target(table, problem(MULTICLASS, classes=("a",), id_column="name"))
    with pytest.raises(TrainingFailed, match="lack the target y"):
        read_target(table.drop_columns(["y"]), SIZES)


@pytest.mark.parametrize(
    ("asked", "labels", "said"),
    [
        (SIZES, np.zeros(9, int), "same label"),
        (SIZES, np.zeros(0, int), "no labelled rows"),
        (SIZES, np.zeros(1, int), "a single training row"),
        (problem(MULTICLASS, classes=tuple("abcde")), np.arange(5), "a class of its own"),
        (TAGS, np.ones((9, 2)), "in all training rows or in none"),
        (problem(REGRESSION), np.full((9, 1), 3.5), r"y is 3.5 in every training row"),
    ],
)
def test_nothing_to_learn_is_said(asked: Problem, labels: np.ndarray, said: str) -> None:
    with pytest.raises(TrainingFailed, match=said):
        TargetSpec.of(asked, labels)


def test_a_logarithm_is_undone_within_the_bounds() -> None:
    asked = problem(REGRESSION, logarithmic=True, minimum=0.0, maximum=50.0)
    values = np.array([[0.0], [1.0], [49.0]])
    spec = TargetSpec.of(asked, values)
    assert spec.bounds == (0.0, pytest.approx(np.log(51)))
    assert np.allclose(spec.finish(spec.learnt(values)), values[:, 0])
    assert spec.finish(np.array([[9.0], [-9.0]])).tolist() == [50.0, 0.0]


def test_classes_without_training_rows_are_known() -> None:
    spec = TargetSpec.of(problem(MULTICLASS, classes=tuple("abc")), np.array([0, 2, 2]))
    assert unseen_classes(spec, np.array([0, 2, 2])) == ("b",)
    assert unseen_classes(TargetSpec.of(TAGS, np.array([[0, 1.0], [0, 0]])), np.array([[0, 1], [0, 0]])) == (
        "red",
    )
