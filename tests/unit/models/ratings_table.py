"""Made-up ratings of known structure: two tastes, good and bad films, an age that tells the taste."""

import numpy as np
import pyarrow as pa

from models.recipe import REGRESSION, Input, Problem, Target

USERS, FILMS = 60, 40

PROBLEM = Problem(
    REGRESSION,
    (Input("user", "code"), Input("film", "category"), Input("age", "numeric"), Input("genre", "category")),
    Target(("rating",), minimum=1.0, maximum=5.0),
    "mse",
)


def ratings(count: int = 3000, seed: int = 0, users: int = USERS) -> pa.Table:
    """`count` ratings; even films are of one genre, liked by the young, odd ones of the other; film k is
    better the larger k.
    """
    random = np.random.default_rng(seed)
    user, film = random.integers(0, users, count), random.integers(0, FILMS, count)
    age = np.where(np.arange(users) % 2 == 0, 20.0, 60.0) + np.arange(users) % 5
    suits = np.where((user % 2) == (film % 2), 0.8, -0.8)
    rating = 3.0 + suits + (film - FILMS / 2) / FILMS * 2 + random.normal(0, 0.2, count)
    return pa.table(
        {
            "user": pa.array(user * 1000 - 7, pa.int64()),
            "film": [f"film {one:02d}" for one in film],
            "age": age[user],
            "genre": np.where(film % 2 == 0, "comedy", "drama").tolist(),
            "rating": np.clip(rating, 1.0, 5.0),
        }
    )
