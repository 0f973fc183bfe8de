import pytest

from sknas._search.strategies.baselines import ConstantBaseline, MovingAverageBaseline


def test_a_constant_baseline_ignores_rewards():
    baseline = ConstantBaseline(0.5)
    assert baseline.update([0.9, 0.1]) == 0.5
    assert baseline.update([-7.0]) == 0.5


def test_the_moving_average_agrees_with_a_worked_example():
    baseline = MovingAverageBaseline(decay=0.5)
    # Means 2, 4, 8. Weights 1/2 each step, corrected for the start at 0.
    assert baseline.update([1.0, 3.0]) == pytest.approx(2.0)
    assert baseline.update([4.0]) == pytest.approx((2 / 4 + 4 / 2) / (3 / 4))
    assert baseline.update([7.0, 9.0]) == pytest.approx(
        (2 / 8 + 4 / 4 + 8 / 2) / (7 / 8)
    )


@pytest.mark.parametrize("decay", [0.1, 0.5, 0.99])
def test_the_moving_average_of_equal_rewards_is_that_reward(decay):
    baseline = MovingAverageBaseline(decay=decay)
    for _ in range(5):
        assert baseline.update([0.7, 0.7]) == pytest.approx(0.7)


def test_the_moving_average_stays_between_the_rewards_and_shifts_with_them():
    plain, shifted = MovingAverageBaseline(), MovingAverageBaseline()
    for rewards in ([0.1, 0.9], [0.3], [0.5, 0.6, 0.7]):
        value = plain.update(rewards)
        assert 0.1 <= value <= 0.9
        assert shifted.update([r + 10 for r in rewards]) == pytest.approx(value + 10)


def test_without_memory_the_average_is_the_last_mean():
    baseline = MovingAverageBaseline(decay=0.0)
    baseline.update([100.0])
    assert baseline.update([1.0, 2.0]) == pytest.approx(1.5)
