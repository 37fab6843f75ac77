"""A recommender finds the tastes that made the ratings, answers those who are new, and says what it was
given.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from models.collaborative import Collaborative, FittedCollaborative
from models.configs import CollaborativeConfig, FitConfig
from models.data.split import random_split
from models.figures import Bars, Points, Table
from models.progress import TrainingFailed, TrainingStopped
from models.recipe import FitContext, Problem, Target
from tests.unit.models.ratings_table import FILMS, PROBLEM, ratings

FIT = FitConfig(epochs=6, batch_size=64, learning_rate=0.02, weight_decay=0.1, precision="float32")
CONFIGS = {
    "dot_product": CollaborativeConfig(FIT, factor_count=8),
    "net": CollaborativeConfig(FIT, method="net", factor_count=8, hidden_sizes=(16,)),
}
CPU = FitContext(seed=1, device="cpu", threads=1)


def parts() -> tuple[pa.Table, pa.Table]:
    table = ratings()
    train, valid = random_split(table.num_rows, 0.2, 0)
    return table.take(pa.array(train)), table.take(pa.array(valid))


def fitted_on(problem: Problem, method: str = "dot_product") -> FittedCollaborative:
    return Collaborative(CONFIGS[method]).fit(problem, *parts(), CPU)


@pytest.fixture(scope="module", params=["dot_product", "net"])
def fitted(request: pytest.FixtureRequest) -> FittedCollaborative:
    return fitted_on(PROBLEM, request.param)


def test_it_finds_tastes_that_averages_cannot(fitted: FittedCollaborative) -> None:
    found = fitted.assess(*parts())
    # Noise alone has a squared error of 0.04; averages of user and film cannot know the taste, 0.64 more.
    assert found.metrics["mse"].value < 0.15
    assert found.metrics["mse_of_averages"].value > 0.5
    assert found.comparison.better
    assert "always the average rating" in found.comparison.statement
    assert found.row_quality is not None
    assert np.mean(found.row_quality**2) == pytest.approx(found.metrics["mse"].value)


@pytest.mark.parametrize("metric", ["mse", "mae", "rmse", "r2"])
def test_every_metric_of_numbers_is_compared(metric: str) -> None:
    fitted = fitted_on(PROBLEM)
    fitted.problem = replace(PROBLEM, metric=metric)
    found = fitted.assess(*parts())
    assert found.comparison.metric == metric
    assert found.comparison.model.value == pytest.approx(found.metrics[metric].value)
    assert found.comparison.better


def test_new_users_and_films_are_answered_from_what_describes_them(fitted: FittedCollaborative) -> None:
    film = ["film 30", "film 30", "film 31", "film 31"]
    new = pa.table(
        {
            "user": pa.array([None, 10**9, None, 10**9], pa.int64()),
            "film": film,
            "age": [20.0, 62.0, 22.0, 61.0],
            "genre": ["comedy", "comedy", "drama", "drama"],
        }
    )
    young_comedy, old_comedy, young_drama, old_drama = fitted.predict(new)
    assert young_comedy > old_comedy + 0.5
    assert old_drama > young_drama + 0.5


def test_predictions_stay_in_the_range() -> None:
    narrow = replace(PROBLEM, target=Target(("rating",), minimum=1.0, maximum=5.0))
    told = fitted_on(narrow).predict(ratings(500, seed=9))
    assert told.min() >= 1.0
    assert told.max() <= 5.0


def test_logarithmic_and_unbounded_targets_come_back_in_their_unit() -> None:
    for target in (Target(("rating",), logarithmic=True), Target(("rating",))):
        found = fitted_on(replace(PROBLEM, target=target)).assess(*parts())
        assert found.metrics["mse"].value < 0.2


def test_the_same_seed_gives_the_same_weights() -> None:
    first, second = fitted_on(PROBLEM), fitted_on(PROBLEM)
    assert torch.equal(first.net.table, second.net.table)


def test_what_is_saved_is_the_model(fitted: FittedCollaborative, tmp_path: Path) -> None:
    fitted.save(tmp_path)
    again = FittedCollaborative.load(tmp_path, PROBLEM)
    rows = ratings(200, seed=4, users=80)
    assert np.array_equal(again.predict(rows), fitted.predict(rows))


def test_figures_show_films_by_bias_and_taste(fitted: FittedCollaborative) -> None:
    bias, plane, neighbours = fitted.figures(*parts())
    assert isinstance(bias.body, Bars)
    # Of films that are rated often, those with high numbers are good.
    assert int(bias.body.names[0][-2:]) > FILMS / 2 > int(bias.body.names[-1][-2:])
    assert isinstance(plane.body, Points)
    assert len(plane.body.names) == FILMS
    genres = {name: int(name[-2:]) % 2 for name in plane.body.names}
    sides = {name: x > 0 for name, x in zip(plane.body.names, plane.body.x, strict=True)}
    assert len({(genres[name], sides[name]) for name in genres}) == 2
    assert isinstance(neighbours.body, Table)
    for film, nearest, *_ in neighbours.body.rows:
        assert int(str(film)[-2:]) % 2 == int(str(nearest).split(" (")[0][-2:]) % 2


def test_new_ones_in_validation_are_counted_in_a_warning() -> None:
    train, valid = parts()
    valid = pa.concat_tables([valid, ratings(20, seed=3, users=400)])
    found = Collaborative(CONFIGS["dot_product"]).fit(PROBLEM, train, valid, CPU).assess(train, valid)
    assert any("have a user that no training row has" in warning for warning in found.warnings)


def test_one_rating_or_one_user_only_is_refused() -> None:
    train, valid = parts()
    same = train.set_column(4, "rating", pa.array([3.0] * train.num_rows))
    with pytest.raises(TrainingFailed, match="Every training row has the rating 3"):
        Collaborative(CONFIGS["net"]).fit(PROBLEM, same, valid, CPU)
    alone = train.set_column(0, "user", pa.array([5] * train.num_rows, pa.int64()))
    with pytest.raises(TrainingFailed, match="user has 1 values in the training rows"):
        Collaborative(CONFIGS["net"]).fit(PROBLEM, alone, valid, CPU)


def test_it_stops_when_told() -> None:
    with pytest.raises(TrainingStopped):
        Collaborative(CONFIGS["net"]).fit(PROBLEM, *parts(), replace(CPU, should_stop=lambda: True))


def test_a_fit_that_was_stopped_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    asked = iter(range(1000))
    stopping = replace(CPU, checkpoint_folder=tmp_path, should_stop=lambda: next(asked) > 50)
    recipe = Collaborative(CONFIGS["net"])
    with pytest.raises(TrainingStopped):
        recipe.fit(PROBLEM, *parts(), stopping)
    resumed = recipe.fit(PROBLEM, *parts(), replace(CPU, checkpoint_folder=tmp_path))
    unbroken = recipe.fit(PROBLEM, *parts(), CPU)
    for name, weight in unbroken.net.state_dict().items():
        assert torch.equal(weight, resumed.net.state_dict()[name]), name
