"""Bayesian optimisation with a Gaussian process over architectures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from scipy.stats import norm

from sknas._search.strategies.base import SearchStrategy
from sknas._search.strategies.surrogate.distance import as_layers, distances_among
from sknas._search.strategies.surrogate.process import (
    GaussianProcess,
    Posterior,
    Rewards,
)
from sknas._sklearn import Interval, StrOptions
from sknas._space import Architecture, Proposed, as_proposal
from sknas._space.mutation import neighbours

# Share of the candidates that the prior draws. The others are mutations: of the best
# trials, and of those and the mutations of the generation before.
_PRIOR_SHARE = 0.25
_N_GENERATIONS = 2
_N_PARENTS = 8
# Architectures that are mutated in each.
_N_MUTATED = 6
_FEWEST_CANDIDATES, _CANDIDATES_PER_DRAW = 40, 20
# The acquisition is computed for the most promising of the candidates, by a bound
# of their scores: covariances cost the square of their number.
_N_JOINT = 64
_N_DEVIATIONS = 2.0
# Below this a variance is due to rounding.
_LEAST_VARIANCE = 1e-10
# Trials before which a model is no better than the prior.
_MIN_TRIALS = 4


class BayesianStrategy(SearchStrategy):
    """Proposes what a Gaussian process over architectures expects most of.

    The method of NASBOT [1]_, of which sections 2.2.4 and B.4 of the paper report. How
    far two architectures are from each other is what it costs to carry the layers of
    one to those of the other (optimal transport), layers that differ in their
    activation, width, dropout, skip connection or position at a higher price. Rewards
    of architectures that are close to each other are correlated. Of the rewards only
    the ranks count. This is ``search_strategy='bayesian'``.

    Read more in the :ref:`user guide <bayesian>`.

    Parameters
    ----------
    acquisition : {'expected_improvement', 'thompson'}, default='expected_improvement'
        What is maximised over the candidates: the expected improvement over the best
        trial, where each one chosen for a round is believed to turn out as expected
        before the next is chosen; or scores that are drawn from the posterior, one
        draw for each one chosen.

    n_candidates : int, default=150
        Architectures to choose from, at most: mutations of the best trials, mutations
        of those, and draws from the prior. There are 20 for each one that is asked for,
        and at least 40. The acquisition is computed for the most promising ones.

    max_points : int, default=200
        Trials that the process is fitted to: half of them the best, the others the
        most recent. The cost of a fit grows with the cube.

    Attributes
    ----------
    space_ : SearchSpace
        Where architectures come from.

    generator_ : numpy.random.Generator
        Source of the candidates and of the draws from the posterior.

    See Also
    --------
    RandomStrategy : Learns nothing.
    ReinforceStrategy : The method of the paper.

    References
    ----------
    .. [1] K. Kandasamy, W. Neiswanger, J. Schneider, B. Póczos and E. P. Xing, "Neural
       Architecture Search with Bayesian Optimisation and Optimal Transport", Advances
       in Neural Information Processing Systems 31, 2018.

    Examples
    --------
    >>> from sknas import BayesianStrategy, SearchSpace
    >>> strategy = BayesianStrategy(acquisition="thompson")
    >>> strategy.setup(SearchSpace((8, 16), ("relu",), max_layers=4), random_state=0)
    >>> for _ in range(3):
    ...     architectures = strategy.ask(4)
    ...     rewards = [sum(a.hidden_layer_sizes) for a in architectures]
    ...     strategy.tell(architectures, rewards)
    >>> strategy.predict(architectures).shape
    (4,)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "acquisition": [StrOptions({"expected_improvement", "thompson"})],
        "n_candidates": [Interval(Integral, 1, None, closed="left")],
        "max_points": [Interval(Integral, 2, None, closed="left")],
    }

    def __init__(
        self,
        *,
        acquisition: str = "expected_improvement",
        n_candidates: int = 150,
        max_points: int = 200,
    ) -> None:
        self.acquisition = acquisition
        self.n_candidates = n_candidates
        self.max_points = max_points

    def begin(self) -> None:
        """Forget all trials."""
        self._points: list[Architecture] = []
        self._rewards = np.empty(0)
        self._gaps = np.empty((2, 0, 0))
        self._process: GaussianProcess | None = None

    def learn(
        self, architectures: Sequence[Proposed], rewards: Sequence[float]
    ) -> None:
        """Fit the process to all trials, or to `max_points` of them.

        Parameters
        ----------
        architectures : sequence of Architecture, Candidate or Proposal
            What was tried in a round. Settings and epochs are passed over.
        rewards : sequence of float
            One finite number each.

        Raises
        ------
        ValueError
            If an architecture is not in the space.
        """
        new = _without_settings(architectures)
        for architecture in new:
            # Fails for one that is not of the space, of which there are no mutations.
            self.space_.encode(architecture)
        points = [*self._points, *new]
        told = np.concatenate([self._rewards, np.asarray(rewards, dtype=float)])
        gaps = distances_among(as_layers(points), self._gaps)
        kept = self._kept(told)
        self._points = [points[index] for index in kept]
        self._rewards, self._gaps = told[kept], gaps[:, kept][:, :, kept]
        scores = Rewards(self._rewards).scores
        self._process = GaussianProcess(as_layers(self._points), self._gaps, scores)

    def _kept(self, rewards: np.ndarray) -> np.ndarray:
        """Return which points to keep, in their order."""
        n, limit = len(rewards), int(self.max_points)
        best_first = np.argsort(-rewards, kind="stable")
        rank = np.empty(n, dtype=np.intp)
        rank[best_first] = np.arange(n)
        # The better half of the places goes to the best, the others to the latest.
        is_best = rank < limit // 2
        latest_others = np.flatnonzero(~is_best)[-(limit - limit // 2) :]
        return np.union1d(np.flatnonzero(is_best), latest_others)

    def draw(self, n: int) -> list[Architecture]:
        """Draw candidates, and return those that the process expects most of.

        Parameters
        ----------
        n : int
            How many.

        Returns
        -------
        list of Architecture
            Draws from the prior, as long as there are too few trials.
        """
        if self._process is None or len(self._points) < _MIN_TRIALS:
            return self._from_prior(n)
        candidates = self._candidates(n)
        if not candidates:
            return []
        posterior = self._process.posterior(candidates)
        # The most promising comes first: of equals the first is taken.
        order = np.argsort(-posterior.bounds(_N_DEVIATIONS), kind="stable")
        order = order[: max(_N_JOINT, 2 * n)]
        posterior = posterior.take(order)
        if self.acquisition == "thompson":
            chosen = self._by_draws(posterior, n)
        else:
            chosen = self._by_improvement(self._process, posterior, n)
        return [candidates[order[index]] for index in chosen]

    def _from_prior(self, n: int) -> list[Architecture]:
        return [self.space_.sample(self.generator_) for _ in range(n)]

    def _candidates(self, n_asked: int) -> list[Architecture]:
        """Return architectures that were not tried, without duplicates."""
        found: Iterable[Architecture]
        # Their distances to all points are nearly all that a draw costs.
        n = max(_FEWEST_CANDIDATES, _CANDIDATES_PER_DRAW * n_asked)
        n = min(n, int(self.n_candidates))
        if self.space_.n_architectures <= n:
            found = self.space_
        else:
            n_mutants = int(n * (1 - _PRIOR_SHARE)) // _N_GENERATIONS
            found = self._from_prior(n - n_mutants * _N_GENERATIONS)
            best_first = np.argsort(-self._rewards, kind="stable")[:_N_PARENTS]
            best = list(dict.fromkeys(self._points[index] for index in best_first))
            mutants: list[Architecture] = []
            for _ in range(_N_GENERATIONS):
                mutants = self._mutants([*best, *mutants], n_mutants)
                found = [*found, *mutants]
        return [
            each
            for each in dict.fromkeys(found)
            if as_proposal(each) not in self._tried
        ]

    def _mutants(self, parents: list[Architecture], n: int) -> list[Architecture]:
        """Return ``n`` mutations of some of the parents, several of each.

        Each kind of step is equally likely. All steps of a parent are listed once: to
        list them takes longer than all else here.
        """
        drawn = self.generator_.integers(len(parents), size=_N_MUTATED)
        steps = [
            list(filter(None, neighbours(parents[each], self.space_).values()))
            for each in drawn
        ]
        mutants = []
        for number in range(n):
            of_kinds = steps[number % _N_MUTATED]
            of_kind = of_kinds[self.generator_.integers(len(of_kinds))]
            mutants.append(of_kind[self.generator_.integers(len(of_kind))])
        return mutants

    def _by_draws(self, posterior: Posterior, n: int) -> list[int]:
        """Choose the best of each of ``n`` draws from the posterior."""
        n = min(n, len(posterior.means))
        root = posterior.root()
        noise = self.generator_.standard_normal((n, len(root)))
        chosen: list[int] = []
        for scores in posterior.means + noise @ root.T:
            scores[chosen] = -np.inf
            chosen.append(int(scores.argmax()))
        return chosen

    def _by_improvement(
        self, process: GaussianProcess, posterior: Posterior, n: int
    ) -> list[int]:
        """Choose by the expected improvement, one after the other.

        Each is believed to turn out as expected: the means stay as they are, and what
        is like it becomes less uncertain.
        """
        means, highest = posterior.means, process.highest
        root = posterior.root()
        covariance = root @ root.T
        chosen: list[int] = []
        for _ in range(min(n, len(means))):
            variances = np.maximum(covariance.diagonal(), _LEAST_VARIANCE)
            deviations = np.sqrt(variances)
            gains = (means - highest) / deviations
            improvement = deviations * (gains * norm.cdf(gains) + norm.pdf(gains))
            improvement[chosen] = -np.inf
            best = int(improvement.argmax())
            chosen.append(best)
            highest = max(highest, means[best])
            measured = variances[best] + process.noise * process.variance
            covariance -= np.outer(covariance[best], covariance[best]) / measured
        return chosen

    def predict(self, architectures: Sequence[Proposed]) -> np.ndarray:
        """Predict rewards; NaN before anything was told.

        Parameters
        ----------
        architectures : sequence of Architecture, Candidate or Proposal
            Architectures of the space. Settings and epochs are passed over.

        Returns
        -------
        ndarray of shape (n_architectures,)
            The means of the process, as rewards: between the lowest and the highest
            of those told.
        """
        self._check_set_up("predict")
        if self._process is None or not len(architectures):
            return np.full(len(architectures), np.nan)
        posterior = self._process.posterior(_without_settings(architectures))
        return Rewards(self._rewards).from_scores(posterior.means)

    def report(self) -> dict[str, float]:
        """Return figures about the last fit of the process.

        Returns
        -------
        dict of str to float
            ``lengthscale``, in units of the median distance, and ``noise``, in units of
            the variance of the signal. Empty before the first.
        """
        process = getattr(self, "_process", None)
        if process is None:
            return {}
        return {"lengthscale": process.lengthscale, "noise": process.noise}


def _without_settings(proposed: Sequence[Proposed]) -> list[Architecture]:
    """Return the architectures alone, which are all that the distance compares."""
    return [as_proposal(each).candidate.architecture for each in proposed]
