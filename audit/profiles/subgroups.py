"""Counts of many groups of people as two matrices, a row a group: merging a thousand profiles is a thousand
additions of a matrix, however many groups there are.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from audit.profiles.quality import Floats, Ints, QualityProfile, sizes

Group = tuple[tuple[str, str], ...]
"""A group of people: attribute and value, or two of them for a crossing, in the order of the schema's
attributes.
"""


class Subgroups(Mapping[Group, QualityProfile]):
    """Each group and crossing that was seen, with its quality: a view, so that adding to it adds here."""

    def __init__(self, bin_count: int) -> None:
        self._bin_count = bin_count
        self._rows: dict[Group, int] = {}
        count_size, sum_size = sizes(bin_count)
        self._counts: Ints = np.zeros((0, count_size), np.int64)
        self._sums: Floats = np.zeros((0, sum_size))

    def __getitem__(self, group: Group) -> QualityProfile:
        row = self._rows[group]
        return QualityProfile.of(self._bin_count, self._counts[row], self._sums[row])

    def __setitem__(self, group: Group, quality: QualityProfile) -> None:
        """Takes a copy. Raises `ValueError` when the score bins differ."""
        if quality.bin_count != self._bin_count:
            raise ValueError(f"score bins differ: {self._bin_count} and {quality.bin_count}")
        row = self._rows_of([group])[0]
        self._counts[row], self._sums[row] = quality.counts, quality.sums

    def __iter__(self) -> Iterator[Group]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, groups: Sequence[Group], counts: Ints, sums: Floats) -> None:
        """Adds a row `(G, ...)` to each of G different groups, as `QualityCounter` counts them."""
        rows = self._rows_of(groups)
        self._counts[rows] += counts
        self._sums[rows] += sums

    def merge_all(self, others: Sequence["Subgroups"]) -> None:
        """Adds other groups to these. Parts that list the same groups, as those of one service do, are added
        as whole matrices. Raises `ValueError` when the score bins differ; then nothing is added.
        """
        for other in others:
            if other._bin_count != self._bin_count:
                raise ValueError(f"score bins differ: {self._bin_count} and {other._bin_count}")
        by_groups: dict[tuple[Group, ...], list[Subgroups]] = {}
        for other in others:
            by_groups.setdefault(tuple(other._rows), []).append(other)
        for groups, parts in by_groups.items():
            size = len(groups)
            counts, sums = parts[0]._counts[:size], parts[0]._sums[:size]
            if len(parts) > 1:
                counts, sums = counts.copy(), sums.copy()
            for part in parts[1:]:
                counts += part._counts[:size]
                sums += part._sums[:size]
            self.add(groups, counts, sums)

    def _rows_of(self, groups: Sequence[Group]) -> list[int]:
        """The row of each group, new ones at the end; capacity doubles, so that growing costs little."""
        rows = [self._rows.setdefault(group, len(self._rows)) for group in groups]
        lacking = len(self._rows) - len(self._counts)
        if lacking > 0:
            more = max(lacking, len(self._counts))
            self._counts = np.pad(self._counts, ((0, more), (0, 0)))
            self._sums = np.pad(self._sums, ((0, more), (0, 0)))
        return rows
