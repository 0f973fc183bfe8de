"""What the finalists' validation results prove: whom to choose, and how good it is.

Nothing here trains or looks at tables: functions of scores and of their noise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import betaincinv

# Standard errors of the difference by which an incumbent has to be beaten.
INCUMBENT_MARGIN = 0.5
# Probability that the bound of the score does not hold.
_BOUND_FAILS = 0.05
# Logarithm of the smallest probability that betaincinv inverts exactly.
_SMALLEST_LOG = -690.0
_N_DRAWS = 2000


def choose(
    merits: np.ndarray,
    covariance: np.ndarray,
    incumbent: int | None = None,
    margin: float = INCUMBENT_MARGIN,
) -> int:
    """Choose the best of several candidates, unless it may have beaten one by luck.

    Parameters
    ----------
    merits : ndarray of shape (n_candidates,)
        What is compared: more is better. NaN where a candidate has none.
    covariance : ndarray of shape (n_candidates, n_candidates)
        Of the merits, over draws of the validation rows.
    incumbent : int or None, default=None
        Position of the candidate that stays unless it is beaten clearly.
    margin : float, default=INCUMBENT_MARGIN
        How clearly: by more standard errors of the difference than this.

    Returns
    -------
    int
        Position of the choice: the first one if none has a merit.
    """
    if not np.isfinite(merits).any():
        return 0
    best = int(np.nanargmax(merits))
    if incumbent in (None, best) or not math.isfinite(merits[incumbent]):
        return best
    pair = covariance[np.ix_([best, incumbent], [best, incumbent])]
    variance = pair[0, 0] + pair[1, 1] - 2 * pair[0, 1]
    noise = margin * math.sqrt(max(variance, 0.0))
    return best if merits[best] - merits[incumbent] > noise else incumbent


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


def optimism(
    merits: np.ndarray,
    covariance: np.ndarray,
    incumbent: int | None = None,
    margin: float = INCUMBENT_MARGIN,
) -> float:
    """Return by how much the merit of a choice exceeds its true one on average.

    The noise of the validation rows is drawn again, around true merits that are the
    measured ones with their differences shrunk to what noise does not explain, and
    the choice is made again.

    Parameters
    ----------
    merits, covariance, incumbent, margin
        As for `choose`.

    Returns
    -------
    float
        Not below 0; NaN without a covariance.
    """
    is_known = np.isfinite(merits)
    if not is_known.any():
        return math.nan
    names = np.flatnonzero(is_known)
    known = covariance[np.ix_(is_known, is_known)]
    truth = _shrunk(merits[is_known], known)
    position = None
    if incumbent is not None and is_known[incumbent]:
        position = int(np.flatnonzero(names == incumbent)[0])
    # A seed of no consequence: another one would give nearly the same mean.
    generator = np.random.default_rng(0)
    noise = generator.standard_normal((_N_DRAWS, len(truth))) @ _root(known).T
    gains = [row[choose(truth + row, known, position, margin)] for row in noise]
    return max(float(np.mean(gains)), 0.0)


def _shrunk(merits: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Shrink merits to their mean, by the share of noise in their variance."""
    n = len(merits)
    if n == 1:
        return merits
    deviations = merits - merits.mean()
    observed = float(deviations @ deviations) / (n - 1)
    # What the variance between candidates would be if all were equal in truth.
    expected = float(np.trace(covariance) - covariance.sum() / n) / (n - 1)
    kept = max(1 - expected / observed, 0.0) if observed > 0 else 0.0
    shrunk: np.ndarray = merits.mean() + kept * deviations
    return shrunk


def _root(covariance: np.ndarray) -> np.ndarray:
    """Return R with R @ R.T equal to a covariance, which may be singular."""
    values, vectors = np.linalg.eigh(covariance)
    root: np.ndarray = vectors * np.sqrt(np.maximum(values, 0.0))
    return root
