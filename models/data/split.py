"""Ways to hold rows out for validation. Each gives the indices of training and validation rows, int64, in
increasing order.
"""

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


def random_split(row_count: int, validation_share: float, seed: int) -> tuple[Ints, Ints]:
    """At random, at least one row on each side when there are two or more."""
    held_out = _count(row_count, validation_share)
    order = np.random.default_rng(seed).permutation(row_count)
    return np.sort(order[held_out:]), np.sort(order[:held_out])


def time_split(times: npt.ArrayLike, validation_share: float) -> tuple[Ints, Ints]:
    """The latest rows are held out. Rows of one time stay together: those of the cut's time are trained on,
    where that leaves any.
    """
    moments = np.asarray(times)
    held_out = _count(len(moments), validation_share)
    if not held_out:
        return np.arange(len(moments)), np.empty(0, np.int64)
    cut = np.sort(moments, kind="stable")[len(moments) - held_out]
    later = moments > cut if (moments > cut).any() else moments >= cut
    return np.flatnonzero(~later), np.flatnonzero(later)


def group_split(groups: npt.ArrayLike, validation_share: float, seed: int) -> tuple[Ints, Ints]:
    """Whole groups are held out, until their rows reach the share; one group is never on both sides."""
    values, codes, sizes = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(values))
    wanted = _count(len(codes), validation_share)
    chosen = order[: int(np.searchsorted(np.cumsum(sizes[order]), wanted)) + 1] if wanted else order[:0]
    held_out = np.isin(codes, chosen[: max(len(values) - 1, 0)])
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


def column_split(mask: npt.ArrayLike) -> tuple[Ints, Ints]:
    """Rows whose `mask` is true are held out."""
    held_out = np.asarray(mask, bool)
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


def _count(row_count: int, share: float) -> int:
    if not 0 < share < 1:
        raise ValueError(f"validation_share is {share}; must be between 0 and 1")
    return min(max(round(row_count * share), 1), row_count - 1) if row_count > 1 else 0
