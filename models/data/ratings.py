"""Ratings as recommenders take them: places of users and items, what describes them, and the rating.

The first input is the user, the second the item, both codes or categories. Further inputs describe the user
or the item, which is told from the rows: what has one value for each user describes users.
"""

from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from models.data.columns import ARROW_TYPES, Values, typed_column
from models.progress import TrainingFailed
from models.recipe import Input, Problem, Target

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# Shares of a part's rows that may lack a rating, and of rows that may differ from their user's usual value.
MAX_LEFT_OUT, MAX_DIFFERING = 0.1, 0.01
NAMED_ROWS = 5
# Share of the range that the net may reach beyond each end.
STRETCH = 0.05


@dataclass(frozen=True)
class RatingSchema:
    """Which inputs are what. `of_user` and `of_item` describe the two; each is numeric, code or category."""

    user: Values
    item: Values
    of_user: tuple[Input, ...] = ()
    of_item: tuple[Input, ...] = ()

    @classmethod
    def of(cls, problem: Problem, train: pa.Table) -> Self:
        """From the training rows.

        Raises `TrainingFailed` when the inputs are no user and item of two values at least, or when an input
        describes neither.
        """
        ids = problem.inputs[:2]
        if len(ids) < 2 or any(one.type not in ("code", "category") for one in ids):
            raise TrainingFailed(
                "A recommender needs the user as the first feature and the item as the second, each a "
                "code or a category. Put them first in the task's features."
            )
        user, item = (Values.of(one, train) for one in ids)
        for side in (user, item):
            if len(side.known) < 2:
                raise TrainingFailed(
                    f"{side.input.name} has {len(side.known)} values in the training rows; a recommender "
                    "needs two at least. Add rows, or split the rows otherwise."
                )
        places = {"user": user.places(train), "item": item.places(train)}
        sides: dict[str, list[Input]] = {"user": [], "item": []}
        for one in problem.inputs[2:]:
            sides[_described(one, train, places)].append(one)
        return cls(user, item, tuple(sides["user"]), tuple(sides["item"]))

    @property
    def inputs(self) -> tuple[Input, ...]:
        """All of them."""
        return (self.user.input, self.item.input, *self.of_user, *self.of_item)

    def places(self, table: pa.Table) -> Ints:
        """Places of users and items, int64 `(N, 2)`."""
        return np.stack([self.user.places(table), self.item.places(table)], 1)


@dataclass(frozen=True)
class Scale:
    """From ratings to what is learnt and back: within `minimum` and `maximum` where they are known; the
    logarithm of 1 + rating where `logarithmic`.
    """

    minimum: float | None = None
    maximum: float | None = None
    logarithmic: bool = False

    @classmethod
    def of(cls, target: Target) -> Self:
        """As the task says."""
        return cls(target.minimum, target.maximum, target.logarithmic)

    @property
    def bounds(self) -> tuple[float | None, float | None]:
        """What the net's sigmoid reaches from and to: a little beyond the range, since a sigmoid never comes
        to its ends and the best and worst ratings are to be given. None unless both ends are known.
        """
        if self.minimum is None or self.maximum is None:
            return None, None
        low, high = self.learnt(np.array([self.minimum, self.maximum]))
        return float(low - STRETCH * (high - low)), float(high + STRETCH * (high - low))

    def learnt(self, rating: Floats) -> Floats:
        """What the net learns of ratings."""
        return np.log1p(rating) if self.logarithmic else rating

    def unit(self, learnt: Floats) -> Floats:
        """The ratings that the net means, within the range."""
        rating = np.expm1(learnt) if self.logarithmic else learnt
        return np.clip(rating, self.minimum, self.maximum)

    def as_json(self) -> dict[str, Any]:
        """The fields."""
        return asdict(self)


@dataclass(frozen=True)
class Rated:
    """The rows of a part that have a rating in the target's range: `rating` float64 `(N,)`. `kept` bool is of
    all rows; `warnings` say which were left out.
    """

    table: pa.Table
    rating: Floats
    kept: npt.NDArray[np.bool_]
    warnings: tuple[str, ...] = ()

    @classmethod
    def of(cls, table: pa.Table, problem: Problem, part: str) -> Self:
        """Raises `TrainingFailed` when more than a tenth must be left out, or nothing is left."""
        target = problem.target
        if len(target.names) != 1:
            raise TrainingFailed(f"A recommender predicts one number; the target has {len(target.names)}.")
        name = target.names[0]
        rating = np.asarray(pc.cast(table.column(name), pa.float64()).to_numpy(), float)
        lowest = 0.0 if target.logarithmic else -np.inf
        least = lowest if target.minimum is None else target.minimum
        most = np.inf if target.maximum is None else target.maximum
        kept = np.isfinite(rating) & (rating >= least) & (rating <= most)
        if not len(kept):
            raise TrainingFailed(f"There are no {part} rows. Add rows, or split them otherwise.")
        if kept.all():
            return cls(table, rating, kept)
        bad = np.flatnonzero(~kept)
        said = (
            f"{len(bad)} of {len(kept)} {part} rows have no {name} within its range "
            f"(first: {_rows_named(table, bad, problem.id_column)})"
        )
        if len(bad) > MAX_LEFT_OUT * len(kept):
            raise TrainingFailed(f"{said}. Correct them, or the target's minimum and maximum in the task.")
        return cls(table.filter(pa.array(kept)), rating[kept], kept, (f"{said}; they are left out.",))


def _rows_named(table: pa.Table, rows: Ints, id_column: str) -> str:
    if id_column:
        values = table.column(id_column).take(pa.array(rows[:NAMED_ROWS])).to_pylist()
        return ", ".join(f"{id_column} {value}" for value in values)
    return ", ".join(f"row {row}" for row in rows[:NAMED_ROWS])


def _described(input: Input, table: pa.Table, places: dict[str, Ints]) -> str:
    """Whom the input describes: "user" or "item"."""
    if input.type not in ARROW_TYPES:
        raise TrainingFailed(
            f"{input.name} is of type {input.type}; what describes users and items must be numeric, code or "
            "category."
        )
    encoded = pc.dictionary_encode(typed_column(table, input)).combine_chunks()
    codes = np.asarray(pc.fill_null(encoded.indices, -1).to_numpy(), np.int64)
    for side, place in places.items():
        _, first, back = np.unique(place, return_index=True, return_inverse=True)
        if np.mean(codes != codes[first][back]) <= MAX_DIFFERING:
            return side
    raise TrainingFailed(
        f"{input.name} differs among the rows of one {' and of one '.join(places)}, and a recommender takes "
        "only what describes one of them. Leave it out of the features, or give each one value."
    )
