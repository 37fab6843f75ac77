"""The profile: a mergeable summary of a window of rows and predictions, overall and by subgroup.

Adding rows takes one vectorised pass over a batch; merging adds counts. Both give the same result in any
order, so services, devices, days and years add up.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from audit.profiles.column import CategoryColumn, NumericColumn, empty_column
from audit.profiles.quality import Floats, Ints, QualityCounter, QualityProfile
from audit.profiles.schema import ProfileSchema
from audit.profiles.subgroups import Group, Subgroups


class Profile:
    """Summary of rows under one schema.

    `quality` is `None` until scored rows are added; `subgroups` maps each group and crossing that was seen
    to its quality. `start_us` and `end_us` span the event times (microseconds since 1970, `None` when
    undated); `simulations` names incidents that were played.
    """

    def __init__(self, schema: ProfileSchema) -> None:
        self.schema = schema
        self.row_count = 0
        self.columns: list[NumericColumn | CategoryColumn] = [
            empty_column(column) for column in schema.columns
        ]
        self.quality: QualityProfile | None = None
        self.subgroups = Subgroups(schema.score_bin_count)
        self.start_us: int | None = None
        self.end_us: int | None = None
        self.simulations: set[str] = set()

    @classmethod
    def empty(cls, schema: ProfileSchema) -> Self:
        """A profile of no rows."""
        return cls(schema)

    def column(self, name: str) -> NumericColumn | CategoryColumn:
        """Summary of a column by its name. Raises `KeyError`."""
        for schema, column in zip(self.schema.columns, self.columns, strict=True):
            if schema.name == name:
                return column
        raise KeyError(f"{name} is not a column of this profile")

    def add_rows(
        self,
        batch: pa.RecordBatch | pa.Table,
        score: npt.ArrayLike | None = None,
        positive: npt.ArrayLike | None = None,
    ) -> None:
        """Counts a batch: its columns by name (one that is absent counts as missing), and its scores and
        decisions.

        `score` float `(N,)` in [0, 1] and `positive` bool `(N,)` come together. Sensitive attributes are
        columns of texts in the batch.
        """
        count = batch.num_rows
        if count == 0:
            return
        self.row_count += count
        for schema, column in zip(self.schema.columns, self.columns, strict=True):
            position = batch.schema.get_field_index(schema.name)
            if position < 0:
                column.missing_count += count
            else:
                for chunk in _chunks(batch.column(position)):
                    column.add(chunk)
        if score is None or positive is None:
            return
        counter = QualityCounter(
            self.schema.score_bin_count, np.asarray(score, float), np.asarray(positive, bool)
        )
        self._add_counts(*counter.predictions())
        attributes = {
            name: batch.column(name) for name in self.schema.sensitive if name in batch.schema.names
        }
        for groups, codes in _groupings(self.schema.sensitive, attributes, count):
            self.subgroups.add(groups, *counter.predictions(codes, len(groups)))

    def add_labels(
        self,
        score: npt.ArrayLike,
        positive: npt.ArrayLike,
        label: npt.ArrayLike,
        groups: Mapping[str, Any],
        *,
        sign: int = 1,
    ) -> None:
        """Counts outcomes of predictions that were added before: `score` float, `positive` and `label`
        bool, all `(N,)`.

        `groups` gives each sensitive attribute's texts `(N,)`. `sign` -1 takes labels out again, for a
        label that is revised.
        """
        labels = np.asarray(label, bool)
        if not len(labels):
            return
        counter = QualityCounter(
            self.schema.score_bin_count, np.asarray(score, float), np.asarray(positive, bool), labels
        )
        self._add_counts(*counter.labels(sign=sign))
        for names, codes in _groupings(self.schema.sensitive, groups, len(labels)):
            self.subgroups.add(names, *counter.labels(codes, len(names), sign))

    def note(self, start_us: int, end_us: int, simulations: Iterable[str] = ()) -> None:
        """Widens the span of event times, and adds names of incidents that were played (empty names are
        left out).
        """
        self.start_us = start_us if self.start_us is None else min(self.start_us, start_us)
        self.end_us = end_us if self.end_us is None else max(self.end_us, end_us)
        self.simulations.update(name for name in simulations if name)

    def merge(self, other: "Profile") -> Self:
        """Both together, as a new profile. Raises `ValueError` when the schemas differ."""
        merged = type(self)(self.schema)
        merged.absorb(self, other)
        return merged

    def absorb(self, *others: "Profile") -> None:
        """Adds `others` to this profile in place. Raises `ValueError` when schemas differ; then nothing is
        added.
        """
        for other in others:
            if other.schema is not self.schema and other.schema != self.schema:
                raise ValueError(
                    "profiles of different schemas cannot be merged: their columns or bins differ"
                )
        if not others:
            return
        self.row_count += sum(other.row_count for other in others)
        for position, column in enumerate(self.columns):
            column.merge_all([other.columns[position] for other in others])  # type: ignore[misc]
        self._add_quality([other.quality for other in others if other.quality is not None])
        self.subgroups.merge_all([other.subgroups for other in others])
        for other in others:
            if other.start_us is not None and other.end_us is not None:
                self.note(other.start_us, other.end_us)
            self.simulations |= other.simulations

    def quantile(self, name: str, q: float) -> float:
        """The `q`-quantile of a numeric column; NaN without values. Raises `TypeError` for a column of
        categories.
        """
        column = self.column(name)
        if not isinstance(column, NumericColumn):
            raise TypeError(f"{name} is a column of categories; it has no quantiles")
        return column.quantile(q)

    def _add_quality(self, qualities: Sequence[QualityProfile]) -> None:
        if not qualities:
            return
        if self.quality is None:
            self.quality = QualityProfile(self.schema.score_bin_count)
        self.quality.merge_all(qualities)

    def _add_counts(self, counts: Ints, sums: Floats) -> None:
        self._add_quality([QualityProfile.of(self.schema.score_bin_count, counts[0], sums[0])])


def merge_all(profiles: Iterable[Profile]) -> Profile:
    """All together, as a new profile. Raises `ValueError` for none, or when schemas differ."""
    found = list(profiles)
    if not found:
        raise ValueError("there is no profile to merge")
    merged = Profile(found[0].schema)
    merged.absorb(*found)
    return merged


def _groupings(
    order: Sequence[str], attributes: Mapping[str, Any], count: int
) -> Iterator[tuple[list[Group], npt.NDArray[np.int64]]]:
    """Each attribute alone and each pair of them: the groups seen, and each row's group `(N,)`, -1 where a
    value is missing.
    """
    coded = {name: _codes(attributes[name], count) for name in order if name in attributes}
    for name, (values, codes) in coded.items():
        if values:
            yield [((name, value),) for value in values], codes
    for first, second in combinations(coded, 2):
        (left, left_codes), (right, right_codes) = coded[first], coded[second]
        both = np.where((left_codes < 0) | (right_codes < 0), -1, left_codes * len(right) + right_codes)
        seen = np.flatnonzero(np.bincount(both[both >= 0], minlength=1))
        if not len(seen) or not (both >= 0).any():
            continue
        compact = np.full(len(left) * len(right), -1)
        compact[seen] = np.arange(len(seen))
        groups: list[Group] = [
            ((first, left[int(cell) // len(right)]), (second, right[int(cell) % len(right)])) for cell in seen
        ]
        yield groups, np.where(both < 0, -1, compact[both])


def _codes(texts: Any, count: int) -> tuple[list[str], npt.NDArray[np.int64]]:
    array = texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks)
    if not isinstance(array, pa.Array):
        array = pa.array(array, pa.utf8())
    if len(array) != count:
        raise ValueError(f"an attribute has {len(array)} values for {count} rows")
    encoded = pc.dictionary_encode(array)
    codes = pc.fill_null(encoded.indices.cast(pa.int64()), -1).to_numpy(zero_copy_only=False)
    values = [str(value) for value in encoded.dictionary.to_pylist()]
    # Groups in one order whatever row came first: then profiles of other batches merge as whole matrices.
    order = sorted(range(len(values)), key=values.__getitem__)
    place = np.empty(len(values) + 1, np.int64)
    place[order], place[-1] = np.arange(len(values)), -1
    return [values[i] for i in order], place[codes]


def _chunks(column: pa.Array | pa.ChunkedArray) -> list[pa.Array]:
    return column.chunks if isinstance(column, pa.ChunkedArray) else [column]
