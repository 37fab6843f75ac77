"""Ways to hold rows out for validation. Each gives the indices of training and validation rows, int64, in
increasing order; `by_random` and its like do so for a whole table.
"""

import re
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

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


Splitter = Callable[[pa.Table], tuple[Ints, Ints]]
"""Divides the items of a table into rows of training and of validation."""


def by_random(share: float = 0.2, seed: int = 0) -> Splitter:
    """At random: see `random_split`."""
    return lambda table: random_split(table.num_rows, share, seed)


def by_column(name: str) -> Splitter:
    """Rows whose column is true are held out."""
    return lambda table: column_split(_plain(table, name))


def by_folder(valid: str = "valid") -> Splitter:
    """Files of `folder_items` that lie under a folder named `valid`, at any level, are held out."""
    inside = f"(^|/){re.escape(valid)}/"
    return lambda table: column_split(
        pc.match_substring_regex(table.column("path"), inside).to_numpy(zero_copy_only=False)
    )


def by_group(name: str, share: float = 0.2, seed: int = 0) -> Splitter:
    """Whole groups are held out: see `group_split`."""
    return lambda table: group_split(
        pc.cast(table.column(name), pa.utf8()).fill_null("").to_numpy(), share, seed
    )


def by_time(name: str, share: float = 0.2) -> Splitter:
    """The latest rows are held out: see `time_split`. A missing time comes first."""

    def split(table: pa.Table) -> tuple[Ints, Ints]:
        times = table.column(name)
        order = pc.rank(times, tiebreaker="dense").to_numpy().astype(np.int64)
        return time_split(np.where(times.is_valid().to_numpy(), order, 0), share)

    return split


def _plain(table: pa.Table, name: str) -> npt.NDArray[np.bool_]:
    return np.asarray(pc.fill_null(table.column(name), False).to_numpy(), bool)
