"""Temperatures: how certain predicted probabilities should be."""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

_LOWEST, _HIGHEST = 1 / 8, 8.0
# More rows would change the temperature by less than one percent.
_ENOUGH_ROWS = 10_000
# A gain in log loss that is none.
_NO_GAIN = 1e-9


def best_temperature(
    probabilities: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None = None
) -> float:
    """Find the temperature at which probabilities have the least log loss.

    Parameters
    ----------
    probabilities : ndarray of shape (n_rows, n_classes)
        Of rows that were not trained on.
    y : ndarray of shape (n_rows,)
        Class codes.
    sample_weight : ndarray of shape (n_rows,), optional
        Weights of the rows.

    Returns
    -------
    float
        What to divide log-probabilities by: above 1 where they are over-confident.
        Between 1/8 and 8; 1 where all temperatures are equally good.
    """
    step = max(len(y) // _ENOUGH_ROWS, 1)
    log_p, y = _log(probabilities[::step]), y[::step]
    weights = None if sample_weight is None else sample_weight[::step]
    rows = np.arange(len(y))

    def log_loss(log_temperature: float) -> float:
        scaled = log_softmax(log_p / math.exp(log_temperature), axis=1)
        truth = scaled[rows, y].astype(np.float64)
        return -float(np.average(truth, weights=weights))

    bounds = math.log(_LOWEST), math.log(_HIGHEST)
    best = minimize_scalar(
        log_loss, bounds=bounds, method="bounded", options={"xatol": 1e-3}
    )
    return math.exp(best.x) if log_loss(0.0) - best.fun > _NO_GAIN else 1.0


def calibration_temperature(
    probabilities: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None = None
) -> float:
    """Find the temperature at which probabilities have the least log loss, exactly.

    Networks that were trained beside others predict the same but for the last bits.
    With 64 bits and four digits, so that their temperatures are the same too.

    Parameters
    ----------
    probabilities, y, sample_weight
        As of `best_temperature`.
    """
    coarse = best_temperature(probabilities, y, sample_weight)
    if coarse == 1:
        return coarse
    p = np.maximum(probabilities.astype(np.float64), np.finfo(np.float32).tiny)
    log_p, rows = np.log(p), np.arange(len(y))

    def log_loss(log_temperature: float) -> float:
        scaled = log_softmax(log_p / math.exp(log_temperature), axis=1)
        return -float(np.average(scaled[rows, y], weights=sample_weight))

    around = math.log(coarse) - 0.05, math.log(coarse) + 0.05
    best = minimize_scalar(
        log_loss, bounds=around, method="bounded", options={"xatol": 1e-7}
    )
    temperature = min(max(math.exp(best.x), _LOWEST), _HIGHEST)
    return float(f"{temperature:.4g}")


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
