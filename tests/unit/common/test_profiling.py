"""Profiles as messages and back, a task's groups as texts, and what a message may not hold."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
from boarfish.v1 import profile_pb2, task_pb2

from audit.profiles.profile import merge_all
from services.common import profiling
from tests.unit.audit.made_profiles import counts, profile

TASK = task_pb2.Task(
    name="people",
    features=[
        task_pb2.Feature(name="age", type=task_pb2.FEATURE_TYPE_NUMERIC),
        task_pb2.Feature(name="code", type=task_pb2.FEATURE_TYPE_CODE),
        task_pb2.Feature(name="town", type=task_pb2.FEATURE_TYPE_CATEGORY),
    ],
    sensitive=[
        task_pb2.SensitiveAttribute(name="SEX", type=task_pb2.FEATURE_TYPE_CODE, values={"1": "male"}),
        task_pb2.SensitiveAttribute(name="YEARS", type=task_pb2.FEATURE_TYPE_NUMERIC, band_edges=[18, 65]),
    ],
    decision=task_pb2.Decision(threshold=0.5),
    watch=task_pb2.Watch(minimum_group_size=2),
)
ROWS = pa.table(
    {
        "town": ["a", "b", None, "a"],
        "age": [17.0, 18.0, None, 70.0],
        "YEARS": [17.0, 18.0, None, 70.0],
        "code": pa.array([1, 2, 2, None]),
        "SEX": pa.array([1, 2, None, 1]),
    }
)


@pytest.mark.parametrize(("count", "labelled"), [(0, False), (1, True), (5, True), (300, False), (300, True)])
def test_a_profile_comes_back_as_it_went(count: int, labelled: bool) -> None:
    made = profile(count, 3, labelled=labelled)
    message = profile_pb2.Profile.FromString(profiling.to_proto(made).SerializeToString())
    back = profiling.from_proto(message)
    assert back.schema == made.schema
    assert counts(back) == counts(made)
    assert profiling.to_proto(back) == message
    for q in (0.1, 0.5, 0.9):
        assert np.array_equal(back.quantile("age", q), made.quantile("age", q), equal_nan=True)


def test_what_came_back_merges_as_before() -> None:
    parts = [profile(50, seed) for seed in range(4)]
    back = [profiling.from_proto(profiling.to_proto(part)) for part in parts]
    assert counts(merge_all(back)) == counts(merge_all(parts))


def test_columns_are_the_task_s_features_in_its_order() -> None:
    schema = profiling.profile_schema(TASK, ROWS)
    assert [column.name for column in schema.columns] == ["age", "code", "town"]
    assert schema.sensitive == ("SEX", "YEARS")


def test_groups_are_texts_and_bands_and_a_missing_value_stays_missing() -> None:
    groups = profiling.group_columns(TASK, ROWS)
    assert groups["SEX"].to_pylist() == ["1", "2", None, "1"]
    assert groups["YEARS"].to_pylist() == ["under 18", "18 to 65", None, "65 and over"]
    assert set(profiling.group_columns(TASK, ROWS.drop_columns(["SEX"]))) == {"YEARS"}


def test_a_reference_counts_rows_and_outcomes_by_group() -> None:
    score, label = np.array([0.9, 0.2, 0.7, 0.4]), np.array([True, False, False, True])
    made = profiling.reference_profile(TASK, ROWS, score, label)
    assert made.column("age").count == 3
    assert made.subgroups[("SEX", "1"), ("YEARS", "65 and over")].false_negatives == 1
    assert [one.display_name for one in profiling.rated_groups(TASK, made)][:2] == ["male", "SEX 2"]
    assert profiling.empty_like(made).row_count == 0


def broken(change: Callable[[profile_pb2.Profile], object]) -> profile_pb2.Profile:
    message = profiling.to_proto(profile(50, 1))
    change(message)
    return message


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda message: message.columns.pop(), "2 columns, its schema 3"),
        (lambda message: message.columns[0].bin_counts.append(1), "bin counts"),
        (lambda message: message.quality.score_counts.append(1), "score_counts has 11 bins"),
        (lambda message: setattr(message.columns[0], "kll_sketch", b"no sketch"), "cannot be read"),
        (lambda message: setattr(message.columns[0], "kll_sketch", b""), "cannot be read"),
        (lambda message: setattr(message.columns[0], "count", 49), "its count is 49"),
        (lambda message: setattr(message.schema.columns[0], "kind", 0), "must be numeric or category"),
        (lambda message: message.schema.columns[0].bin_edges.reverse(), "do not increase"),
    ],
)
def test_a_message_that_does_not_fit_its_schema_is_refused(
    change: Callable[[profile_pb2.Profile], object], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        profiling.from_proto(broken(change))
