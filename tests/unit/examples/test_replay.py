"""The replay spreads each year evenly, keeps file order, and touches nothing outside the incident's
fortnight.
"""

import datetime as dt

import numpy as np
import pyarrow.parquet as pq
import pytest

from examples.employment import replay


@pytest.fixture(scope="module")
def days() -> list[replay.Day]:
    return list(replay.days())


def test_every_person_comes_once_and_in_file_order(days):
    source = pq.read_table(replay.DATA / "2016_2018.parquet")
    ages = np.concatenate([day.people.column("AGEP").to_numpy() for day in days])
    labels = np.concatenate([day.labels for day in days])
    np.testing.assert_array_equal(ages, source.column("AGEP").to_numpy())
    np.testing.assert_array_equal(labels, source.column("employed").to_numpy())


def test_a_year_is_spread_evenly_over_its_days(days):
    assert len(days) == 366 + 365 + 365
    for year in (2016, 2017, 2018):
        sizes = [day.people.num_rows for day in days if day.date.year == year]
        assert max(sizes) - min(sizes) <= 1


def test_the_incident_swaps_one_column_for_a_fortnight_and_is_named(days):
    touched = [day for day in days if day.simulation]
    assert len(touched) == 14
    assert {day.simulation for day in touched} == {"disability-code-swap"}
    assert touched[0].date == dt.date(2018, 10, 8)
    with_disability = np.concatenate([day.people.column("DIS").to_numpy() for day in touched]) == 1
    assert with_disability.mean() > 0.8
    before = (
        np.concatenate(
            [day.people.column("DIS").to_numpy() for day in days if day.date == dt.date(2018, 10, 7)]
        )
        == 1
    )
    assert before.mean() < 0.25


def test_sensitive_attributes_go_along_and_the_label_does_not(days):
    names = days[0].people.column_names
    assert {"SEX", "RAC1P"} <= set(names)
    assert not {"employed", "id", "year"} & set(names)


def test_thinning_keeps_each_person_on_their_day(days):
    thinned = list(replay.days(thin=10))
    assert sum(day.people.num_rows for day in thinned) == 20_890
    whole = np.repeat([day.date for day in days], [day.people.num_rows for day in days])[::10]
    thin = np.repeat([day.date for day in thinned], [day.people.num_rows for day in thinned])
    assert (whole == thin).all()


def test_labels_become_known_two_months_later(days):
    assert days[0].label_time - days[0].event_time == dt.timedelta(days=61)
