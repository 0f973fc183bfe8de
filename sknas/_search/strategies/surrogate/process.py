"""A Gaussian process over architectures."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.stats import norm, rankdata

from sknas._search.strategies.surrogate.distance import (
    Layers,
    as_layers,
    distances,
    distances_among,
)
from sknas._space import Architecture

# Lengthscales, in units of the median distance, and variances of the noise, in units of
# that of the signal. The most likely pair is taken.
_LENGTHSCALES = (0.25, 0.5, 1.0, 2.0, 4.0)
_NOISES = (0.01, 0.03, 0.1, 0.3, 0.6, 1.0)
# No variance is smaller, in the same units.
_LEAST_VARIANCE = 1e-10


class Rewards:
    """Rewards of any finite size, as normal scores of their ranks, and back again.

    Parameters
    ----------
    rewards : ndarray of shape (n_trials,)
        At least one.
    """

    def __init__(self, rewards: np.ndarray) -> None:
        self.scores = norm.ppf((rankdata(rewards) - 0.5) / len(rewards))
        # In units of the largest, since a difference of huge numbers is infinite.
        self._unit = float(np.abs(rewards).max()) or 1.0
        order = np.argsort(rewards, kind="stable")
        self._sorted = self.scores[order], rewards[order] / self._unit

    def from_scores(self, scores: np.ndarray) -> np.ndarray:
        """Return rewards between the lowest and the highest one, of the same shape."""
        return np.asarray(np.interp(scores, *self._sorted) * self._unit)


class GaussianProcess:
    """Guesses at the scores of architectures from those of some that were tried.

    The kernel is half the exponential of the distance and half that of the square of
    the normalised distance, with one lengthscale for both, relative to the medians. The
    exponential of such distances need not be positive semidefinite: the noise is
    raised by as much as the lowest eigenvalue lies below 0.

    Parameters
    ----------
    layers : Layers
        The architectures that were tried.
    gaps : ndarray of shape (2, n_trials, n_trials)
        Their distances, as they are and normalised.
    scores : ndarray of shape (n_trials,)
        What is known of them.

    Attributes
    ----------
    lengthscale : float
        In units of the median distance.
    noise : float
        Variance of the noise, in units of that of the signal.
    variance : float
        Variance of the signal.
    highest : float
        The highest mean among the architectures that were tried.
    """

    def __init__(self, layers: Layers, gaps: np.ndarray, scores: np.ndarray) -> None:
        self._layers = layers
        self._medians = _medians(gaps)
        self._mean = scores.mean()
        centered = scores - self._mean
        # The maximum of the marginal likelihood; of equals the first.
        fits = [self._fit(each, gaps, centered) for each in _LENGTHSCALES]
        _, self.lengthscale, self.noise, self.variance = max(fits, key=itemgetter(0))
        kernel = self._kernel(gaps)
        noisy = kernel + self.noise * np.eye(len(scores))
        self._root = cholesky(noisy, lower=True)
        self._whitened = solve_triangular(self._root, centered, lower=True)
        weights = solve_triangular(self._root, self._whitened, lower=True, trans="T")
        self.highest = float((kernel @ weights).max() + self._mean)

    def _kernel(self, gaps: np.ndarray, lengthscale: float | None = None) -> np.ndarray:
        plain, normalised = (
            gap / ((lengthscale or self.lengthscale) * median)
            for gap, median in zip(gaps, self._medians, strict=True)
        )
        return np.asarray(0.5 * (np.exp(-plain) + np.exp(-np.square(normalised))))

    def _fit(
        self, lengthscale: float, gaps: np.ndarray, centered: np.ndarray
    ) -> tuple[float, float, float, float]:
        """Return the log likelihood, the lengthscale, the noise and the variance."""
        values, vectors = np.linalg.eigh(self._kernel(gaps, lengthscale))
        noises = np.array(_NOISES) + max(0.0, -values[0])
        spectra = values + noises[:, np.newaxis]
        # The variance that is most likely has a formula. Equal scores tell nothing.
        variances = (np.square(vectors.T @ centered) / spectra).mean(axis=1)
        variances = np.where(variances > _LEAST_VARIANCE, variances, 1.0)
        likelihoods = -0.5 * len(centered) * np.log(variances)
        likelihoods -= 0.5 * np.log(spectra).sum(axis=1)
        best = int(likelihoods.argmax())
        figures = likelihoods[best], lengthscale, noises[best], variances[best]
        likelihood, lengthscale, noise, variance = map(float, figures)
        return likelihood, lengthscale, noise, variance

    def posterior(self, architectures: Sequence[Architecture]) -> Posterior:
        """Return what is known of some architectures.

        Parameters
        ----------
        architectures : sequence of Architecture
            At least one.

        Returns
        -------
        Posterior
            Of them, in their order.
        """
        layers = as_layers(architectures)
        kernel = self.covariances(self._layers, layers)
        whitened = solve_triangular(self._root, kernel, lower=True)
        return Posterior(self, layers, whitened, self._whitened @ whitened + self._mean)

    def covariances(self, first: Layers, second: Layers) -> np.ndarray:
        """Return the kernel of all pairs, of shape (n_first, n_second)."""
        shape = len(first.depths), len(second.depths)
        rows, columns = np.indices(shape).reshape(2, -1)
        return self._kernel(distances(first, rows, second, columns).reshape(2, *shape))

    def covariances_among(self, layers: Layers) -> np.ndarray:
        """Return the kernel of all pairs of the same, of which half are computed."""
        return self._kernel(distances_among(layers))


class Posterior:
    """Means and variances of the scores of some candidates.

    Parameters
    ----------
    process : GaussianProcess
        What they follow from.
    layers : Layers
        The candidates, at least one.
    whitened : ndarray of shape (n_trials, n_candidates)
        Covariances with what is known, solved by the root of its own.
    means : ndarray of shape (n_candidates,)
        Of the scores.

    Attributes
    ----------
    means : ndarray of shape (n_candidates,)
        Of the scores.
    """

    def __init__(
        self,
        process: GaussianProcess,
        layers: Layers,
        whitened: np.ndarray,
        means: np.ndarray,
    ) -> None:
        self._process, self._layers, self._whitened = process, layers, whitened
        self.means = means

    def bounds(self, n_deviations: float) -> np.ndarray:
        """Return upper bounds of the scores, of shape (n_candidates,)."""
        remaining = 1.0 - np.square(self._whitened).sum(axis=0)
        variances = np.maximum(remaining, 0.0) * self._process.variance
        return np.asarray(self.means + n_deviations * np.sqrt(variances))

    def take(self, indices: np.ndarray) -> Posterior:
        """Return the posterior of some of the candidates alone."""
        layers, whitened = self._layers.take(indices), self._whitened[:, indices]
        return Posterior(self._process, layers, whitened, self.means[indices])

    def root(self) -> np.ndarray:
        """Return a root of the covariance, of shape (n_candidates, n_candidates).

        The covariance is the product of the root and its transpose. What lies below 0
        in the spectrum belongs to no covariance, and is left out.
        """
        covariance = self._process.covariances_among(self._layers)
        covariance -= self._whitened.T @ self._whitened
        values, vectors = np.linalg.eigh(covariance)
        return np.asarray(
            vectors * np.sqrt(np.maximum(values, 0.0) * self._process.variance)
        )


def _medians(gaps: np.ndarray) -> np.ndarray:
    """Return the median distances, 1 where there are none."""
    pairs = gaps[:, *np.triu_indices(gaps.shape[1], 1)]
    medians = np.median(pairs, axis=1) if pairs.size else np.ones(2)
    return np.where(medians > 0, medians, 1.0)
