"""Optimizers: each a chain of small steps over all parameters of a group at once; and torch's own where
faster.

A chain begins with the gradients as the update. Each step may change the weights (decay), keep an average
beside them, or change the update; what is left at the end, times the rate, is taken from the weights:

    sgd       l2                                        update = g momentum  l2, accumulated
    Polyak 1964, in the form without damping rmsprop   l2, mean_square                           Hinton,
    lecture 6e of "Neural Networks for Machine Learning", 2012 adam      l2, adaptive_moments
    Kingma and Ba 2015 adamw     decay, adaptive_moments                   Loshchilov and Hutter 2019

All give what torch's give. On one core, over the weights of a net for tables, a step of torch's fused AdamW
took 81 us and of the chain 225; of momentum 114 by the chain and 127 by torch's unfused form, of RMSProp 193
and 184. So a plan's momentum and RMSProp are chains, and the others torch's fused forms. (Its fused momentum
fails when a layer that was frozen joins those that have momentum already.)
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

Tensors = list[Tensor]
State = list[dict[str, Any]]
Step = Callable[[Tensors, Tensors, State, dict[str, Any]], Tensors]
"""Takes weights, update, what is kept beside each weight, and the group's settings; gives the next update."""


def decay(weights: Tensors, update: Tensors, state: State, group: dict[str, Any]) -> Tensors:
    """Weight decay that the rest of the chain does not see: `w -= lr * weight_decay * w`."""
    if group["weight_decay"]:
        torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
    return update


def l2(weights: Tensors, update: Tensors, state: State, group: dict[str, Any]) -> Tensors:
    """Weight decay as a part of the gradient: `g + weight_decay * w`."""
    if not group["weight_decay"]:
        return update
    return _list(torch._foreach_add(update, weights, alpha=group["weight_decay"]))


def accumulated(weights: Tensors, update: Tensors, state: State, group: dict[str, Any]) -> Tensors:
    """The past updates, fading by `momentum`: `v = momentum * v + g`."""
    velocity = _kept("velocity", weights, state)
    torch._foreach_mul_(velocity, group["momentum"])
    torch._foreach_add_(velocity, update)
    return velocity


def mean_square(weights: Tensors, update: Tensors, state: State, group: dict[str, Any]) -> Tensors:
    """The update over the root of its mean square: `g / (sqrt(s) + eps)`, `s = alpha * s + (1 - alpha) *
    g**2`.
    """
    squares = _averaged_square("square", group["alpha"], weights, update, state)
    root = _list(torch._foreach_sqrt(squares))
    torch._foreach_add_(root, group["eps"])
    return _list(torch._foreach_div(update, root))


def adaptive_moments(weights: Tensors, update: Tensors, state: State, group: dict[str, Any]) -> Tensors:
    """The mean update over the root of the mean square, both corrected for having begun at 0:
    `m / (1 - beta1**t) / (sqrt(s / (1 - beta2**t)) + eps)`.
    """
    first, second = group["betas"]
    means = _kept("mean", weights, state)
    torch._foreach_lerp_(means, update, 1 - first)
    squares = _averaged_square("square", second, weights, update, state)
    for kept in state:
        kept["step"] = kept.get("step", 0) + 1
    root = _list(torch._foreach_sqrt(squares))
    torch._foreach_div_(root, [(1 - second ** kept["step"]) ** 0.5 for kept in state])
    torch._foreach_add_(root, group["eps"])
    torch._foreach_mul_(root, [1 - first ** kept["step"] for kept in state])
    return _list(torch._foreach_div(means, root))


CHAINS: dict[str, tuple[tuple[Step, ...], dict[str, Any]]] = {
    "sgd": ((l2,), {}),
    "momentum": ((l2, accumulated), {"momentum": 0.9}),
    "rmsprop": ((l2, mean_square), {"alpha": 0.99, "eps": 1e-8}),
    "adam": ((l2, adaptive_moments), {"betas": (0.9, 0.999), "eps": 1e-8}),
    "adamw": ((decay, adaptive_moments), {"betas": (0.9, 0.999), "eps": 1e-8}),
}


class Chained(torch.optim.Optimizer):
    """Steps by a chain. `settings` are those that its steps read, besides `lr` and `weight_decay`; groups may
    have their own. Parameters without a gradient (frozen ones) are left as they are, decay too.
    """

    def __init__(
        self, parameters: Any, steps: Sequence[Step], *, lr: float, weight_decay: float = 0.0, **settings: Any
    ) -> None:
        super().__init__(parameters, {"lr": lr, "weight_decay": weight_decay, **settings})
        self._steps = tuple(steps)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Changes the weights by their gradients. Closures are not for this kind of optimizer."""
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            if not weights:
                continue
            update: Tensors = [weight.grad for weight in weights]
            state = [self.state[weight] for weight in weights]
            for step in self._steps:
                update = step(weights, update, state, group)
            torch._foreach_add_(weights, update, alpha=-group["lr"])


def chained(
    name: str, parameters: Any, *, rate: float, weight_decay: float = 0.0, **settings: Any
) -> Chained:
    """The chain called `name` (a key of `CHAINS`); `settings` in the place of its own."""
    steps, own = CHAINS[name]
    return Chained(parameters, steps, lr=rate, weight_decay=weight_decay, **{**own, **settings})


def make_optimizer(
    name: str, groups: Sequence[Iterable[nn.Parameter]], *, rate: float, weight_decay: float
) -> torch.optim.Optimizer:
    """The optimizer that a plan calls `name`, with a parameter group for each of `groups`, in order."""
    parameters: list[dict[str, Any]] = [{"params": list(group)} for group in groups]
    if name == "adamw":
        return torch.optim.AdamW(parameters, lr=rate, weight_decay=weight_decay, fused=True)
    if name == "adam":
        return torch.optim.Adam(parameters, lr=rate, weight_decay=weight_decay, fused=True)
    if name == "sgd":
        return torch.optim.SGD(parameters, lr=rate, weight_decay=weight_decay, fused=True)
    if name not in CHAINS:
        raise ValueError(f"optimizer is {name!r}; must be one of {', '.join(CHAINS)}")
    return chained(name, parameters, rate=rate, weight_decay=weight_decay)


def _kept(name: str, weights: Tensors, state: State) -> Tensors:
    """What is kept under `name` beside each weight, 0 at first."""
    return [
        kept.setdefault(name, torch.zeros_like(weight)) if name not in kept else kept[name]
        for weight, kept in zip(weights, state, strict=True)
    ]


def _averaged_square(name: str, beta: float, weights: Tensors, update: Tensors, state: State) -> Tensors:
    """The mean of the squared updates, the past counting `beta`."""
    squares = _kept(name, weights, state)
    torch._foreach_mul_(squares, beta)
    torch._foreach_addcmul_(squares, update, update, value=1 - beta)
    return squares


def _list(tensors: Any) -> Tensors:
    return list(tensors)
