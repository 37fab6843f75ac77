"""What the settings of a fit come to."""

import math
from typing import Any

import pytest
import torch
from torch import nn

from models.callbacks.base import Callback
from models.callbacks.freezing import GradualUnfreezing
from models.configs import FitConfig
from models.learner import Learner
from models.optimizers import CHAINS
from models.progress import Progress, TrainingFailed
from models.recipe import FitContext
from models.schedules import SCHEDULES
from models.training import fit_net, out_of_memory_explained
from tests.unit.models.small_nets import Batches, accuracy, groups, loss, new_net


class Watch(Callback):
    """Notes rates, momenta and gradients of every batch of training."""

    def __init__(self) -> None:
        self.rates: list[list[float]] = []
        self.momenta: list[float] = []
        self.norms: list[float] = []
        self.stepped = 0

    def before_step(self, learner: Learner) -> None:
        settings = learner.optimizer.param_groups
        self.rates.append([group["lr"] for group in settings])
        self.momenta.append(settings[0].get("momentum", settings[0].get("betas", (math.nan,))[0]))

    def after_step(self, learner: Learner) -> None:
        self.stepped += 1
        gradients = [weight.grad.norm() for weight in learner.model.parameters() if weight.grad is not None]
        self.norms.append(float(torch.stack(gradients).norm()))


def fit(net: nn.Module | None = None, batches: Any = None, **settings: Any) -> tuple[list[Progress], Watch]:
    watch, told = Watch(), list[Progress]()
    config = FitConfig(**{"epochs": 3, "learning_rate": 0.02, **settings})
    net = net or new_net()
    context = FitContext(device="cpu", on_progress=told.append)
    parts = groups(net) if len(list(net.children())) == 2 else None  # type: ignore[arg-type]
    fit_net(
        net,
        batches or Batches(),
        loss,
        config,
        context,
        name="net",
        metrics=accuracy,
        groups=parts,
        callbacks=[watch],
    )
    return told, watch


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_optimizer_learns_under_every_schedule(name: str, schedule: str) -> None:
    rate = {"sgd": 0.5, "momentum": 0.1}.get(name, 0.02)
    net = new_net()
    told, _ = fit(net, optimizer=name, schedule=schedule, learning_rate=rate, epochs=6)
    assert told[-1].metrics["accuracy"] > 0.85
    assert told[-1].fraction_done == 1.0
    assert told[-1].validation_loss < 0.5
    assert not net.training


def test_groups_learn_at_rates_from_deep_to_head() -> None:
    _, watch = fit(rate_division=100.0, schedule="constant")
    assert watch.rates[0] == pytest.approx([0.0002, 0.02])


def test_fine_tuning_freezes_the_body_but_its_normalisation_then_halves_the_rate() -> None:
    net = new_net()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    learnt: list[set[str]] = []

    class Compare(Callback):
        def after_epoch(self, learner: Learner) -> None:
            state = learner.model.state_dict()
            learnt.append({name for name, value in state.items() if not torch.equal(value, before[name])})

    context, config = FitContext(device="cpu"), FitConfig(epochs=1, frozen_epochs=2, learning_rate=0.02)
    watch = Watch()
    callbacks = [Compare(), watch]
    fit_net(net, Batches(), loss, config, context, name="net", groups=groups(net), callbacks=callbacks)
    body = {"0.0.weight", "0.0.bias"}
    assert len(learnt) == 3
    assert not learnt[0] & body
    assert not learnt[1] & body
    assert {"0.1.weight", "1.0.weight"} <= learnt[1]
    assert body <= learnt[2]
    rates = [head for _, head in watch.rates]
    assert max(rates[:16]) == pytest.approx(0.02, rel=0.01)
    assert max(rates[16:]) == pytest.approx(0.01, rel=0.05)
    assert all(parameter.requires_grad for parameter in net.parameters())


def test_gradual_unfreezing_wakes_one_group_after_the_other() -> None:
    net = new_net()
    awake: list[list[bool]] = []

    class Note(Callback):
        def before_train(self, learner: Learner) -> None:
            awake.append([next(iter(group)).requires_grad for group in parts])

    net = nn.Sequential(
        *(nn.Linear(10, 10) for _ in range(2)), nn.Sequential(nn.Linear(10, 1), nn.Flatten(0))
    )
    parts = [list(part.parameters()) for part in net]
    fit_net(
        net, Batches(), loss, FitConfig(epochs=5, learning_rate=0.01), FitContext(device="cpu"), name="net",
        groups=parts, callbacks=[GradualUnfreezing(parts, epochs_each=2), Note()],
    )  # fmt: skip
    assert awake == [[False, False, True]] * 2 + [[False, True, True]] * 2 + [[True, True, True]]


def test_momentum_goes_against_the_rate_in_a_cycle() -> None:
    for name in ("adamw", "momentum"):
        _, watch = fit(optimizer=name)
        fastest = max(range(len(watch.rates)), key=lambda step: watch.rates[step][0])
        assert watch.momenta[fastest] == min(watch.momenta) == pytest.approx(0.85)
        assert watch.momenta[0] == pytest.approx(0.95)


def test_accumulated_batches_are_as_one_large_batch() -> None:
    """Without normalisation and dropout, the weights are those of batches four times as large; the last one,
    of two small batches, ends the epoch.
    """

    def net() -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(10, 1), nn.Flatten(0))

    settings = {"schedule": "constant", "optimizer": "sgd", "learning_rate": 0.1}
    small, large = net(), net()
    rows = 8 * 32 + 2 * 32
    _, watch = fit(small, Batches(rows, size=32), accumulated_batches=4, **settings)
    fit(large, Batches(rows, size=4 * 32), **settings)
    assert watch.stepped == 3 * 3
    for found, expected in zip(small.parameters(), large.parameters(), strict=True):
        torch.testing.assert_close(found, expected)


def test_gradients_are_clipped_all_together() -> None:
    _, free = fit()
    _, clipped = fit(gradient_clip=0.05)
    assert max(free.norms) > 0.06
    assert max(clipped.norms) == pytest.approx(0.05, rel=1e-3)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_learns_and_its_weights_stay_whole(precision: str) -> None:
    net = new_net()
    told, watch = fit(net, precision=precision, epochs=6, gradient_clip=1.0, accumulated_batches=2)
    assert told[-1].metrics["accuracy"] > 0.85
    assert max(watch.norms) < 1.01
    assert all(parameter.dtype == torch.float32 for parameter in net.parameters())


def test_a_loss_that_is_no_number_ends_the_fit_with_a_reason() -> None:
    batches = Batches()
    batches.inputs[5, 3] = math.nan
    with pytest.raises(TrainingFailed, match="no number in epoch 1"):
        fit(batches=batches)


def test_lacking_memory_is_told_with_a_smaller_batch() -> None:
    with (
        pytest.raises(TrainingFailed, match=r"batch of 64\. Try a batch_size of 32"),
        out_of_memory_explained(64),
    ):
        torch.empty(2**55)
    with pytest.raises(TrainingFailed), out_of_memory_explained(1):
        raise torch.OutOfMemoryError("CUDA out of memory")
    with pytest.raises(RuntimeError, match="another"), out_of_memory_explained(1):
        raise RuntimeError("another")


def test_metrics_of_callbacks_are_told_with_the_others() -> None:
    class Count(Callback):
        def before_validate(self, learner: Learner) -> None:
            learner.metrics["answer"] = 42.0

    told: list[Progress] = []
    fit_net(
        new_net(), Batches(), loss, FitConfig(epochs=1, learning_rate=0.01),
        FitContext(device="cpu", on_progress=told.append), name="net", metrics=accuracy, callbacks=[Count()],
    )  # fmt: skip
    assert told[-1].metrics["answer"] == 42.0
    assert 0 < told[-1].metrics["accuracy"] <= 1


def test_the_target_may_be_many_tensors_and_the_prediction_too() -> None:
    """As mixed pairs of rows have: two targets and how much of each."""

    class Mixed(Batches):
        def train(self, epoch: int) -> Any:
            return [(x, (y, y.flip(0), torch.full_like(y, 0.9))) for x, y in super().train(epoch)]

    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = new_net()

        def forward(self, inputs: torch.Tensor) -> Any:
            return self.net(inputs), inputs

    def mixed_loss(prediction: Any, target: Any) -> torch.Tensor:
        if isinstance(target, tuple):
            first, second, share = target
            return loss(prediction[0], first * share + second * (1 - share))
        return loss(prediction[0], target)

    told: list[Progress] = []
    context = FitContext(device="cpu", on_progress=told.append)
    config = FitConfig(epochs=6, learning_rate=0.02)
    fit_net(Pair(), Mixed(), mixed_loss, config, context, name="net", metrics=accuracy)
    assert told[-1].metrics["accuracy"] > 0.8
