"""What a strategy may be told of a trial, besides its reward."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sknas._space.architecture import Architecture
from sknas._space.candidate import Proposal


@dataclass(frozen=True)
class Outcome:
    """What a trial amounted to.

    Parameters
    ----------
    trial : int
        Its number: the row of ``search_results_``, and what `Proposal.parent` names.
    proposal : Proposal
        What was tried.
    reward : float
        As it is told; that of a failed trial is the lowest known.
    objectives : mapping of str to float
        What may be sought, by name: ``'score'`` and ``'n_parameters'``, and
        ``'latency'`` where it is measured. NaN of a failed trial, but for the size.
    curve : tuple of float
        Validation score after each epoch; empty of a failed trial.
    cost : float
        Seconds that its training takes by the cost model of a CPU: the same on every
        machine.
    failed : bool
        Whether there is no network.
    sought : tuple of str, default=('score',)
        Names of the objectives of the search. All but the score are costs.

    Examples
    --------
    >>> from sknas import Outcome, SearchStrategy
    >>> class Frugal(SearchStrategy):
    ...     '''Draws at random, and adds up what it costs.'''
    ...
    ...     def begin(self):
    ...         self.spent_ = 0.0
    ...
    ...     def draw(self, n):
    ...         return [self.space_.sample(self.generator_) for _ in range(n)]
    ...
    ...     def observe(self, outcomes):
    ...         self.spent_ += sum(outcome.cost for outcome in outcomes)
    """

    trial: int
    proposal: Proposal
    reward: float
    objectives: Mapping[str, float]
    curve: tuple[float, ...]
    cost: float
    failed: bool
    sought: tuple[str, ...] = ("score",)

    @property
    def architecture(self) -> Architecture:
        """That of the proposal."""
        return self.proposal.candidate.architecture
