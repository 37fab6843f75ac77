"""The tables that charts are drawn from, and the charts' own promises."""

import math

import pytest
from boarfish.v1 import common_pb2, monitoring_pb2

from dashboards import charts, queries


def window(start_s: int, accuracy: float, simulations: tuple[str, ...] = ()) -> monitoring_pb2.Window:
    made = monitoring_pb2.Window(simulations=simulations, complete=True)
    made.period.start_time.FromSeconds(start_s)
    made.period.end_time.FromSeconds(start_s + 7 * 86_400)
    made.quality.row_count, made.quality.labelled_count = 10, 4
    made.quality.accuracy.CopyFrom(common_pb2.Estimate(value=accuracy, lower=0.5, upper=0.9))
    made.drifts.add(column="DIS", jensen_shannon_distance=0.3, drifting=True)
    return made


def group(name: str, value: float, *, suppressed: bool = False, significant: bool = False):
    made = monitoring_pb2.SubgroupQuality(display_name=name, suppressed=suppressed, group={"SEX": name})
    rate = common_pb2.Estimate(value=value, lower=value - 0.1, upper=value + 0.1, count=50)
    made.quality.false_positive_rate.CopyFrom(rate)
    made.gaps.add(rate="false_positive_rate", significant=significant, sentence=f"{name} differs")
    return made


def test_quality_has_a_row_a_window_and_marks_what_was_simulated():
    table = queries.quality_table([window(0, 0.8), window(604_800, math.nan, ("swap",))])
    assert table["accuracy"].tolist()[0] == 0.8
    assert math.isnan(table["accuracy"].tolist()[1])
    assert table["simulated"].tolist() == ["", "swap"]


def test_drift_has_a_column_an_input():
    table = queries.drift_table([window(604_800, 0.8), window(0, 0.8)])
    assert list(table.columns) == ["DIS"]
    assert table.index.is_monotonic_increasing


def test_groups_that_are_too_small_are_not_drawn():
    groups = [
        group("female", 0.4, significant=True),
        group("male", 0.2),
        group("other", 0.9, suppressed=True),
    ]
    table = queries.group_table(groups, "false_positive_rate")
    assert table["group"].tolist() == ["female", "male"]
    assert table["significant"].tolist() == [True, False]


def test_a_significant_gap_differs_in_shape_as_well_as_colour():
    table = queries.group_table(
        [group("female", 0.4, significant=True), group("male", 0.2)], "false_positive_rate"
    )
    figure = charts.groups(table, 0.3, "False positive rate")
    assert set(figure.data[0].marker.symbol) == {"diamond", "circle"}


@pytest.mark.parametrize("count", [0, 1, 3])
def test_charts_draw_any_number_of_windows(count):
    found = [window(604_800 * n, 0.8, ("swap",) if n == 1 else ()) for n in range(count)]
    table = queries.quality_table(found)
    if count:
        charts.accuracy_over_time(table, 0.82, 0.03)
        charts.traffic(table)
        charts.drift_map(queries.drift_table(found), 0.1)
