"""Looks inside models of tables, on rows whose answers are known."""

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from models.configs import RandomForestConfig, TabularNetConfig
from models.data.tabular import TabularRows, TabularSchema
from models.figures import Dendrogram, Lines, Points, Table
from models.interpret.tabular import ROWS, Part, figures_of
from models.interpret.tabular_columns import (
    column_matrix,
    domain_figure,
    leakage,
    leakage_figure,
    rank_correlation,
    redundancy_figure,
    train_or_validation,
)
from models.interpret.tabular_effects import contributions, partial_dependence, sampled_shapley, spread
from models.interpret.tabular_embeddings import principal_plane
from models.interpret.tabular_importance import importance
from models.recipe import BINARY, MULTICLASS, MULTILABEL, REGRESSION, FitContext, Input, Problem, Target
from models.tabular import TabularNet
from models.trees import RandomForest
from tests.unit.models.arrow_tables import PROBLEMS
from tests.unit.models.test_table_recipes import CONTEXT, TRAIN, VALID, fitted

NUMBERS = tuple(Input(name, "numeric") for name in ("strong", "weak", "copy", "noise"))
PROBLEM = Problem(REGRESSION, NUMBERS, Target(("y",)), "rmse", id_column="id")
SCHEMA = TabularSchema.of(PROBLEM)


def numbers(count: int = 1_000, seed: int = 0) -> pa.Table:
    """y = 3 strong + weak; copy is weak once more, and noise is noise."""
    random = np.random.default_rng(seed)
    strong, weak, noise = random.normal(size=(3, count))
    ids = [f"n{place}" for place in random.permutation(count)]
    y = 3 * strong + weak + random.normal(0, 0.1, count)
    return pa.table({"id": ids, "strong": strong, "weak": weak, "copy": np.exp(weak), "noise": noise, "y": y})


@pytest.fixture(scope="module")
def forest() -> Any:
    return RandomForest(RandomForestConfig(20)).fit(
        PROBLEM, numbers(), numbers(seed=1), FitContext(threads=1)
    )


def rows_of(table: pa.Table, problem: Problem = PROBLEM) -> TabularRows:
    return TabularRows.of(table, problem)


def generator() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize("kind", [BINARY, MULTICLASS, REGRESSION])
@pytest.mark.parametrize("which", ["net", "forest", "xgboost", "ensemble"])
def test_every_model_has_figures_with_names_of_their_own(which: str, kind: str) -> None:
    found = figures_of(fitted(which, kind), TRAIN, VALID)
    names = [figure.name for figure in found]
    assert len(set(names)) == len(names)
    assert {"importance", "leakage", "top_losses", "contributions", "redundant_columns", "domain"} <= {*names}
    assert ("embedding_when_week" in names) == (which == "net")
    assert all(figure.sentence.endswith(".") or "?" in figure.sentence for figure in found)


def test_several_labels_and_no_validation_rows() -> None:
    model = fitted("net", MULTILABEL)
    assert figures_of(model, TRAIN, VALID.slice(0, 0)) == []
    assert figures_of(model, TRAIN, VALID)[0].name == "importance"


def test_few_rows_are_enough_for_what_can_be_said_of_few() -> None:
    found = figures_of(fitted("forest", BINARY), TRAIN.slice(0, 20), VALID.slice(0, 3))
    assert "contributions" in {figure.name for figure in found}


def test_more_rows_than_are_looked_at_are_sampled() -> None:
    part = Part.sample(numbers(ROWS + 100), PROBLEM)
    assert len(part.rows) == ROWS
    assert (np.diff(part.places) > 0).all()
    assert part.ids(PROBLEM) == part.table.column("id").to_pylist()
    assert part.ids(replace(PROBLEM, id_column=""))[0] == str(part.places[0])


def test_what_matters_comes_first_and_noise_last(forest: Any) -> None:
    found = importance(forest, rows_of(numbers(seed=1)), generator())
    assert found.names[0] == "strong"
    assert found.growth[0] == pytest.approx(18, rel=0.3)  # twice the variance of 3 strong
    assert found.growth[list(found.names).index("noise")] < 0.2
    assert (found.lower <= found.growth).all()
    assert (found.growth <= found.upper).all()


def test_a_column_and_its_monotone_copy_are_joined_first() -> None:
    correlation = rank_correlation(column_matrix(rows_of(numbers()), SCHEMA))
    assert correlation[1, 2] == pytest.approx(1)
    assert abs(correlation[0, 3]) < 0.1
    figure = redundancy_figure(SCHEMA, rows_of(numbers()))
    assert isinstance(figure.body, Dendrogram)
    assert figure.body.merges[0][:2] == (1, 2)
    assert figure.body.merges[0][2] == pytest.approx(0, abs=1e-12)
    assert figure.sentence.startswith("weak and copy say nearly the same")


def test_missing_and_constant_columns_are_like_no_other() -> None:
    matrix = np.array([[1.0, 5.0, np.nan], [2.0, 5.0, np.nan], [np.nan, 5.0, np.nan]])
    assert rank_correlation(matrix).tolist() == np.eye(3).tolist()


def test_a_column_that_gives_the_answer_away_is_suspected_by_name(forest: Any) -> None:
    train, valid = (Part.sample(numbers(seed=seed), PROBLEM) for seed in (0, 1))
    found = leakage(forest.spec, train, valid)
    assert found.names[0] == "strong"
    assert list(found.suspects) == ["strong"]
    assert "Look for a leak: strong tells nearly all" in leakage_figure(found).sentence
    few = Part.sample(numbers(20), PROBLEM)
    assert "too few rows" in leakage_figure(leakage(forest.spec, few, few)).sentence


def test_an_id_that_tells_something_is_suspected() -> None:
    def sorted_by_y(seed: int) -> Part:
        table = numbers(seed=seed).sort_by("y")
        ids = pa.array([f"n{place}" for place in range(1_000)])
        return Part.sample(table.set_column(0, "id", ids), PROBLEM)

    spec = RandomForest(RandomForestConfig(2)).fit(PROBLEM, numbers(), numbers(), CONTEXT).spec
    suspects = leakage(spec, sorted_by_y(0), sorted_by_y(1)).suspects
    assert suspects["id"] == suspects["the order of the rows"] == "should tell nothing and does"


def test_parts_that_are_alike_and_parts_that_are_not() -> None:
    train, valid = rows_of(numbers()), rows_of(numbers(seed=1))
    alike = train_or_validation(SCHEMA, train, valid)
    assert alike.auc.value == pytest.approx(0.5, abs=0.06)
    assert "look alike" in domain_figure(alike).sentence
    moved = valid.with_column(SCHEMA, "noise", valid.column(SCHEMA, "noise") + 2)
    apart = train_or_validation(SCHEMA, train, moved)
    assert apart.auc.lower > 0.85
    assert apart.names[0] == "noise"
    assert "most by noise" in domain_figure(apart).sentence
    assert "too few rows" in domain_figure(train_or_validation(SCHEMA, train, valid.take(range(9)))).sentence


def test_a_partial_dependence_has_the_slope_of_what_was_learnt(forest: Any) -> None:
    body = partial_dependence(forest, rows_of(numbers(seed=1)), "strong", generator()).body
    assert isinstance(body, Lines)
    name, line = body.lines[0]
    assert name == "mean"
    assert np.polyfit(body.x, line, 1)[0] == pytest.approx(3, rel=0.2)
    assert len(body.lines) == 1 + 6


def test_contributions_of_trees_add_up_to_what_is_predicted(forest: Any) -> None:
    rows = rows_of(numbers(seed=1)).take(range(20))
    pushes, unit = contributions(forest, rows, rows, 0, generator())
    assert unit == "its own unit"
    assert pushes.sum(1) + forest.nodes().expected[0] == pytest.approx(forest.predict(rows), abs=1e-4)
    assert np.corrcoef(pushes[:, 0], rows.numeric[:, 0])[0, 1] > 0.95


def test_sampled_shapley_values_add_up_and_are_exact_for_a_sum() -> None:
    problem = replace(PROBLEM, inputs=NUMBERS[:2])
    config = TabularNetConfig(epochs=30, batch_size=64, hidden_sizes=(32,), dropout=0.0)
    net = TabularNet(config).fit(problem, numbers(), numbers(seed=1), CONTEXT)
    train, rows = rows_of(numbers(), problem), rows_of(numbers(seed=1), problem).take(range(10))
    found = sampled_shapley(net, train, rows, 0, generator(), permutations=200)
    assert found == pytest.approx(np.stack([3 * rows.numeric[:, 0], rows.numeric[:, 1]], 1), abs=0.7)
    assert found.sum(1) == pytest.approx(net.predict(rows) - net.predict(train).mean(), abs=0.8)


def test_only_models_of_several_have_a_spread(forest: Any) -> None:
    rows = rows_of(VALID, PROBLEMS[BINARY])
    assert spread(fitted("net", BINARY), rows) is None
    apart = spread(fitted("ensemble", BINARY), rows)
    assert apart is not None
    assert apart.shape == (400, 1)
    table = figures_of(forest, numbers(), numbers(seed=1))[-3].body
    assert isinstance(table, Table)
    assert table.columns[2] == "models within are apart by"
    assert all(row[2] > 0 for row in table.rows)  # type: ignore[operator]


def test_a_plane_keeps_all_of_what_lies_in_a_plane() -> None:
    flat = np.random.default_rng(0).normal(size=(20, 2)) @ np.random.default_rng(1).normal(size=(2, 7))
    places, kept = principal_plane(flat)
    assert kept == pytest.approx(1)
    assert np.linalg.norm(places[3] - places[8]) == pytest.approx(np.linalg.norm(flat[3] - flat[8]))
    assert principal_plane(np.ones((3, 1)))[0].tolist() == [[0, 0]] * 3


def test_embeddings_are_named_by_their_values() -> None:
    figures = {figure.name: figure for figure in figures_of(fitted("net", BINARY), TRAIN, VALID)}
    body = figures["embedding_when_hour"].body
    assert isinstance(body, Points)
    assert body.names == tuple(str(hour) for hour in range(24))
