"""The choice of a search, trained once more on all rows."""

from __future__ import annotations

from dataclasses import replace

from sknas._budget import Budget
from sknas._engine.evaluator import Evaluation, Request
from sknas._engine.jobs import TrainingSettings
from sknas._fit.selection import Choice
from sknas._fit.settings import RefitSettings
from sknas._fit.workbench import Workbench
from sknas._search.searcher import Problem
from sknas._warnings import warn


class Refit:
    """Trains an ensemble of the choice on all rows.

    Parameters
    ----------
    choice : Choice
        What to train.
    problem : Problem
        That of the search.
    settings : RefitSettings
        How many networks, and whether from new weights.
    training : TrainingSettings
        How they are trained, but for the epochs.
    workbench : Workbench
        What trains them.
    """

    def __init__(
        self,
        choice: Choice,
        problem: Problem,
        settings: RefitSettings,
        training: TrainingSettings,
        workbench: Workbench,
    ) -> None:
        self._choice, self._problem = choice, problem
        self._settings, self._training = settings, training
        data = workbench.all_rows(choice.view)
        self._evaluator = workbench.evaluator(
            [data], self._training_settings(), settings.n_ensemble
        )
        self._trained: Evaluation | None = None

    def _training_settings(self) -> TrainingSettings:
        """Return the epochs that were best for the finalist, on its own schedule."""
        schedule = epochs = self._settings.max_iter
        # A trial without finalists was trained for a few epochs: these say nothing of
        # how long the refit should be.
        if self._choice.position is not None:
            schedule = self._choice.max_iter
            epochs = self._choice.evaluation.best_iter
        self._epochs = epochs
        return replace(
            self._training,
            max_iter=epochs,
            schedule_iter=schedule,
            n_iter_no_change=None,
        )

    def run(self, budget: Budget) -> None:
        """Train the networks, or as many of them as there is time for."""
        if budget.is_over():
            return
        for _, evaluation in self._evaluator.evaluate([self._request()], budget):
            self._trained = evaluation
        if self._trained is not None and not self._trained.weights:
            warn(
                f"The networks of the refit failed ({self._trained.error}). The "
                "networks that were trained for the choice predict in their place."
            )

    def _request(self) -> Request:
        candidate = self._choice.evaluation.candidate
        inherited = None
        if self._settings.refit == "fine-tune":
            # One set of weights for each fold; the copies take them in turn.
            given = self._choice.evaluation.weights
            n_copies = self._settings.n_ensemble
            inherited = [given[i % len(given)] for i in range(n_copies)]
        seed = self._problem.seed("refit", candidate)
        return Request(candidate, seed, inherited, epochs=self._epochs)

    def networks(self) -> Evaluation:
        """Return what has been trained on all rows, else the networks of the choice."""
        # After an interrupt some copies may be finished: they have seen all rows, which
        # the networks of the choice have not.
        trained = self._trained or self._evaluator.partial().get(0)
        if trained is None or not trained.weights:
            return self._choice.evaluation
        return trained
