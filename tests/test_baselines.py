import numpy as np
import pytest

from sknas._search.strategies.baselines import moving_average_baseline


def _column(*returns):
    return np.array(returns)[:, None]


def test_the_moving_average_agrees_with_a_worked_example():
    baseline = moving_average_baseline(_column(1.0, 3.0, 8.0))
    np.testing.assert_allclose(baseline, _column(5.5, 4.5, 2.0))


def test_each_step_has_an_average_of_its_own():
    returns = np.array([[1.0, 2.0], [3.0, 5.0], [5.0, 6.0]])
    baseline = moving_average_baseline(returns)
    np.testing.assert_allclose(baseline, [[4.0, 5.5], [3.0, 4.0], [2.0, 3.5]])


def test_a_baseline_does_not_depend_on_what_it_is_subtracted_from():
    generator = np.random.default_rng(0)
    returns = generator.normal(size=(9, 4))
    baseline = moving_average_baseline(returns)
    for trial in range(9):
        changed = returns.copy()
        changed[trial] = 1e3 * generator.normal(size=4)
        again = moving_average_baseline(changed)
        np.testing.assert_allclose(again[trial], baseline[trial], atol=1e-10)
        others = np.arange(9) != trial
        assert (np.abs(again[others] - baseline[others]) > 1e-3).all()


@pytest.mark.parametrize("n_trials", [1, 2, 20])
def test_the_moving_average_of_equal_returns_is_that_return(n_trials):
    returns = np.full((n_trials, 3), 0.7)
    baseline = moving_average_baseline(returns)
    np.testing.assert_allclose(baseline, returns, rtol=1e-12)


def test_the_moving_average_shifts_with_the_returns_and_stays_between_them():
    returns = np.random.default_rng(0).random((8, 3))
    baseline = moving_average_baseline(returns)
    assert (baseline >= returns.min(axis=0)).all()
    assert (baseline <= returns.max(axis=0)).all()
    shifted = moving_average_baseline(returns + 10)
    np.testing.assert_allclose(shifted, baseline + 10)
