"""A recommender's graph gives what PyTorch gives: for known ones, new ones, missing ones and odd targets."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pyarrow as pa
import pytest

from models.collaborative import Collaborative
from models.configs import CollaborativeConfig, FitConfig
from models.export.onnx_collaborative import run
from models.recipe import FitContext, Input, Problem, Target
from tests.unit.models.ratings_table import PROBLEM, ratings

FIT = FitConfig(epochs=2, batch_size=64, learning_rate=0.02, precision="float32")
# Both are float32 sums of a few hundred terms.
TOLERANCE = 1e-5

PROBLEMS = {
    "bounded": PROBLEM,
    "unbounded": replace(PROBLEM, target=Target(("rating",))),
    "logarithmic": replace(PROBLEM, target=Target(("rating",), minimum=0.0, logarithmic=True)),
    "ids alone": replace(PROBLEM, inputs=PROBLEM.inputs[:2]),
    "a code describes": replace(PROBLEM, inputs=(*PROBLEM.inputs[:2], Input("genre_code", "code"))),
}


def table(count: int, seed: int, users: int = 60) -> pa.Table:
    rows = ratings(count, seed, users)
    codes = pa.array([1 if genre == "comedy" else 2 for genre in rows["genre"].to_pylist()])
    return rows.append_column("genre_code", codes)


def strange() -> pa.Table:
    """Rows with users whom no training row has, and with every input missing in turn."""
    rows = table(400, seed=5, users=120)
    for position, name in enumerate(["user", "film", "age", "genre", "genre_code"]):
        column = rows[name].to_pylist()
        column[position::7] = [None] * len(column[position::7])
        rows = rows.set_column(
            rows.column_names.index(name), name, pa.array(column, rows.schema.field(name).type)
        )
    return rows


@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS.keys())
@pytest.mark.parametrize("method", ["dot_product", "net"])
def test_the_graph_gives_what_the_net_gives(method: str, problem: Problem, tmp_path: Path) -> None:
    config = CollaborativeConfig(FIT, method=method, factor_count=6, hidden_sizes=(12, 6), dropout=0.1)
    train, valid = table(1500, 0), table(300, 1)
    fitted = Collaborative(config).fit(problem, train, valid, FitContext(device="cpu", threads=1))
    path = tmp_path / "model.onnx"
    fitted.export_onnx(path)
    for rows in (valid, strange()):
        own = fitted.predict(rows)
        assert np.isfinite(own).all()
        assert np.abs(run(path, rows, problem, threads=1) - own).max() <= TOLERANCE
    assert fitted.check_onnx(path, valid, threads=1).equal


def test_a_graph_of_other_weights_is_found_out(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    parts = (table(1500, 0), table(300, 1))
    first, second = (
        Collaborative(CollaborativeConfig(FIT, factor_count=6)).fit(
            PROBLEM, *parts, FitContext(seed=seed, device="cpu", threads=1)
        )
        for seed in (0, 1)
    )
    first.export_onnx(path)
    assert not second.check_onnx(path, parts[1], threads=1).equal


def test_the_graph_says_what_it_takes(tmp_path: Path) -> None:
    config = CollaborativeConfig(FIT, factor_count=6)
    fitted = Collaborative(config).fit(
        PROBLEM, table(500, 0), table(100, 1), FitContext(device="cpu", threads=1)
    )
    fitted.export_onnx(tmp_path / "model.onnx")
    model = onnx.load(tmp_path / "model.onnx")
    said = {one.key: one.value for one in model.metadata_props}
    assert said["user"] == "user"
    assert said["item"] == "film"
    assert [one.name for one in model.graph.input] == ["numeric", "code", "category"]
    assert [one.name for one in model.graph.output] == ["value"]
