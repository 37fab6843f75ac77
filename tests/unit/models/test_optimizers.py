"""The chains give what torch's optimizers give."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from models.optimizers import CHAINS, Chained, chained, decay, make_optimizer

Make = Callable[[Any], torch.optim.Optimizer]
RATE, DECAY = 0.03, 0.1
PEERS: dict[str, Make] = {
    "sgd": lambda p: torch.optim.SGD(p, lr=RATE, weight_decay=DECAY),
    "momentum": lambda p: torch.optim.SGD(p, lr=RATE, weight_decay=DECAY, momentum=0.9),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=RATE, weight_decay=DECAY),
    "adam": lambda p: torch.optim.Adam(p, lr=RATE, weight_decay=DECAY),
    "adamw": lambda p: torch.optim.AdamW(p, lr=RATE, weight_decay=DECAY),
}


def trained(make: Make, steps: int = 30, frozen_steps: int = 0) -> list[torch.Tensor]:
    """Weights, float64, after steps of which the first layer sees all but the first `frozen_steps`."""
    generator = torch.Generator().manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1)).double()
    for parameter in net.parameters():
        nn.init.normal_(parameter, generator=generator)
    optimizer = make(list(net.parameters()))
    for step in range(steps):
        net[0].requires_grad_(step >= frozen_steps)
        inputs = torch.randn(16, 4, generator=generator, dtype=torch.float64)
        (net(inputs) - inputs.sum(1, keepdim=True)).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return [parameter.detach() for parameter in net.parameters()]


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("frozen_steps", [0, 10])
def test_a_chain_is_torchs_optimizer(name: str, frozen_steps: int) -> None:
    ours = trained(lambda p: chained(name, p, rate=RATE, weight_decay=DECAY), frozen_steps=frozen_steps)
    for found, expected in zip(ours, trained(PEERS[name], frozen_steps=frozen_steps), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", CHAINS)
def test_what_a_plan_names_is_the_chain_of_that_name(name: str) -> None:
    by_name = trained(lambda p: make_optimizer(name, [p[:2], p[2:]], rate=RATE, weight_decay=DECAY))
    for found, expected in zip(
        by_name, trained(lambda p: chained(name, p, rate=RATE, weight_decay=DECAY)), strict=True
    ):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_an_unknown_name_is_told_which_there_are() -> None:
    with pytest.raises(ValueError, match="adamw"):
        make_optimizer("adagrad", [[nn.Parameter(torch.ones(1))]], rate=1.0, weight_decay=0.0)


def test_a_chain_takes_a_step_of_ones_own() -> None:
    """Sign descent with decoupled decay, by one function more."""
    weight = nn.Parameter(torch.tensor([2.0, -2.0]))
    optimizer = Chained(
        [weight],
        [decay, lambda weights, update, state, group: [one.sign() for one in update]],
        lr=0.1,
        weight_decay=0.5,
    )
    weight.grad = torch.tensor([7.0, -0.01])
    optimizer.step()
    torch.testing.assert_close(weight.detach(), torch.tensor([2 * 0.95 - 0.1, -2 * 0.95 + 0.1]))


def test_a_chains_state_goes_into_a_checkpoint_and_back() -> None:
    def run(optimizer: Chained, weight: nn.Parameter, steps: int) -> None:
        for _ in range(steps):
            weight.grad = weight.detach() ** 2
            optimizer.step()

    whole = nn.Parameter(torch.ones(3))
    run(chained("adam", [whole], rate=0.1), whole, 8)
    first = nn.Parameter(torch.ones(3))
    before = chained("adam", [first], rate=0.1)
    run(before, first, 3)
    second = nn.Parameter(first.detach().clone())
    after = chained("adam", [second], rate=0.1)
    after.load_state_dict(before.state_dict())
    run(after, second, 5)
    assert torch.equal(whole, second)
