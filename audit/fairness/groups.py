"""People in groups: names for them, and bands of numbers."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from audit.profiles.subgroups import Group

Names = Mapping[str, Mapping[str, str]]
"""Meaning of each value by attribute: `{"SEX": {"2": "female"}}`."""


def band(values: npt.ArrayLike, edges: Sequence[float]) -> list[str | None]:
    """Text of the band of each number: edges 18, 30 make "under 18", "18 to 30" (30 excluded), "30 and over".

    NaN: `None`.
    """
    numbers = np.asarray(values, float)
    texts = np.array([*band_names(edges), None], object)
    places = np.searchsorted(np.asarray(edges, float), numbers, side="right")
    return list(texts[np.where(np.isnan(numbers), -1, places)])


def band_names(edges: Sequence[float]) -> list[str]:
    """Names of the bands that `edges` make, lowest first; one band named "all" without edges."""
    if not edges:
        return ["all"]
    inner = [f"{low:g} to {high:g}" for low, high in pairwise(edges)]
    return [f"under {edges[0]:g}", *inner, f"{edges[-1]:g} and over"]


def display_name(group: Group, names: Names) -> str:
    """A group for people: `female`, `female and Black`; an attribute's own name where its value has no
    meaning given.
    """
    return " and ".join(
        names.get(attribute, {}).get(value) or f"{attribute} {value}" for attribute, value in group
    )
