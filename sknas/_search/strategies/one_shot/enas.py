"""ENAS: a policy and the weights that its architectures share, in turn (3.2)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from sknas._search.strategies.one_shot.base import (
    OneShotStrategy,
    TrainableSupernet,
    without_settings,
)
from sknas._search.strategies.one_shot.correction import normal_scores
from sknas._sklearn import Interval
from sknas._space import Architecture, Gates, Proposed

if TYPE_CHECKING:
    from sknas._search.strategies.learner import PolicyLearner

# Draws for each architecture that is wanted, of which some are too shallow, or equal.
_MAX_DRAWS = 3
# No further candidates are scored from a progress on at which scoring has cost twice
# as much as training, which it does in a short search only.
_MOST_PROGRESS = 3.0
_SCORED_TOGETHER = 10


class EnasStrategy(OneShotStrategy):
    """Trains weights that all architectures share, and a policy that picks among them.

    The method of section 3.2 of the paper [1]_, after [2]_. An LSTM, that of
    `ReinforceStrategy`, draws architectures, and each batch trains one of them: its
    weights are a slice of one supernet. Epochs take turns with steps of REINFORCE on
    the rewards that further draws have, with the shared weights, on a batch of the
    validation rows. At the end architectures are drawn from the policy and scored on
    all validation rows, and the best are trained from scratch. This is
    ``search_strategy='enas'``.

    Read more in the :ref:`user guide <one_shot>`.

    Parameters
    ----------
    supernet_share : float, default=0.1
        Share of the search, in units of its cost, that the training of the supernet may
        take. As many children are left out, and some more for the scoring, which takes
        twice as much at most.

    warm_up : float, default=0.3
        Share of that before the policy learns: weights that were just drawn say little
        of what can be learned.

    n_sampled : int, default=8
        Architectures per step of the policy.

    n_candidates : int, default=60
        Architectures drawn from the policy and scored in the end, at most.

    hidden_size : int, default=64
        Units of the LSTM.

    learning_rate : float, default=0.005
        Step size of its Adam.

    entropy : float, default=0.1
        Weight of the policy's entropy in the objective. What a policy favours is
        trained more, and is then better with the shared weights: without entropy, it
        soon draws a single architecture.

    Attributes
    ----------
    space_ : SearchSpace
        Where architectures come from.

    generator_ : numpy.random.Generator
        Source of the seed of the policy, and of the draws among its architectures.

    See Also
    --------
    DartsStrategy : Finds gates by gradient descent.
    ReinforceStrategy : The same policy on children trained from scratch.

    Notes
    -----
    Differences from [2]_: the supernet is trained on architectures that are drawn from
    the policy in proportion to their depth, since the last positions are in few of
    them; the first of these has weights of its own for each activation; candidates are
    compared within a depth, as shared weights do not say which is better; not only the
    best of them is trained from scratch; and from the rewards of those, a regression
    learns what the shared weights got wrong systematically, after each round.

    Without a supernet, in a loop of ``ask`` and ``tell``, the policy learns from the
    rewards that it is told, one step per round.

    References
    ----------
    .. [1] F. Minutoli and M. Ciranni, "Neural Architecture Search: An overview".
    .. [2] H. Pham, M. Y. Guan, B. Zoph, Q. V. Le and J. Dean, "Efficient Neural
       Architecture Search via Parameter Sharing", ICML 2018.

    Examples
    --------
    >>> from sknas import EnasStrategy, NASMLPClassifier
    >>> classifier = NASMLPClassifier(search_strategy=EnasStrategy(entropy=0.2))
    >>> classifier.get_params()["search_strategy__entropy"]
    0.2
    """

    # What the features are turned into first decides much of what a network can do, and
    # weights that several activations share suit some of them better.
    separates_first: ClassVar[bool] = True
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "supernet_share": [Interval(Real, 0, 1, closed="neither")],
        "warm_up": [Interval(Real, 0, 1, closed="left")],
        "n_sampled": [Interval(Integral, 2, None, closed="left")],
        "n_candidates": [Interval(Integral, 1, None, closed="left")],
        "hidden_size": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "entropy": [Interval(Real, 0, None, closed="left")],
    }

    _learner: PolicyLearner

    def __init__(
        self,
        *,
        supernet_share: float = 0.1,
        warm_up: float = 0.3,
        n_sampled: int = 8,
        n_candidates: int = 60,
        hidden_size: int = 64,
        learning_rate: float = 0.005,
        entropy: float = 0.1,
    ) -> None:
        self.supernet_share = supernet_share
        self.warm_up = warm_up
        self.n_sampled = n_sampled
        self.n_candidates = n_candidates
        self.hidden_size = hidden_size
        self.learning_rate = learning_rate
        self.entropy = entropy

    def begin(self) -> None:
        """Make a policy that is close to the prior of the space."""
        # Imports torch, which reading and setting parameters must not need.
        from sknas._search.strategies.learner import LearnerSettings, PolicyLearner

        super().begin()
        # Rewards of the candidates with the shared weights.
        self._shared: dict[Architecture, float] = {}
        settings = LearnerSettings(
            hidden_size=int(self.hidden_size),
            n_layers=1,
            learning_rate=float(self.learning_rate),
            learning_rate_decay=0.0,
            batch_size=None,
            discount=1.0,
            baseline="moving_average",
            entropy=float(self.entropy),
            n_replays=0,
            accuracy_predictor=False,
            predictor_bonus=0.0,
        )
        seed = int(self.generator_.integers(2**32))
        self._learner = PolicyLearner(self.space_, settings, seed)

    def explore(self, supernet: TrainableSupernet) -> None:
        """Train shared weights and the policy in turn, then score candidates.

        Parameters
        ----------
        supernet : TrainableSupernet
            Of `space_`, not yet trained.
        """
        while supernet.progress < 1:
            # Each batch trains an architecture of its own: M = 1 in the paper.
            drawn = self._draw_deep(supernet.n_batches)
            supernet.train([Gates.of(each, self.space_) for each in drawn])
            if supernet.progress >= self.warm_up:
                self._update(supernet)
        self._score(supernet)

    def _score(self, supernet: TrainableSupernet) -> None:
        """Draw candidates and rank them by their rewards on all validation rows."""
        n_candidates = int(self.n_candidates)
        drawn = self._learner.draw(_MAX_DRAWS * n_candidates)
        candidates = list(dict.fromkeys(drawn))[:n_candidates]
        rewards: list[float] = []
        while len(rewards) < len(candidates):
            scored = candidates[len(rewards) :][:_SCORED_TOGETHER]
            rewards += supernet.rewards(scored).tolist()
            if supernet.progress >= _MOST_PROGRESS:
                break
        candidates = candidates[: len(rewards)]
        self._shared = dict(zip(candidates, rewards, strict=True))
        self.rank(candidates, _within_depths(candidates, rewards).tolist())

    def _draw_deep(self, n: int) -> list[Architecture]:
        """Draw from the policy, an architecture of twice the depth twice as often."""
        drawn = self._learner.draw(_MAX_DRAWS * n)
        depths = np.array([len(each.dense_layers) for each in drawn], dtype=float)
        places = self.generator_.choice(
            len(drawn), size=n, replace=False, p=depths / depths.sum()
        )
        return [drawn[place] for place in places]

    def _update(self, supernet: TrainableSupernet) -> None:
        """Take a step of the policy on rewards with the weights as they are."""
        drawn = self._learner.draw(int(self.n_sampled))
        batch = int(self.generator_.integers(supernet.n_validation_batches))
        rewards = supernet.rewards(drawn, batch)
        # With other weights and rows, rewards are no longer comparable.
        self._learner.learn_and_forget(drawn, rewards.tolist())

    def sample(self, n: int) -> list[Architecture]:
        """Draw architectures from the policy.

        Parameters
        ----------
        n : int
            How many.

        Returns
        -------
        list of Architecture
            Independent draws.
        """
        return self._learner.draw(n)

    def learn(
        self, architectures: Sequence[Proposed], rewards: Sequence[float]
    ) -> None:
        """Learn how far the supernet is to be trusted, and update the policy.

        Parameters
        ----------
        architectures : sequence of Architecture, Candidate or Proposal
            What was trained from scratch. Settings and epochs are passed over.
        rewards : sequence of float
            One finite number each.
        """
        super().learn(architectures, rewards)
        is_own = [self.was_asked(architecture) for architecture in architectures]
        self._learner.learn(without_settings(architectures), rewards, is_own)

    def predict(self, architectures: Sequence[Proposed]) -> np.ndarray:
        """Return the rewards of candidates with the shared weights, else NaN.

        Parameters
        ----------
        architectures : sequence of Architecture, Candidate or Proposal
            Architectures of the space. Settings and epochs are passed over.

        Returns
        -------
        ndarray of shape (n_architectures,)
            NaN for what was not scored.
        """
        self._check_set_up("predict")
        known = without_settings(architectures)
        return np.array([self._shared.get(each, math.nan) for each in known])


def _within_depths(
    architectures: Sequence[Architecture], rewards: Sequence[float]
) -> np.ndarray:
    """Return scores in which no depth is better than another on average.

    Which is better, shared weights do not say: a shallow network's output layer is that
    of the deep ones, and its layers have been trained more often. The rewards of what
    is trained from scratch say it.
    """
    scores = normal_scores(rewards)
    depths = np.array([len(each.dense_layers) for each in architectures])
    for depth in np.unique(depths):
        scores[depths == depth] -= scores[depths == depth].mean()
    return scores
