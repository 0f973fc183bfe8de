"""Temperatures: how certain predicted probabilities should be."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import log_softmax

_LOWEST, _HIGHEST = 1 / 8, 8.0
_PRECISION = 1e-4
# A slope of the log loss that is none.
_FLAT = 1e-7
# More rows would change the temperature by less than one percent.
_ENOUGH_ROWS = 10_000
# Each iteration halves at least the logarithm of the interval: 20 give the precision.
_MAX_ITER = 20


def best_temperature(probabilities: np.ndarray, y: np.ndarray) -> float:
    """Find the temperature at which probabilities have the least log loss.

    The log loss is convex in the inverse temperature: Newton's method finds the
    minimum, within an interval that shrinks by the sign of the slope.

    Parameters
    ----------
    probabilities : ndarray of shape (n_rows, n_classes)
        Of rows that were not trained on.
    y : ndarray of shape (n_rows,)
        Class codes.

    Returns
    -------
    float
        What to divide log-probabilities by: above 1 where they are over-confident.
        Between 1/8 and 8; 1 where all temperatures are equally good.
    """
    step = max(len(y) // _ENOUGH_ROWS, 1)
    probabilities, y = probabilities[::step], y[::step]
    # (n_classes, n_rows): sums over a few classes are faster along the first axis.
    log_p = _log(probabilities.T)
    log_p -= log_p.max(axis=0)
    truth = log_p[y, np.arange(len(y))].mean(dtype=np.float64)
    low, high, inverse = 1 / _HIGHEST, 1 / _LOWEST, 1.0
    for _ in range(_MAX_ITER):
        p = np.exp(inverse * log_p)
        p /= p.sum(axis=0)
        expected = (p * log_p).sum(axis=0)
        slope = float(expected.mean(dtype=np.float64) - truth)
        variance = (p * log_p**2).sum(axis=0) - expected**2
        curvature = float(variance.mean(dtype=np.float64))
        if abs(slope) < _FLAT:
            break
        low, high = (low, inverse) if slope > 0 else (inverse, high)
        previous = inverse
        inverse -= slope / curvature if curvature > 0 else math.inf
        if not low < inverse < high:
            inverse = math.sqrt(low * high)
        if abs(math.log(inverse / previous)) < _PRECISION:
            break
    return 1 / inverse


def apply_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Sharpen (below 1) or soften (above 1) probabilities.

    Parameters
    ----------
    probabilities : ndarray of shape (n_rows, n_classes)
        Rows sum to 1.
    temperature : float
        What to divide their logarithms by.

    Returns
    -------
    ndarray of shape (n_rows, n_classes)
        Rows sum to 1 again.
    """
    log_p = np.log(np.maximum(probabilities, np.finfo(np.float64).tiny))
    softened: np.ndarray = np.exp(log_softmax(log_p / temperature, axis=1))
    return softened


def true_log_probabilities(
    probabilities: np.ndarray, y: np.ndarray, temperature: float = 1.0
) -> np.ndarray:
    """Return the log-probability of each row's true class.

    Parameters
    ----------
    probabilities : ndarray of shape (n_rows, n_classes)
        Rows sum to 1.
    y : ndarray of shape (n_rows,)
        Class codes.
    temperature : float, default=1.0
        At which.

    Returns
    -------
    ndarray of shape (n_rows,)
        Finite, even where a probability is 0.
    """
    scaled = _log(probabilities.T) / temperature
    scaled -= scaled.max(axis=0)
    truth = scaled[y, np.arange(len(y))]
    log_p: np.ndarray = truth - np.log(np.exp(scaled).sum(axis=0))
    return log_p.astype(np.float64)


def _log(probabilities: np.ndarray) -> np.ndarray:
    """Return logarithms with 32 bits, which are several times faster, all finite."""
    p = np.ascontiguousarray(probabilities, dtype=np.float32)
    return np.log(np.maximum(p, np.finfo(np.float32).tiny))
