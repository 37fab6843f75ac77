"""What happens inside while a net learns: mean, spread and histogram of each layer's activations over time,
and units that have died.

Activations that collapse to 0 or grow without bound show a rate that is too high or a bad initialisation long
before the loss does. Method: Howard and Gugger, "Deep Learning for Coders", chapter 13 (their colourful
dimension).
"""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from models.callbacks.base import Callback
from models.figures import Figure, Lines, Matrix, Table

if TYPE_CHECKING:
    from models.learner import Learner

# Looks over a fit, and layers that are looked at; with more layers, so many at equal distances.
LOOKS, LAYERS = 40, 8
# Values of a layer that are looked at in a batch, in whole rows and one row at least.
VALUES = 131_072
# Absolute values are counted by powers of two; below the lowest a value is "near 0".
LOWEST_POWER, HIGHEST_POWER = -10, 6
NEAR_ZERO = 2.0**LOWEST_POWER
NONLINEARITIES = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Mish, nn.Hardswish, nn.Sigmoid,
    nn.Tanh,
)  # fmt: skip


class Activations(Callback):
    """Looks at about 40 batches of a fit, one an epoch at least, and gives its figures to `on_figure` when
    the fit is over.

    Layers are the net's nonlinearities, or, in a net without such modules, its innermost modules with
    weights. Hooks are there during a look alone, which goes by the plain net where the fit goes by a compiled
    one.
    """

    order: ClassVar[int] = 40

    def __init__(self, name: str, on_figure: Callable[[Figure], None]) -> None:
        self._name = name
        self._on_figure = on_figure
        self._steps: list[int] = []
        self._seen: dict[str, list[list[float]]] = {}
        self._largest: dict[str, Tensor] = {}
        self._hooks: list[Any] = []
        self._forward: Callable[..., Any] | None = None

    def before_epoch(self, learner: "Learner") -> None:
        # A unit is dead by what it did in the last epoch alone, whole or taken up again.
        self._largest = {}

    def before_predict(self, learner: "Learner") -> None:
        every = max(min(learner.epoch_count * learner.batch_count // LOOKS, learner.batch_count), 1)
        if not learner.training or learner.step % every:
            return
        self._steps.append(learner.step)
        for name, layer in layers_of(learner.model):
            self._hooks.append(layer.register_forward_hook(self._looking_as(name)))
        # A compiled net knows of no hook that came after it.
        self._forward, learner.forward = (
            learner.forward,
            getattr(learner.forward, "_orig_mod", learner.forward),
        )

    def after_predict(self, learner: "Learner") -> None:
        if self._forward is None:
            return
        learner.forward, self._forward = self._forward, None
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()

    def after_fit(self, learner: "Learner") -> None:
        if learner.epoch == learner.epoch_count and self._seen:
            for figure in self.figures():
                self._on_figure(figure)

    def state(self) -> dict[str, Any]:
        return {"steps": list(self._steps), "seen": {name: list(rows) for name, rows in self._seen.items()}}

    def load_state(self, state: dict[str, Any]) -> None:
        self._steps, self._seen = state["steps"], state["seen"]

    def figures(self) -> list[Figure]:
        """Mean, spread and share near 0 of all layers over time, the last layer's histogram, dead units."""
        steps = tuple(map(float, self._steps))
        told = (
            ("mean", "Mean activation", "Lines that stay near one level learn; ones that run off do not."),
            ("spread", "Spread of activations", "A standard deviation near 1 keeps gradients alive."),
            (
                "near_zero",
                "Share near 0",
                f"Share of values below {NEAR_ZERO:.3f}: near 1, a layer is idle.",
            ),
        )
        figures = [
            Figure(
                f"{self._name}_activation_{what}",
                f"{title} of each layer over the fit",
                sentence,
                Lines(
                    steps,
                    tuple((name, self._column(name, place)) for name in self._seen),
                    "step",
                    title.lower(),
                ),
            )
            for place, (what, title, sentence) in enumerate(told)
        ]
        return [*figures, self._histogram(list(self._seen)[-1]), self._dead_units()]

    def _column(self, name: str, place: int) -> tuple[float, ...]:
        """One statistic of a layer at each look; NaN where the layer was not used."""
        values = [row[place] for row in self._seen[name]]
        return (*values, *[math.nan] * (len(self._steps) - len(values)))[: len(self._steps)]

    def _histogram(self, name: str) -> Figure:
        powers = range(LOWEST_POWER, HIGHEST_POWER + 1)
        rows = (f"below {NEAR_ZERO:.3g}", *(f"from {2.0**power:.3g}" for power in powers))
        values = tuple(zip(*(row[3:] for row in self._seen[name]), strict=True))
        return Figure(
            f"{self._name}_activation_histogram",
            f"Sizes of the activations of {name} over the fit",
            "Each column is a moment of the fit, each row a size; the share of activations of that size.",
            Matrix(rows, tuple(map(str, self._steps[: len(values[0])])), values, "size", "step"),
        )

    def _dead_units(self) -> Figure:
        rows = tuple(
            (name, len(largest), int((largest < NEAR_ZERO).sum())) for name, largest in self._largest.items()
        )
        return Figure(
            f"{self._name}_dead_units",
            "Units that were silent throughout the last epoch",
            "A unit (channel) whose activations all stayed near 0 in every batch looked at teaches nothing.",
            Table(("layer", "units", "dead"), rows),
        )

    def _looking_as(self, name: str) -> Callable[..., None]:
        def look(layer: nn.Module, inputs: Any, output: Any) -> None:
            values = output[0] if isinstance(output, tuple) else output
            if isinstance(values, Tensor) and values.is_floating_point() and values.ndim > 1 and len(values):
                rows = max(VALUES // max(values[0].numel(), 1), 1)
                with torch.no_grad():
                    self._note(name, values[:rows].detach().float())

        return look

    def _note(self, name: str, values: Tensor) -> None:
        """Takes in activations `(N, units, ...)`, or `(N, T, units)` of a sequence."""
        size = values.abs()
        powers = torch.log2(size.clamp(min=2.0 ** (LOWEST_POWER - 1))).floor().long()
        places = (powers - LOWEST_POWER + 1).clamp(0, HIGHEST_POWER - LOWEST_POWER + 1).flatten()
        shares = torch.bincount(places, minlength=HIGHEST_POWER - LOWEST_POWER + 2) / len(places)
        row = torch.stack([values.mean(), values.std(), shares[0], *shares]).tolist()
        self._seen.setdefault(name, []).append(row)
        unit = 2 if values.ndim == 3 else 1
        largest = size.amax([place for place in range(values.ndim) if place != unit]).cpu()
        before = self._largest.get(name)
        self._largest[name] = largest if before is None else torch.maximum(before, largest)


def layers_of(net: nn.Module) -> list[tuple[str, nn.Module]]:
    """The layers that are looked at, by name, in the order of the net."""
    leaves = [(name, module) for name, module in net.named_modules() if not list(module.children())]
    found = [pair for pair in leaves if isinstance(pair[1], NONLINEARITIES)]
    found = found or [(name, module) for name, module in leaves if list(module.parameters(recurse=False))]
    if len(found) <= LAYERS:
        return found
    return [found[round(place * (len(found) - 1) / (LAYERS - 1))] for place in range(LAYERS)]
