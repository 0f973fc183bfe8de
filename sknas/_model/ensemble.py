"""A trained network in numpy: predicting needs no torch, and no GPU."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from scipy.special import expit, log_softmax, logsumexp

from sknas._space import Architecture

# Rows passed through the network at once: what lies between one layer and the next
# stays in the cache, and the memory is bounded.
_CHUNK = 1024


def _relu_(z: np.ndarray) -> None:
    np.maximum(z, 0, out=z)


def _elu_(z: np.ndarray) -> None:
    # max(z, exp(z) - 1) where z is below 0, and z elsewhere.
    np.maximum(z, np.expm1(np.minimum(z, 0)), out=z)


def _tanh_(z: np.ndarray) -> None:
    np.tanh(z, out=z)


def _sigmoid_(z: np.ndarray) -> None:
    expit(z, out=z)


# In place, as large tables would otherwise be allocated at every layer.
_ACTIVATIONS: dict[str, Callable[[np.ndarray], None]] = {
    "sigmoid": _sigmoid_,
    "tanh": _tanh_,
    "relu": _relu_,
    "elu": _elu_,
}


def predict_log_probabilities(
    X: np.ndarray,
    architecture: Architecture,
    coefs: Sequence[np.ndarray],
    intercepts: Sequence[np.ndarray],
    out_activation: str,
) -> np.ndarray:
    """Average the probabilities of an ensemble of networks of one architecture.

    With 64 bits: with 32, the result of a row would depend on the rows beside it.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_columns)
        The encoded table.
    architecture : Architecture
        Names the activations.
    coefs : sequence of ndarray of shape (n_networks, n_in, n_out)
        Weights of each layer.
    intercepts : sequence of ndarray of shape (n_networks, n_out)
        Biases of each layer.
    out_activation : {'logistic', 'softmax'}
        ``'logistic'`` is one unit, for the second of two classes.

    Returns
    -------
    ndarray of shape (n_rows, n_classes)
        Logarithms of the averages, one column a class.
    """
    names = [activation for _, activation in architecture.dense_layers]
    n_networks, n_outputs = intercepts[-1].shape
    n_classes = 2 if out_activation == "logistic" else n_outputs
    log_p = np.empty((len(X), n_classes))
    for start in range(0, len(X), _CHUNK):
        rows = slice(start, start + _CHUNK)
        hidden = np.matmul(X[rows], coefs[0])
        hidden += intercepts[0][:, None]
        for name, coef, intercept in zip(names, coefs[1:], intercepts[1:], strict=True):
            _ACTIVATIONS[name](hidden)
            hidden = np.matmul(hidden, coef)
            hidden += intercept[:, None]
        of_networks = log_probabilities(hidden, out_activation)
        log_p[rows] = of_networks[0] if n_networks == 1 else _log_mean(of_networks)
    return log_p


def _log_mean(log_p: np.ndarray) -> np.ndarray:
    """Average probabilities over the first axis, without losing the smallest."""
    total: np.ndarray = logsumexp(log_p, axis=0)
    total -= math.log(len(log_p))
    return total


def log_probabilities(logits: np.ndarray, out_activation: str) -> np.ndarray:
    """Turn logits into log-probabilities of the classes.

    Parameters
    ----------
    logits : ndarray of shape (..., n_rows, n_outputs)
        Pre-activations of the output layer.
    out_activation : {'logistic', 'softmax'}
        ``'logistic'`` is one unit, for the second of two classes.

    Returns
    -------
    ndarray of shape (..., n_rows, n_classes)
        One column a class.
    """
    if out_activation == "logistic":
        # A softmax over a fixed 0 and z is the sigmoid of z.
        logits = np.concatenate([np.zeros_like(logits), logits], axis=-1)
    log_p: np.ndarray = log_softmax(logits, axis=-1)
    return log_p
