"""Profiles: what they count, that merging is an algebra, and that labels can be revised."""

import copy
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from audit.profiles import column as columns
from audit.profiles.bins import FixedBins
from audit.profiles.column import CategoryColumn, NumericColumn
from audit.profiles.profile import Profile, merge_all
from audit.profiles.quality import QualityProfile
from audit.profiles.schema import ColumnKind, ColumnSchema, ProfileSchema
from audit.profiles.subgroups import Group, Subgroups
from tests.unit.audit.made_profiles import SCHEMA, counts, groups, profile, scored, table

PARTS = st.tuples(st.integers(0, 40), st.integers(0, 50), st.booleans())


def made(part: tuple[int, int, bool]) -> Profile:
    count, seed, labelled = part
    return profile(count, seed, labelled=labelled)


@settings(max_examples=40, deadline=None)
@given(PARTS, PARTS, PARTS)
def test_merging_is_associative_and_commutative(
    first: tuple[int, int, bool], second: tuple[int, int, bool], third: tuple[int, int, bool]
) -> None:
    a, b, c = made(first), made(second), made(third)
    left, right = a.merge(b).merge(c), a.merge(b.merge(c))
    assert counts(left) == counts(right) == counts(c.merge(b).merge(a)) == counts(merge_all([b, c, a]))
    assert left.column("age").sketch.n == right.column("age").sketch.n  # type: ignore[union-attr]


@settings(max_examples=20, deadline=None)
@given(PARTS)
def test_an_empty_profile_changes_nothing_and_parts_are_left_as_they_were(
    part: tuple[int, int, bool],
) -> None:
    one = made(part)
    before = counts(one)
    merged = counts(one.merge(Profile.empty(SCHEMA)))
    assert merged == before | {"quality": merged["quality"]}
    one.merge(profile(5, 1))
    assert counts(one) == before


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 200), st.lists(st.integers(1, 60), max_size=4), st.integers(0, 9))
def test_rows_in_batches_count_as_rows_at_once(count: int, cuts: list[int], seed: int) -> None:
    rows, score, positive, _ = scored(count, seed)
    whole, parts = Profile.empty(SCHEMA), Profile.empty(SCHEMA)
    whole.add_rows(rows, score, positive)
    places = [0, *sorted({cut for cut in cuts if cut < count}), count]
    for start, end in pairwise(places):
        parts.add_rows(rows.slice(start, end - start), score[start:end], positive[start:end])
    assert counts(parts) == counts(whole)


def test_it_counts_what_pandas_counts() -> None:
    rows, score, positive, label = scored(2_000, 3)
    found, frame = profile(2_000, 3), rows.to_pandas()
    age, town = found.column("age"), found.column("town")
    assert isinstance(age, NumericColumn)
    assert isinstance(town, CategoryColumn)
    assert (age.count, age.missing_count) == (frame.age.count(), frame.age.isna().sum())
    assert (age.minimum, age.maximum) == (frame.age.min(), frame.age.max())
    assert age.mean == pytest.approx(frame.age.mean())
    assert age.sum_of_squares == pytest.approx((frame.age**2).sum())
    edges = [-np.inf, *age.edges, np.inf]
    assert (
        age.bin_counts.tolist() == np.histogram(frame.age.dropna(), np.nextafter(edges, -np.inf))[0].tolist()
    )
    assert town.value_counts == frame.town.value_counts().to_dict()
    assert town.missing_count == frame.town.isna().sum()
    women = found.subgroups[("SEX", "2"),]
    chosen = (frame.SEX == "2").to_numpy()
    assert women.row_count == women.labelled_count == chosen.sum()
    assert women.true_positives == (chosen & positive & label).sum()
    assert women.false_negatives == (chosen & ~positive & label).sum()
    assert women.squared_error_sum == pytest.approx(((score - label)[chosen] ** 2).sum())
    crossing = found.subgroups[("SEX", "2"), ("RACE", "Asian")]
    assert crossing.row_count == (chosen & (frame.RACE == "Asian").to_numpy()).sum()
    assert found.quality is not None
    assert found.quality.score_counts.tolist() == np.histogram(score, 10, (0, 1))[0].tolist()


A, B, C = (("SEX", "1"),), (("SEX", "2"),), (("SEX", "1"), ("RACE", "Black"))
COUNTED = st.dictionaries(st.sampled_from([A, B, C]), st.integers(0, 99))


def subgroups(counted: dict[Group, int]) -> Subgroups:
    """Groups in the order of the dictionary, each with its own number in every count."""
    made = Subgroups(2)
    for group, number in counted.items():
        made[group] = QualityProfile(2, [number, 1], [number / 64, 0.5], true_positives=number)
    return made


def plain(found: Subgroups) -> dict[Group, tuple[list[int], list[float]]]:
    return {group: (found[group].counts.tolist(), found[group].sums.tolist()) for group in found}


@settings(max_examples=60, deadline=None)
@given(COUNTED, COUNTED, COUNTED)
def test_merging_subgroups_is_associative_and_commutative_whatever_their_order(
    first: dict[Group, int], second: dict[Group, int], third: dict[Group, int]
) -> None:
    left, right, at_once = subgroups(first), subgroups(third), subgroups(second)
    left.merge_all([subgroups(second)])
    left.merge_all([subgroups(third)])
    right.merge_all([subgroups(second), subgroups(first)])
    at_once.merge_all([subgroups(third), subgroups(first)])
    assert plain(left) == plain(right) == plain(at_once)
    assert set(left) == {*first, *second, *third}
    for group in left:
        numbers = [part[group] for part in (first, second, third) if group in part]
        assert left[group].true_positives == sum(numbers)
        assert left[group].score_counts.tolist() == [sum(numbers), len(numbers)]


def test_a_group_is_a_view_and_what_is_set_is_a_copy() -> None:
    one = QualityProfile(2, [1, 2])
    made = Subgroups(2)
    made[A] = one
    one.merge_all([QualityProfile(2, [5, 5])])
    assert made[A].score_counts.tolist() == [1, 2]
    made[A].merge_all([QualityProfile(2, [10, 0])])
    assert made[A].score_counts.tolist() == [11, 2]
    made.merge_all([made])
    assert made[A].score_counts.tolist() == [22, 4]
    assert (len(made), list(made), B in made) == (1, [A], False)
    assert made[A].without(QualityProfile(2, [20, 4])).score_counts.tolist() == [2, 0]
    with pytest.raises(KeyError):
        made[B]


def test_groups_of_other_score_bins_are_refused_whole() -> None:
    made, other = subgroups({A: 3}), Subgroups(5)
    before = plain(made)
    with pytest.raises(ValueError, match="score bins differ: 2 and 5"):
        made.merge_all([subgroups({A: 1}), other])
    with pytest.raises(ValueError, match="score bins differ: 2 and 5"):
        made[B] = QualityProfile(5)
    with pytest.raises(ValueError, match="score bins differ: 2 and 5"):
        made[A].without(QualityProfile(5))
    assert plain(made) == before


def test_groups_are_listed_alike_whatever_row_came_first() -> None:
    rows, score, positive, _ = scored(300, 8)
    back = rows.take(np.arange(300)[::-1])
    forth, reverse = Profile.empty(SCHEMA), Profile.empty(SCHEMA)
    forth.add_rows(rows, score, positive)
    reverse.add_rows(back, score[::-1], positive[::-1])
    assert list(forth.subgroups) == list(reverse.subgroups)
    assert counts(forth) == counts(reverse)


def test_a_missing_attribute_puts_a_person_in_no_group_of_it() -> None:
    rows, *_ = scored(300, 4)
    found = profile(300, 4)
    assert ("SEX", "None") not in {pair for group in found.subgroups for pair in group}
    of_sex = sum(
        quality.row_count
        for group, quality in found.subgroups.items()
        if group[0][0] == "SEX" and len(group) == 1
    )
    assert of_sex == 300 - rows.column("SEX").null_count


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 60), st.integers(0, 20))
def test_a_label_taken_out_leaves_no_trace(count: int, seed: int) -> None:
    rows, score, positive, label = scored(count, seed)
    one = profile(count, seed)
    before = counts(one)
    revised = ~label
    one.add_labels(score, positive, label, groups(rows), sign=-1)
    one.add_labels(score, positive, revised, groups(rows))
    assert one.quality is not None
    assert one.quality.true_positives == (positive & revised).sum()
    one.add_labels(score, positive, revised, groups(rows), sign=-1)
    one.add_labels(score, positive, label, groups(rows))
    assert counts(one) == before


def test_labels_that_come_later_count_as_if_they_had_come_at_once() -> None:
    rows, score, positive, label = scored(100, 5)
    late = profile(100, 5, labelled=False)
    for start in range(0, 100, 30):
        part = slice(start, start + 30)
        late.add_labels(score[part], positive[part], label[part], groups(rows.slice(start, 30)))
    assert counts(late) == counts(profile(100, 5))


def test_quantiles_are_within_two_per_cent_of_rank_after_many_merges() -> None:
    rng = np.random.default_rng(6)
    values = rng.lognormal(size=100_000)
    schema = ProfileSchema.fit(pa.table({"x": values[:1000]}), numeric=["x"])
    parts = []
    for chunk in np.split(values, 200):
        part = Profile.empty(schema)
        part.add_rows(pa.table({"x": chunk}))
        parts.append(part)
    merged = merge_all(parts)
    for q in (0.01, 0.25, 0.5, 0.9, 0.99):
        assert abs((values <= merged.quantile("x", q)).mean() - q) < 0.02


def test_a_column_that_a_batch_lacks_is_missing_in_every_row() -> None:
    one = Profile.empty(SCHEMA)
    one.add_rows(table(20, 1).drop_columns(["age"]))
    assert (one.column("age").count, one.column("age").missing_count) == (0, 20)


def test_no_rows_one_row_and_five() -> None:
    empty = Profile.empty(SCHEMA)
    empty.add_rows(table(0, 0))
    assert (empty.row_count, empty.quality, empty.subgroups) == (0, None, {})
    assert np.isnan(empty.quantile("age", 0.5))
    for count in (1, 5):
        one = profile(count, 7)
        assert one.row_count == count
        assert one.quality is not None
        assert one.quality.row_count == count


def test_profiles_of_other_schemas_do_not_merge_and_none_is_no_profile() -> None:
    other = Profile.empty(ProfileSchema.fit(table(50, 9), numeric=["age"]))
    one = profile(5, 1)
    before = counts(one)
    with pytest.raises(ValueError, match="different schemas"):
        one.absorb(profile(3, 2), other)
    assert counts(one) == before
    with pytest.raises(ValueError, match="no profile"):
        merge_all([])


def test_wrong_names_are_named() -> None:
    with pytest.raises(KeyError, match="height"):
        ProfileSchema.fit(table(5, 0), numeric=["height"])
    with pytest.raises(KeyError, match="height"):
        profile(1, 1).column("height")
    with pytest.raises(TypeError, match="categories"):
        profile(1, 1).quantile("town", 0.5)
    with pytest.raises(ValueError, match="2 values for 3 rows"):
        profile(1, 1).add_labels([0.1] * 3, [True] * 3, [True] * 3, {"SEX": ["1", "2"]})


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False), unique=True, max_size=12),
    st.lists(st.floats(allow_nan=False), min_size=1, max_size=60),
)
@example(edges=[-1.7976931348623157e308, 1e300], numbers=[0.0])
def test_fixed_bins_are_those_of_searchsorted(edges: list[float], numbers: list[float]) -> None:
    edges = sorted(edges)
    values = np.array([*numbers, *edges])
    expected = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)
    assert FixedBins(edges).count(values).tolist() == expected.tolist()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.integers(0, 30), max_size=30), min_size=3, max_size=3), st.integers(0, 5))
def test_bounded_values_do_not_depend_on_order(parts: list[list[int]], order: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(columns, "MAX_VALUES", 4)
        made = []
        for part in parts:
            made.append(CategoryColumn(ColumnSchema("x", ColumnKind.CATEGORY)))
            made[-1].add(pa.array([f"v{value}" for value in part], pa.utf8()))
        a, b, c = made
        first, second = copy.deepcopy(a), copy.deepcopy(made[order % 3])
        first.merge_all([b])
        first.merge_all([c])
        second.merge_all([one for place, one in enumerate(made) if place != order % 3])
        assert vars(first) == vars(second)
        assert first.count == sum(first.value_counts.values()) + first.other_count
        everything = [f"v{value}" for part in parts for value in part]
        assert len(first.value_counts) == min(4, len(set(everything)))
        assert all(everything.count(value) == count for value, count in first.value_counts.items())


def test_codes_far_apart_are_counted_like_texts() -> None:
    column = CategoryColumn(ColumnSchema("x", ColumnKind.CATEGORY))
    column.add(pa.array([1, 10**15, 1, None, -5]))
    column.add(pa.array(["1", "a"]).dictionary_encode())
    assert column.value_counts == {"1": 3, str(10**15): 1, "-5": 1, "a": 1}
    assert column.missing_count == 1


@pytest.mark.parametrize(("values", "expected"), [([], 1), ([None, None], 1), ([3.0] * 9, 2)])
def test_a_reference_without_spread_has_the_bins_that_it_can_have(
    values: list[float | None], expected: int
) -> None:
    rows = pa.table({"x": pa.array(values, pa.float64())})
    one = Profile.empty(ProfileSchema.fit(rows, numeric=["x"]))
    one.add_rows(rows)
    column = one.column("x")
    assert isinstance(column, NumericColumn)
    assert len(column.bin_counts) == expected
    assert column.bin_counts.sum() == column.count
