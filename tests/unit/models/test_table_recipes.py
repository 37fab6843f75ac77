"""Every kind of model of a table on every kind of problem."""

import zipfile
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from models.configs import GradientBoostingConfig, RandomForestConfig, TabularNetConfig, XgboostConfig
from models.data.tabular import TabularRows
from models.ensemble import Ensemble
from models.export.torchserve_handler import BoarfishHandler
from models.progress import Progress, TrainingFailed, TrainingStopped
from models.recipe import BINARY, MULTICLASS, MULTILABEL, REGRESSION, FitContext, Input, Problem, Target
from models.tabular import TabularNet
from models.tabular_model import run_graph
from models.trees import GradientBoosting, RandomForest, Xgboost
from tests.unit.models.arrow_tables import INPUTS, PROBLEMS, arrow_table

NET = TabularNetConfig(epochs=3, batch_size=64, hidden_sizes=(16,))
RECIPES: dict[str, Any] = {
    "net": TabularNet(NET),
    "boosting": GradientBoosting(GradientBoostingConfig(20, 0.2, 7)),
    "forest": RandomForest(RandomForestConfig(12)),
    "xgboost": Xgboost(XgboostConfig(15, 0.3, 3)),
    "embedded_forest": RandomForest(RandomForestConfig(12, embeddings=NET)),
    "embedded_xgboost": Xgboost(XgboostConfig(15, 0.3, 3, embeddings=NET)),
}
RECIPES["ensemble"] = Ensemble((RECIPES["net"], RECIPES["xgboost"], RECIPES["forest"]))
TREES = ("boosting", "forest", "xgboost")
KINDS = (BINARY, MULTICLASS, REGRESSION)
CONTEXT = FitContext(seed=1, device="cpu", threads=1)
TRAIN, VALID = arrow_table(), arrow_table(400, seed=1)


@cache
def fitted(which: str, kind: str) -> Any:
    return RECIPES[which].fit(PROBLEMS[kind], TRAIN, VALID, CONTEXT)


def strange(table: pa.Table) -> pa.Table:
    """Rows that no training row is like: far numbers, unseen codes and categories, times of other ages."""
    count = table.num_rows
    changed = {
        "size": np.where(np.arange(count) % 3, np.nan, 1e30),
        "zone": np.where(np.arange(count) % 2, 99, -(2**40)),
        "sort": ["never seen"] * count,
        "when": pa.array(np.linspace(-(2**60), 2**60, count).astype(np.int64)).cast(
            pa.timestamp("us", tz="UTC")
        ),
    }
    for name, values in changed.items():
        table = table.set_column(table.schema.get_field_index(name), name, pa.array(values))
    return table


every_recipe = pytest.mark.parametrize("which", RECIPES)


@every_recipe
@pytest.mark.parametrize("kind", KINDS)
def test_it_beats_the_trivial_rule_and_its_graph_agrees(which: str, kind: str, tmp_path: Path) -> None:
    model = fitted(which, kind)
    assessment = model.assess(TRAIN, VALID)
    assert assessment.comparison.better, assessment.comparison.statement
    model.export_onnx(tmp_path / "model.onnx")
    for rows in (VALID, strange(VALID)):
        parity = model.check_onnx(tmp_path / "model.onnx", rows, threads=1)
        assert parity.equal, parity
    assert parity.count == VALID.num_rows
    model.save(tmp_path)
    model.export_archive(tmp_path / "model.mar", name="task", version="1")


def test_several_labels_are_learnt_by_the_net(tmp_path: Path) -> None:
    model = fitted("net", MULTILABEL)
    assert model.assess(TRAIN, VALID).comparison.better
    model.export_onnx(tmp_path / "model.onnx")
    assert model.check_onnx(tmp_path / "model.onnx", VALID, threads=1).equal
    rows = TabularRows.of(VALID, PROBLEMS[MULTILABEL])
    probability, labels = run_graph(tmp_path / "model.onnx", rows, ["probability", "labels"], threads=1)
    assert np.array_equal(labels, probability >= 0.5)


@pytest.mark.parametrize("which", TREES)
def test_trees_say_which_model_learns_several_labels(which: str) -> None:
    with pytest.raises(TrainingFailed, match="choose tabular_net"):
        RECIPES[which].fit(PROBLEMS[MULTILABEL], TRAIN, VALID, CONTEXT)


def test_the_graph_names_the_class(tmp_path: Path) -> None:
    fitted("xgboost", MULTICLASS).export_onnx(tmp_path / "model.onnx")
    rows = TabularRows.of(VALID, PROBLEMS[MULTICLASS])
    probability, label = run_graph(tmp_path / "model.onnx", rows, ["probability", "label"], threads=1)
    classes = np.array(PROBLEMS[MULTICLASS].target.classes)
    assert np.array_equal(label, classes[probability.argmax(1)])
    assert probability.sum(1) == pytest.approx(1)


@every_recipe
def test_a_class_without_training_rows_is_never_predicted_and_said(which: str) -> None:
    model = fitted(which, MULTICLASS)
    assert any("unheard of" in warning for warning in model.assess(TRAIN, VALID).warnings)
    probability = model.predict(TabularRows.of(VALID, PROBLEMS[MULTICLASS]))
    assert probability[:, 3].max() < 0.01


@every_recipe
def test_progress_goes_from_nothing_to_all(which: str) -> None:
    told: list[Progress] = []
    RECIPES[which].fit(
        PROBLEMS[BINARY], TRAIN, VALID, FitContext(device="cpu", threads=1, on_progress=told.append)
    )
    done = [progress.fraction_done for progress in told]
    assert done == sorted(done)
    assert done[-1] == 1
    assert {progress.model for progress in told} == {RECIPES[which].name}


@every_recipe
def test_it_stops_when_told_to(which: str) -> None:
    with pytest.raises(TrainingStopped):
        RECIPES[which].fit(
            PROBLEMS[BINARY], TRAIN, VALID, FitContext(device="cpu", threads=1, should_stop=lambda: True)
        )


@every_recipe
def test_a_column_that_is_all_missing_is_said(which: str) -> None:
    empty = pa.nulls(TRAIN.num_rows, pa.float64())
    table = TRAIN.set_column(TRAIN.schema.get_field_index("size"), "size", empty)
    model = RECIPES[which].fit(PROBLEMS[BINARY], table, VALID, CONTEXT)
    assert "size is missing in every training row" in model.assess(table, VALID).warnings[0]
    assert np.isfinite(model.predict(TabularRows.of(VALID, PROBLEMS[BINARY]))).all()


@pytest.mark.parametrize("which", ["net", "boosting", "xgboost", "ensemble"])
def test_predictions_stay_within_the_targets_bounds(which: str, tmp_path: Path) -> None:
    target = Target(("price",), logarithmic=True, minimum=2.0, maximum=9.0)
    problem = Problem(REGRESSION, INPUTS, target, "mae")
    model = RECIPES[which].fit(problem, TRAIN, VALID, CONTEXT)
    found = model.predict(TabularRows.of(strange(VALID), problem))
    assert found.min() >= 2.0
    assert found.max() <= 9.0
    model.export_onnx(tmp_path / "model.onnx")
    assert model.check_onnx(tmp_path / "model.onnx", VALID, threads=1).equal


@pytest.mark.parametrize("which", ["net", "forest", "xgboost"])
def test_several_numbers_at_once(which: str, tmp_path: Path) -> None:
    problem = Problem(REGRESSION, INPUTS, Target(("price", "score")), "r2")
    model = RECIPES[which].fit(problem, TRAIN, VALID, CONTEXT)
    assert model.predict(TabularRows.of(VALID, problem)).shape == (400, 2)
    model.export_onnx(tmp_path / "model.onnx")
    assert model.check_onnx(tmp_path / "model.onnx", VALID, threads=1).equal


def test_boosting_says_which_models_learn_several_numbers() -> None:
    problem = Problem(REGRESSION, INPUTS, Target(("price", "score")), "r2")
    with pytest.raises(TrainingFailed, match="choose xgboost"):
        RECIPES["boosting"].fit(problem, TRAIN, VALID, CONTEXT)


def test_the_error_out_of_bag_is_near_the_one_on_validation_rows() -> None:
    valid = arrow_table(4_000, seed=2)
    forest = RandomForest(RandomForestConfig(60)).fit(PROBLEMS[BINARY], TRAIN, valid, CONTEXT)
    metrics = forest.assess(TRAIN, valid).metrics
    assert metrics["out_of_bag_auc"].value == pytest.approx(metrics["auc"].value, abs=0.02)
    assert metrics["out_of_bag_auc"].count == TRAIN.num_rows


def test_trees_of_a_forest_are_apart_where_they_have_seen_little() -> None:
    model = fitted("forest", REGRESSION)
    rows = model.spec.expand(TabularRows.of(VALID, PROBLEMS[REGRESSION]))
    spread = model.spread(rows)
    assert spread.shape == (400, 1)
    assert (spread > 0).all()


def test_an_ensemble_is_the_mean_of_its_members() -> None:
    model = fitted("ensemble", BINARY)
    rows = TabularRows.of(VALID, PROBLEMS[BINARY])
    each = [member.predict(rows) for member in model.members]
    assert model.predict(rows) == pytest.approx(np.mean(each, axis=0), abs=1e-6)


def test_an_ensemble_of_one_or_of_something_else_is_refused() -> None:
    with pytest.raises(TrainingFailed, match="two or more models of tables"):
        Ensemble((RECIPES["net"],))


def test_an_input_that_is_no_cell_of_a_table_is_refused() -> None:
    problem = Problem(BINARY, (Input("photo", "image"),), PROBLEMS[BINARY].target, "auc")
    with pytest.raises(TrainingFailed, match="photo is of type image"):
        RECIPES["net"].fit(problem, TRAIN, VALID, CONTEXT)


def test_a_column_that_is_lacking_is_named() -> None:
    with pytest.raises(TrainingFailed, match="lack zone"):
        RECIPES["net"].fit(PROBLEMS[BINARY], TRAIN.drop_columns(["zone"]), VALID, CONTEXT)


@pytest.mark.parametrize("kind", [BINARY, MULTICLASS, REGRESSION])
def test_an_archive_answers_with_times_among_the_inputs(kind: str, tmp_path: Path) -> None:
    model = fitted("net", kind)
    model.export_archive(tmp_path / "model.mar", name="task", version="1")
    with zipfile.ZipFile(tmp_path / "model.mar") as archive:
        archive.extractall(tmp_path / "unpacked")
    handler = BoarfishHandler()
    handler.initialize(SimpleNamespace(system_properties={"model_dir": str(tmp_path / "unpacked")}))
    inputs = VALID.select([one.name for one in INPUTS])
    inputs = inputs.set_column(0, "size", inputs.column("size").fill_null(np.nan))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, inputs.schema) as writer:
        writer.write_table(inputs)
    (answer,) = handler.handle([{"body": bytes(sink.getvalue())}], None)
    expected = model.predict(TabularRows.of(VALID, PROBLEMS[kind]))
    assert np.frombuffer(answer, "<f4").reshape(expected.shape) == pytest.approx(expected, rel=1e-4, abs=1e-5)
