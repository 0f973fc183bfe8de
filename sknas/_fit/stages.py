"""The stages of a fit: search, selection, refit, within the time there is."""

from __future__ import annotations

import functools
import math
import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from sknas._budget import Budget
from sknas._engine.evaluator import Evaluation
from sknas._fit.continuation import Continuation, EncodedRows
from sknas._fit.evidence import score_bound
from sknas._fit.refit import Refit
from sknas._fit.selection import Choice, Selection
from sknas._fit.settings import FitSettings, limited_space
from sknas._fit.warm_start import (
    FitRecord,
    continued_state,
    measure_of,
    rows_of,
    space_of,
)
from sknas._fit.workbench import Workbench, affordable_rows
from sknas._interrupts import deferred_interrupts
from sknas._model.ensemble import FittedEnsemble, Member
from sknas._random import SeedSource
from sknas._search.history import SearchHistory
from sknas._search.one_shot import SupernetSearcher
from sknas._search.problem import Measurement, Problem
from sknas._search.searcher import AskTellSearcher
from sknas._search.state import SearchState
from sknas._search.strategies.one_shot.base import OneShotStrategy
from sknas._sklearn import safe_indexing
from sknas._space import SearchSpace
from sknas._table.encoder import TableEncoder
from sknas._tasks.task import Task
from sknas._warnings import describe, warn

# Of the time that is left, what the search may take, and then the selection.
_SEARCH_SHARE = 0.4
_SELECTION_SHARE = 0.5


@dataclass(frozen=True)
class FitResult:
    """What a fit came to, for the estimator to publish.

    ``networks`` are those that the ensemble is made of. ``interrupt`` is what ended the
    fit before its end, and ``interrupted_stage`` where.
    """

    task: Task
    encoder: TableEncoder
    history: SearchHistory
    choice: Choice
    # The trials that no other one beats in everything that is sought.
    front: dict[str, np.ndarray]
    networks: Evaluation
    ensemble: FittedEnsemble
    score_bound: float
    search_time: float
    refit_time: float
    interrupt: KeyboardInterrupt | None
    interrupted_stage: str | None
    # For the next fit, if it is to continue, and on what this one continued.
    record: FitRecord | None
    continued_on: str | None
    # For `partial_fit`, if the networks are to learn on.
    continuation: Continuation | None


class Fit:
    """One fit on its way through the stages.

    From the first trained trial on there is something worth publishing: an interrupt
    ends the stages, and `result` is made of what there is then, without training more.

    Parameters
    ----------
    settings : FitSettings
        Of every stage.
    X : DataFrame, ndarray or sparse matrix of shape (n_rows, n_columns)
        The validated table.
    given_X : array-like of shape (n_rows, n_columns)
        The table as the user gave it, for scorers that look at it.
    task : Task
        The target.
    seeds : SeedSource
        Names every seed.
    budget : Budget
        Of the whole fit.
    earlier : FitRecord or None, default=None
        Of a fit whose search this one continues.
    weight_unit : float or None, default=None
        If the networks are to learn on from further rows: what the weights of these are
        relative to.
    """

    def __init__(
        self,
        settings: FitSettings,
        X: Any,
        given_X: Any,
        task: Task,
        *,
        seeds: SeedSource,
        budget: Budget,
        earlier: FitRecord | None = None,
        weight_unit: float | None = None,
    ) -> None:
        self._settings, self._budget, self._seeds = settings, budget, seeds
        self._weight_unit = weight_unit
        sample = affordable_rows(
            X,
            task,
            settings.make_encoder(seeds.seed("sample")),
            seeds.seed("sample"),
            budget,
        )
        if sample is not None:
            X, given_X = safe_indexing(X, sample), safe_indexing(given_X, sample)
            task = task.subset(sample)
        # Rows of each fold, the same for the search and the selection.
        self._task = task
        self._splits = task.split(settings.splits, seeds.seed("split"))
        validation_rows = [rows for _, rows in self._splits]
        # The search measures on the first fold, the selection on all of them.
        self._make_metric = functools.partial(task.metric, settings.scorer, given_X)
        self._search_metric = self._make_metric(validation_rows[0])
        self._metric = self._make_metric(np.concatenate(validation_rows))
        # A scorer that does not suit the target fails here, before any training.
        self._search_metric.check()
        # One with a name is cheap, and may refuse weights.
        if isinstance(settings.scorer, str):
            self._metric.check()
        self._X = X
        self._space = self._rows = self._measure = ""
        self._state: SearchState | None = None
        self._continued_on: str | None = None
        self._earlier = earlier
        if settings.warm_start:
            self._measure, self._rows = measure_of(settings), rows_of(X, task)
        self._stage = "search"
        self._choice: Choice | None = None
        self._refit: Refit | None = None
        self._interrupt: KeyboardInterrupt | None = None

    def run(self) -> FitResult:
        """Run the stages and return what they came to.

        Raises
        ------
        ValueError
            If every child failed.
        KeyboardInterrupt
            If there was an interrupt before the first trial was recorded.
        """
        self._prepare()
        self._times = [time.monotonic()]
        try:
            # The caller may be inside of inference mode, in which nothing is trained.
            with torch.inference_mode(mode=False):
                self._search()
                self._select()
                self._train_choice()
            return self._result()
        except KeyboardInterrupt as interrupt:
            # Without a trained trial there is nothing to publish. Otherwise the
            # interrupt is raised again after publishing.
            if self._searcher.best is None:
                raise
            self._interrupt = interrupt
        finally:
            self._progress.close()
        # Another press has nothing to stop: nothing is trained, and nothing slow is
        # measured.
        with deferred_interrupts(are_dropped=True):
            return self._result()

    def _prepare(self) -> None:
        """Encode the table, and set up the stages."""
        settings = self._settings
        self._workbench = Workbench(
            self._X,
            self._task,
            self._splits,
            settings.make_encoder(self._seeds.seed("encoder")),
            functools.partial(
                settings.make_trainer, seed=self._seeds.seed("order of rows")
            ),
        )
        # The encoded table is all that is needed from now on.
        del self._X
        self._progress = settings.progress
        # More folds would hardly rank better, and cost as many times as much.
        folds = self._workbench.folds(self._workbench.search_view, 1)
        space, incumbent = limited_space(
            settings, folds[0].X.shape[1], folds[0].output.n_outputs
        )
        self._problem = Problem(
            space,
            self._workbench.evaluator(folds, settings.search_training),
            self._search_metric,
            self._seeds,
            incumbent,
            settings.candidate_settings,
            self._measurement,
            settings.objectives,
            len(self._splits),
        )
        self._continue(space)
        if self._continued_on is not None:
            self._progress.note(
                f"continuing the search of the last fit ({self._continued_on})"
            )
        # One-shot strategies train a network of their own first.
        state = self._state
        strategy = settings.strategy if state is None else state.strategy
        is_one_shot = isinstance(strategy, OneShotStrategy)
        searcher_class = SupernetSearcher if is_one_shot else AskTellSearcher
        self._searcher = searcher_class(
            settings.strategy, settings.search, self._progress, state
        )
        self._selection = Selection(
            self._searcher,
            self._problem,
            settings.selection,
            settings.training,
            self._workbench,
            self._metric,
            self._progress,
        )

    def _continue(self, space: SearchSpace) -> None:
        """Find out what of an earlier search serves this one."""
        if self._settings.warm_start:
            self._space = space_of(self._settings, space)
        if self._earlier is not None:
            self._state, self._continued_on = continued_state(
                self._earlier, self._space, self._rows, self._measure
            )

    def _measurement(self, share: float, n_folds: int) -> Measurement:
        """Return what measures on a share of the rows and on so many folds."""
        folds = self._workbench.parts(n_folds, share, self._seeds.seed("share of rows"))
        evaluator = self._workbench.evaluator(folds, self._settings.search_training)
        # A scorer may look at the rows, which are those of the folds in their order.
        rows = [rows for _, rows in self._splits[: len(folds)]]
        return Measurement(evaluator, self._make_metric(np.concatenate(rows)))

    def _search(self) -> None:
        self._searcher.run(self._problem, self._budget.share(_SEARCH_SHARE))

    def _select(self) -> None:
        self._stage = "selection"
        try:
            self._selection.run(self._budget.share(_SELECTION_SHARE))
        except Exception as error:  # noqa: BLE001 (the user's scorer may raise any)
            warn(
                f"The selection ended with {describe(error)}. The choice "
                "is among what had been trained before."
            )

    def _train_choice(self) -> None:
        choice = self._choose()
        self._stage = "refit"
        self._times.append(time.monotonic())
        self._progress.stage(f"refitting {choice.evaluation.architecture}")
        settings = self._settings
        learns_on = self._weight_unit is not None
        training = replace(settings.training, keeps_state=learns_on)
        self._refit = Refit(
            choice, self._problem, settings.refit, training, self._workbench
        )
        try:
            self._refit.run(self._budget)
        except Exception as error:  # noqa: BLE001 (what is there predicts)
            warn(
                f"The refit ended with {describe(error)}. The networks "
                "that were trained for the choice predict."
            )

    def _choose(self) -> Choice:
        """Choose once; where the scorer fails now, the best trial of the search."""
        if self._choice is None:
            try:
                self._choice = self._selection.choice(
                    measures_noise=self._interrupt is None
                )
            except Exception as error:  # noqa: BLE001 (as above)
                warn(
                    f"The choice ended with {describe(error)}. The best "
                    "trial of the search is taken."
                )
                self._choice = self._selection.best_trial()
        return self._choice

    def _result(self) -> FitResult:
        """Make a fitted ensemble of what there is; may be called again."""
        # Beginning of the search and, unless it was interrupted, of the refit; the end.
        times = [*self._times[:2], time.monotonic()]
        choice = self._choose()
        networks = choice.evaluation
        if self._refit is not None:
            networks = self._refit.networks()
        # Networks see the columns of their view alone; nothing else need be encoded.
        encoder = self._workbench.encoder
        encoder.restrict(choice.view)
        ensemble = FittedEnsemble(
            [Member(networks.architecture, layers) for layers in networks.weights],
            self._task.output.name,
            self._temperature(choice),
        )
        return FitResult(
            task=self._task,
            encoder=encoder,
            history=self._searcher.history,
            choice=choice,
            front=self._selection.front(choice),
            networks=networks,
            ensemble=ensemble,
            score_bound=self._score_bound(choice),
            search_time=times[1] - times[0],
            refit_time=times[-1] - times[1],
            interrupt=self._interrupt,
            interrupted_stage=None if self._interrupt is None else self._stage,
            record=self._record(),
            continued_on=self._continued_on,
            continuation=self._continuation(choice, networks),
        )

    def _continuation(
        self, choice: Choice, networks: Evaluation
    ) -> Continuation | None:
        """Return what the networks need in order to learn on."""
        if self._weight_unit is None:
            return None
        data = self._workbench.all_rows(choice.view)
        # Rows of equal weight may have come of copies, as many of each.
        weight = np.full(len(data.y), self._weight_unit)
        if data.sample_weight is not None:
            weight = data.sample_weight * self._weight_unit
        batch = EncodedRows(data.X, data.y, weight)
        return Continuation.begin(networks, batch, self._seeds)

    def _record(self) -> FitRecord | None:
        """Return what the next fit may continue."""
        if not self._settings.warm_start:
            return None
        state = self._searcher.state()
        return FitRecord(self._seeds, state, self._space, self._rows, self._measure)

    def _temperature(self, choice: Choice) -> float:
        """Return the temperature of the least log loss on the validation rows.

        1 without finalists: networks that were trained for a few epochs do not tell.
        """
        predictions = choice.evaluation.predictions
        if choice.position is None or predictions is None:
            return 1.0
        return self._metric.temperature(predictions)

    def _score_bound(self, choice: Choice) -> float:
        """Bound the accuracy of the choice from below, where the premises hold.

        The validation rows must not have decided when a training ended, and neither
        must the clock.
        """
        selection = self._settings.selection
        # Candidates with settings of their own are more than can be counted.
        trials = self._searcher.history.trials
        has_settings = any(trial.candidate.settings for trial in trials)
        is_known = self._metric.is_accuracy and choice.position is not None
        stops = self._settings.training.stops_early or self._budget.is_limited
        is_weighted = self._task.sample_weight is not None
        if not is_known or stops or has_settings or is_weighted:
            return math.nan
        # Everything that could have been chosen, whether or not it was tried.
        n_candidates = self._problem.space.n_architectures
        n_candidates *= len(selection.lengths()) * len(self._workbench.views)
        accuracies = [n.validation_scores[-1] for n in choice.evaluation.networks]
        n_rows = [len(validation_rows) for _, validation_rows in self._splits]
        return score_bound(accuracies, n_rows, n_candidates)
