"""Exported graphs of every kind of model of a table against the models themselves, on 10,000 real people."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.configs import GradientBoostingConfig, RandomForestConfig, TabularNetConfig, XgboostConfig
from models.data.tabular import TabularRows
from models.ensemble import Ensemble
from models.recipe import BINARY, MULTICLASS, REGRESSION, FitContext, Input, Problem, Target
from models.tabular import TabularNet
from models.tabular_model import run_graph
from models.trees import GradientBoosting, RandomForest, Xgboost
from tests.golden.people_of_2015 import CODES, FILE

TRAIN_ROWS, ROWS = 8_000, 10_000
# Of a probability, and of years of age.
TOLERANCES = {BINARY: 1e-5, MULTICLASS: 1e-5, REGRESSION: 1e-3}
NET = TabularNetConfig(epochs=1, batch_size=256)
RECIPES: dict[str, Any] = {
    "net": TabularNet(NET),
    "boosting": GradientBoosting(GradientBoostingConfig(40)),
    "forest": RandomForest(RandomForestConfig(30)),
    "xgboost": Xgboost(XgboostConfig(40)),
    "embedded_xgboost": Xgboost(XgboostConfig(40, embeddings=NET)),
    "ensemble": Ensemble((TabularNet(NET), RandomForest(RandomForestConfig(20)), Xgboost(XgboostConfig(20)))),
}


def inputs(*codes: str) -> tuple[Input, ...]:
    return tuple(Input(name, "code") for name in codes)


STATUSES = tuple("12345")
PROBLEMS = {
    BINARY: Problem(
        BINARY, (Input("AGEP", "numeric"), *inputs(*CODES)), Target(("employed",), "1", "0"), "auc"
    ),
    MULTICLASS: Problem(
        MULTICLASS,
        (Input("AGEP", "numeric"), *inputs(*(name for name in CODES if name != "MAR"))),
        Target(("MAR",), classes=STATUSES),
        "accuracy",
    ),
    REGRESSION: Problem(
        REGRESSION, inputs(*CODES), Target(("AGEP",), minimum=0, maximum=100, logarithmic=True), "mae"
    ),
}


@cache
def parts() -> tuple[pa.Table, pa.Table]:
    table = pq.read_table(FILE)
    order = np.random.default_rng(42).permutation(table.num_rows)
    return table.take(order[:TRAIN_ROWS]), table.take(order[TRAIN_ROWS : TRAIN_ROWS + ROWS])


@pytest.mark.parametrize("which", RECIPES)
@pytest.mark.parametrize("kind", PROBLEMS)
def test_onnx_runtime_agrees_and_no_decision_flips(which: str, kind: str, tmp_path: Path) -> None:
    (train, valid), problem = parts(), PROBLEMS[kind]
    model = RECIPES[which].fit(problem, train, valid, FitContext(seed=42, device="cpu", threads=1))
    model.export_onnx(tmp_path / "model.onnx")
    parity = model.check_onnx(tmp_path / "model.onnx", valid, threads=1)
    assert parity.count == ROWS
    assert parity.largest_difference < TOLERANCES[kind], parity
    if kind == MULTICLASS:
        rows = TabularRows.of(valid, problem)
        (label,) = run_graph(tmp_path / "model.onnx", rows, ["label"], threads=1)
        assert np.array_equal(label, np.array(STATUSES)[model.predict(rows).argmax(1)])
    assert model.assess(train, valid).comparison.better
