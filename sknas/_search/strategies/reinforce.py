"""REINFORCE on an LSTM controller: the parameters; torch is loaded with a search."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from sknas._search.strategies.base import SearchStrategy
from sknas._sklearn import Interval, StrOptions
from sknas._space import Architecture, Outcome, Proposal, Proposed, as_proposal
from sknas._space.pareto import values_of

if TYPE_CHECKING:
    from sknas._search.strategies.learner import PolicyLearner


class ReinforceStrategy(SearchStrategy):
    """Raises the probability of layers that were followed by high rewards.

    The method of the paper: an LSTM writes architectures layer by layer and learns by
    REINFORCE, together with a predictor of the reward. This is
    ``search_strategy='reinforce'``.

    Read more in the :ref:`user guide <reinforce>`.

    Parameters
    ----------
    hidden_size : int, default=64
        Units of each layer of the LSTM.

    n_layers : int, default=1
        Layers of the LSTM, stacked. The policy and the predictor read the last one.

    learning_rate : float, default=0.01
        Step size of Adam.

    learning_rate_decay : float, default=0.0
        After t updates the step size is ``learning_rate / (1 + decay * t)``.

    batch_size : int or None, default=None
        Architectures per update. None takes a whole round.

    discount : float, default=1.0
        Discount factor of the returns, in (0, 1].

    baseline : float or 'moving_average', default='moving_average'
        What is subtracted from the returns: a number, or the mean return of all other
        trials so far.

    entropy : float, default=0.01
        Weight of the policy's entropy in the objective.

    n_replays : int, default=10
        Steps on all trials so far that follow the update of a round: one update per
        round would hardly move the policy.

    accuracy_predictor : bool, default=True
        Whether a predictor of the reward is trained jointly with the policy.

    predictor_candidates : int, default=12
        Architectures drawn for each one proposed, of which the predictor picks the
        most promising. 1 proposes what is drawn.

    predictor_bonus : float, default=0.0
        Weight of the predictor's absolute error in the reward, which draws the search
        to where the predictor errs.

    cost_weight : float, default=0.05
        What a network ten times smaller or faster is worth in units of the reward,
        where the search has such objectives: their decimal logarithms times this are
        subtracted from the rewards, a mixed reward as in [1]_. It is what the policy
        learns from and the predictor predicts.

    Attributes
    ----------
    space_ : SearchSpace
        Where architectures come from.

    generator_ : numpy.random.Generator
        Source of the seed of the policy.

    See Also
    --------
    RandomStrategy : Learns nothing.
    EvolutionStrategy : With several objectives, keeps all of a front.

    References
    ----------
    .. [1] C.-H. Hsu et al., "MONAS: Multi-Objective Neural Architecture Search using
       Reinforcement Learning", 2018.

    Examples
    --------
    >>> from sknas import NASMLPClassifier, ReinforceStrategy
    >>> classifier = NASMLPClassifier(search_strategy=ReinforceStrategy(entropy=0.1))
    >>> classifier.get_params()["search_strategy__entropy"]
    0.1
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "hidden_size": [Interval(Integral, 1, None, closed="left")],
        "n_layers": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "learning_rate_decay": [Interval(Real, 0, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left"), None],
        "discount": [Interval(Real, 0, 1, closed="right")],
        "baseline": [
            StrOptions({"moving_average"}),
            Interval(Real, None, None, closed="neither"),
        ],
        "entropy": [Interval(Real, 0, None, closed="left")],
        "n_replays": [Interval(Integral, 0, None, closed="left")],
        "accuracy_predictor": ["boolean"],
        "predictor_candidates": [Interval(Integral, 1, None, closed="left")],
        "predictor_bonus": [Interval(Real, 0, None, closed="left")],
        "cost_weight": [Interval(Real, 0, None, closed="left")],
    }

    _learner: PolicyLearner

    def __init__(
        self,
        *,
        hidden_size: int = 64,
        n_layers: int = 1,
        learning_rate: float = 0.01,
        learning_rate_decay: float = 0.0,
        batch_size: int | None = None,
        discount: float = 1.0,
        baseline: float | str = "moving_average",
        entropy: float = 0.01,
        n_replays: int = 10,
        accuracy_predictor: bool = True,
        predictor_candidates: int = 12,
        predictor_bonus: float = 0.0,
        cost_weight: float = 0.05,
    ) -> None:
        self.hidden_size = hidden_size
        self.n_layers = n_layers
        self.learning_rate = learning_rate
        self.learning_rate_decay = learning_rate_decay
        self.batch_size = batch_size
        self.discount = discount
        self.baseline = baseline
        self.entropy = entropy
        self.n_replays = n_replays
        self.accuracy_predictor = accuracy_predictor
        self.predictor_candidates = predictor_candidates
        self.predictor_bonus = predictor_bonus
        self.cost_weight = cost_weight

    def begin(self) -> None:
        """Make a policy that is close to the prior of the space."""
        # Imports torch, which reading and setting parameters must not need.
        from sknas._search.strategies.learner import LearnerSettings, PolicyLearner

        # scikit-learn's constraints admit NumPy's numbers, which become Python's here.
        settings = LearnerSettings(
            hidden_size=int(self.hidden_size),
            n_layers=int(self.n_layers),
            learning_rate=float(self.learning_rate),
            learning_rate_decay=float(self.learning_rate_decay),
            batch_size=self.batch_size,
            discount=float(self.discount),
            baseline=self.baseline,
            entropy=float(self.entropy),
            n_replays=int(self.n_replays),
            accuracy_predictor=bool(self.accuracy_predictor),
            predictor_bonus=float(self.predictor_bonus),
        )
        # torch draws from a generator of its own, which NumPy's seeds.
        seed = int(self.generator_.integers(2**32))
        self._learner = PolicyLearner(self.space_, settings, seed)
        # Of the trials that are told next, and the lowest mixed reward so far.
        self._penalties: dict[Proposal, float] = {}
        self._lowest = math.inf

    def draw(self, n: int) -> list[Architecture]:
        """Draw architectures from the policy.

        Parameters
        ----------
        n : int
            How many.

        Returns
        -------
        list of Architecture
            Independent draws.

        Raises
        ------
        ValueError
            If the policy became NaN, since `learning_rate` is too large.
        """
        return self._learner.draw(n)

    def learn(
        self, architectures: Sequence[Proposed], rewards: Sequence[float]
    ) -> None:
        """Update the policy and the predictor.

        Parameters
        ----------
        architectures : sequence of Architecture, Candidate or Proposal
            What was tried in a round. Settings and epochs are passed over.
        rewards : sequence of float
            One finite number each.
        """
        rewards = self._mixed(architectures, rewards)
        # Its gradient is an expectation under the policy, which drew only its own.
        is_own = [self.was_asked(architecture) for architecture in architectures]
        self._learner.learn(_without_settings(architectures), rewards, is_own)

    def observe(self, outcomes: Sequence[Outcome]) -> None:
        """Receive what the trials of a round cost, if that is an objective.

        Parameters
        ----------
        outcomes : sequence of Outcome
            Of the trials that `learn` is told of next.
        """
        sought = outcomes[0].sought if outcomes else ()
        if len(sought) < 2:
            return
        values = values_of([outcome.objectives for outcome in outcomes], sought)
        # Of a network that failed, the score is NaN, and so is the sum.
        penalties = -values[:, 1:].sum(axis=1) / math.log(10) + 0.0 * values[:, 0]
        proposals = [outcome.proposal for outcome in outcomes]
        self._penalties = dict(zip(proposals, penalties.tolist(), strict=True))

    def _mixed(
        self, architectures: Sequence[Proposed], rewards: Sequence[float]
    ) -> Sequence[float]:
        """Subtract what was observed; a failure has the lowest reward known."""
        if not self._penalties:
            return rewards
        penalties = [self._penalties.get(as_proposal(a), 0.0) for a in architectures]
        self._penalties = {}
        mixed = np.asarray(rewards) - self.cost_weight * np.asarray(penalties)
        is_finite = np.isfinite(mixed)
        self._lowest = min([self._lowest, *mixed[is_finite].tolist()])
        worst = self._lowest if math.isfinite(self._lowest) else 0.0
        found: list[float] = np.where(is_finite, mixed, worst).tolist()
        return found

    def predict(self, architectures: Sequence[Proposed]) -> np.ndarray:
        """Predict rewards; NaN without predictor and before anything was told.

        Parameters
        ----------
        architectures : sequence of Architecture, Candidate or Proposal
            Architectures of the space. Settings and epochs are passed over.

        Returns
        -------
        ndarray of shape (n_architectures,)
            In the units of the rewards.
        """
        self._check_set_up("predict")
        return self._learner.predict(_without_settings(architectures))

    def report(self) -> dict[str, float]:
        """Return figures about the last update of the policy.

        Returns
        -------
        dict of str to float
            ``policy_loss``, ``entropy``, ``advantage``, ``gradient_norm`` and, with a
            predictor, ``predictor_loss``. Empty before the first update.
        """
        # A copy: the caller may change it. Before `begin` there is no learner.
        return dict(self._learner.report) if hasattr(self, "_learner") else {}

    def _propose(self, n: int) -> list[Proposed]:
        """Let the predictor pick from more candidates, once it has seen trials."""
        if not self._learner.predicts or self.predictor_candidates == 1:
            return super()._propose(n)
        # Candidates that are drawn but not picked may be drawn again later.
        candidates = super()._propose(n * self.predictor_candidates)
        # Stable, so that equal predictions keep the order of the draws.
        best_first = np.argsort(-self.predict(candidates), kind="stable")
        return [candidates[index] for index in best_first[:n]]


def _without_settings(proposed: Sequence[Proposed]) -> list[Architecture]:
    """Return the architectures alone, which are all that the policy writes."""
    return [as_proposal(each).candidate.architecture for each in proposed]
