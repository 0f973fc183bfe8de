"""What the finalists' validation results prove: whom to choose, and how good it is.

Nothing here trains or looks at tables: functions of scores and of their noise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from scipy.special import betaincinv
from scipy.stats import norm

# Probability that one of several rivals replaces an incumbent that is as good as they
# are. On finalists of eight tables (21 searches, 3,000 to 12,000 rows) the choices were
# no worse than with a margin of half a standard error: +0.0018 +- 0.0020 of accuracy.
_EQUALS_REPLACE = 0.1
# Probability that the bound of the score does not hold.
_BOUND_FAILS = 0.05
# Logarithm of the smallest probability that betaincinv inverts exactly.
_SMALLEST_LOG = -690.0


def choose(
    merits: Sequence[float],
    noise: Callable[[int, int], float],
    incumbent: int | None = None,
) -> int:
    """Choose the best candidate, unless its lead over the incumbent may be chance.

    The best replaces the incumbent if it exceeds it by more than `margin` standard
    errors of the difference.

    Parameters
    ----------
    merits : sequence of float
        What is compared, a finite number for each candidate: more is better.
    noise : callable
        Takes the positions of two candidates, and returns the standard error of the
        difference of their merits. It is asked at most once.
    incumbent : int or None, default=None
        Position of the candidate that stays unless it is beaten clearly.

    Returns
    -------
    int
        Position of the choice; of equals the first.
    """
    best = int(np.argmax(merits))
    if incumbent is None or merits[best] == merits[incumbent]:
        return best if incumbent is None else incumbent
    needed = margin(len(merits) - 1) * noise(best, incumbent)
    return best if merits[best] - merits[incumbent] > needed else incumbent


def margin(n_rivals: int) -> float:
    """Return by how many standard errors an incumbent has to be beaten.

    The best of many rivals exceeds an equal by more than one of them would. The margin
    is such that, were all equal, an incumbent would be replaced with a probability of
    0.1 at most (a union bound over normal differences): 1.28 for one rival, 2.05 for
    five.

    Parameters
    ----------
    n_rivals : int
        How many candidates there are besides the incumbent, at least 1.
    """
    return float(norm.isf(_EQUALS_REPLACE / n_rivals))


def score_bound(
    accuracies: Sequence[float], n_rows: Sequence[int], n_candidates: int
) -> float:
    """Return what the true accuracy of a choice exceeds with probability 0.95.

    The lower ends of Clopper and Pearson's intervals, averaged over the folds. Each
    is at a level of 0.05 divided by the number of folds and by that of candidates, so
    that together they hold for every candidate on every fold, whichever is chosen and
    however: a union over all that *could* have been chosen. One over those that were
    tried would not do: strategies propose what earlier scores suggest.

    Parameters
    ----------
    accuracies : sequence of float
        Of the choice, on the validation rows of each fold, by networks trained on the
        fold's training rows.
    n_rows : sequence of int
        How many validation rows each fold has.
    n_candidates : int
        How many there are to choose from: all architectures of the space, times
        lengths of training, times encodings.

    Returns
    -------
    float
        A bound of the accuracy averaged over the folds' networks, in [0, 1].

    Notes
    -----
    The probability is over the draw of the validation rows, or, given all rows of the
    table without their labels, over the draw of the validation labels; the accuracy is
    then that on rows like these (Hoeffding, 1956: rows of different difficulty are
    only less noisy). The premise is that the networks of a fold are determined by
    architecture, length, encoding, seed, and rows that they are not validated on.
    It fails, and there is no bound, if the validation rows decide when a training
    ends or which epoch's weights are kept, if weights are inherited, if a time limit
    shortened a training, or if the choice is not a finalist. It does not matter how
    finalists came to be proposed and ranked.
    """
    log_level = math.log(_BOUND_FAILS) - math.log(len(n_rows)) - math.log(n_candidates)
    bounds = [
        _lower_end(round(accuracy * n), n, log_level)
        for accuracy, n in zip(accuracies, n_rows, strict=True)
    ]
    return float(np.average(bounds, weights=n_rows))


def _lower_end(n_right: int, n_rows: int, log_level: float) -> float:
    """Return Clopper and Pearson's lower bound of a share, at a one-sided level."""
    if n_right == 0 or log_level < _SMALLEST_LOG:
        return 0.0
    return float(betaincinv(n_right, n_rows - n_right + 1, math.exp(log_level)))
