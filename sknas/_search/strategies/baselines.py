"""What a return is compared with before it moves the policy."""

from __future__ import annotations

import numpy as np


def moving_average_baseline(returns: np.ndarray) -> np.ndarray:
    """Average the returns of all *other* trials so far at the same step.

    A baseline must not depend on the actions that it is subtracted from: the gradient
    would no longer be that of the expected reward. So a trial's own return is left
    out, and the average is taken at each step, not at the end of the trial's own
    sequence.

    Parameters
    ----------
    returns : ndarray of shape (n_trials, n_steps)
        Returns of all trials so far.

    Returns
    -------
    ndarray of shape (n_trials, n_steps)
        What to subtract from the returns. A single trial has nothing to be compared
        with and is its own baseline, so that it teaches nothing.
    """
    n_others = len(returns) - 1
    if n_others == 0:
        return returns.copy()
    return np.asarray((returns.sum(axis=0) - returns) / n_others)
