"""Optimizers by name, in the form that is fastest on the device."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn


def make_optimizer(
    name: str, groups: Sequence[Iterable[nn.Parameter]], *, rate: float, weight_decay: float
) -> torch.optim.Optimizer:
    """The optimizer that a plan calls `name`, with a parameter group for each of `groups`, in order."""
    parameters: list[dict[str, Any]] = [{"params": list(group)} for group in groups]
    if name == "adamw":
        return torch.optim.AdamW(parameters, lr=rate, weight_decay=weight_decay, fused=True)
    if name == "adam":
        return torch.optim.Adam(parameters, lr=rate, weight_decay=weight_decay, fused=True)
    if name == "rmsprop":
        return torch.optim.RMSprop(parameters, lr=rate, weight_decay=weight_decay, foreach=True)
    if name == "sgd":
        return torch.optim.SGD(parameters, lr=rate, weight_decay=weight_decay, fused=True)
    if name == "momentum":
        # The fused form breaks when a layer that was frozen joins those that have momentum already.
        return torch.optim.SGD(parameters, lr=rate, weight_decay=weight_decay, momentum=0.9, foreach=True)
    raise ValueError(f"optimizer is {name!r}; must be adamw, adam, sgd, momentum or rmsprop")
