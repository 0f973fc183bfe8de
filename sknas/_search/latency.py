"""How long a trained network takes to predict."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from sknas._engine.evaluator import Evaluation
from sknas._model.activations import NUMBERS
from sknas._model.ensemble import FittedEnsemble, Member
from sknas._search.journal import Trial
from sknas._search.problem import Problem
from sknas._sklearn import safe_indexing
from sknas._space import Architecture
from sknas._typing import Matrix, Weights
from sknas._warnings import describe, warn

# Rows that are predicted at once.
_MANY = 1000
# Calls that are timed: as many as there is time for, at least and at most.
_SECONDS, _LEAST_CALLS, _MOST_CALLS = 0.05, 5, 51


def timed(trial: Trial, evaluation: Evaluation, problem: Problem) -> Trial:
    """Return a trial with its latency, if that is sought; no worker trains by now."""
    if "latency" not in problem.objectives:
        return trial
    # All folds have the same columns.
    data = problem.evaluator.trainer.folds[0]
    X = data.X if data.X_validation is None else data.X_validation
    try:
        latency = measured_latency(
            trial.architecture, evaluation.weights[0], data.output.name, X
        )
    except Exception as error:  # noqa: BLE001 (the trial is worth keeping)
        warn(f"The latency was not measured: {describe(error)}.")
        latency = math.nan, math.nan
    return replace(trial, latency=latency)


def measured_latency(
    architecture: Architecture,
    weights: Sequence[Weights],
    out_activation: str,
    X: Matrix,
) -> tuple[float, float]:
    """Measure how long one network takes, with one thread.

    Parameters
    ----------
    architecture : Architecture
        Its hidden layers.
    weights : sequence of (ndarray, ndarray)
        One pair for each layer.
    out_activation : str
        What the output layer ends in.
    X : ndarray or csr_array of shape (n_rows, n_columns)
        Encoded rows, at least one. Fewer than a thousand are repeated.

    Returns
    -------
    tuple of (float, float)
        Seconds for one row and for a thousand: medians of repeated calls.
    """
    ensemble = FittedEnsemble([Member(architecture, weights)], out_activation)
    predict = (
        ensemble.predict if out_activation in NUMBERS else ensemble.predict_log_proba
    )
    rows = np.resize(np.arange(X.shape[0]), _MANY)
    # BLAS may have as many threads as there are cores, which others use too.
    with threadpool_limits(1):
        one, many = (
            _median_seconds(predict, safe_indexing(X, chosen))
            for chosen in (rows[:1], rows)
        )
    return one, many


def _median_seconds(predict: Callable[[Matrix], np.ndarray], X: Matrix) -> float:
    # The first call is slower, and not counted.
    predict(X)
    seconds: list[float] = []
    while len(seconds) < _LEAST_CALLS or (
        len(seconds) < _MOST_CALLS and sum(seconds) < _SECONDS
    ):
        start = time.perf_counter()
        predict(X)
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds))
