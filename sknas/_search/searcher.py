"""Ask a strategy, train what it proposes, tell it what came of it, and record."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from sknas._budget import Budget
from sknas._engine.evaluator import Evaluation
from sknas._interrupts import deferred_interrupts
from sknas._progress import Progress
from sknas._search.history import SearchHistory
from sknas._search.journal import FAILED, TRAINED, Round, Trial
from sknas._search.latency import timed
from sknas._search.problem import Problem
from sknas._search.state import SearchState
from sknas._search.strategies import SearchStrategy
from sknas._search.strategies.contract import (
    check_asked,
    named_parents,
    predicted_rewards,
)
from sknas._search.trials import TrialRunner
from sknas._search.weight_store import BigramWeightStore
from sknas._space import (
    Outcome,
    Proposal,
    Proposed,
    as_proposal,
)
from sknas._warnings import describe, warn


class Searcher(Protocol):
    """What finds candidates; a failure or an interrupt leaves what it has found."""

    history: SearchHistory
    best: tuple[int, Evaluation] | None

    def run(self, problem: Problem, budget: Budget) -> SearchHistory:
        """Search until the budget, or what there is to try, is used up."""


@dataclass(frozen=True)
class SearchSettings:
    """How a search by rounds goes; the words are the estimator's parameters."""

    n_rounds: int
    n_architectures: int
    weight_sharing: bool
    # Of the trials the best so many are wanted.
    n_finalists: int
    # Whether children that cannot become one of them are stopped.
    extrapolates: bool = False

    @property
    def n_trials(self) -> int:
        """How many trials a search may come to."""
        return self.n_rounds * self.n_architectures


class AskTellSearcher:
    """Rounds of a strategy: ask, train the children, tell.

    Parameters
    ----------
    strategy : SearchStrategy
        What proposes, or any other object that keeps to the contract of this class.
    settings : SearchSettings
        Rounds, and what belongs to them.
    progress : Progress
        Shows it.
    state : SearchState or None, default=None
        Where an earlier search ended. Its strategy goes on in place of ``strategy``.

    Attributes
    ----------
    history : SearchHistory
        All trials and rounds so far.
    best : tuple of (int, Evaluation) or None
        The best trial so far and its networks: the weights of this one alone are
        kept, so that the memory of a search does not grow.
    """

    def __init__(
        self,
        strategy: SearchStrategy,
        settings: SearchSettings,
        progress: Progress,
        state: SearchState | None = None,
    ) -> None:
        self._is_set_up = state is not None
        state = SearchState(strategy) if state is None else state
        self.strategy = state.strategy
        self.settings = settings
        self.progress = progress
        self.history = state.history
        self.best: tuple[int, Evaluation] | None = state.best
        # One store for each fold: what is measured on a row must not come from
        # training on it.
        self._stores = state.stores
        # Weights of trials, as far as the strategy names them as parents.
        self._parents = state.parents
        # What the first round tries besides what the strategy proposes.
        self._first = state.first
        # What the strategy was asked for and not told of: no round begins before.
        self._unfinished = state.unfinished
        # All that was trained, so that nothing is trained twice: a strategy that is no
        # `SearchStrategy` may repeat itself.
        self._seen = {as_proposal(trial.proposal) for trial in self.history.trials}

    def run(self, problem: Problem, budget: Budget) -> SearchHistory:
        """Run all rounds, or as many as there is time and something new for.

        Parameters
        ----------
        problem : Problem
            What to search, and how to measure it.
        budget : Budget
            A round begins only if one as long as the last can end in time.

        Returns
        -------
        SearchHistory
            What was tried.

        Raises
        ------
        ValueError
            If every child failed.
        """
        self._problem = problem
        # No failure may look better than a guess, even where nothing else is known.
        self._guess = problem.metric.guess_reward()
        if self.settings.weight_sharing and not self._stores:
            self._stores = [
                BigramWeightStore() for _ in range(problem.evaluator.n_folds)
            ]
        n_best = self.settings.n_finalists if self.settings.extrapolates else None
        self._runner = TrialRunner(
            problem, self._stores, self._parents, self.history.trials, n_best
        )
        # Before `setup`, which may depend on it.
        if hasattr(self.strategy, "set_max_resources"):
            max_iter = problem.evaluator.trainer.settings.max_iter
            self.strategy.set_max_resources(epochs=max_iter, folds=problem.n_folds)
        if not self._is_set_up:
            self._set_up(problem, budget)
            self._is_set_up = True
        seconds_of_last = 0.0
        # Rounds follow those of an earlier search.
        self._n_before = len(self.history.rounds)
        for number in range(self._n_before, self._n_before + self.settings.n_rounds):
            start = time.perf_counter()
            # A round that would not end in time would be trained in vain.
            if number > self._n_before and seconds_of_last > budget.seconds_left():
                break
            # Nothing new to try, an error, or the end of the time.
            if not self._try_round(number, budget):
                break
            seconds_of_last = time.perf_counter() - start
        if self.best is None:
            raise ValueError(self._why_all_failed())
        return self.history

    def _set_up(self, problem: Problem, budget: Budget) -> None:
        """Prepare the strategy for a search that no earlier one began."""
        del budget
        # The first optimiser of a process imports more of torch.
        with deferred_interrupts():
            self.strategy.setup(problem.space, problem.seeds.seed("strategy"))

    def _try_round(self, number: int, budget: Budget) -> bool:
        """Run a round; an error in a later one ends the search but not the fit."""
        try:
            return self._run_round(number, budget)
        except Exception as error:
            # In the first round it is most likely a mistake that a user wants to see at
            # once. Later on there is a result worth keeping.
            if number == self._n_before or self.best is None:
                raise
            warn(
                f"The search ended in round {number + 1 - self._n_before} of "
                f"{self.settings.n_rounds} with {describe(error)}. The choice is among "
                f"the {len(self.history)} trials recorded so far."
            )
            return False

    def _run_round(self, number: int, budget: Budget) -> bool:
        """Ask, train, record, tell; return whether another round may follow."""
        start = time.perf_counter()
        # Step 1: ask, or go on with what an earlier search did not end.
        given = self._propose(is_first=not number)
        if not given:
            return False
        self._unfinished = given
        seconds_before = self._problem.seconds
        n_before = len(self.history)
        report: Mapping[str, object] = {}
        try:
            # Step 2: train and record. Those of this round follow the others.
            self._train(number, self._untried(given), budget)
            # In the form in which the strategy proposed them.
            told = {as_proposal(each): each for each in given}
            outcomes = [o for o in self._outcomes() if o.proposal in told]
            is_complete = len(outcomes) == len(told)
            # Step 3: tell. A strategy is told of whole rounds; one that the time ended
            # was the last.
            if is_complete:
                self._unfinished = []
                self._tell(told, outcomes)
                report = getattr(self.strategy, "report", dict)() or {}
        finally:
            # Also after Ctrl-C or an error: the trials that there are make a round.
            trained = self._problem.seconds - seconds_before
            seconds = time.perf_counter() - start, trained
            self._record_round(number, self.history.trials[n_before:], seconds, report)
        return is_complete

    def _outcomes(self) -> list[Outcome]:
        """Return what all trials amounted to."""
        return [
            Outcome(
                number,
                trial.proposal,
                trial.reward,
                trial.objectives,
                trial.curve,
                trial.cost,
                trial.status == FAILED,
                self._problem.objectives,
            )
            for number, trial in enumerate(self.history.trials)
        ]

    def _tell(
        self, told: Mapping[Proposal, Proposed], outcomes: Sequence[Outcome]
    ) -> None:
        """Tell the strategy of a round, in the order of the proposals."""
        of_proposals = {outcome.proposal: outcome for outcome in outcomes}
        in_order = [of_proposals[proposal] for proposal in told]
        if hasattr(self.strategy, "observe"):
            self.strategy.observe(in_order)
        rewards = [outcome.reward for outcome in in_order]
        self.strategy.tell(list(told.values()), rewards)
        self._parents.keep_only(named_parents(self.strategy) or ())

    def _untried(self, given: Sequence[Proposed]) -> list[Proposed]:
        """Return what is no trial yet."""
        tried = {trial.proposal for trial in self.history.trials}
        return [each for each in given if as_proposal(each) not in tried]

    def _train(self, number: int, given: Sequence[Proposed], budget: Budget) -> None:
        """Train what was proposed, and record what came of it.

        In the order of the proposals, whatever came first; all of them, or what there
        was before an interrupt, an error or the end of the time.
        """
        proposals = [as_proposal(each) for each in given]
        # Before the training, so that it is a prediction.
        predicted = predicted_rewards(self.strategy, given)
        # By position among the proposals.
        trials: dict[int, Trial] = {}
        evaluations: dict[int, Evaluation] = {}
        outcomes = self._runner.run(number, proposals, predicted, budget)
        try:
            # Closed at once if this loop ends early, so that no worker trains on.
            with closing(outcomes):
                for position, trial, evaluation in outcomes:
                    trials[position], evaluations[position] = trial, evaluation
                    self._show(trial, trials.values())
        finally:
            done = sorted(trials)
            self._record([trials[i] for i in done], [evaluations[i] for i in done])

    def _propose(self, *, is_first: bool) -> list[Proposed]:
        """Ask for what a round tries, and keep what is new."""
        given: list[Proposed] = []
        n = self.settings.n_architectures
        if is_first:
            # These are some of the round's; the strategy may be asked for none.
            # Trial 0 is tried even where an unfinished round has no place left.
            given += self._first_proposals()[: max(n - len(self._unfinished), 1)]
            self._seen |= {as_proposal(each) for each in given}
        if self._unfinished:
            known = {as_proposal(each) for each in given}
            rest = (e for e in self._unfinished if as_proposal(e) not in known)
            return [*given, *rest]
        n -= len(given)
        asked = self.strategy.ask(n)
        self._check_asked(asked, n)
        # Of proposals that mean the same the first is kept, in the strategy's form.
        for each in asked:
            proposal = as_proposal(each)
            if proposal not in self._seen:
                self._seen.add(proposal)
                given.append(each)
        if not given and not is_first and isinstance(self.strategy, SearchStrategy):
            # It has proposed all there is; another search may ask it again.
            self.strategy.tell([], [])
        if is_first and not given:
            raise ValueError(
                f"ask({n}) of {type(self.strategy).__name__} must return at least one "
                f"architecture in the first round. Got {asked!r} instead."
            )
        return given

    def _first_proposals(self) -> list[Proposed]:
        """Return trial 0, and what was best in an earlier search on other rows."""
        incumbent = self._problem.incumbent
        first: list[Proposed] = [] if incumbent is None else [incumbent]
        known = set(map(as_proposal, first))
        # The strategy has to have its say too.
        n_earlier = self.settings.n_architectures // 2
        earlier = self._first[:n_earlier]
        return first + [each for each in earlier if as_proposal(each) not in known]

    def state(self) -> SearchState:
        """Return what another search may go on from."""
        history = self.history.without_finalists()
        return SearchState(
            self.strategy,
            history,
            self.best,
            self._stores,
            self._parents,
            unfinished=self._unfinished,
        )

    def _check_asked(self, asked: object, n: int) -> None:
        problem = self._problem
        check_asked(self.strategy, asked, n, problem.space, problem.settings)

    def _record(
        self, trials: Sequence[Trial], evaluations: Sequence[Evaluation]
    ) -> None:
        """Append a finished round and write its weights to the stores, in its order."""
        # A failure is told the worst reward known; its own is not finite.
        known = [t.reward for t in (*self.history.trials, *trials)]
        finite = [r for r in (*known, self._guess) if math.isfinite(r)]
        worst = min(finite, default=0.0)
        # Until the strategy is told of them, all may become parents.
        are_parents = named_parents(self.strategy) is not None
        # An interrupt waits, since a latency takes a moment to measure.
        with deferred_interrupts():
            for trial, evaluation in zip(trials, evaluations, strict=True):
                if trial.status == FAILED:
                    self.history.record(replace(trial, reward=worst))
                    continue
                self.history.record(timed(trial, evaluation, self._problem))
                weights = evaluation.weights
                for store, of_fold in zip(self._stores, weights, strict=False):
                    store.add(trial.architecture, of_fold, trial.reward)
                index = len(self.history) - 1
                if are_parents:
                    self._parents.add(index, trial.architecture, weights)
                if index == self.history.best_first()[0]:
                    self.best = index, evaluation

    def _record_round(
        self,
        number: int,
        trials: Sequence[Trial],
        seconds: tuple[float, float],
        report: Mapping[str, object],
    ) -> None:
        """Record figures about a round that has trials.

        ``seconds`` are those of the round, and of the training in it.
        """
        if not trials:
            return
        scores = [trial.score for trial in trials if trial.status == TRAINED]
        figures = {
            "round": number,
            "n_trials": len(trials),
            "mean_score": float(np.mean(scores)) if scores else math.nan,
            "best_score": max(scores, default=math.nan),
            "time": seconds[0],
            "time_children": seconds[1],
        }
        # Where a strategy's figure has the name of one of ours, ours stays.
        self.history.record(Round({**figures, **report, **figures}))
        self.progress.round(
            number + 1 - self._n_before,
            self.settings.n_rounds,
            len(self.history),
            self.history.best_score(),
        )

    def _show(self, trial: Trial, unrecorded: Iterable[Trial]) -> None:
        scores = [t.score for t in unrecorded if t.status == TRAINED]
        best = np.nanmax([self.history.best_score(), *scores, -math.inf])
        self.progress.trial(trial.architecture, trial.score, float(best))

    def _why_all_failed(self) -> str:
        reasons = ", ".join(
            f"{n} times {what}" for what, n in self._runner.errors.items()
        )
        settings = self._problem.evaluator.trainer.settings
        return (
            f"All {len(self.history)} children of the search failed: {reasons}. If "
            "losses became NaN or infinite, decrease learning_rate_init (currently "
            f"{settings.learning_rate_init}) or alpha (currently "
            f"{settings.weight_decay}); if the memory was full, leave out the largest "
            "layer_widths."
        )
