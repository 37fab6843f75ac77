import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.configs import FitConfig
from models.figures import Lines
from models.finder import NO_FALL, RateFound, found_in, the_fall
from models.progress import TrainingFailed, TrainingStopped
from models.recipe import FitContext
from models.training import fit_net
from tests.unit.models.small_nets import Batches, groups, loss, new_net

RATES = tuple(np.geomspace(1e-7, 10, 100).tolist())


def find(net: Any, loss: Any = loss, **context: Any) -> Any:
    with pytest.raises(RateFound) as raised:
        fit_net(
            net, Batches(), loss, FitConfig(), FitContext(device="cpu", find_only=True, **context), name="net"
        )
    return raised.value.found


def test_it_finds_a_rate_that_learns_and_leaves_net_and_random_state_alone() -> None:
    net = new_net().train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    found = find(net, seed=3)
    after_state = torch.get_rng_state()
    torch.manual_seed(3)
    assert torch.equal(torch.get_rng_state(), after_state)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(parameter.grad is None for parameter in net.parameters())
    assert net.training
    assert 1e-3 < found.valley < 0.3
    assert found.valley < found.steep
    assert min(found.losses) < 0.8 * found.losses[0]


def test_a_rate_of_zero_is_the_valley_and_its_curve_is_shown() -> None:
    figures: list[Any] = []
    fit = fit_net(
        new_net(),
        Batches(),
        loss,
        FitConfig(epochs=1),
        FitContext(device="cpu", on_figure=figures.append),
        name="net",
    )
    assert fit.learning_rate == find(new_net()).valley
    assert fit.finder_losses
    assert isinstance(figures[0].body, Lines)
    assert f"{fit.learning_rate:.2g}" in figures[0].sentence


def test_a_resumed_fit_takes_the_rate_that_was_found_before(tmp_path: Path) -> None:
    def fit(folder: Path, **context: Any) -> tuple[float, Any]:
        net, config = new_net(), FitConfig(epochs=2)
        around = FitContext(device="cpu", checkpoint_folder=folder, **context)
        return fit_net(net, Batches(), loss, config, around, name="net").learning_rate, net.state_dict()

    asked = iter(range(110))
    with pytest.raises(TrainingStopped):
        fit(tmp_path / "broken", should_stop=lambda: next(asked, None) is None)
    rate, weights = fit(tmp_path / "broken")
    whole_rate, whole_weights = fit(tmp_path / "whole")
    assert rate == whole_rate
    assert all(torch.equal(value, whole_weights[name]) for name, value in weights.items())


def test_frozen_parts_stay_frozen_in_the_sweep() -> None:
    seen = []
    net = new_net()

    def watched(prediction: Any, target: Any) -> Any:
        seen.append([parameter.requires_grad for group in groups(net) for parameter in group])
        return loss(prediction, target)

    context = FitContext(device="cpu", find_only=True)
    with pytest.raises(RateFound):
        fit_net(net, Batches(), watched, FitConfig(frozen_epochs=1), context, name="net", groups=groups(net))
    # The linear layer of the body is frozen, its normalisation and the head are not.
    assert seen[0] == [False, False, True, True, True, True]
    assert all(parameter.requires_grad for parameter in net.parameters())


def test_a_loss_that_is_no_number_is_told_with_what_to_try() -> None:
    with pytest.raises(TrainingFailed, match="learning_rate"):
        fit_net(
            new_net(),
            Batches(),
            lambda prediction, target: prediction.mean() * math.nan,
            FitConfig(),
            FitContext(device="cpu"),
            name="net",
        )


def test_it_can_be_stopped() -> None:
    with pytest.raises(TrainingStopped):
        fit_net(
            new_net(),
            Batches(),
            loss,
            FitConfig(),
            FitContext(device="cpu", should_stop=lambda: True),
            name="net",
        )


def test_the_suggestions_of_a_clear_curve() -> None:
    """Flat to place 40, down by 1 to place 60, up."""
    losses = [2.0] * 41 + [2.0 - step / 20 for step in range(1, 21)] + [1.0 + step for step in range(1, 5)]
    found = found_in(RATES[: len(losses)], losses)
    assert the_fall(losses) == (41, 58, 60)
    assert found.valley == pytest.approx(math.sqrt(RATES[41] * RATES[58]))
    assert found.minimum == pytest.approx(RATES[60] / 10)
    assert RATES[40] <= found.steep <= RATES[60]


def test_where_nothing_is_learnt_a_cautious_rate_is_suggested() -> None:
    rising = [1.0 + place / 100 for place in range(50)]
    assert found_in(RATES[:50], rising).valley == NO_FALL


@given(st.lists(st.floats(-5, 5), min_size=10, max_size=100))
def test_suggestions_lie_within_the_sweep_in_the_order_of_the_fall(losses: list[float]) -> None:
    fall = the_fall(losses)
    if fall is None:
        return
    first, last, least = fall
    assert 0 <= first <= last <= least < len(losses)
    found = found_in(RATES[: len(losses)], losses)
    assert RATES[first] * 0.999 <= found.valley <= RATES[last] * 1.001
    assert RATES[first] <= found.steep <= RATES[least]
