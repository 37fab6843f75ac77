import pytest

from models.schedules import cosine, cyclical_momentum, one_cycle


def test_the_rate_goes_up_to_its_peak_and_down_to_nothing() -> None:
    assert one_cycle(0, 1.0) == pytest.approx(1 / 25)
    assert one_cycle(0.25, 1.0) == pytest.approx(1.0)
    assert one_cycle(1, 1.0) == pytest.approx(1e-5)
    rates = [one_cycle(step / 100, 1.0) for step in range(101)]
    assert rates[:26] == sorted(rates[:26])
    assert rates[25:] == sorted(rates[25:], reverse=True)


def test_momentum_mirrors_the_rate() -> None:
    assert [round(cyclical_momentum(at), 6) for at in (0, 0.25, 1)] == [0.95, 0.85, 0.95]


def test_half_a_cosine() -> None:
    assert [cosine(2, 4, at) for at in (0, 0.5, 1)] == pytest.approx([2, 3, 4])
