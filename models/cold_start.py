"""Factors of users and items that are new: averages, moved by what is known of them.

A ridge regression from what describes the known ones (age, genre) to their factors and biases; Hoerl and
Kennard, Technometrics 1970. How strongly it is held back is chosen by generalised cross-validation (Golub,
Heath and Wahba, Technometrics 1979), so that what tells nothing changes nothing.
"""

from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.data.columns import Number, Values
from models.recipe import Input

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

PENALTIES = 10.0 ** np.arange(-2, 6)
# Known ones that are looked at, and values of a category that are told apart: the most frequent.
MAX_KNOWN, MAX_VALUES = 50_000, 500


@dataclass(frozen=True)
class NumberEffect:
    """Moves factors by `effect` `(F + 1,)` for each deviation of `number`."""

    number: Number
    effect: Floats


@dataclass(frozen=True)
class ValueEffect:
    """Moves factors by `effects` `(V + 1, F + 1)`, by the value's place; the first row is 0, for unknown
    values.
    """

    values: Values
    effects: Floats


@dataclass(frozen=True)
class ColdStart:
    """What moves one side's averages; nothing where nothing describes it."""

    numbers: tuple[NumberEffect, ...] = ()
    values: tuple[ValueEffect, ...] = ()

    @classmethod
    def fit(cls, inputs: tuple[Input, ...], table: pa.Table, places: Ints, factors: Floats) -> Self:
        """From training rows: `places` int64 `(N,)` of the side in them, 0 for a missing one, and `factors`
        `(K, F + 1)` of the known ones. The value of the first row of each counts. Nothing is moved with fewer
        than three known.
        """
        present, first, counts = np.unique(places, return_index=True, return_counts=True)
        chosen = first[present > 0][np.argsort(-counts[present > 0], kind="stable")[:MAX_KNOWN]]
        if not inputs or len(chosen) < 3:
            return cls()
        known = table.take(pa.array(chosen))
        numbers = [Number.of(one.name, known) for one in inputs if one.type == "numeric"]
        values = [_frequent(one, known) for one in inputs if one.type != "numeric"]
        columns = [one.standardised(known)[:, None] for one in numbers]
        columns += [np.eye(len(one.known) + 1)[one.places(known)][:, 1:] for one in values]
        shares = [column.mean(0) for column in columns]
        weights = _ridge(
            np.concatenate([column - share for column, share in zip(columns, shares, strict=True)], 1),
            factors[places[chosen] - 1],
        )
        parts = np.split(weights, np.cumsum([len(share) for share in shares])[:-1])
        nothing = np.zeros((1, factors.shape[1]))
        return cls(
            tuple(NumberEffect(one, part[0]) for one, part in zip(numbers, parts, strict=False)),
            tuple(
                ValueEffect(one, np.concatenate([nothing, part - share @ part]))
                for one, part, share in zip(
                    values, parts[len(numbers) :], shares[len(numbers) :], strict=True
                )
            ),
        )

    def moves(self, table: pa.Table) -> Floats:
        """How far each row's description moves the average, `(N, F + 1)`; needs an effect at least."""
        moved = [np.outer(one.number.standardised(table), one.effect) for one in self.numbers]
        moved += [one.effects[one.values.places(table)] for one in self.values]
        return np.sum(moved, axis=0)  # type: ignore[no-any-return]

    def __bool__(self) -> bool:
        return bool(self.numbers or self.values)

    @property
    def inputs(self) -> tuple[Input, ...]:
        """What the moves depend on."""
        return (
            *(Input(one.number.name, "numeric") for one in self.numbers),
            *(one.values.input for one in self.values),
        )

    def as_json(self) -> dict[str, Any]:
        """As `from_json` reads it."""
        return {
            "numbers": [{**asdict(one.number), "effect": one.effect.tolist()} for one in self.numbers],
            "values": [{**one.values.as_json(), "effects": one.effects.tolist()} for one in self.values],
        }

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Self:
        """What `as_json` wrote."""
        return cls(
            tuple(
                NumberEffect(
                    Number(one["name"], one["mean"], one["deviation"]), np.asarray(one["effect"], float)
                )
                for one in found["numbers"]
            ),
            tuple(
                ValueEffect(Values.from_json(one), np.asarray(one["effects"], float))
                for one in found["values"]
            ),
        )


def _frequent(input: Input, table: pa.Table) -> Values:
    """The values of the column that are most frequent in `table`."""
    values = Values.of(input, table)
    if len(values.known) <= MAX_VALUES:
        return values
    counts = np.bincount(values.places(table), minlength=len(values.known) + 1)[1:]
    kept = np.sort(np.argsort(-counts, kind="stable")[:MAX_VALUES])
    return Values(input, values.known.take(pa.array(kept)))


def _ridge(inputs: Floats, outputs: Floats) -> Floats:
    """Weights `(D, T)` from centred inputs `(K, D)` to outputs `(K, T)` about their mean, with the penalty
    that generalised cross-validation finds best.
    """
    count = len(inputs)
    centred = outputs - outputs.mean(0)
    variances, directions = np.linalg.eigh(inputs.T @ inputs)
    variances = np.maximum(variances, 0.0)
    along = directions.T @ (inputs.T @ centred)  # (D, T)
    errors = []
    for penalty in PENALTIES:
        shrunk = along / (variances + penalty)[:, None]
        left = (centred**2).sum() - 2 * (shrunk * along).sum() + (variances[:, None] * shrunk**2).sum()
        freedom = count - 1 - (variances / (variances + penalty)).sum()
        errors.append(left / freedom**2 if freedom > 0 else np.inf)
    best = PENALTIES[int(np.argmin(errors))]
    return np.asarray(directions @ (along / (variances + best)[:, None]))
