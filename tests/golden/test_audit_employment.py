"""What moves in the replayed years 2016 to 2018, as `docs/decisions` and the README tell it.

Weeks count from 1 January 2016. Distances are bias-corrected; the reference is every fifth row of 2015.
"""

import datetime as dt
from functools import cache

import numpy as np
import pyarrow as pa
import pytest

from audit.drift.distances import corrected_distance
from audit.drift.sequential import SequentialTest
from audit.profiles.column import NumericColumn
from audit.profiles.profile import Profile, merge_all
from audit.profiles.schema import ProfileSchema
from examples.employment.replay import days, records_2015

MATTERS = 0.1
SURE = 20 * 14
NOT_FEATURES = ("id", "year", "employed", "SEX", "RAC1P")


@cache
def reference() -> Profile:
    rows = records_2015().take(pa.array(np.arange(0, 68_785, 5)))
    columns = [name for name in rows.column_names if name not in NOT_FEATURES]
    codes = [name for name in columns if name != "AGEP"]
    profile = Profile.empty(ProfileSchema.fit(rows, numeric=["AGEP"], categorical=codes))
    profile.add_rows(rows)
    return profile


@cache
def daily(thin: int) -> list[tuple[dt.date, Profile]]:
    found = []
    for day in days(thin=thin):
        profile = Profile.empty(reference().schema)
        profile.add_rows(day.people)
        found.append((day.date, profile))
    return found


def counts(profile: Profile, name: str) -> np.ndarray:
    column, beside = profile.column(name), reference().column(name)
    if isinstance(column, NumericColumn):
        return np.append(column.bin_counts, column.missing_count)
    known = [column.value_counts.get(value, 0) for value in sorted(beside.value_counts)]
    return np.array([*known, column.count - sum(known), column.missing_count])


def distances(first: dt.date, last: dt.date) -> dict[str, list[float]]:
    """Of each column, by week: those of the 7-day steps that lie within the span."""
    found: dict[str, list[float]] = {schema.name: [] for schema in reference().schema.columns}
    for place in range(0, len(daily(1)) - 6, 7):
        week = daily(1)[place : place + 7]
        if first <= week[0][0] and week[-1][0] <= last:
            profile = merge_all([one for _, one in week])
            for name, values in found.items():
                values.append(corrected_distance(counts(profile, name), counts(reference(), name)))
    return found


def test_2016_is_quiet() -> None:
    quiet = distances(dt.date(2016, 1, 1), dt.date(2016, 12, 31))
    assert len(quiet["DIS"]) == 52
    assert max(max(values) for values in quiet.values()) < MATTERS


def test_group_quarters_stay_away_in_2017_and_in_most_of_2018() -> None:
    for first, last in ((2017, 1, 8), (2017, 12, 4)), ((2018, 2, 4), (2018, 10, 7)):
        found = distances(dt.date(*first), dt.date(*last))
        assert min(found["RELP"]) > 0.19
        assert max(found["RELP"]) < 0.22
        assert all(max(values) < MATTERS for name, values in found.items() if name != "RELP")


def test_they_come_all_at_once_in_december_2017() -> None:
    found = distances(dt.date(2017, 12, 5), dt.date(2018, 1, 27))
    least = {name: min(values) for name, values in found.items()}
    moved = [name for name in sorted(least, key=lambda name: -least[name]) if least[name] > MATTERS]
    assert moved[:4] == ["RELP", "AGEP", "SCHL", "MAR"]
    assert set(moved[4:]) == {"ESP", "MIG", "MIL", "DREM", "DIS", "ANC"}


def test_the_swapped_codes_show_in_one_column_alone() -> None:
    found = distances(dt.date(2018, 10, 9), dt.date(2018, 10, 21))
    assert min(found["DIS"]) > 0.6
    assert [name for name, values in found.items() if max(values) >= MATTERS and name != "RELP"] == ["DIS"]


@pytest.mark.parametrize("thin", [1, 10])
def test_the_swapped_codes_are_noticed_within_four_days(thin: int) -> None:
    start = dt.date(2018, 10, 8)
    before = [profile for date, profile in daily(thin) if date < start]
    after = [profile for date, profile in daily(thin) if date >= start]
    test = SequentialTest(counts(reference(), "DIS"))
    for profile in before:
        test.update(counts(profile, "DIS"))
    earlier = test.log_e_value
    for day, profile in enumerate(after[:4], 1):
        test.update(counts(profile, "DIS"))
        trailing = merge_all([*before[day - 7 :], *after[:day]])
        distance = corrected_distance(counts(trailing, "DIS"), counts(reference(), "DIS"))
        if distance >= MATTERS and test.log_e_value - earlier >= np.log(SURE):
            assert abs(test.likely_start - len(before) - 1) <= 1
            return
    raise AssertionError("not noticed within four days")


@pytest.mark.parametrize(("thin", "within"), [(1, 7), (10, 45)])
def test_the_absence_is_sure_within_days_of_january_2017_and_dated(thin: int, within: int) -> None:
    test = SequentialTest(counts(reference(), "RELP"))
    for place, (date, profile) in enumerate(daily(thin)):
        if test.update(counts(profile, "RELP")) >= SURE and date >= dt.date(2017, 1, 1):
            start = daily(thin)[test.likely_start - 1][0]
            assert (date - dt.date(2017, 1, 1)).days < within
            assert abs((start - dt.date(2017, 1, 1)).days) <= within // 2 + 3
            return
        assert test.e_value < SURE, f"an alarm on day {place}"
    raise AssertionError("never noticed")


def test_households_make_evidence_alone_speak_too_soon() -> None:
    """Rows of one household follow each other: why an alert asks for magnitude beside evidence."""
    test = SequentialTest(counts(reference(), "ESP"))
    year = [counts(profile, "ESP") for date, profile in daily(1) if date.year == 2016]
    assert max(test.update(day) for day in year) > SURE
