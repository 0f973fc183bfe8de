"""From the best trials of a search to the one that is refitted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np

from sknas._budget import Budget
from sknas._engine.evaluator import Evaluation, Request
from sknas._engine.jobs import TrainingSettings
from sknas._fit.evidence import choose
from sknas._fit.front import Front, FullTraining, front_to_dict, selected_row
from sknas._fit.settings import SelectionSettings
from sknas._fit.workbench import Workbench
from sknas._progress import Progress
from sknas._search.journal import FinalistRecord
from sknas._search.problem import Problem
from sknas._search.searcher import Searcher
from sknas._space import Candidate
from sknas._tasks.task import ValidationMetric
from sknas._warnings import warn


@dataclass(frozen=True)
class Finalist:
    """A trial that was trained again, at full fidelity.

    ``index`` is its row of the search's record, ``view`` the encoding of the numbers
    and ``max_iter`` the length of the training. Choices compare ``merit``.
    """

    index: int
    view: str
    max_iter: int
    evaluation: Evaluation
    score: float
    merit: float


@dataclass(frozen=True)
class Choice:
    """What the refit trains: a finalist, or without finalists a trial as it is.

    ``position`` is that among the finalists, None for a trial.
    """

    index: int
    view: str
    max_iter: int
    evaluation: Evaluation
    score: float
    position: int | None


class Selection:
    """Trains the best trials of a search again, from scratch, and chooses.

    Shared weights and few epochs only rank. A finalist is trained for each of several
    numbers of epochs and on every fold. What has been trained so far is in
    ``finalists``, and `choice` may be asked for at any time: after an interrupt too.

    Parameters
    ----------
    searcher : Searcher
        Has run. Finalists are recorded in its history.
    problem : Problem
        That of the search.
    settings : SelectionSettings
        How many finalists, and their lengths of training.
    training : TrainingSettings
        How finalists are trained, but for the epochs.
    workbench : Workbench
        What trains them.
    metric : ValidationMetric
        Of the validation rows of all folds, one after another.
    progress : Progress
        Shows it.
    """

    def __init__(
        self,
        searcher: Searcher,
        problem: Problem,
        settings: SelectionSettings,
        training: TrainingSettings,
        workbench: Workbench,
        metric: ValidationMetric,
        progress: Progress,
    ) -> None:
        self._searcher, self._problem = searcher, problem
        self._settings, self._training = settings, training
        self._workbench, self._metric = workbench, metric
        self._progress = progress
        self.finalists: list[Finalist] = []
        # What the measurement of noise may use.
        self._budget = Budget()
        # What has been measured of the noise between two of them.
        self._noises: dict[tuple[int, int], float] = {}
        # The front that the user's function chose from, and what it chose.
        self._rows: list[int] | None = None
        self._selected: int | None = None

    def run(self, budget: Budget) -> None:
        """Train all finalists, then the best of them in each other encoding.

        Parameters
        ----------
        budget : Budget
            Lengths of training have equal shares of it.
        """
        self._budget = budget
        if not self._settings.n_finalists:
            return
        self._progress.stage("training the finalists from scratch")
        # Step 1: every finalist in the encoding of the search. Short trainings come
        # first: should the time be over, there is something to choose from.
        self._train_lengths(self._ranked(), budget)
        if not self.finalists:
            return
        # Step 2: what the user chooses from the front, if that was no finalist.
        self._ask(budget)
        # Step 3: the best of them in each other encoding.
        choice = self.choice()
        for other in list(self._workbench.views)[1:]:
            if not budget.is_over():
                self._train([choice.index], other, choice.max_iter, budget)

    def _train_lengths(self, indices: Sequence[int], budget: Budget) -> None:
        """Train some trials in the encoding of the search for each number of epochs."""
        lengths = self._settings.lengths()
        for number, max_iter in enumerate(lengths):
            if budget.is_over():
                return
            share = budget.share(1 / (len(lengths) - number))
            self._train(indices, self._workbench.search_view, max_iter, share)

    def _ranked(self) -> list[int]:
        """Return the best trials, the first architecture among two or more.

        With several objectives, trials that stand for the front come before the others.
        """
        n = self._settings.n_finalists
        # Rows of the search's record.
        ranked = list(self._best_of_candidates().values())
        if self._has_costs:
            knee_first = self._settings.select == "knee"
            of_front = self._front().most_different(n, knee_first=knee_first)
            ranked = list(dict.fromkeys([*of_front, *ranked]))
        ranked = ranked[:n]
        if self._selects:
            return ranked
        # What the others have to beat must be measured as they are.
        incumbent = self._incumbent_trial
        if incumbent is not None and n > 1 and incumbent not in ranked:
            ranked[-1] = incumbent
        return ranked

    @property
    def _has_costs(self) -> bool:
        """Whether something besides the score is sought."""
        return len(self._problem.objectives) > 1

    @property
    def _selects(self) -> bool:
        """Whether the choice is another than that of the best score."""
        return self._has_costs and self._settings.select != "best"

    def _front(self) -> Front:
        """Return the trials of the highest fidelity that no other one beats."""
        history = self._searcher.history
        best = list(self._best_of_candidates().values())
        fidelities = [history.trials[i].fidelity for i in best]
        comparable = [
            row
            for row, fidelity in zip(best, fidelities, strict=True)
            if fidelity == fidelities[0]
        ]
        return Front(history, comparable, self._problem.objectives)

    def _full(self) -> list[FullTraining]:
        """Return the best training of each finalist in the encoding of the search."""
        best: dict[int, FullTraining] = {}
        for each in self.finalists:
            known = best.get(each.index)
            is_better = known is None or each.merit > known.merit
            if is_better and each.view == self._workbench.search_view:
                best[each.index] = FullTraining(
                    each.index, each.score, each.max_iter, each.merit
                )
        return list(best.values())

    def front(self, choice: Choice) -> dict[str, np.ndarray]:
        """Return the front as arrays; of the score alone, it is the choice."""
        rows = [choice.index]
        if self._has_costs:
            rows = self._front().rows(self._full())
        if self._rows is not None:
            rows = self._rows
        return front_to_dict(self._searcher.history, rows, self._full())

    def _ask(self, budget: Budget) -> None:
        """Let the user's function choose from the front, and train what it chooses."""
        select = self._settings.select
        if isinstance(select, str) or not self._has_costs:
            return
        # The front that is published is the one that was chosen from.
        rows = self._front().rows(self._full())
        if not rows:
            raise ValueError("no trial has all of the objectives")
        self._rows = rows
        table = front_to_dict(self._searcher.history, rows, self._full())
        self._selected = rows[selected_row(select, table)]
        if all(finalist.index != self._selected for finalist in self.finalists):
            self._train_lengths([self._selected], budget)

    def _selected_trial(self) -> int | None:
        """Return the finalist that was selected, None for the best one."""
        if not self._selects:
            return None
        if self._settings.select == "knee":
            return self._front().knee(self._full())
        trained = {finalist.index for finalist in self.finalists}
        return self._selected if self._selected in trained else None

    def _best_of_candidates(self) -> dict[Candidate, int]:
        """Return the best trial of each candidate, the best candidate first.

        One that was tried for several numbers of epochs is trained again once: all
        finalists have the same epochs.
        """
        history = self._searcher.history
        best: dict[Candidate, int] = {}
        for index in history.best_first():
            best.setdefault(history.trials[index].candidate, index)
        return best

    @property
    def _incumbent_trial(self) -> int | None:
        """The best trial of the first architecture, if one did not fail."""
        if self._problem.incumbent is None:
            return None
        return self._best_of_candidates().get(Candidate(self._problem.incumbent))

    def _train(
        self, indices: Sequence[int], view: str, max_iter: int, budget: Budget
    ) -> None:
        """Train some trials for so many epochs, and record those that did not fail."""
        trials = self._searcher.history.trials
        # Of a proposal, the candidate alone: its epochs were those of the search.
        requests = [self._request(trials[i].candidate, max_iter) for i in indices]
        settings = replace(self._training, max_iter=max_iter)
        evaluator = self._workbench.evaluator(self._workbench.folds(view), settings)
        # By row of the search's record.
        trained: dict[int, Finalist] = {}
        try:
            with closing(evaluator.evaluate(requests, budget)) as outcomes:
                for position, evaluation in outcomes:
                    # If a network is missing, some validation rows have no predictions.
                    if evaluation.predictions is None or not evaluation.is_complete:
                        continue
                    index = indices[position]
                    finalist = self._finalist(index, view, max_iter, evaluation)
                    # One without a score cannot be compared: it has failed.
                    if not math.isfinite(finalist.merit):
                        continue
                    trained[index] = finalist
                    n_trained = f"{len(trained)} of {len(requests)}"
                    self._progress.stage(
                        f"finalist {n_trained} trained: {max_iter} epochs, {view}"
                    )
        finally:
            # In the order of the ranking, whichever was trained first.
            for index in indices:
                if index in trained:
                    self._record(trained[index])

    def _request(self, candidate: Candidate, max_iter: int) -> Request:
        # The same for all lengths and encodings, so that these alone differ.
        seed = self._problem.seed("finalist", candidate)
        return Request(candidate, seed, epochs=max_iter)

    def _finalist(
        self, index: int, view: str, max_iter: int, evaluation: Evaluation
    ) -> Finalist:
        assert evaluation.predictions is not None
        score = self._metric.score(evaluation.predictions)
        merit = self._metric.merit(evaluation.predictions, score)
        return Finalist(index, view, max_iter, evaluation, score, merit)

    def _record(self, finalist: Finalist) -> None:
        self.finalists.append(finalist)
        evaluation = finalist.evaluation
        record = FinalistRecord(
            index=finalist.index,
            candidate=evaluation.candidate,
            encoding=finalist.view,
            max_iter=finalist.max_iter,
            score=finalist.score,
            loss=evaluation.loss,
            n_iter=evaluation.n_iter,
            time=evaluation.time,
        )
        self._searcher.history.record(record)

    def choice(self, *, measures_noise: bool = True) -> Choice:
        """Choose among the finalists so far, without them the best trial.

        The finalist that is best on the validation rows is chosen, but the first
        architecture must be beaten by more than chance. Then, if this finalist was also
        trained in another encoding, the better of the two is chosen. What is selected
        from a front goes before the best.

        Parameters
        ----------
        measures_noise : bool, default=True
            False takes noise that has not been measured yet for zero: with a slow
            scorer, measuring takes time.
        """
        view = self._workbench.search_view
        # Positions are those in `finalists`.
        positions = [i for i, f in enumerate(self.finalists) if f.view == view]
        if not positions:
            return self.best_trial()
        incumbent = self._incumbent(positions)
        selected = self._selected_trial()
        if selected is not None:
            positions = [i for i in positions if self.finalists[i].index == selected]
            incumbent = None
        # Step 1: among all trained in the encoding of the search, of every length.
        chosen = positions[self._best(positions, incumbent, measures_noise)]
        # Step 2: the same trial and length in all encodings that it was trained in.
        trial = self.finalists[chosen].index, self.finalists[chosen].max_iter
        same = [
            position
            for position, finalist in enumerate(self.finalists)
            if (finalist.index, finalist.max_iter) == trial
        ]
        chosen = same[self._best(same, None, measures_noise)]
        finalist = self.finalists[chosen]
        return Choice(
            finalist.index,
            finalist.view,
            finalist.max_iter,
            finalist.evaluation,
            finalist.score,
            chosen,
        )

    def _incumbent(self, positions: Sequence[int]) -> int | None:
        """Return the first architecture, trained in full: what it is to beat."""
        trial = self._incumbent_trial
        # Several, since it was trained for each of the lengths.
        of_trial = [
            number
            for number, position in enumerate(positions)
            if self.finalists[position].index == trial
        ]
        return max(
            of_trial,
            key=lambda number: self.finalists[positions[number]].max_iter,
            default=None,
        )

    def _best(
        self, positions: Sequence[int], incumbent: int | None, measures_noise: bool
    ) -> int:
        """Return which of some finalists is chosen, by its number among these."""

        def noise(one: int, other: int) -> float:
            return self._noise(positions[one], positions[other], measures_noise)

        merits = [self.finalists[position].merit for position in positions]
        return choose(merits, noise, incumbent)

    def _noise(self, one: int, other: int, measures: bool) -> float:
        """Return the noise between two finalists, measured once."""
        if (one, other) not in self._noises and measures:
            # `_train` has left out all that lack predictions.
            pair = self.finalists[one].evaluation, self.finalists[other].evaluation
            first, second = (evaluation.predictions for evaluation in pair)
            assert first is not None
            assert second is not None
            try:
                self._noises[one, other] = self._metric.noise(
                    first, second, self._budget
                )
            except Exception as error:  # noqa: BLE001 (the user's scorer may raise any)
                warn(
                    f"The noise of the scores was not measured ({type(error).__name__}:"
                    f" {error}): the best score is chosen."
                )
                self._noises[one, other] = 0.0
        return self._noises.get((one, other), 0.0)

    def best_trial(self) -> Choice:
        """Return the best trial with the networks that it had in the search."""
        assert self._searcher.best is not None
        index, evaluation = self._searcher.best
        trial = self._searcher.history.trials[index]
        return Choice(
            index,
            self._workbench.search_view,
            trial.max_iter,
            evaluation,
            trial.score,
            None,
        )
