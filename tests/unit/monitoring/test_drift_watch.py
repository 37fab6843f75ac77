"""Which columns move, when, since when, and what does not: on made-up days of one and of several columns."""

import json

import numpy as np
import pytest
from boarfish.v1 import task_pb2

from services.monitoring.drift_watch import ColumnLook, DriftWatch

WATCH = task_pb2.Watch(
    window_days=7,
    label_delay_days=14,
    minimum_group_size=30,
    drift_distance=0.1,
    quality_fall=0.05,
    false_alarm_rate=0.05,
)
SHARES = np.array([0.1, 0.6, 0.3])
REFERENCE = {"a": 10_000 * SHARES, "b": 10_000 * np.array([0.5, 0.5])}


def day(rng: np.random.Generator, a: np.ndarray, rows: int = 190) -> dict[str, np.ndarray]:
    return {
        "a": rng.multinomial(rows, a).astype(float),
        "b": rng.multinomial(rows, [0.5, 0.5]).astype(float),
    }


def moves(
    watch: DriftWatch, rng: np.random.Generator, days: range, a: np.ndarray, rows: int = 190
) -> list[tuple[int, ColumnLook]]:
    found = []
    for number in days:
        found += [(number, look) for look in watch.look(number, day(rng, a, rows)) if look.moved_on >= 0]
    return found


def test_quiet_years_stay_quiet() -> None:
    for rows in (19, 190):
        watch = DriftWatch(WATCH, REFERENCE)
        assert not moves(watch, np.random.default_rng(rows), range(730), SHARES, rows)


def test_a_small_change_that_is_there_to_stay_alarms_nobody() -> None:
    watch = DriftWatch(WATCH, REFERENCE)
    assert not moves(watch, np.random.default_rng(1), range(400), np.array([0.12, 0.6, 0.28]))


@pytest.mark.parametrize(("rows", "within"), [(190, 3), (19, 7)])
def test_a_large_change_is_noticed_in_days_and_dated(rows: int, within: int) -> None:
    rng = np.random.default_rng(2)
    watch = DriftWatch(WATCH, REFERENCE)
    assert not moves(watch, rng, range(60), SHARES, rows)
    found = moves(watch, rng, range(60, 80), np.array([0.6, 0.1, 0.3]), rows)
    assert [look.column for _, look in found] == ["a"]
    noticed, look = found[0]
    assert noticed < 60 + within
    assert abs(look.moved_on - 60) <= 1
    assert look.base == 0.0


def test_a_column_that_has_settled_may_move_again_and_by_more() -> None:
    rng = np.random.default_rng(3)
    watch = DriftWatch(WATCH, REFERENCE)
    first = moves(watch, rng, range(60), np.array([0.3, 0.4, 0.3]))
    assert len(first) == 1
    second = moves(watch, rng, range(60, 80), np.array([0.9, 0.05, 0.05]))
    assert len(second) == 1
    assert second[0][1].base == pytest.approx(0.23, abs=0.03)
    assert abs(second[0][1].moved_on - 60) <= 1


def test_after_release_the_past_is_no_evidence() -> None:
    rng = np.random.default_rng(4)
    watch = DriftWatch(WATCH, REFERENCE)
    assert moves(watch, rng, range(30), np.array([0.6, 0.1, 0.3]))
    watch.release("a")
    assert not moves(watch, rng, range(30, 60), SHARES)
    assert moves(watch, rng, range(60, 70), np.array([0.6, 0.1, 0.3]))


def test_its_state_survives_as_json_and_goes_on_the_same() -> None:
    shares = np.array([0.25, 0.45, 0.3])
    straight, first = DriftWatch(WATCH, REFERENCE), DriftWatch(WATCH, REFERENCE)
    rng = np.random.default_rng(5)
    days = [day(rng, shares if number > 40 else SHARES) for number in range(60)]
    expected = [straight.look(number, counts) for number, counts in enumerate(days)]
    found = [first.look(number, counts) for number, counts in enumerate(days[:30])]
    second = DriftWatch(WATCH, REFERENCE, json.loads(json.dumps(first.state())))
    for number, counts in enumerate(days[:30]):
        second.remember(number, counts)
    found += [second.look(number, counts) for number, counts in enumerate(days) if number >= 30]
    assert found == expected
