"""The choice of a search, trained once more on all rows."""

from __future__ import annotations

from sknas._budget import Budget
from sknas._engine.evaluator import Evaluation, Evaluator, Request
from sknas._engine.jobs import TrainingSettings
from sknas._fit.selection import Choice
from sknas._fit.settings import RefitSettings
from sknas._fit.workbench import Workbench
from sknas._search.problem import Problem
from sknas._warnings import warn

# The least time for a network of the refit, as a share of the time that a network of
# the choice took: trained for less, it would be worse than that network.
_WORTHWHILE = 0.75


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
        self._workbench = workbench
        self._evaluator: Evaluator | None = None
        self._trained: Evaluation | None = None

    def run(self, budget: Budget) -> None:
        """Train the networks, or as many of them as there is time for."""
        n_copies = self._n_affordable(budget)
        if not n_copies:
            return
        training = self._training_settings()
        data = self._workbench.all_rows(self._choice.view)
        self._evaluator = self._workbench.evaluator([data], training, n_copies)
        request = self._request(n_copies, training.max_iter)
        for _, evaluation in self._evaluator.evaluate([request], budget):
            self._trained = evaluation
        if self._trained is not None and not self._trained.weights:
            warn(
                f"The networks of the refit failed ({self._trained.error}). The "
                "networks that were trained for the choice predict in their place."
            )

    def _n_affordable(self, budget: Budget) -> int:
        """Return how many networks there is time to train well enough."""
        if not budget.is_limited:
            return self._settings.n_ensemble
        networks = self._choice.evaluation.networks
        seconds = sum(network.time for network in networks) / len(networks)
        if self._choice.position is not None:
            seconds *= self._length() / max(networks[0].n_iter, 1)
        seconds *= _WORTHWHILE
        affordable = max(budget.seconds_left(), 0.0) / max(seconds, 1e-9)
        return int(min(affordable, self._settings.n_ensemble))

    def _length(self) -> int:
        """Return how many epochs a network is trained for."""
        # A trial without finalists was trained for a few epochs: these say nothing of
        # how long the refit should be.
        if self._choice.position is None:
            return self._settings.max_iter
        return max(self._choice.evaluation.best_iter, 1)

    def _training_settings(self) -> TrainingSettings:
        """Return the epochs that were best for the finalist, on its own schedule."""
        schedule = self._length()
        if self._choice.position is not None:
            schedule = self._choice.max_iter
        return self._training.whole(self._length(), schedule)

    def _request(self, n_copies: int, epochs: int) -> Request:
        candidate = self._choice.evaluation.candidate
        inherited = None
        if self._settings.refit == "fine-tune":
            # One set of weights for each fold; the copies take them in turn.
            given = self._choice.evaluation.weights
            inherited = [given[i % len(given)] for i in range(n_copies)]
        seed = self._problem.seed("refit", candidate)
        return Request(candidate, seed, inherited, epochs=epochs)

    def networks(self) -> Evaluation:
        """Return what has been trained on all rows, else the networks of the choice."""
        trained = self._trained
        if trained is None and self._evaluator is not None:
            # After an interrupt some copies may be finished: they have seen all rows,
            # which the networks of the choice have not.
            trained = self._evaluator.partial().get(0)
        if trained is None or not trained.weights:
            return self._choice.evaluation
        return trained
