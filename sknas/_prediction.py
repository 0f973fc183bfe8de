"""A trained network in numpy: predicting needs no torch, and no GPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy.special import expit, log_softmax

from sknas._space import Architecture

# Rows passed through the network at once: bounds the memory.
_CHUNK = 8192

_ACTIVATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "sigmoid": expit,
    "tanh": np.tanh,
    "relu": lambda z: np.maximum(z, 0),
    "elu": lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0))),
}


def predict_logits(
    X: np.ndarray,
    architecture: Architecture,
    coefs: Sequence[np.ndarray],
    intercepts: Sequence[np.ndarray],
) -> np.ndarray:
    """Compute the output layer's pre-activations.

    With 64 bits: with 32, the result of a row would depend on the rows beside it.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_columns)
        The encoded table.
    architecture : Architecture
        Names the activations.
    coefs : sequence of ndarray of shape (n_in, n_out)
        Weights of each layer.
    intercepts : sequence of ndarray of shape (n_out,)
        Biases of each layer.

    Returns
    -------
    ndarray of shape (n_rows, n_outputs)
        Logits.
    """
    names = [activation for _, activation in architecture.dense_layers]
    logits = np.empty((len(X), len(intercepts[-1])))
    for start in range(0, len(X), _CHUNK):
        rows = slice(start, start + _CHUNK)
        hidden = X[rows] @ coefs[0] + intercepts[0]
        for name, coef, intercept in zip(names, coefs[1:], intercepts[1:], strict=True):
            hidden = _ACTIVATIONS[name](hidden) @ coef + intercept
        logits[rows] = hidden
    return logits


def log_probabilities(logits: np.ndarray, out_activation: str) -> np.ndarray:
    """Turn logits into log-probabilities of the classes.

    Parameters
    ----------
    logits : ndarray of shape (n_rows, n_outputs)
        Pre-activations of the output layer.
    out_activation : {'logistic', 'softmax'}
        ``'logistic'`` is one unit, for the second of two classes.

    Returns
    -------
    ndarray of shape (n_rows, n_classes)
        One column a class.
    """
    if out_activation == "logistic":
        # A softmax over a fixed 0 and z is the sigmoid of z.
        logits = np.hstack([np.zeros_like(logits), logits])
    log_p: np.ndarray = log_softmax(logits, axis=1)
    return log_p
