"""Ask, train, tell, record; then choose among the best."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from sknas._history import FAILED, TRAINED, SearchHistory, Trial
from sknas._metric import ValidationMetric
from sknas._progress import Progress
from sknas._random import SeedSource
from sknas._space import Architecture, SearchSpace
from sknas._trainer import Trainer
from sknas._training import TrainingJob, TrainingResult
from sknas._weight_store import BigramWeightStore


class Strategy(Protocol):
    """What a search needs of a strategy; ``predict`` and ``report`` may be absent."""

    def setup(self, space: SearchSpace, random_state: int) -> None:
        """Begin a search."""

    def ask(self, n: int) -> Sequence[Architecture]:
        """Propose at most n architectures of the space."""

    def tell(
        self, architectures: Sequence[Architecture], rewards: Sequence[float]
    ) -> None:
        """Learn what came of them."""


@dataclass(frozen=True)
class Choice:
    """The trial that the search decided for."""

    index: int
    score: float
    result: TrainingResult
    # All that were trained again, by their index; empty without finalists.
    finalists: dict[int, TrainingResult]
    finalist_scores: dict[int, float]


class Search:
    """A search from the first round to the choice.

    Parameters
    ----------
    space : SearchSpace
        Where architectures come from.
    strategy : Strategy
        What proposes them.
    trainer : Trainer
        Trains children as the search does.
    metric : ValidationMetric
        Scores them.
    seeds : SeedSource
        Names every seed.
    n_rounds, n_architectures : int
        How often the strategy is asked, and for how many.
    first_architecture : Architecture or None
        Trial 0.
    weight_sharing : bool
        Whether children inherit weights from the store.
    progress : Progress
        Shows it.
    """

    def __init__(
        self,
        *,
        space: SearchSpace,
        strategy: Strategy,
        trainer: Trainer,
        metric: ValidationMetric,
        seeds: SeedSource,
        n_rounds: int,
        n_architectures: int,
        first_architecture: Architecture | None,
        weight_sharing: bool,
        progress: Progress,
    ) -> None:
        self.space = space
        self.strategy = strategy
        self.trainer = trainer
        self.metric = metric
        self.seeds = seeds
        self.n_rounds = n_rounds
        self.n_architectures = n_architectures
        self.first_architecture = first_architecture
        self.progress = progress
        self.store = BigramWeightStore() if weight_sharing else None
        self.history = SearchHistory()
        self._seen: set[Architecture] = set()
        # Weights of the best child alone: a search's memory does not grow.
        self._best: tuple[int, TrainingResult] | None = None

    def run(self) -> None:
        """Run all rounds, or as many as the space holds architectures for.

        An interrupt (Ctrl-C) ends the search with the trials there are.

        Raises
        ------
        ValueError
            If every child failed.
        """
        self.strategy.setup(self.space, self.seeds.seed("strategy"))
        try:
            for number in range(self.n_rounds):
                if not self._run_round(number):
                    break
        except KeyboardInterrupt:
            if self._best is None:
                raise
            warnings.warn(
                f"The search was interrupted after {len(self.history)} trials. The "
                "choice among them and the refit follow; another interrupt shortens "
                "each.",
                UserWarning,
                stacklevel=5,
            )
        if self._best is None:
            rate = self.trainer.settings.learning_rate_init
            raise ValueError(
                f"The loss of every child ({len(self.history)} architectures) became "
                f"NaN or infinite. Decrease learning_rate_init (currently {rate}) or "
                f"alpha (currently {self.trainer.settings.alpha})."
            )

    def _run_round(self, number: int) -> bool:
        start = time.perf_counter()
        proposed = self._propose(first=number == 0)
        if not proposed:
            return False
        predicted = self._predict(proposed)
        seconds_before = self.trainer.seconds
        jobs = [self._job(architecture) for architecture in proposed]
        trials: dict[int, Trial] = {}
        results: dict[int, TrainingResult] = {}
        try:
            for position, result in self.trainer.train(jobs):
                trial = self._trial(number, result, predicted[position])
                trials[position], results[position] = trial, result
                self._show(trial, trials.values())
        finally:
            # In the order of the proposals, whatever came first; all of them, or what
            # there was before an interrupt.
            done = sorted(trials)
            self._record([trials[i] for i in done], [results[i] for i in done])
        seconds_training = self.trainer.seconds - seconds_before
        told = self.history.trials[-len(trials) :]
        self.strategy.tell(proposed, [trial.reward for trial in told])
        self._record_round(number, told, time.perf_counter() - start, seconds_training)
        return True

    def _propose(self, *, first: bool) -> list[Architecture]:
        """Ask for a round's architectures and keep those that are new."""
        proposed: list[Architecture] = []
        if first and self.first_architecture is not None:
            proposed.append(self.first_architecture)
            self._seen.add(self.first_architecture)
        n = self.n_architectures - len(proposed)
        asked = self.strategy.ask(n)
        if not isinstance(asked, (list, tuple)):
            raise TypeError(
                f"ask() of {type(self.strategy).__name__} must return a list of "
                f"architectures. Got {asked!r} instead."
            )
        for architecture in asked:
            if architecture not in self.space:
                raise ValueError(
                    f"ask() of {type(self.strategy).__name__} must return "
                    "architectures of the space it was set up with. "
                    f"Got {architecture!r} instead."
                )
            if architecture not in self._seen:
                self._seen.add(architecture)
                proposed.append(architecture)
        return proposed

    def _predict(self, proposed: Sequence[Architecture]) -> Sequence[float]:
        if not hasattr(self.strategy, "predict"):
            return [math.nan] * len(proposed)
        predicted = self.strategy.predict(proposed)
        if np.shape(predicted) != (len(proposed),):
            raise ValueError(
                f"predict() of {type(self.strategy).__name__} must return one reward "
                f"an architecture, {len(proposed)} here. Got {predicted!r} instead."
            )
        return [float(reward) for reward in predicted]

    def _job(self, architecture: Architecture) -> TrainingJob:
        inherited = None if self.store is None else self.store.retrieve(architecture)
        return TrainingJob(
            architecture, self.seeds.seed("search", architecture), inherited
        )

    def _trial(self, number: int, result: TrainingResult, predicted: float) -> Trial:
        score = reward = math.nan
        if not result.failed:
            score = self.metric.score(_validated(result))
            reward = self.metric.reward(score, result.validation_loss)
        data = self.trainer.data
        failed = not math.isfinite(reward)
        return Trial(
            architecture=result.architecture,
            round=number,
            status=FAILED if failed else TRAINED,
            score=math.nan if failed else score,
            loss=result.validation_loss,
            predicted_score=float(predicted),
            reward=reward,
            n_parameters=result.architecture.n_parameters(
                data.X.shape[1], data.n_outputs
            ),
            n_iter=result.n_iter,
            time=result.time,
        )

    def _record(
        self, trials: Sequence[Trial], results: Sequence[TrainingResult]
    ) -> None:
        """Append a finished round and write its weights to the store, in its order."""
        known = [t.reward for t in (*self.history.trials, *trials)]
        # No failure may look better than a guess, even where nothing else is known.
        known.append(self.metric.guess_reward())
        worst = min(reward for reward in known if math.isfinite(reward))
        for trial, result in zip(trials, results, strict=True):
            if trial.status == FAILED:
                self.history.record(replace(trial, reward=worst))
                continue
            self.history.record(trial)
            if self.store is not None:
                self.store.add(trial.architecture, result.weights, trial.reward)
            index = len(self.history) - 1
            if index == self.history.best_first()[0]:
                self._best = index, result

    def _record_round(
        self,
        number: int,
        trials: Sequence[Trial],
        seconds: float,
        seconds_training: float,
    ) -> None:
        scores = [trial.score for trial in trials if trial.status == TRAINED]
        report: dict[str, Any] = getattr(self.strategy, "report", dict)() or {}
        figures = {
            "round": number,
            "n_trials": len(trials),
            "mean_score": float(np.mean(scores)) if scores else math.nan,
            "best_score": max(scores, default=math.nan),
            "time": seconds,
            "time_children": seconds_training,
        }
        self.history.record_round(**(report | figures))
        best = self._best_score(())
        self.progress.round(number + 1, self.n_rounds, len(self.history), best)

    def _best_score(self, unrecorded: Iterable[Trial]) -> float:
        trials = (*self.history.trials, *unrecorded)
        return max((t.score for t in trials if t.status == TRAINED), default=math.nan)

    def _show(self, trial: Trial, unrecorded: Iterable[Trial]) -> None:
        best = self._best_score(unrecorded)
        self.progress.trial(trial.architecture, trial.score, best)

    def choose(self, trainer: Trainer, n_finalists: int) -> Choice:
        """Train the best trials again from scratch and choose among those.

        Shared weights and few epochs only rank. Of the finalists that equal the best
        within the noise of the validation rows, the smallest is chosen.

        Parameters
        ----------
        trainer : Trainer
            Trains finalists: longer than children, without shared weights.
        n_finalists : int
            How many; 0 takes the best trial as it is. The first architecture is among
            two or more.

        Returns
        -------
        Choice
            The trial, its validation score and its training.
        """
        assert self._best is not None
        trials = self.history.trials
        best_first = self.history.best_first()
        ranked = best_first[:n_finalists]
        has_first = self.first_architecture is not None and 0 in best_first
        if has_first and n_finalists > 1 and 0 not in ranked:
            ranked[-1] = 0
        results: dict[int, TrainingResult] = {}
        if ranked:
            jobs = [
                TrainingJob(
                    trials[i].architecture,
                    self.seeds.seed("finalist", trials[i].architecture),
                )
                for i in ranked
            ]
            results = self._train_finalists(trainer, ranked, jobs)
        if not results:
            index, result = self._best
            return Choice(index, trials[index].score, result, {}, {})
        probabilities = [_validated(result) for result in results.values()]
        indices = list(results)
        scores = [self.metric.score(p) for p in probabilities]
        equals = self.metric.equals_of_best(
            probabilities, np.random.default_rng(self.seeds.seed("choice"))
        )
        chosen = min(
            (indices[position] for position in equals),
            key=lambda i: (trials[i].n_parameters, i),
        )
        finalist_scores = dict(zip(indices, scores, strict=True))
        return Choice(
            chosen, finalist_scores[chosen], results[chosen], results, finalist_scores
        )

    def _train_finalists(
        self, trainer: Trainer, indices: Sequence[int], jobs: Sequence[TrainingJob]
    ) -> dict[int, TrainingResult]:
        """Train and return those that did not fail, as far as time allowed."""
        trained: dict[int, TrainingResult] = {}
        try:
            for position, result in trainer.train(jobs):
                trained[indices[position]] = result
                self.progress.stage(f"finalist {len(trained)} of {len(jobs)} trained")
        except KeyboardInterrupt:
            warnings.warn(
                f"Interrupted after {len(trained)} of {len(jobs)} finalists. The "
                "choice is among these, or the best trial where there is none; the "
                "refit follows.",
                UserWarning,
                stacklevel=6,
            )
        return {
            index: trained[index]
            for index in indices
            if index in trained and not trained[index].failed
        }


def _validated(result: TrainingResult) -> np.ndarray:
    """Return the validation probabilities that every child of a search has."""
    assert result.validation_probabilities is not None
    return result.validation_probabilities
