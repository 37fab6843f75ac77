"""What a worker tells as it goes: fractions that only grow, and not too often."""

import pytest
from boarfish.v1 import training_pb2

from models.progress import Progress
from services.training.reporter import Reporter


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def told():
    return []


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def reporter(told, clock):
    def note(progress):
        copy = training_pb2.TrainingProgress()
        copy.CopyFrom(progress)
        told.append(copy)

    return Reporter([3.0, 1.0], note, clock)


def fitting(fraction, epoch=1):
    return Progress(
        "net", f"net: epoch {epoch} of 2", epoch, 2, 10, 0.5, 0.6, {"auc": 0.8}, 100.0, fraction, 1.0
    )


def test_fractions_grow_from_reading_to_registering(reporter, told, clock):
    reporter.stage("reading rows")
    reporter.stage("net: preparing", index=0, model="net")
    for step in range(1, 11):
        clock.now += 1
        reporter.fitting(fitting(step / 10), 0.5)
    reporter.stage("net: exporting", index=0, fraction=0.5, model="net")
    reporter.stage("trees: preparing", index=1, model="trees")
    reporter.stage("registering", index=1, fraction=1.0, model="trees")
    fractions = [progress.fraction_done for progress in told]
    assert fractions == sorted(fractions)
    assert fractions[0] == 0
    assert fractions[-1] == pytest.approx(1.0)
    assert told[-2].fraction_done == pytest.approx(0.02 + 0.98 * 0.75)


def test_numbers_are_told_at_most_ten_times_a_second_and_a_new_stage_at_once(reporter, told, clock):
    reporter.stage("net: preparing", index=0, model="net")
    for _ in range(100):
        clock.now += 0.01
        reporter.fitting(fitting(0.1), 0.5)
    assert len(told) <= 13
    before = len(told)
    reporter.fitting(fitting(0.1, epoch=2), 0.5)
    assert len(told) == before + 1
    assert told[-1].metrics["auc"] == 0.8
    assert told[-1].epoch == 2


def test_time_left_follows_from_the_work_of_this_process(reporter, told, clock):
    reporter.stage("net: preparing", index=0, model="net")
    clock.now = 30.0
    reporter.fitting(fitting(0.0), 1.0)
    assert not told[-1].HasField("time_left")
    clock.now = 40.0
    reporter.fitting(fitting(1.0), 1.0)
    seconds = told[-1].time_left.ToMilliseconds() / 1000
    assert seconds == pytest.approx(10 * (0.98 * 0.25) / (0.98 * 0.75), rel=0.01)


def test_a_new_model_begins_without_the_numbers_of_the_last(reporter, told, clock):
    reporter.stage("net: preparing", index=0, model="net")
    clock.now += 1
    reporter.fitting(fitting(0.5), 0.5)
    reporter.stage("trees: preparing", index=1, model="trees")
    assert told[-1].model == "trees"
    assert not told[-1].metrics
    assert told[-1].epoch == 0
