import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from models.configs import GradientBoostingConfig, TabularNetConfig
from models.data.tabular import MISSING_CODE, TabularRows, TabularSchema
from models.metrics import auc
from models.progress import Progress, TrainingFailed, TrainingStopped
from models.tabular import fit_tabular_net
from models.trees import fit_gradient_boosting
from tests.unit.models.small_tables import SCHEMA, strange, table

NET = TabularNetConfig(epochs=4, batch_size=64, hidden_sizes=(16, 8))
TREES = GradientBoostingConfig(iterations=25, leaf_count=7)

Fit = Callable[..., Any]


def fit_net(train: TabularRows, valid: TabularRows, schema: TabularSchema = SCHEMA, **settings: Any) -> Any:
    return fit_tabular_net(train, valid, schema, NET, seed=1, device="cpu", **settings)


def fit_trees(train: TabularRows, valid: TabularRows, schema: TabularSchema = SCHEMA, **settings: Any) -> Any:
    return fit_gradient_boosting(train, valid, schema, TREES, seed=1, **settings)


both = pytest.mark.parametrize("fit", [fit_net, fit_trees])


@both
def test_it_learns_what_there_is_to_learn(fit: Fit) -> None:
    valid = table(400, seed=2)
    model = fit(table(2_000), valid)
    assert auc(valid.label, model.predict(valid)).value > 0.8
    assert model.predict(valid).dtype == np.float32


@both
def test_the_same_seed_gives_the_same_model(fit: Fit) -> None:
    valid = table(100, seed=2)
    assert np.array_equal(fit(table(), valid).predict(valid), fit(table(), valid).predict(valid))


@both
def test_progress_goes_from_nothing_to_all(fit: Fit) -> None:
    told: list[Progress] = []
    fit(table(), table(100, seed=2), on_progress=told.append)
    done = [progress.fraction_done for progress in told]
    assert done == sorted(done)
    assert done[-1] == 1
    assert told[-1].time_left_s == pytest.approx(0, abs=1e-6)
    assert told[-1].rows_per_s > 0
    assert 0 < told[-1].validation_loss < 1
    assert {"auc", "accuracy"} <= told[-1].metrics.keys()


@both
def test_it_stops_when_told_to(fit: Fit) -> None:
    with pytest.raises(TrainingStopped):
        fit(table(), table(100, seed=2), should_stop=lambda: True)


@both
def test_one_class_only_is_refused_with_advice(fit: Fit) -> None:
    rows = table()
    ones = TabularRows(rows.numeric, rows.code, rows.category, np.ones(len(rows), np.float32))
    with pytest.raises(TrainingFailed, match=r"same label.*Add rows of the other class"):
        fit(ones, table(100, seed=2))


@both
def test_no_rows_or_no_labels_are_refused(fit: Fit) -> None:
    with pytest.raises(TrainingFailed):
        fit(table(0), table(100, seed=2))
    rows = table()
    with pytest.raises(TrainingFailed, match="label"):
        fit(TabularRows(rows.numeric, rows.code, rows.category), table(100, seed=2))


@both
def test_no_validation_rows_is_fine(fit: Fit) -> None:
    told: list[Progress] = []
    model = fit(table(), table(0), on_progress=told.append)
    assert math.isnan(told[-1].validation_loss)
    assert model.predict(table(0)).shape == (0,)


@both
def test_validation_of_one_class_has_no_auc(fit: Fit) -> None:
    rows = table(100, seed=2)
    told: list[Progress] = []
    fit(table(), rows.take(np.flatnonzero(rows.label == 1)), on_progress=told.append)
    assert "auc" not in told[-1].metrics


@both
def test_a_column_that_is_all_missing_or_constant_does_no_harm(fit: Fit) -> None:
    rows = table()
    numeric, code, category = rows.numeric.copy(), rows.code.copy(), rows.category.copy()
    numeric[:, 0], numeric[:, 1], code[:, 1], category[:] = np.nan, 3.0, MISSING_CODE, ""
    model = fit(TabularRows(numeric, code, category, rows.label), table(100, seed=2))
    assert np.isfinite(model.predict(strange(table(50, seed=3)))).all()


@both
def test_more_categories_than_rows_and_unseen_ones(fit: Fit) -> None:
    rows = table(40)
    code = rows.code.copy()
    code[:, 0] = np.arange(40) * 1_000_003
    category = np.array([[f"sector {row}"] for row in range(40)], object)
    model = fit(TabularRows(rows.numeric, code, category, rows.label), table(20, seed=2))
    score = model.predict(strange(table(50, seed=3)))
    assert ((score >= 0) & (score <= 1)).all()


@both
@pytest.mark.parametrize("kind", ["numeric", "code", "category"])
def test_one_kind_of_column_alone(fit: Fit, kind: str) -> None:
    def only(rows: TabularRows) -> TabularRows:
        empty = {name: getattr(rows, name)[:, :0] for name in ("numeric", "code", "category")}
        return TabularRows(**{**empty, kind: getattr(rows, kind)}, label=rows.label)

    names = {name: getattr(SCHEMA, name) if name == kind else () for name in ("numeric", "code", "category")}
    schema = TabularSchema(**names, target="employed", positive_value="1", negative_value="0")
    assert np.isfinite(fit(only(table()), only(table(50, seed=2)), schema).predict(only(table(9)))).all()


def test_a_loss_that_is_no_number_is_named_with_its_place_and_what_to_try() -> None:
    config = TabularNetConfig(epochs=2, batch_size=64, learning_rate=1e30, hidden_sizes=(16, 8))
    with pytest.raises(
        TrainingFailed, match=r"no number in epoch \d, step \d+\. Try a tenth of the learning rate"
    ):
        fit_tabular_net(table(), table(50, seed=2), SCHEMA, config, seed=1, device="cpu")


def test_a_last_batch_of_one_row_is_left_out() -> None:
    fit_net(table(65), table(50, seed=2))
    rows = table()
    one_of_each = [int(np.argmin(rows.label)), int(np.argmax(rows.label))]  # type: ignore[arg-type]
    fit_net(rows.take(one_of_each), table(50, seed=2))


def test_unseen_codes_are_judged_like_the_average_of_the_seen() -> None:
    model = fit_net(table(), table(50, seed=2))
    net = model.net
    seen = net.table[2:10]
    assert np.allclose(net.table[0].detach(), seen.detach().mean(0), atol=0.02)
