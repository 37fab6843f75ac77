"""What a net has learnt about the values of codes and categories: those that lie near each other are alike to
it. Source: Guo and Berkhahn, "Entity Embeddings of Categorical Variables", 2016, figure 4.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from models.data.tabular import TabularRows
from models.figures import Figure, Points
from models.tabular_model import TabularModel

COLUMNS, FEWEST_VALUES, MOST_VALUES = 3, 4, 60


def embedding_figures(model: TabularModel, train: TabularRows) -> Iterator[Figure]:
    """Figures "embedding_{column}" of the three columns with the most values, four at least; of many values
    the 60 most frequent among the training rows. None for a model without a net.
    """
    from models.tabular import FittedTabularNet

    if not isinstance(model, FittedTabularNet):
        return
    spec, schema = model.net.spec, model.spec.expanded_schema
    rows = model.spec.expand(train)
    columns = list(
        zip((*schema.code, *schema.category), (*spec.code_values, *spec.category_values), strict=True)
    )
    for place in sorted(range(len(columns)), key=lambda one: -len(columns[one][1]))[:COLUMNS]:
        name, known = columns[place]
        if len(known) < FEWEST_VALUES:
            continue
        values = rows.column(schema, name)
        counts = np.array([int(np.sum(values == value)) for value in known])
        shown = np.sort(np.argsort(-counts, kind="stable")[:MOST_VALUES])
        start = int(model.net.offsets[place]) + 2  # after the rows for unknown and missing
        vectors = model.net.table.detach().numpy()[start : start + len(known)][shown]
        yield _plane(name, [str(known[one]) for one in shown], vectors.astype(np.float64))


def principal_plane(vectors: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], float]:
    """Vectors `(K, E)` on their two principal components, `(K, 2)`, and the share of the variance that is
    kept; each component's largest entry is positive, so that the same net has the same picture.
    """
    centred = vectors - vectors.mean(0)
    _, sizes, directions = np.linalg.svd(centred, full_matrices=False)
    largest = np.abs(directions).argmax(1)
    directions = directions * np.sign(directions[np.arange(len(directions)), largest])[:, None]
    places = np.pad(centred @ directions[:2].T, ((0, 0), (0, max(2 - len(directions), 0))))
    total = float((sizes**2).sum())
    return places, float((sizes[:2] ** 2).sum()) / total if total > 0 else 1.0


def _plane(name: str, values: list[str], vectors: npt.NDArray[np.float64]) -> Figure:
    places, kept = principal_plane(vectors)
    sentence = (
        f"Values of {name} that lie near each other are alike to the net. The plane keeps {kept:.0%} of the "
        f"differences among {len(values)} values."
    )
    axes = ("first principal component", "second principal component")
    body = Points(tuple(places[:, 0].tolist()), tuple(places[:, 1].tolist()), tuple(values), (), *axes)
    return Figure(f"embedding_{name}", f"How the net sees {name}", sentence, body)
