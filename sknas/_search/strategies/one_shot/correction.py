"""What rewards of trainings from scratch say of a ranking by shared weights."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from scipy.special import ndtri
from scipy.stats import rankdata

from sknas._space import Architecture, SearchSpace

# Prior mean and standard deviation of the slope of rewards on scores, both in units of
# their standard deviations; standard deviation of what the features of an architecture
# add, and of what nothing explains.
_SLOPE = 0.5
_SLOPE_DEVIATION = 0.25
_FEATURE_DEVIATION = 0.25
_NOISE = 0.7


class Correction:
    """Learns from rewards where a ranking errs systematically.

    Shared weights favour some layers whatever the table: what many architectures share
    is trained most. So the rewards of what was trained from scratch are regressed, by
    their ranks, on the scores and on a few features of the architectures; the prior,
    that of a ridge regression, is that the scores are right as they are.

    Parameters
    ----------
    space : SearchSpace
        Where the architectures come from.
    """

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        self._ranked: dict[Architecture, float] = {}
        self._rewards: dict[Architecture, float] = {}

    def rank(self, scores: Mapping[Architecture, float]) -> None:
        """Take over a ranking; of the scores, only the order counts."""
        normal = normal_scores(scores.values())
        self._ranked = dict(zip(scores, normal.tolist(), strict=True))
        features = np.array([self._features(each) for each in scores])
        self._center = features.mean(axis=0)
        deviation = features.std(axis=0)
        # What is alike in all of them tells nothing.
        self._scale = np.where(deviation > 0, deviation, math.inf)

    def learn(
        self, architectures: Sequence[Architecture], rewards: Sequence[float]
    ) -> None:
        """Remember rewards; those of architectures without a score are passed over."""
        for architecture, reward in zip(architectures, rewards, strict=True):
            if architecture in self._ranked:
                self._rewards[architecture] = float(reward)

    def correlation(self) -> float:
        """Return Spearman's correlation of scores and rewards, NaN for too few."""
        if len(self._rewards) < 3:
            return math.nan
        ranks = [
            rankdata([of[each] for each in self._rewards])
            for of in (self._ranked, self._rewards)
        ]
        if any(np.ptp(of) == 0 for of in ranks):
            return math.nan
        return float(np.corrcoef(ranks)[0, 1])

    def scores(self, architectures: Sequence[Architecture]) -> np.ndarray:
        """Return corrected scores of architectures that were ranked, of shape (n,)."""
        scores: np.ndarray = self._design(architectures) @ self._coefficients()
        return scores

    def _coefficients(self) -> np.ndarray:
        """Return the slope of the score, then those of the features."""
        told = list(self._rewards)
        prior = np.zeros(1 + len(self._center))
        prior[0] = _SLOPE
        if len(told) < 2:
            return prior
        y = normal_scores(self._rewards.values())
        X = self._design(told)
        # The mean is free: what is told is not a sample of what was ranked.
        X = X - X.mean(axis=0)
        deviations = np.full(len(prior), _FEATURE_DEVIATION)
        deviations[0] = _SLOPE_DEVIATION
        precision = X.T @ X / _NOISE**2 + np.diag(deviations**-2.0)
        residual = X.T @ (y - X @ prior) / _NOISE**2
        return np.asarray(prior + np.linalg.solve(precision, residual))

    def _design(self, architectures: Sequence[Architecture]) -> np.ndarray:
        """Return scores and standardised features, a row for each architecture."""
        features = np.array([self._features(each) for each in architectures])
        scores = np.array([self._ranked[each] for each in architectures])
        return np.column_stack([scores, (features - self._center) / self._scale])

    def _features(self, architecture: Architecture) -> list[float]:
        widths = np.log2(architecture.hidden_layer_sizes)
        names = [name for _, name in architecture.dense_layers]
        shares = [names.count(name) / len(names) for name in self._space.activations]
        firsts = [float(names[0] == name) for name in self._space.activations]
        n_dropouts = sum(architecture.dropout_after)
        sizes = [widths.mean(), widths.min(), widths[0], len(names), n_dropouts]
        return [*map(float, sizes), *shares, *firsts]


def normal_scores(values: Iterable[float]) -> np.ndarray:
    """Replace numbers of any finite size by quantiles of a normal distribution."""
    ranks = rankdata(list(values))
    return np.asarray(ndtri((ranks - 0.5) / len(ranks)))
