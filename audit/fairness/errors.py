"""How far predicted numbers are off, by group: in which direction, by how much, and with large misses
weighed.

Source of the definitions: Hyndman and Koehler, "Another look at measures of forecast accuracy", International
Journal of Forecasting 2006.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from audit.estimate import CONFIDENCE
from audit.fairness.estimates import GroupEstimates, group_means


@dataclass(frozen=True)
class GroupErrors:
    """Errors of G groups, in the units of what is predicted. `mean_error`: predicted minus true, above 0 the
    group is predicted too high; `mean_absolute_error` and `root_mean_squared_error`: 0 is perfect.
    """

    mean_error: GroupEstimates
    mean_absolute_error: GroupEstimates
    root_mean_squared_error: GroupEstimates


def group_errors(
    codes: npt.ArrayLike,
    predicted: npt.ArrayLike,
    true: npt.ArrayLike,
    group_count: int,
    confidence: float = CONFIDENCE,
) -> GroupErrors:
    """Errors by group: `codes` int `(N,)` from 0 to `group_count - 1`, `predicted` and `true` float `(N,)`.

    Intervals are Student's t of the errors, of their sizes, and of their squares (the root taken of its
    bounds); see `group_means` for n = 0, 1 and 5. Raises `ValueError` when lengths differ.
    """
    given, actual = np.asarray(predicted, float), np.asarray(true, float)
    if len(given) != len(actual):
        raise ValueError(f"lengths differ: {len(given)} predictions, {len(actual)} labels")
    error = given - actual
    size = _at_least_zero(group_means(codes, np.abs(error), group_count, confidence))
    squared = _at_least_zero(group_means(codes, error**2, group_count, confidence))
    root = replace(
        squared, value=np.sqrt(squared.value), lower=np.sqrt(squared.lower), upper=np.sqrt(squared.upper)
    )
    return GroupErrors(group_means(codes, error, group_count, confidence), size, root)


def _at_least_zero(found: GroupEstimates) -> GroupEstimates:
    return replace(found, value=np.maximum(found.value, 0.0), lower=np.maximum(found.lower, 0.0))
