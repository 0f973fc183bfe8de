"""Ask, train, tell, record; then choose among the best."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from sknas._budget import Budget
from sknas._engine.evaluator import Evaluation, Evaluator, Request
from sknas._progress import Progress
from sknas._random import SeedSource
from sknas._search.history import FAILED, TRAINED, SearchHistory, Trial
from sknas._search.weight_store import BigramWeightStore
from sknas._space import Architecture, Candidate, SearchSpace
from sknas._tasks.metric import ValidationMetric


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
class Finalist:
    """A trial that was trained again."""

    index: int
    encoding: str
    max_iter: int
    evaluation: Evaluation
    score: float


@dataclass(frozen=True)
class Choice:
    """The trial that the search decided for.

    ``max_iter`` is what its evaluation was trained for at most. ``finalists`` are all
    that were trained again.
    """

    index: int
    max_iter: int
    score: float
    evaluation: Evaluation
    finalists: list[Finalist]


class Search:
    """A search from the first round to the choice.

    Parameters
    ----------
    space : SearchSpace
        Where architectures come from.
    strategy : Strategy
        What proposes them.
    evaluator : Evaluator
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
    max_time : float
        Seconds. A round begins only if one as long as the last can end in time.
    progress : Progress
        Shows it.
    """

    def __init__(
        self,
        *,
        space: SearchSpace,
        strategy: Strategy,
        evaluator: Evaluator,
        metric: ValidationMetric,
        seeds: SeedSource,
        n_rounds: int,
        n_architectures: int,
        first_architecture: Architecture | None,
        weight_sharing: bool,
        max_time: float,
        progress: Progress,
    ) -> None:
        self.space = space
        self.strategy = strategy
        self.evaluator = evaluator
        self.metric = metric
        self.seeds = seeds
        self.n_rounds = n_rounds
        self.n_architectures = n_architectures
        self.first_architecture = first_architecture
        self.max_time = max_time
        self.progress = progress
        # One a fold: what is measured on a row must not come from training on it.
        n_stores = evaluator.n_folds if weight_sharing else 0
        self.stores = [BigramWeightStore() for _ in range(n_stores)]
        self.history = SearchHistory()
        self._seen: set[Architecture] = set()
        # Weights of the best child alone: a search's memory does not grow.
        self._best: tuple[int, Evaluation] | None = None

    def run(self) -> None:
        """Run all rounds, or as many as the space holds architectures for.

        An interrupt (Ctrl-C) ends the search with the trials there are.

        Raises
        ------
        ValueError
            If every child failed.
        """
        self.strategy.setup(self.space, self.seeds.seed("strategy"))
        began = time.perf_counter()
        needed = 0.0
        try:
            for number in range(self.n_rounds):
                start = time.perf_counter()
                time_left = self.max_time - (start - began)
                if number and needed > time_left:
                    break
                if not self._run_round(number, time_left):
                    break
                needed = time.perf_counter() - start
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
            settings = self.evaluator.trainer.settings
            rate = settings.learning_rate_init
            raise ValueError(
                f"The loss of every child ({len(self.history)} architectures) became "
                f"NaN or infinite. Decrease learning_rate_init (currently {rate}) or "
                f"alpha (currently {settings.alpha})."
            )

    def _run_round(self, number: int, max_time: float) -> bool:
        """Ask, train, record, tell; return whether another round may follow."""
        start = time.perf_counter()
        proposed = self._propose(first=number == 0)
        if not proposed:
            return False
        predicted = self._predict(proposed)
        trainer = self.evaluator.trainer
        seconds_before = trainer.seconds
        requests = [self._request(architecture) for architecture in proposed]
        budget = Budget(max_time)
        trials: dict[int, Trial] = {}
        evaluations: dict[int, Evaluation] = {}
        try:
            for position, evaluation in self.evaluator.evaluate(requests, budget):
                trial = self._trial(number, evaluation, predicted[position])
                trials[position], evaluations[position] = trial, evaluation
                self._show(trial, trials.values())
        finally:
            # In the order of the proposals, whatever came first; all of them, or what
            # there was before an interrupt.
            done = sorted(trials)
            self._record([trials[i] for i in done], [evaluations[i] for i in done])
        seconds_training = trainer.seconds - seconds_before
        told = self.history.trials[-len(trials) :]
        is_complete = len(trials) == len(proposed)
        if is_complete:
            self.strategy.tell(proposed, [trial.reward for trial in told])
        self._record_round(number, told, time.perf_counter() - start, seconds_training)
        return is_complete

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

    def _request(self, architecture: Architecture) -> Request:
        inherited = [store.retrieve(architecture) for store in self.stores]
        seed = self.seeds.seed("search", architecture)
        return Request(Candidate(architecture), seed, inherited or None)

    def _trial(self, number: int, evaluation: Evaluation, predicted: float) -> Trial:
        score = reward = math.nan
        if not evaluation.failed:
            score = self.metric.score(validated(evaluation))
            reward = self.metric.reward(validated(evaluation), score)
        data = self.evaluator.trainer.folds[0]
        failed = not math.isfinite(reward)
        return Trial(
            architecture=evaluation.architecture,
            round=number,
            status=FAILED if failed else TRAINED,
            score=math.nan if failed else score,
            loss=evaluation.loss,
            predicted_score=float(predicted),
            reward=reward,
            n_parameters=evaluation.architecture.n_parameters(
                data.X.shape[1], data.output.n_outputs
            ),
            n_iter=evaluation.n_iter,
            time=evaluation.time,
        )

    def _record(
        self, trials: Sequence[Trial], evaluations: Sequence[Evaluation]
    ) -> None:
        """Append a finished round and write its weights to the stores, in its order."""
        known = [t.reward for t in (*self.history.trials, *trials)]
        # No failure may look better than a guess, even where nothing else is known.
        known.append(self.metric.guess_reward())
        worst = min(reward for reward in known if math.isfinite(reward))
        for trial, evaluation in zip(trials, evaluations, strict=True):
            if trial.status == FAILED:
                self.history.record(replace(trial, reward=worst))
                continue
            self.history.record(trial)
            for store, weights in zip(self.stores, evaluation.weights, strict=False):
                store.add(trial.architecture, weights, trial.reward)
            index = len(self.history) - 1
            if index == self.history.best_first()[0]:
                self._best = index, evaluation

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

    def choose(
        self,
        evaluators: Sequence[Evaluator],
        metric: ValidationMetric,
        n_finalists: int,
        max_time: float = math.inf,
        encoding: str = "piecewise",
    ) -> Choice:
        """Train the best trials again from scratch and choose among those.

        Shared weights and few epochs only rank. The finalist that is best on the
        validation rows is chosen, but the first architecture must be beaten by more
        than chance (`ValidationMetric.best`).

        Parameters
        ----------
        evaluators : sequence of Evaluator
            Each trains every finalist, without shared weights, for epochs of its own.
            Without any the best trial is taken as it is.
        metric : ValidationMetric
            Of the evaluators' validation rows, which may be more than the search's.
        n_finalists : int
            How many. The first architecture is among two or more.
        max_time : float, default=math.inf
            Seconds. The evaluators have equal shares.
        encoding : str, default='piecewise'
            What to call the encoding that finalists are trained with.

        Returns
        -------
        Choice
            The trial, its validation score and its training.
        """
        deadline = time.perf_counter() + max_time
        finalists: list[Finalist] = []
        for number, evaluator in enumerate(evaluators):
            share = (deadline - time.perf_counter()) / (len(evaluators) - number)
            if share <= 0:
                break
            ranked = self._ranked(n_finalists)
            trained, is_complete = self._train_finalists(evaluator, ranked, share)
            finalists += [
                Finalist(
                    index=index,
                    encoding=encoding,
                    max_iter=evaluator.trainer.settings.max_iter,
                    evaluation=evaluation,
                    score=metric.score(validated(evaluation)),
                )
                for index, evaluation in trained.items()
            ]
            if not is_complete:
                break
        return self._choose_among(finalists, metric)

    def _choose_among(
        self, finalists: list[Finalist], metric: ValidationMetric
    ) -> Choice:
        assert self._best is not None
        if not finalists:
            index, evaluation = self._best
            score = self.history.trials[index].score
            max_iter = self.evaluator.trainer.settings.max_iter
            return Choice(index, max_iter, score, evaluation, [])
        probabilities = [validated(finalist.evaluation) for finalist in finalists]
        # What a practitioner would have done: the first architecture, trained in full.
        first = [i for i, f in enumerate(finalists) if f.index == 0 and self._has_first]
        incumbent = max(first, key=lambda i: finalists[i].max_iter, default=None)
        chosen = finalists[metric.best(probabilities, incumbent)]
        return Choice(
            chosen.index, chosen.max_iter, chosen.score, chosen.evaluation, finalists
        )

    @property
    def _has_first(self) -> bool:
        """Whether trial 0 is the first architecture and did not fail."""
        return self.first_architecture is not None and 0 in self.history.trained()

    def _ranked(self, n: int) -> list[int]:
        """Return the best trials, the first architecture among two or more."""
        ranked = self.history.best_first()[:n]
        if self._has_first and n > 1 and 0 not in ranked:
            ranked[-1] = 0
        return ranked

    def _train_finalists(
        self, evaluator: Evaluator, indices: Sequence[int], max_time: float
    ) -> tuple[dict[int, Evaluation], bool]:
        """Train and return those that did not fail; and whether none interrupted."""
        trials = self.history.trials
        candidates = [
            Request(
                Candidate(trials[i].architecture),
                self.seeds.seed("finalist", trials[i].architecture),
            )
            for i in indices
        ]
        trained: dict[int, Evaluation] = {}
        is_complete = True
        try:
            for position, evaluation in evaluator.evaluate(
                candidates, Budget(max_time)
            ):
                trained[indices[position]] = evaluation
                n_trained = f"{len(trained)} of {len(candidates)}"
                self.progress.stage(f"finalist {n_trained} trained")
        except KeyboardInterrupt:
            is_complete = False
            warnings.warn(
                f"Interrupted after {len(trained)} of {len(candidates)} finalists. The "
                "choice is among these, or the best trial where there is none; the "
                "refit follows.",
                UserWarning,
                stacklevel=6,
            )
        succeeded = {
            index: trained[index]
            for index in indices
            if index in trained and not trained[index].failed
        }
        return succeeded, is_complete


def validated(evaluation: Evaluation) -> np.ndarray:
    """Return the validation probabilities that every child of a search has."""
    assert evaluation.predictions is not None
    return evaluation.predictions
