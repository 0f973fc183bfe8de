"""Which children are stopped, since their curves cannot come to much any more."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import t as student

from sknas._search.journal import TRAINED, Trial
from sknas._space import Proposal

# Trials that a prediction is made of, at least.
_MIN_TRIALS = 7
# Epochs that a child is trained for in any case.
_MIN_EPOCHS = 2
# How sure it must be that a child does not come to more.
_CONFIDENCE = 0.975


def hopeless_below(
    trials: Sequence[Trial], proposal: Proposal, max_iter: int, n_best: int
) -> tuple[float, ...]:
    """Return the score after each epoch below which a child is not worth going on with.

    At each epoch, the rewards of earlier trials are a line over their scores at that
    epoch, with a spread. A child is hopeless if what the line predicts from its score,
    and the spread on top of that, is less than the reward of the ``n_best``-th best.
    That the scores rise when the learning rate falls, at the end, is in the line. What
    has been trained otherwise, and what was stopped itself, says nothing.

    Parameters
    ----------
    trials : sequence of Trial
        Those of earlier rounds.
    proposal : Proposal
        What the child is trained on.
    max_iter : int
        Epochs that it is trained for.
    n_best : int
        How many of the best are wanted.

    Returns
    -------
    tuple of float
        One for each epoch but the last; minus infinity where nothing is known.
    """
    fidelity = max_iter, proposal.rows, proposal.folds
    alike = [
        trial
        for trial in trials
        if trial.status == TRAINED
        and (trial.max_iter, trial.proposal.rows, trial.proposal.folds) == fidelity
    ]
    rewards = sorted((trial.reward for trial in alike), reverse=True)
    finished = [trial for trial in alike if not trial.is_stopped]
    # Each fold of several has a curve of its own.
    if len(rewards) < n_best or len(finished) < _MIN_TRIALS or proposal.folds > 1:
        return ()
    limits = [-math.inf] * (_MIN_EPOCHS - 1)
    for epoch in range(_MIN_EPOCHS, max_iter):
        # Patience may have ended some of them before.
        reached = [trial for trial in finished if len(trial.curve) >= epoch]
        scores = np.array([trial.curve[epoch - 1] for trial in reached])
        finals = np.array([trial.reward for trial in reached])
        limits.append(_limit(scores, finals, rewards[n_best - 1]))
    return tuple(limits)


def _limit(scores: np.ndarray, rewards: np.ndarray, wanted: float) -> float:
    """Return the score of which the upper end of the prediction is what is wanted.

    The prediction interval of a simple linear regression, solved for the score. Where
    the slope is not clear, no score is low enough.
    """
    n = len(scores)
    if n < _MIN_TRIALS:
        return -math.inf
    # In units of their own, so that no square overflows or vanishes.
    units = [float(np.ptp(values)) for values in (scores, rewards)]
    if not all(0 < unit < math.inf for unit in units):
        return -math.inf
    mean_score, mean_reward = scores.mean(), rewards.mean()
    x, y = (scores - mean_score) / units[0], (rewards - mean_reward) / units[1]
    sum_squares = float(x @ x)
    slope = float(x @ y) / sum_squares
    residuals = y - slope * x
    quantile = float(student.ppf(_CONFIDENCE, n - 2))
    variance = quantile**2 * float(residuals @ residuals) / (n - 2)
    gap = float((wanted - mean_reward) / units[1])
    # slope * x + sqrt(variance * (1 + 1 / n + x**2 / sum_squares)) = gap
    leading = slope**2 - variance / sum_squares
    if slope <= 0 or leading <= 0:
        return -math.inf
    inner = gap**2 * variance / sum_squares + leading * variance * (1 + 1 / n)
    root = (gap * slope - math.sqrt(inner)) / leading
    return float(mean_score + root * units[0])
