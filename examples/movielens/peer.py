"""`python -m examples.movielens.peer`: the classical recommenders on the same split, for the figures in
README.md.

Averages of films and people, and biased matrix factorisation by alternating least squares (Koren, Bell and
Volinsky, "Matrix Factorization Techniques for Recommender Systems", IEEE Computer 2009), in numpy.
"""

import numpy as np
import numpy.typing as npt

from examples.movielens.data import table
from models.data.split import random_split

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

SEED, SHARE = 42, 0.2
FACTORS, SWEEPS = 20, 10
# Ratings that pull a bias, and the weight of a factor's square for each rating.
DAMPING, PENALTY = 5.0, 0.15


def main() -> None:
    """Prints the mean squared error of each on the validation rows."""
    rows = table()
    user, film = (np.unique(rows[name].to_numpy(), return_inverse=True)[1] for name in ("user", "film"))
    rating = rows["rating"].to_numpy()
    train, valid = random_split(rows.num_rows, SHARE, SEED)
    mean = rating[train].mean()
    print(f"always the average            {((rating[valid] - mean) ** 2).mean():.3f}")
    biases = _biases((film, user), rating - mean, train)
    averages = mean + sum(bias[side] for bias, side in zip(biases, (film, user), strict=True))
    print(f"averages of film and person   {_error(averages, rating, valid):.3f}")
    left = rating - averages
    factors = _alternate(user[train], film[train], left[train], (user.max() + 1, film.max() + 1))
    matched = averages + (factors[0][user] * factors[1][film]).sum(1)
    print(f"alternating least squares     {_error(matched, rating, valid):.3f}")


def _error(predicted: Floats, rating: Floats, rows: Ints) -> float:
    return float(((np.clip(predicted, 0.5, 5) - rating)[rows] ** 2).mean())


def _biases(sides: tuple[Ints, Ints], left: Floats, train: Ints) -> list[Floats]:
    """One side after the other, each of what the other left."""
    found = []
    for side in sides:
        counts = np.bincount(side[train], minlength=side.max() + 1)
        bias = np.bincount(side[train], left[train], minlength=len(counts)) / (counts + DAMPING)
        left = left - bias[side]
        found.append(bias)
    return found


def _alternate(user: Ints, film: Ints, left: Floats, sizes: tuple[int, int]) -> tuple[Floats, Floats]:
    """Factors `(U, F)` and `(I, F)`, each solved for with the other held."""
    random = np.random.default_rng(SEED)
    users, films = (random.normal(0, 0.1, (size, FACTORS)) for size in sizes)
    for _ in range(SWEEPS):
        users = _solved(user, films[film], left, sizes[0])
        films = _solved(film, users[user], left, sizes[1])
    return users, films


def _solved(side: Ints, other: Floats, left: Floats, size: int) -> Floats:
    """The ridge regression of each on the factors of what it goes with."""
    order = np.argsort(side, kind="stable")
    starts = np.searchsorted(side[order], np.arange(size + 1))
    found = np.zeros((size, FACTORS))
    for one in np.flatnonzero(np.diff(starts)):
        rows = order[starts[one] : starts[one + 1]]
        inputs = other[rows]
        found[one] = np.linalg.solve(
            inputs.T @ inputs + PENALTY * len(rows) * np.eye(FACTORS), inputs.T @ left[rows]
        )
    return found


if __name__ == "__main__":
    main()
