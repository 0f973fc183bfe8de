import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from sklearn.metrics import log_loss

from sknas._tasks.calibration import best_temperature, true_log_probabilities


def apply_temperature(p, temperature):
    """Divide the logarithms of probabilities by a temperature."""
    powers = p ** (1 / temperature)
    return powers / powers.sum(axis=1, keepdims=True)


def _calibrated(n_rows, n_classes):
    """Probabilities that come true as often as they say, and the classes."""
    generator = np.random.default_rng(0)
    p = generator.dirichlet(np.full(n_classes, 0.5), n_rows)
    y = (p.cumsum(axis=1) < generator.random((n_rows, 1))).sum(axis=1)
    return p, y.clip(max=n_classes - 1)


@pytest.mark.parametrize("n_classes", [2, 3, 10])
@pytest.mark.parametrize("factor", [0.3, 1, 3])
def test_the_temperature_is_found(n_classes, factor):
    p, y = _calibrated(4000, n_classes)
    distorted = apply_temperature(p, factor)
    temperature = best_temperature(distorted, y)
    assert temperature == pytest.approx(1 / factor, rel=0.15)

    def loss(t):
        return log_loss(y, apply_temperature(distorted, t))

    best = minimize_scalar(loss, bounds=(1 / 8, 8), method="bounded").x
    assert temperature == pytest.approx(best, rel=1e-2)


def test_many_rows_are_thinned_evenly():
    p, y = _calibrated(10_000, 3)
    # As of two folds, one after the other, that are not alike.
    p = np.concatenate([np.repeat(p, 2, axis=0), np.repeat(p**2, 2, axis=0)])
    p /= p.sum(axis=1, keepdims=True)
    y = np.concatenate([np.repeat(y, 2)] * 2)
    few = best_temperature(p[::2], y[::2])
    assert best_temperature(p, y) == pytest.approx(few, rel=1e-6)


def test_temperatures_are_bounded():
    y = np.array([0, 1, 0, 1])
    nearly = np.where(np.eye(2)[y] == 1, 0.9, 0.1)
    # Near the bounds, where the log loss hardly changes any more.
    assert 1 / 8 <= best_temperature(nearly, y) < 1 / 6
    assert best_temperature(nearly, 1 - y) == pytest.approx(8, rel=1e-2)
    # Nothing to choose between.
    assert best_temperature(np.full((4, 2), 0.5), y) == 1
    assert best_temperature(np.eye(2)[y], y) == 1


def test_a_temperature_divides_logarithms():
    p = np.array([[0.2, 0.8], [0.5, 0.5]])
    np.testing.assert_allclose(
        apply_temperature(p, 0.5), [[1 / 17, 16 / 17], [0.5, 0.5]]
    )
    np.testing.assert_allclose(apply_temperature(p, 1), p)


def test_log_probabilities_of_the_truth_are_those_at_the_temperature():
    p, y = _calibrated(50, 4)
    expected = np.log(apply_temperature(p, 2.5))[np.arange(50), y]
    np.testing.assert_allclose(true_log_probabilities(p, y, 2.5), expected, rtol=1e-5)
    certain = true_log_probabilities(np.eye(2), np.array([1, 0]))
    assert np.isfinite(certain).all()
    assert (certain < -80).all()
