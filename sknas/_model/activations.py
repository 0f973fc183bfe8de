"""Activations of hidden layers and of the output layer, in numpy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import expit, log_softmax


def _relu_(z: np.ndarray) -> None:
    np.maximum(z, 0, out=z)


def _elu_(z: np.ndarray) -> None:
    # max(z, exp(z) - 1) where z is below 0, and z elsewhere.
    np.maximum(z, np.expm1(np.minimum(z, 0)), out=z)


def _tanh_(z: np.ndarray) -> None:
    np.tanh(z, out=z)


def _sigmoid_(z: np.ndarray) -> None:
    expit(z, out=z)


def _identity_(z: np.ndarray) -> None:
    # Nothing is left to do.
    pass


#: What a hidden layer applies, in place: large tables would otherwise be allocated
#: anew at every layer.
HIDDEN: dict[str, Callable[[np.ndarray], None]] = {
    "sigmoid": _sigmoid_,
    "tanh": _tanh_,
    "relu": _relu_,
    "elu": _elu_,
    "identity": _identity_,
}


def _softmax(logits: np.ndarray) -> np.ndarray:
    log_p: np.ndarray = log_softmax(logits, axis=-1)
    return log_p


def _logistic(logits: np.ndarray) -> np.ndarray:
    # A softmax over a fixed 0 and z is the sigmoid of z: (..., n_outputs, 2).
    log_p = _softmax(np.stack([np.zeros_like(logits), logits], axis=-1))
    return log_p[..., 0, :] if logits.shape[-1] == 1 else log_p


#: Log-probabilities from the logits of the output layer, (..., n_rows, n_outputs). Of a
#: softmax and of a single logistic unit they are those of the classes,
#: (..., n_rows, n_classes); of several logistic units those of no and yes for each
#: label, (..., n_rows, n_labels, 2).
LOG_PROBABILITIES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "logistic": _logistic,
    "softmax": _softmax,
}


#: What is between them is predicted of a logarithm, relative to the mean of a target:
#: exponentials neither overflow nor become 0.
LEAST_LOGARITHM, GREATEST_LOGARITHM = -30.0, 20.0


def _identity(logits: np.ndarray) -> np.ndarray:
    return logits


def _exp(logits: np.ndarray) -> np.ndarray:
    means: np.ndarray = np.exp(np.clip(logits, LEAST_LOGARITHM, GREATEST_LOGARITHM))
    return means


#: Numbers from the logits of the output layer.
NUMBERS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "identity": _identity,
    "exp": _exp,
}
