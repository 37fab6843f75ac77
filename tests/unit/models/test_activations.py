from typing import Any

import pytest
import torch
from torch import nn

from models.callbacks.activations import LAYERS, NEAR_ZERO, layers_of
from models.configs import FitConfig
from models.figures import Figure, Lines, Matrix, Table
from models.recipe import FitContext
from models.training import fit_net
from tests.unit.models.small_nets import Batches, loss, new_net


def figures_of(net: nn.Module, **settings: Any) -> dict[str, Figure]:
    figures: list[Figure] = []
    config = FitConfig(**{"epochs": 2, "learning_rate": 0.01, **settings})
    fit_net(net, Batches(), loss, config, FitContext(device="cpu", on_figure=figures.append), name="net")
    return {figure.name: figure for figure in figures}


def test_each_layer_has_a_value_at_each_look() -> None:
    figures = figures_of(new_net())
    spread = figures["net_activation_spread"].body
    assert isinstance(spread, Lines)
    assert spread.x == tuple(map(float, range(16)))
    ((name, values),) = spread.lines
    assert name == "0.2"
    assert len(values) == 16
    # Half of a normalised layer, cut off at 0.
    assert values[0] == pytest.approx(0.58, abs=0.1)


def test_the_histograms_shares_add_up_to_one() -> None:
    histogram = figures_of(new_net())["net_activation_histogram"].body
    assert isinstance(histogram, Matrix)
    sums = torch.tensor(histogram.values).sum(0)
    torch.testing.assert_close(sums, torch.ones(16))
    assert len(histogram.rows) == len(histogram.values)


def test_a_unit_that_is_always_silent_is_counted_as_dead() -> None:
    net = new_net()
    with torch.no_grad():
        net[0][1].weight[:3] = 0
        net[0][1].bias[:3] = -1
    body = figures_of(net, learning_rate=1e-6)["net_dead_units"].body
    assert isinstance(body, Table)
    assert body.rows == (("0.2", 16, 3),)
    assert NEAR_ZERO < 0.001


def test_no_hook_is_left_and_weights_are_as_without_looking(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = new_net()
    figures_of(looked)
    assert not any(module._forward_hooks for module in looked.modules())
    plain = new_net()
    monkeypatch.setattr("models.callbacks.activations.layers_of", lambda net: [])
    figures_of(plain)
    for name, value in plain.state_dict().items():
        assert torch.equal(value, looked.state_dict()[name])


def test_layers_with_weights_are_taken_where_there_is_no_nonlinearity_and_a_few_of_many() -> None:
    assert [name for name, _ in layers_of(nn.Sequential(nn.Linear(2, 2), nn.Flatten()))] == ["0"]
    many = nn.Sequential(*(nn.ReLU() for _ in range(50)))
    names = [name for name, _ in layers_of(many)]
    assert len(names) == LAYERS
    assert (names[0], names[-1]) == ("0", "49")
