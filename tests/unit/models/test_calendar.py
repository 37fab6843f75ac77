import calendar as reference
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import onnxruntime
from hypothesis import given
from hypothesis import strategies as some

from models.data.calendar import CODES, MISSING_TIME, NUMBERS, Calendar, calendar_parts
from models.data.table_spec import TableSpec
from models.data.tabular import TabularSchema
from models.data.targets import TargetSpec
from models.export.onnx import save_model
from models.export.onnx_table import TableGraph
from models.recipe import REGRESSION, Problem, Target

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@given(some.datetimes(timezones=some.just(UTC)))
def test_parts_are_those_of_the_standard_library(moment: datetime) -> None:
    time = (moment - EPOCH) // timedelta(microseconds=1)
    found = {name: int(part[0]) for name, part in calendar_parts(np.array([time]), 0).items()}
    last = reference.monthrange(moment.year, moment.month)[1]
    day_of_year = moment.timetuple().tm_yday
    starts, ends = moment.day == 1, moment.day == last
    assert found == {
        "year": moment.year,
        "month": moment.month,
        "day": moment.day,
        "weekday": moment.weekday(),
        "week": (day_of_year - 1) // 7 + 1,
        "hour": moment.hour,
        "day_of_year": day_of_year,
        "month_start": starts,
        "month_end": ends,
        "quarter_start": starts and moment.month % 3 == 1,
        "quarter_end": ends and moment.month % 3 == 0,
        "year_start": day_of_year == 1,
        "year_end": ends and moment.month == 12,
        "elapsed_s": time // 1_000_000,
    }


def test_the_graph_does_the_same_arithmetic(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    time = random.integers(-(2**62), 2**62, (500, 2))
    time[:200] = random.integers(-(10**16), 10**16, (200, 2))
    time[::9, 0] = MISSING_TIME
    calendar = Calendar.of(("begin", "end"), time)
    schema = TabularSchema((), (), (), time=("begin", "end"))
    problem = Problem(REGRESSION, (), Target(("y",)), "rmse")
    graph = TableGraph(TableSpec(problem, schema, TargetSpec(REGRESSION, ("y",)), calendar))
    graph.node("Identity", graph.numeric, output="numbers")
    graph.node("Identity", graph.code, output="codes")
    outputs = (("numbers", 1, ["N", 2 * len(NUMBERS)]), ("codes", 7, ["N", 2 * len(CODES)]))
    save_model(graph.model("", outputs=outputs), tmp_path / "times.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "times.onnx", providers=["CPUExecutionProvider"])
    numbers, codes = session.run(None, {"time": time})
    assert np.array_equal(numbers, calendar.numbers(time), equal_nan=True)
    assert np.array_equal(codes, calendar.codes(time))


def test_a_missing_time_has_missing_parts_and_counting_begins_at_the_earliest() -> None:
    time = np.array([[MISSING_TIME], [5_000_000], [7_000_000]])
    calendar = Calendar.of(("when",), time)
    assert calendar.origins == (5_000_000,)
    assert np.isnan(calendar.numbers(time)[0]).all()
    assert (calendar.codes(time)[0] == MISSING_TIME).all()
    assert calendar.numbers(time)[1:, NUMBERS.index("elapsed_s")].tolist() == [0, 2]
    assert Calendar.of(("when",), time[:1]).origins == (0,)
    assert calendar.number_names[0] == "when_year"
