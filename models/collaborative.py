"""Recommendations: what a user would give to an item, learnt from ratings; and answers about those who are
new.

The rows are read in `models.data.ratings`, the net is in `models.nets.collaborative`, and `models.cold_start`
says how users and items are answered that no training row has.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.baseline import BaselineComparison, compare_rows, compare_statistic
from models.callbacks.base import Callback
from models.cold_start import ColdStart
from models.configs import CollaborativeConfig
from models.data.columns import Values
from models.data.ratings import Rated, RatingSchema, Scale
from models.figures import Figure
from models.metrics import mae, mse, r2, rmse
from models.progress import TrainingFailed
from models.recipe import Assessment, FitContext, Parity, Problem

if TYPE_CHECKING:
    from torch import Tensor

    from models.learner import Learner
    from models.nets.collaborative import CollaborativeNet

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

KIND = "collaborative"
WEIGHTS, SPEC = "model.safetensors", "collaborative.json"
PREDICT_ROWS = 16_384
PARITY_ROWS = 10_000
# Share of the range of ratings by which ONNX Runtime may differ.
TOLERANCE = 1e-4
# An average is held back as if this many more ratings had been the overall average.
DAMPING = 5.0
SQUARE_MEMORY = 0.99
RULE = "always the average rating"


class Collaborative:
    """The recipe: REGRESSION from a user and an item."""

    name = KIND

    def __init__(self, config: CollaborativeConfig) -> None:
        self.config = config

    def fit(
        self, problem: Problem, train: pa.Table, valid: pa.Table, context: FitContext
    ) -> "FittedCollaborative":
        """See `models.recipe.Recipe`. Rows whose rating is missing or out of range are left out, up to a
        tenth.
        """
        import torch

        from models.data.batches import InMemory, ShuffledBatches
        from models.nets.collaborative import CollaborativeNet, CollaborativeSpec
        from models.training import fit_net

        known = Rated.of(train, problem, "training")
        held_out = Rated.of(valid, problem, "validation")
        schema = RatingSchema.of(problem, known.table)
        _check(known.rating)
        scale = Scale.of(problem.target)
        low, high = scale.bounds
        torch.manual_seed(context.seed)
        net = CollaborativeNet(
            CollaborativeSpec(
                user_count=len(schema.user.known),
                item_count=len(schema.item.known),
                factor_count=self.config.factor_count,
                centre=float(scale.learnt(known.rating).mean()),
                method=self.config.method,
                hidden_sizes=self.config.hidden_sizes or CollaborativeConfig.hidden_sizes,
                dropout=self.config.dropout,
                low=low,
                high=high,
            )
        )
        places = schema.places(known.table)
        batches = ShuffledBatches(
            InMemory(*_tensors(places, scale.learnt(known.rating))),
            InMemory(*_tensors(schema.places(held_out.table), scale.learnt(held_out.rating))),
            self.config.fit.batch_size,
            seed=context.seed,
        )
        fit_net(
            net,
            batches,
            _loss,
            self.config.fit,
            context,
            name=KIND,
            metrics=_metrics,
            callbacks=[ShortMemory()],
        )
        net.settle_unknown()
        table = net.table.detach().double().numpy()
        cold = (
            ColdStart.fit(schema.of_user, known.table, places[:, 0], table[1 : net.item_offset]),
            ColdStart.fit(schema.of_item, known.table, places[:, 1], table[net.item_offset + 1 :]),
        )
        return FittedCollaborative(net, schema, cold, scale, problem)


class FittedCollaborative:
    """A trained recommender; `cold` are the cold starts of users and of items. `net` is in evaluation
    mode.
    """

    kind = KIND

    def __init__(
        self,
        net: "CollaborativeNet",
        schema: RatingSchema,
        cold: tuple[ColdStart, ColdStart],
        scale: Scale,
        problem: Problem,
    ) -> None:
        self.net = net
        self.schema = schema
        self.cold = cold
        self.scale = scale
        self.problem = problem

    def predict(self, table: pa.Table) -> npt.NDArray[np.float32]:
        """Ratings in the target's unit and within its range, float32 `(N,)`."""
        import torch

        parts = []
        with torch.inference_mode():
            for start in range(0, table.num_rows, PREDICT_ROWS):
                part = table.slice(start, PREDICT_ROWS)
                places = self.schema.places(part)
                rows = self.net.rows(torch.from_numpy(places))
                for side, cold in enumerate(self.cold):
                    new = places[:, side] == 0
                    if cold and new.any():
                        rows[new, side] += torch.from_numpy(cold.moves(part.filter(pa.array(new)))).float()
                parts.append(self.scale.unit(self.net.rate(rows[:, 0], rows[:, 1]).double().numpy()))
        return np.concatenate(parts).astype(np.float32) if parts else np.empty(0, np.float32)

    def assess(self, train: pa.Table, valid: pa.Table) -> Assessment:
        """Beside always giving the average rating; and, as a metric, beside the averages of user and item."""
        known = Rated.of(train, self.problem, "training")
        held_out = Rated.of(valid, self.problem, "validation")
        rating, predicted = held_out.rating, self.predict(held_out.table).astype(float)
        metrics = {
            "mse": mse(rating, predicted),
            "rmse": rmse(rating, predicted),
            "mae": mae(rating, predicted),
            "r2": r2(rating, predicted),
            "mse_of_averages": mse(rating, self._averages(known, held_out.table)),
        }
        quality = np.full(len(held_out.kept), np.nan)
        quality[held_out.kept] = np.abs(rating - predicted)
        return Assessment(
            metrics,
            _compared(self.problem.metric, rating, predicted, np.full(len(rating), known.rating.mean())),
            row_quality=quality,
            row_quality_name="absolute_error",
            warnings=(*known.warnings, *held_out.warnings, *self._new_ones(held_out.table)),
        )

    def save(self, folder: Path) -> None:
        """Writes `model.safetensors` and `collaborative.json`."""
        from safetensors.torch import save_file

        save_file(self.net.state_dict(), folder / WEIGHTS)
        about = {
            "spec": self.net.spec.as_json(),
            "user": self.schema.user.as_json(),
            "item": self.schema.item.as_json(),
            "cold_start": {
                side: cold.as_json() for side, cold in zip(("user", "item"), self.cold, strict=True)
            },
            "scale": self.scale.as_json(),
        }
        (folder / SPEC).write_text(json.dumps(about, ensure_ascii=False))

    @classmethod
    def load(cls, folder: Path, problem: Problem) -> Self:
        """The model that `save` wrote into `folder`."""
        from safetensors.torch import load_file

        from models.nets.collaborative import CollaborativeNet, CollaborativeSpec

        about = json.loads((folder / SPEC).read_text())
        net = CollaborativeNet(CollaborativeSpec.from_json(about["spec"]))
        net.load_state_dict(load_file(folder / WEIGHTS))
        cold = tuple(ColdStart.from_json(about["cold_start"][side]) for side in ("user", "item"))
        schema = RatingSchema(
            Values.from_json(about["user"]), Values.from_json(about["item"]), cold[0].inputs, cold[1].inputs
        )
        return cls(net.eval(), schema, (cold[0], cold[1]), Scale(**about["scale"]), problem)

    def export_onnx(self, path: Path) -> None:
        """Writes one ONNX graph: see `models.export.onnx_collaborative`."""
        from models.export.onnx import save_model
        from models.export.onnx_collaborative import collaborative_graph

        save_model(collaborative_graph(self.net, self.schema, self.cold, self.scale, self.problem), path)

    def check_onnx(self, path: Path, valid: pa.Table, *, threads: int) -> Parity:
        """On validation rows, and on the same with every user or item made a new one."""
        from models.export.onnx_collaborative import run

        rows = valid.slice(0, PARITY_ROWS)
        rows = pa.concat_tables([rows, _without(rows, self.schema.user), _without(rows, self.schema.item)])
        own = self.predict(rows)
        difference = np.abs(run(path, rows, self.problem, threads=threads) - own)
        spread = max(float(np.ptp(own)), 1.0) if len(own) else 1.0
        worst = int(np.argmax(np.nan_to_num(difference, nan=np.inf))) if len(own) else 0
        return Parity(
            float(difference.max(initial=0.0)),
            float(TOLERANCE * spread),
            len(own),
            what="rating",
            where=f"validation row {worst % max(valid.num_rows, 1)}",
        )

    def figures(self, train: pa.Table, valid: pa.Table) -> list[Figure]:
        """Items by bias, the plane of their factors, and what is near to well-known ones."""
        from models.interpret import embeddings

        places = self.schema.item.places(train)
        table = self.net.table.detach().double().numpy()[self.net.item_offset + 1 :]
        counts = np.bincount(places, minlength=len(table) + 1)[1:]
        names = self.schema.item.texts
        item = self.schema.item.input.name
        return [
            embeddings.bias_figure(names, table[:, -1], counts, of=item),
            embeddings.plane_figure(names, table[:, :-1], counts, of=item),
            embeddings.neighbours_figure(names, table[:, :-1], counts, of=item),
        ]

    def files(self) -> dict[str, bytes]:
        """None."""
        return {}

    def _averages(self, known: Rated, valid: pa.Table) -> Floats:
        """What averages alone say of `valid`: the overall one, moved by the item's and then by the user's."""
        overall = known.rating.mean()
        left, told = known.rating - overall, np.full(valid.num_rows, overall)
        for side in (self.schema.item, self.schema.user):
            places = side.places(known.table)
            counts = np.bincount(places, minlength=len(side.known) + 1)
            moves = np.bincount(places, left, minlength=len(counts)) / (counts + DAMPING)
            moves[0] = 0.0
            left, told = left - moves[places], told + moves[side.places(valid)]
        return told

    def _new_ones(self, valid: pa.Table) -> list[str]:
        """A sentence for each side that validation rows have new values of."""
        sentences = []
        for side, values in enumerate((self.schema.user, self.schema.item)):
            new = int((values.places(valid) == 0).sum())
            if new:
                how = "averages and what describes it" if self.cold[side] else "averages alone"
                sentences.append(
                    f"{new} of {valid.num_rows} validation rows have a {values.input.name} that no training "
                    f"row has; they are answered from {how}."
                )
        return sentences


class ShortMemory(Callback):
    """Lets Adam forget squared gradients within some 100 steps instead of 1000.

    A row of the table has a gradient only in the few batches that its user or item is in; with the longer
    memory it still pays for the large first ones when the fit ends (MovieLens, dot product: MSE 0.775 against
    0.757).
    """

    def before_fit(self, learner: "Learner") -> None:
        for group in learner.optimizer.param_groups:
            if "betas" in group:
                group["betas"] = (group["betas"][0], SQUARE_MEMORY)


def _check(rating: Floats) -> None:
    if rating.min() == rating.max():
        raise TrainingFailed(
            f"Every training row has the rating {rating[0]:g}, so there is nothing to tell apart. "
            "Add rows with other ratings."
        )


def _tensors(places: Ints, rating: Floats) -> "tuple[Tensor, Tensor]":
    import torch

    return torch.from_numpy(places), torch.tensor(rating, dtype=torch.float32)


def _loss(predicted: "Tensor", rating: "Tensor") -> "Tensor":
    import torch

    return torch.nn.functional.mse_loss(predicted.float(), rating)


def _metrics(predicted: "Tensor", rating: "Tensor") -> dict[str, float]:
    return {"mse": float(_loss(predicted, rating))}


def _compared(metric: str, rating: Floats, predicted: Floats, average: Floats) -> BaselineComparison:
    errors, baseline_errors = rating - predicted, rating - average
    if metric == "mae":
        return compare_rows(RULE, metric, np.abs(errors), np.abs(baseline_errors))
    if metric == "rmse":
        return compare_statistic(RULE, metric, _rmse_of, errors, baseline_errors)
    if metric == "r2":
        rows, baseline_rows = (np.stack([rating, one], 1) for one in (errors, baseline_errors))
        return compare_statistic(RULE, metric, _r2_of, rows, baseline_rows)
    return compare_rows(RULE, "mse", errors**2, baseline_errors**2)


def _rmse_of(errors: Floats) -> float:
    return float(np.sqrt(np.mean(errors**2)))


def _r2_of(rows: Floats) -> float:
    """Of ratings and errors side by side, `(N, 2)`."""
    spread = rows[:, 0].var()
    return float(1 - np.mean(rows[:, 1] ** 2) / spread) if spread > 0 else float("nan")


def _without(table: pa.Table, values: Values) -> pa.Table:
    """The rows with all values of a column missing."""
    name = values.input.name
    place = table.column_names.index(name)
    return table.set_column(place, name, pa.nulls(table.num_rows, table.schema.field(name).type))
