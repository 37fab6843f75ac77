"""Where a net looks: class activation maps, at any layer that keeps a picture's height and width.

CAM: Zhou and others, "Learning Deep Features for Discriminative Localization", CVPR 2016. Grad-CAM: Selvaraju
and others, "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization", ICCV 2017, by
captum. A net comes back as it was: its hooks removed, its mode and its gradients as before.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

Heat = npt.NDArray[np.float32]
"""`(N, h, w)`, in the layer's resolution; 0 or more: what speaks against the class is cut off."""


def class_activation_map(
    net: nn.Module, inputs: Tensor, classes: npt.ArrayLike, *, layer: nn.Module | str, weight: Tensor
) -> Heat:
    """The activations of `layer`, weighted as the last linear layer weights them for each row's class.

    It is exact for a net that ends in average pooling and one linear layer with `weight` `(C, K)`; for any
    other use `grad_cam`. `inputs` `(N, ...)`, `classes` int `(N,)`. Raises `ValueError` when the layer's
    output is not `(N, K, h, w)`.
    """
    found = _layer(net, layer)
    with _evaluating(net), kept_output(found) as outputs, torch.no_grad():
        net(inputs)
    activation = outputs[0]
    if activation.dim() != 4 or activation.shape[1] != weight.shape[1]:
        raise ValueError(
            f"the layer gives {tuple(activation.shape)}; a map needs (N, {weight.shape[1]}, h, w)"
        )
    chosen = weight.detach()[torch.as_tensor(np.asarray(classes, np.int64))]
    heat = torch.einsum("nk,nkhw->nhw", chosen.float(), activation.float())
    return _as_heat(heat.relu())


def grad_cam(
    net: nn.Module, inputs: Tensor, classes: npt.ArrayLike, *, layer: nn.Module | str | None = None
) -> Heat:
    """Grad-CAM of each row's class at `layer` (a module, its dotted name, or the last spatial one).

    `inputs` `(N, ...)`, `classes` int `(N,)`. The net gives logits `(N, C)`, or `(N,)` or `(N, 1)` for one of
    two classes.
    """
    from captum.attr import LayerGradCam

    found = last_spatial_layer(net, inputs[:1]) if layer is None else _layer(net, layer)
    asked = inputs.detach().requires_grad_(inputs.is_floating_point())
    target = torch.as_tensor(np.asarray(classes, np.int64), device=inputs.device)
    with _evaluating(net), torch.enable_grad():
        heat = LayerGradCam(_logits_of_all(net), found).attribute(asked, target, relu_attributions=True)
    return _as_heat(heat.squeeze(1))


def last_spatial_layer(net: nn.Module, inputs: Tensor) -> nn.Module:
    """The last innermost module to run whose output is `(N, K, h, w)` with more than one place.

    Raises `ValueError` when there is none.
    """
    spatial: list[nn.Module] = []

    def note(module: nn.Module, given: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.dim() == 4 and output.shape[2] * output.shape[3] > 1:
            spatial.append(module)

    handles = [module.register_forward_hook(note) for module in net.modules() if not any(module.children())]
    try:
        with _evaluating(net), torch.no_grad():
            net(inputs)
    finally:
        for handle in handles:
            handle.remove()
    if not spatial:
        raise ValueError("no layer of the net keeps height and width, so there is no map to draw")
    return spatial[-1]


@contextmanager
def kept_output(layer: nn.Module) -> Iterator[list[Tensor]]:
    """What `layer` gives at each call within the block, in order."""
    outputs: list[Tensor] = []
    handle = layer.register_forward_hook(lambda module, given, output: outputs.append(output.detach()))
    try:
        yield outputs
    finally:
        handle.remove()


@contextmanager
def _evaluating(net: nn.Module) -> Iterator[None]:
    """The net in evaluation mode within the block; each part's mode is restored after it."""
    modes = [(module, module.training) for module in net.modules()]
    net.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def _layer(net: nn.Module, layer: nn.Module | str) -> nn.Module:
    return net.get_submodule(layer) if isinstance(layer, str) else layer


def _logits_of_all(net: nn.Module) -> Callable[[Tensor], Tensor]:
    """The net with a logit for each class: one alone, `z`, becomes `[-z, z]`: its gradients are the same."""

    def logits(inputs: Tensor) -> Tensor:
        given: Tensor = net(inputs)
        if given.dim() == 2 and given.shape[1] > 1:
            return given
        positive = given.reshape(len(given), 1)
        return torch.cat([-positive, positive], 1)

    return logits


def _as_heat(heat: Tensor) -> Heat:
    array: Heat = heat.detach().float().cpu().numpy()
    return array
