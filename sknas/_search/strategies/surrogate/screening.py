"""Which architectures promise most, where several objectives count."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from scipy.optimize import lsq_linear, nnls

from sknas._search.strategies.progressive import ArchitectureFeatures, RidgeEnsemble
from sknas._space import Architecture, SearchSpace
from sknas._space.pareto import beyond

# Regressions of the score, and the weight of their standard deviation. Without such a
# bonus, some searches never leave the cheap end of the front. Shares of the exact
# hypervolume (bench_front.py, 50 seeds; digits, then noisy, 5 and 15 epochs each) with
# 5 and 2, and with 10 and 3: 0.990, 0.986, 0.953, 0.950 and 0.990, 0.987, 0.955, 0.953.
_N_MEMBERS, _EXPLORATION = 10, 3.0
# What fewer trials can tell is no better than the prior.
_MIN_TRIALS = 4


class Screening:
    """Predicts the objectives of architectures from those of the trials.

    Scores are predicted by ridge regressions of their ranks, costs by a sum over the
    layers, which is exact for the number of parameters without skip connections.

    Parameters
    ----------
    space : SearchSpace
        Where architectures come from.
    """

    def __init__(self, space: SearchSpace) -> None:
        self._space, self._features = space, ArchitectureFeatures(space)
        self._values: dict[Architecture, tuple[float, ...]] = {}

    def add(self, architecture: Architecture, values: Sequence[float]) -> None:
        """Remember a trial: its score, and negative logarithms of its costs."""
        # Trials of other objectives do not compare.
        if any(len(known) != len(values) for known in self._values.values()):
            self._values.clear()
        self._values[architecture] = tuple(values)

    def choose(
        self,
        candidates: Sequence[Architecture],
        n: int,
        generator: np.random.Generator,
    ) -> list[int]:
        """Return positions of the candidates that promise to go beyond the front most.

        Parameters
        ----------
        candidates : sequence of Architecture
            Architectures of the space.
        n : int
            How many.
        generator : numpy.random.Generator
            Source of the bootstrap samples.
        """
        values = np.array(list(self._values.values()))
        is_known = np.isfinite(values).all(axis=1)
        if not candidates or is_known.sum() < _MIN_TRIALS:
            return list(range(min(n, len(candidates))))
        # A network that failed has the lowest score, and tells nothing of costs.
        scores = np.where(is_known, values[:, 0], values[is_known, 0].min())
        tried = list(self._values)
        ensemble = RidgeEnsemble(
            self._described(tried), scores, n_members=_N_MEMBERS, generator=generator
        )
        mean, deviation = ensemble.score(self._described(candidates))
        known = np.column_stack([ensemble.targets, values[:, 1:]])[is_known]
        sums = _sums(tried)[is_known]
        costs = [_costs(sums, of_one, _sums(candidates)) for of_one in known[:, 1:].T]
        predicted = np.column_stack([mean + _EXPLORATION * deviation, *costs])
        return beyond(known, predicted, n)

    def _described(self, architectures: Sequence[Architecture]) -> np.ndarray:
        return self._features([self._space.encode(each)[:-1] for each in architectures])


def _sums(architectures: Sequence[Architecture]) -> np.ndarray:
    """Return what costs are sums of: one, layers, units, and weights between them."""
    widths = [each.hidden_layer_sizes for each in architectures]
    between = [sum(a * b for a, b in itertools.pairwise(w)) for w in widths]
    return np.array(
        [
            [1, len(w), w[0], sum(w), w[-1], weights]
            for w, weights in zip(widths, between, strict=True)
        ],
        dtype=np.float64,
    )


def _costs(sums: np.ndarray, values: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Predict negative logarithms of costs, from those of trials."""
    # Relative errors: a small network counts as much as a large one.
    shares, ones = sums * np.exp(values)[:, None], np.ones(len(values))
    try:
        weights, _ = nnls(shares, ones)
    except RuntimeError:
        # It may go round in circles where costs are equal. This one is slower.
        weights = lsq_linear(shares, ones, bounds=(0, np.inf)).x
    least = np.exp(-values).min() / 2
    return np.asarray(-np.log(np.maximum(others @ weights, least)))
