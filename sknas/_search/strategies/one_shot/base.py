"""What one-shot strategies have in common: a supernet first, then its favourites."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Protocol

import numpy as np

from sknas._search.strategies.base import SearchStrategy
from sknas._search.strategies.one_shot.correction import Correction
from sknas._space import Architecture, Gates, Proposed, SearchSpace, as_proposal


class TrainableSupernet(Protocol):
    """What a one-shot strategy sees of the network that holds all architectures.

    It sees neither data nor trainer.

    Attributes
    ----------
    space : SearchSpace
        Whose architectures are slices of the network.
    n_batches, n_validation_batches : int
        How many batches the rows to train on and to validate on have.
    n_inputs, n_outputs : int
        Columns of the encoded table, and units of the output layer.
    progress : float
        Share of what the supernet may cost, or of its time, that is used up: from 1 on
        there should be no further epoch. Infinite when the time of the search is over.
        The learning rate follows it.
    """

    @property
    def space(self) -> SearchSpace: ...

    @property
    def n_batches(self) -> int: ...

    @property
    def n_validation_batches(self) -> int: ...

    @property
    def n_inputs(self) -> int: ...

    @property
    def n_outputs(self) -> int: ...

    @property
    def progress(self) -> float: ...

    def train(
        self,
        gates: Sequence[Gates],
        *,
        unit_penalty: float = 0.0,
        learning_rate: float | None = None,
    ) -> float:
        """Train for an epoch, each batch with the next gates; return the mean loss."""

    def restart(self) -> None:
        """Draw all weights anew; what is used up stays used up."""

    def rewards(
        self, architectures: Sequence[Architecture], batch: int | None = None
    ) -> np.ndarray:
        """Return rewards with the shared weights, on a validation batch or on all."""

    def losses(self, gates: Sequence[Gates], batch: int | None = None) -> np.ndarray:
        """Return the loss of each gates on a validation batch, or on all."""

    def gate_gradient(
        self,
        gates: Gates,
        batch: int,
        *,
        training_batch: int | None = None,
        unrolled: bool = False,
    ) -> Gates:
        """Return the gradient of the loss of a validation batch for all gates."""

    def unit_norms(self) -> list[np.ndarray]:
        """Return the norms of the hidden units of each position."""


class OneShotStrategy(SearchStrategy):
    """Base class of strategies that train a supernet before they propose.

    A subclass writes `explore`, which trains the supernet and hands what it found to
    `rank`, and `sample`, which draws when there is nothing else to propose. What was
    ranked is proposed best first. From the rewards of those that were then trained from
    scratch, `Correction` learns what the ranking got wrong, and the rest is ranked
    anew.

    Subclasses have a parameter `supernet_share`: the share of the search, in units of
    its cost, that the supernet may take. As many children are left out.

    Attributes
    ----------
    seeks_size : bool
        Whether `explore` looks for small networks, so that it serves a search that
        seeks more than the score. Else such a search is refused.
    separates_first : bool
        Whether the first position of the supernet has weights of its own for each
        activation: then all gates must be those of architectures.
    """

    supernet_share: float
    seeks_size: ClassVar[bool] = False
    separates_first: ClassVar[bool] = False

    def explore(self, supernet: TrainableSupernet) -> None:
        """Train the supernet and learn from it, once and before the first `ask`.

        Parameters
        ----------
        supernet : TrainableSupernet
            Of `space_`, not yet trained.
        """
        raise NotImplementedError(
            f"{type(self).__name__} must have a method explore(supernet)."
        )

    def sample(self, n: int) -> list[Architecture]:
        """Draw architectures where none that was ranked is left.

        Parameters
        ----------
        n : int
            How many.

        Returns
        -------
        list of Architecture
            Independent draws.
        """
        raise NotImplementedError(
            f"{type(self).__name__} must have a method sample(n) that returns a list "
            "of architectures."
        )

    def begin(self) -> None:
        """Begin without a supernet."""
        # Scores of what is still to be proposed, and of what has been.
        self._scores: dict[Architecture, float] = {}
        self._proposed: set[Architecture] = set()
        self._correction = Correction(self.space_)

    def rank(
        self, architectures: Sequence[Architecture], scores: Sequence[float]
    ) -> None:
        """Give `draw` what to propose.

        Parameters
        ----------
        architectures : sequence of Architecture
            Candidates.
        scores : sequence of float
            One each; higher is better, on any scale.
        """
        self._scores = dict(zip(architectures, map(float, scores), strict=True))
        self._correction.rank(self._scores)

    def draw(self, n: int) -> list[Architecture]:
        """Propose what was ranked, the best first, then draw.

        Parameters
        ----------
        n : int
            How many.

        Returns
        -------
        list of Architecture
            Of the supernet's favourites, as long as there are any.
        """
        left = [each for each in self._scores if each not in self._proposed]
        if left:
            # Stable, so that equals stay in the order of the draws.
            order = np.argsort(-self._correction.scores(left), kind="stable")
            left = [left[place] for place in order[:n]]
            self._proposed.update(left)
        return left + self.sample(n - len(left)) if len(left) < n else left

    def learn(
        self, architectures: Sequence[Proposed], rewards: Sequence[float]
    ) -> None:
        """Learn how far the supernet is to be trusted.

        Parameters
        ----------
        architectures : sequence of Architecture, Candidate or Proposal
            What was trained from scratch. Settings and epochs are passed over.
        rewards : sequence of float
            One finite number each, of which only the order matters.
        """
        self._correction.learn(without_settings(architectures), rewards)

    def report(self) -> dict[str, float]:
        """Return how well the supernet ranked what was trained from scratch.

        Returns
        -------
        dict of str to float
            ``supernet_correlation``, Spearman's, of its scores with the rewards so far;
            NaN for fewer than three. Empty without a supernet.
        """
        # Before `begin` there is nothing.
        if not getattr(self, "_scores", None):
            return {}
        return {"supernet_correlation": self._correction.correlation()}


def without_settings(proposed: Sequence[Proposed]) -> list[Architecture]:
    """Return the architectures alone, which are all that a supernet knows."""
    return [as_proposal(each).candidate.architecture for each in proposed]
