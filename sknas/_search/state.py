"""Where a search ended, for another one to go on from."""

from __future__ import annotations

from dataclasses import dataclass, field

from sknas._engine.evaluator import Evaluation
from sknas._search.history import SearchHistory
from sknas._search.strategies import SearchStrategy
from sknas._search.weight_store import BigramWeightStore, ParentStore
from sknas._space import Candidate, Proposed


@dataclass(frozen=True)
class SearchState:
    """What a search leaves behind for another one to go on from.

    Parameters
    ----------
    strategy : SearchStrategy
        With all that it has learned.
    history : SearchHistory, default=empty
        Trials and rounds that those of the next search follow.
    best : tuple of (int, Evaluation) or None, default=None
        The best of these trials and its networks.
    stores : list of BigramWeightStore, default=empty
        Shared weights, one store for each fold.
    parents : ParentStore, default=empty
        Weights of trials that may become parents.
    first : list of Candidate, default=empty
        What is to be tried first.
    unfinished : list of Architecture, Candidate or Proposal, default=empty
        What the strategy awaits to be told of, in a round that did not end.
    """

    strategy: SearchStrategy
    history: SearchHistory = field(default_factory=SearchHistory)
    best: tuple[int, Evaluation] | None = None
    stores: list[BigramWeightStore] = field(default_factory=list)
    parents: ParentStore = field(default_factory=ParentStore)
    first: list[Candidate] = field(default_factory=list)
    unfinished: list[Proposed] = field(default_factory=list)

    def for_other_rows(self) -> SearchState:
        """Return what holds whatever the rows: the strategy, and what to try first.

        Scores and weights do not: the trials are named only, the best one first.
        """
        trials = [self.history.trials[i] for i in self.history.best_first()]
        candidates = dict.fromkeys(trial.candidate for trial in trials)
        return SearchState(
            self.strategy, first=list(candidates), unfinished=self.unfinished
        )
