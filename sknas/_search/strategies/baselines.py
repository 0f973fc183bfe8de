"""What a return is compared with before it moves the policy."""

from __future__ import annotations

import numpy as np

# A trial weighs this share of what one weighs that was told a round later.
_DECAY = 0.5


def moving_average_baseline(returns: np.ndarray, rounds: np.ndarray) -> np.ndarray:
    """Average the returns of all *other* trials at the same step.

    A baseline must not depend on the actions that it is subtracted from: the gradient
    would no longer be that of the expected reward. So a trial's own return is left
    out, and the average is taken at each step, not at the end of the trial's own
    sequence.

    Parameters
    ----------
    returns : ndarray of shape (n_trials, n_steps)
        Returns of all trials so far.
    rounds : ndarray of shape (n_trials,)
        When each was told. A trial has half the weight of one of the next round.

    Returns
    -------
    ndarray of shape (n_trials, n_steps)
        What to subtract from the returns. A single trial has nothing to be compared
        with and is its own baseline, so that it teaches nothing.
    """
    if len(returns) < 2:
        return returns.copy()
    weights = _DECAY ** (rounds.max() - rounds).astype(float)[:, None]  # (n_trials, 1)
    weighted = weights * returns  # (n_trials, n_steps)
    others = (weighted.sum(axis=0) - weighted) / (weights.sum() - weights)
    return np.asarray(others)
