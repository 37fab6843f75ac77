"""A task's rows as profiles, and profiles as messages: what training (references) and monitoring (windows)
share.

The only module of `services.common` that knows `audit`.
"""

from collections.abc import Mapping
from itertools import pairwise

import datasketches
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from boarfish.v1 import profile_pb2, task_pb2

from audit.fairness.gaps import SubgroupQuality, subgroup_quality
from audit.fairness.groups import band
from audit.profiles.column import CategoryColumn, NumericColumn
from audit.profiles.profile import Profile
from audit.profiles.quality import QualityProfile
from audit.profiles.schema import ColumnKind, ColumnSchema, ProfileSchema

_KINDS = {
    ColumnKind.NUMERIC: profile_pb2.COLUMN_KIND_NUMERIC,
    ColumnKind.CATEGORY: profile_pb2.COLUMN_KIND_CATEGORY,
}
_CATEGORICAL = (task_pb2.FEATURE_TYPE_CODE, task_pb2.FEATURE_TYPE_CATEGORY)
_CONFUSION = ("true_positives", "false_positives", "true_negatives", "false_negatives")


def profile_schema(task: task_pb2.Task, table: pa.Table) -> ProfileSchema:
    """The schema of a task's profiles, with bins chosen on `table`, the reference rows. Columns are the
    task's numeric, code and category features.
    """
    numeric = [feature.name for feature in task.features if feature.type == task_pb2.FEATURE_TYPE_NUMERIC]
    categorical = [feature.name for feature in task.features if feature.type in _CATEGORICAL]
    ordered = table.select([one.name for one in task.features if one.name in (*numeric, *categorical)])
    return ProfileSchema.fit(
        ordered,
        numeric=numeric,
        categorical=categorical,
        sensitive=[attribute.name for attribute in task.sensitive],
    )


def reference_profile(task: task_pb2.Task, table: pa.Table, score: np.ndarray, label: np.ndarray) -> Profile:
    """The profile of held-out rows: features and sensitive attributes in `table`, scores float and labels
    bool `(N,)`.
    """
    profile = Profile.empty(profile_schema(task, table))
    positive = np.asarray(score) >= task.decision.threshold
    profile.add_rows(with_text_groups(task, table), score, positive)
    profile.add_labels(score, positive, label, group_columns(task, table))
    return profile


def empty_like(profile: Profile) -> Profile:
    """A profile of no rows under the same schema."""
    return Profile.empty(profile.schema)


def group_columns(task: task_pb2.Task, table: pa.Table) -> dict[str, pa.Array]:
    """Each sensitive attribute of `table` as texts, utf8 `(N,)`: codes by their number, numbers by their
    band.

    An attribute that the table lacks is left out; a missing value stays null.
    """
    return {
        attribute.name: _texts(attribute, table.column(attribute.name))
        for attribute in task.sensitive
        if attribute.name in table.column_names
    }


def with_text_groups(task: task_pb2.Task, table: pa.Table) -> pa.Table:
    """`table` with its sensitive attributes as texts."""
    for name, texts in group_columns(task, table).items():
        table = table.set_column(table.schema.get_field_index(name), name, texts)
    return table


def group_names(task: task_pb2.Task) -> dict[str, Mapping[str, str]]:
    """Meaning of each value of each sensitive attribute."""
    return {attribute.name: dict(attribute.values) for attribute in task.sensitive}


def rated_groups(task: task_pb2.Task, profile: Profile) -> list[SubgroupQuality]:
    """Every group and crossing of a profile with its rates, gaps and the task's words for it; single
    attributes first.
    """
    smallest = task.watch.minimum_group_size
    return subgroup_quality(profile, smallest, group_names(task), threshold=task.decision.threshold)


def to_proto(profile: Profile) -> profile_pb2.Profile:
    """`profile` as a message; `from_proto` gives back what merges and counts the same."""
    message = profile_pb2.Profile(row_count=profile.row_count, simulations=sorted(profile.simulations))
    message.schema.score_bin_count = profile.schema.score_bin_count
    message.schema.sensitive.extend(profile.schema.sensitive)
    for schema, column in zip(profile.schema.columns, profile.columns, strict=True):
        message.schema.columns.add(name=schema.name, kind=_KINDS[schema.kind], bin_edges=schema.bin_edges)
        _column_to_proto(column, message.columns.add())
    if profile.quality is not None:
        _quality_to_proto(profile.quality, message.quality)
    for group, quality in sorted(profile.subgroups.items()):
        part = message.subgroups.add(group=dict(group), row_count=quality.row_count)
        _quality_to_proto(quality, part.quality)
    if profile.start_us is not None and profile.end_us is not None:
        message.period.start_time.FromMicroseconds(profile.start_us)
        message.period.end_time.FromMicroseconds(profile.end_us)
    return message


def from_proto(message: profile_pb2.Profile) -> Profile:
    """The profile that a message holds. Raises `ValueError` for one whose parts do not fit its schema."""
    columns = tuple(map(_column_schema, message.schema.columns))
    schema = ProfileSchema(columns, message.schema.score_bin_count, tuple(message.schema.sensitive))
    if len(message.columns) != len(columns):
        raise ValueError(f"the profile has {len(message.columns)} columns, its schema {len(columns)}")
    profile = Profile.empty(schema)
    profile.row_count = message.row_count
    for part, column in zip(message.columns, profile.columns, strict=True):
        _column_from_proto(part, column)
    if message.HasField("quality"):
        profile.quality = _quality_from_proto(message.quality, schema.score_bin_count)
    order = {name: position for position, name in enumerate(schema.sensitive)}
    for group in message.subgroups:
        key = tuple(sorted(group.group.items(), key=lambda item: order.get(item[0], len(order))))
        profile.subgroups[key] = _quality_from_proto(group.quality, schema.score_bin_count)
    if message.HasField("period"):
        profile.start_us = message.period.start_time.ToMicroseconds()
        profile.end_us = message.period.end_time.ToMicroseconds()
    profile.simulations = set(message.simulations)
    return profile


def _column_schema(message: profile_pb2.ColumnSchema) -> ColumnSchema:
    kind = next((kind for kind, number in _KINDS.items() if number == message.kind), None)
    if kind is None:
        raise ValueError(f"column {message.name} is of kind {message.kind}; must be numeric or category")
    edges = tuple(message.bin_edges)
    if not all(low < high for low, high in pairwise(edges)):
        raise ValueError(f"the bin edges of column {message.name} do not increase")
    return ColumnSchema(message.name, kind, edges)


def _texts(attribute: task_pb2.SensitiveAttribute, column: pa.ChunkedArray) -> pa.Array:
    values = column.combine_chunks()
    if isinstance(values, pa.ChunkedArray):
        values = pa.concat_arrays(values.chunks)
    if attribute.type == task_pb2.FEATURE_TYPE_NUMERIC:
        numbers = pc.cast(values, pa.float64()).to_numpy(zero_copy_only=False)
        return pa.array(band(numbers, list(attribute.band_edges)), pa.utf8())
    return pc.cast(values, pa.utf8())


def _column_to_proto(column: NumericColumn | CategoryColumn, message: profile_pb2.ColumnProfile) -> None:
    message.count, message.missing_count = column.count, column.missing_count
    if isinstance(column, CategoryColumn):
        message.value_counts.update(column.value_counts)
        message.other_count = column.other_count
        return
    message.bin_counts.extend(column.bin_counts.tolist())
    message.sum, message.sum_of_squares = column.sum, column.sum_of_squares
    if column.count:
        message.kll_sketch = column.sketch.serialize()
        message.minimum, message.maximum = column.minimum, column.maximum


def _column_from_proto(message: profile_pb2.ColumnProfile, column: NumericColumn | CategoryColumn) -> None:
    column.count, column.missing_count = message.count, message.missing_count
    if isinstance(column, CategoryColumn):
        column.value_counts = dict(message.value_counts)
        column.other_count = message.other_count
        return
    if len(message.bin_counts) != len(column.bin_counts):
        raise ValueError(
            f"a column has {len(message.bin_counts)} bin counts; its edges make {len(column.bin_counts)} bins"
        )
    column.bin_counts = np.array(message.bin_counts, np.int64)
    column.sum, column.sum_of_squares = message.sum, message.sum_of_squares
    if message.count:
        column.sketch = _sketch(message)
        column.minimum, column.maximum = message.minimum, message.maximum


def _sketch(message: profile_pb2.ColumnProfile) -> datasketches.kll_floats_sketch:
    try:
        sketch = datasketches.kll_floats_sketch.deserialize(message.kll_sketch)
    except (RuntimeError, ValueError, IndexError, MemoryError) as error:
        raise ValueError("a column's quantile sketch cannot be read") from error
    if sketch.n != message.count:
        raise ValueError(f"a column's quantile sketch holds {sketch.n} values, its count is {message.count}")
    return sketch


def _quality_to_proto(quality: QualityProfile, message: profile_pb2.QualityProfile) -> None:
    message.score_counts.extend(quality.score_counts.tolist())
    message.score_sums.extend(quality.score_sums.tolist())
    message.positive_decision_count = quality.positive_decision_count
    message.squared_error_sum = quality.squared_error_sum
    if quality.labelled_count:
        message.labelled_counts.extend(quality.labelled_counts.tolist())
        message.labelled_positive_counts.extend(quality.labelled_positive_counts.tolist())
    for name in _CONFUSION:
        setattr(message, name, getattr(quality, name))
    message.SetInParent()


def _quality_from_proto(message: profile_pb2.QualityProfile, bin_count: int) -> QualityProfile:
    for name in ("score_counts", "score_sums", "labelled_counts", "labelled_positive_counts"):
        if len(getattr(message, name)) not in (0, bin_count):
            raise ValueError(f"{name} has {len(getattr(message, name))} bins; the schema has {bin_count}")
    return QualityProfile(
        bin_count,
        score_counts=np.array(message.score_counts, np.int64),
        score_sums=np.array(message.score_sums, np.float64),
        labelled_counts=np.array(message.labelled_counts, np.int64),
        labelled_positive_counts=np.array(message.labelled_positive_counts, np.int64),
        positive_decision_count=message.positive_decision_count,
        squared_error_sum=message.squared_error_sum,
        **{name: getattr(message, name) for name in _CONFUSION},
    )


__all__ = [
    "Profile",
    "SubgroupQuality",
    "empty_like",
    "from_proto",
    "group_columns",
    "group_names",
    "profile_schema",
    "rated_groups",
    "reference_profile",
    "to_proto",
    "with_text_groups",
]
