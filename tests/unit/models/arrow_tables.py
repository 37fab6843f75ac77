"""A made-up Arrow table with inputs of every kind and targets of every kind, for the tests of recipes."""

import numpy as np
import pyarrow as pa

from models.recipe import BINARY, MULTICLASS, MULTILABEL, REGRESSION, Input, Problem, Target

INPUTS = (Input("size", "numeric"), Input("zone", "code"), Input("sort", "category"), Input("when", "time"))
CLASSES = ("low", "middle", "high")
PROBLEMS = {
    BINARY: Problem(BINARY, INPUTS, Target(("above",), "yes", "no"), "auc", id_column="id"),
    MULTICLASS: Problem(
        MULTICLASS, INPUTS, Target(("level",), classes=(*CLASSES, "unheard of")), "accuracy", id_column="id"
    ),
    MULTILABEL: Problem(MULTILABEL, INPUTS, Target(("tags",), classes=("p", "q", "r")), "micro_f1"),
    REGRESSION: Problem(REGRESSION, INPUTS, Target(("price",), logarithmic=True), "rmse"),
}
BEGAN_US, SPAN_US = 1_300_000_000_000_000, 1_000_000_000_000_000


def arrow_table(count: int = 1_000, seed: int = 0) -> pa.Table:
    """Rows with missing values in every input; all targets follow the inputs with some noise."""
    random = np.random.default_rng(seed)
    size, zone = random.normal(size=count), random.integers(1, 6, count)
    sort = random.choice(np.array(["a", "b", "c"], object), count)
    when = BEGAN_US + random.integers(0, SPAN_US, count)
    score = size + zone / 3 + (sort == "b") + (when - BEGAN_US) / SPAN_US
    score += random.normal(0, 0.3, count)
    tags = [
        ";".join(tag for tag, least in zip("pqr", (1, 2, 3), strict=True) if one > least) for one in score
    ]

    def holes(values: np.ndarray) -> pa.Array:
        return pa.array(values, mask=random.random(count) < 0.1)

    return pa.table(
        {
            "id": [f"row-{place}" for place in range(count)],
            "size": holes(size),
            "zone": holes(zone),
            "sort": holes(sort),
            "when": holes(when).cast(pa.timestamp("us", tz="UTC")),
            "above": np.where(score > 2, "yes", "no"),
            "level": np.array(CLASSES)[(score > 1.5).astype(int) + (score > 2.6)],
            "tags": tags,
            "price": np.exp(score),
            "score": score,
        }
    )
