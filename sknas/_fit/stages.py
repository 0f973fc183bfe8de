"""The stages of a fit: search, choice, refit, within the time there is."""

from __future__ import annotations

import contextlib
import math
import time
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from sknas._budget import Budget
from sknas._engine.evaluator import Evaluation, Evaluator, Request
from sknas._engine.jobs import TrainingData, TrainingSettings
from sknas._engine.trainer import Trainer
from sknas._progress import Progress
from sknas._random import SeedSource
from sknas._search.searcher import Choice, Finalist, Search, Strategy, validated
from sknas._space import Architecture, Candidate, SearchSpace
from sknas._table.encoder import TableEncoder
from sknas._tasks.metric import ValidationMetric
from sknas._tasks.outputs import SigmoidOutput, SoftmaxOutput

# Of the time that is left, what the search may take, and then the finalists.
_SEARCH_SHARE = 0.4
_FINALISTS_SHARE = 0.5


class Fitting:
    """What the stages of one fit have in common.

    Parameters
    ----------
    estimator : estimator
        Has the parameters of ``NASMLPClassifier``, all of them valid.
    X : DataFrame, ndarray or sparse matrix of shape (n_rows, n_columns)
        The validated table.
    codes : ndarray of shape (n_rows,)
        Class codes.
    n_classes : int
        How many classes there are.
    splits : list of (training, validation)
        Rows of each fold.
    metrics : pair of ValidationMetric
        The search's, of the first fold's validation rows, and that of the choice, of
        those of all folds, one after another.
    seeds : SeedSource
        Names every seed.
    device : torch.device
        Where networks are trained.
    began : float
        When the fit did, of ``time.perf_counter()``.

    Attributes
    ----------
    encoder : TableEncoder
        As the choice needs it.
    data : TrainingData
        All rows, encoded.
    """

    def __init__(
        self,
        estimator: Any,
        *,
        X: Any,
        codes: np.ndarray,
        n_classes: int,
        splits: Sequence[tuple[np.ndarray, np.ndarray]],
        metrics: tuple[ValidationMetric, ValidationMetric],
        seeds: SeedSource,
        device: torch.device,
        began: float,
    ) -> None:
        self._estimator = estimator
        self.encoder = TableEncoder(estimator.encoding, seeds.seed("encoder"))
        encoded = self.encoder.fit_transform(X, codes, np.float32)
        output = SigmoidOutput() if n_classes == 2 else SoftmaxOutput(n_classes)
        self.data = TrainingData(encoded, codes, output)
        self._splits = splits
        self._folds = [self.data.split(*rows) for rows in splits]
        self._search_metric, self._metric = metrics
        self._seeds = seeds
        self._device = device
        max_time = estimator.max_time
        self._deadline = math.inf if max_time is None else began + max_time

    def _time_left(self) -> float:
        return self._deadline - time.perf_counter()

    def search(
        self,
        space: SearchSpace,
        strategy: Strategy,
        first_architecture: Architecture | None,
    ) -> Search:
        """Run the search to its end, or to that of its time."""
        estimator = self._estimator
        settings = self._settings(
            len(self._folds[0].X),
            estimator.search_epochs,
            estimator.search_n_iter_no_change,
        )
        n_trials = estimator.n_rounds * estimator.n_architectures
        search = Search(
            space=space,
            strategy=strategy,
            # More folds would hardly rank better, and cost as many times as much.
            evaluator=Evaluator(self._trainer(self._folds[:1], settings)),
            metric=self._search_metric,
            seeds=self._seeds,
            n_rounds=estimator.n_rounds,
            n_architectures=estimator.n_architectures,
            first_architecture=first_architecture,
            weight_sharing=bool(estimator.weight_sharing),
            max_time=_SEARCH_SHARE * self._time_left(),
            progress=Progress(n_trials, estimator.verbose),
        )
        try:
            search.run()
        finally:
            search.progress.close()
        return search

    def choose(self, search: Search) -> Choice:
        """Train the finalists, choose among them, and then how to encode numbers."""
        estimator = self._estimator
        if not estimator.n_finalists:
            return search.choose([], self._metric, 0)
        search.progress.stage("training the finalists again")
        max_time = _FINALISTS_SHARE * self._time_left()
        deadline = time.perf_counter() + max_time
        has_ramps = self.encoder.ramps_ is not None
        choice = search.choose(
            [self._finalists(self._folds, max_iter) for max_iter in self._epochs()],
            self._metric,
            estimator.n_finalists,
            max_time,
            "piecewise" if has_ramps else estimator.encoding.replace("auto", "scale"),
        )
        decides = estimator.encoding == "auto" and has_ramps
        if decides and choice.finalists:
            choice = self._choose_encoding(choice, deadline - time.perf_counter())
        return choice

    def _epochs(self) -> list[int]:
        """Return the numbers of epochs to choose from, the longest training last."""
        estimator = self._estimator
        epochs = {
            max(round(fraction * estimator.max_iter), 1)
            for fraction in estimator.epoch_fractions
        }
        return sorted(epochs)

    def _finalists(self, folds: Sequence[TrainingData], max_iter: int) -> Evaluator:
        """Return what trains finalists."""
        settings = self._settings(
            len(folds[0].X), max_iter, self._estimator.n_iter_no_change
        )
        return Evaluator(self._trainer(folds, settings))

    def _choose_encoding(self, choice: Choice, max_time: float) -> Choice:
        """Train the choice without ramps too, and drop them if that is better.

        Ramps help where the classes hang on thresholds of single columns. Where they
        hang on smooth combinations of many, ramps are more to overfit with.
        """
        columns = np.flatnonzero(self.encoder.plain_columns_)
        plain = replace(self.data, X=np.ascontiguousarray(self.data.X[:, columns]))
        folds = [plain.split(*rows) for rows in self._splits]
        finalists = self._finalists(folds, choice.max_iter)
        architecture = choice.evaluation.architecture
        seed = self._seeds.seed("finalist", architecture)
        evaluation = None
        if max_time > 0:
            with contextlib.suppress(KeyboardInterrupt):
                evaluations = finalists.evaluate(
                    [Request(Candidate(architecture), seed)], Budget(max_time)
                )
                _, evaluation = next(evaluations, (0, None))
        if evaluation is None or evaluation.failed:
            return choice
        candidates = [validated(choice.evaluation), validated(evaluation)]
        score = self._metric.score(candidates[1])
        finalist = Finalist(choice.index, "scale", choice.max_iter, evaluation, score)
        choice = replace(choice, finalists=[*choice.finalists, finalist])
        if self._metric.best(candidates, None) == 0:
            return choice
        self.data = plain
        self.encoder.drop_ramps()
        return replace(choice, score=score, evaluation=evaluation)

    def refit(self, choice: Choice) -> Evaluation:
        """Train the choice on all rows; should that fail, keep what there is."""
        estimator = self._estimator
        architecture = choice.evaluation.architecture
        # The epochs that were best for the finalist, on the finalist's schedule.
        schedule, epochs = estimator.max_iter, estimator.max_iter
        if choice.finalists:
            schedule, epochs = choice.max_iter, choice.evaluation.best_iter
        settings = self._settings(len(self.data.X), epochs, schedule_iter=schedule)
        inherited = None
        if estimator.refit == "fine-tune":
            validated = choice.evaluation.weights
            n_copies = estimator.n_ensemble
            inherited = [validated[i % len(validated)] for i in range(n_copies)]
        seed = self._seeds.seed("refit", architecture)
        request = Request(Candidate(architecture), seed, inherited)
        trainer = self._trainer([self.data], settings)
        evaluator = Evaluator(trainer, estimator.n_ensemble)
        max_time = self._time_left()
        if max_time <= 0:
            return choice.evaluation
        try:
            ((_, evaluation),) = evaluator.evaluate([request], Budget(max_time))
        except KeyboardInterrupt:
            return self._instead_of_refit(choice, "The refit was interrupted")
        if not evaluation.weights:
            what = "The loss of the refit became NaN or infinite"
            return self._instead_of_refit(choice, what)
        return evaluation

    def _instead_of_refit(self, choice: Choice, what: str) -> Evaluation:
        warnings.warn(
            f"{what}; the network has the weights that its architecture had in "
            "validation.",
            UserWarning,
            stacklevel=5,
        )
        return choice.evaluation

    def temperature(self, choice: Choice) -> float:
        """Return what to divide logits by, so that probabilities mean what they say.

        1 without finalists: those who only ran for a few epochs do not tell.
        """
        if not choice.finalists or choice.evaluation.predictions is None:
            return 1.0
        return self._metric.temperature(choice.evaluation.predictions)

    def _trainer(
        self, folds: Sequence[TrainingData], settings: TrainingSettings
    ) -> Trainer:
        return Trainer(
            folds,
            settings,
            seed=self._seeds.seed("order of rows"),
            device=self._device,
            n_jobs=self._estimator.n_jobs,
        )

    def _settings(
        self,
        n_rows: int,
        max_iter: int,
        n_iter_no_change: int | None = None,
        schedule_iter: int | None = None,
    ) -> TrainingSettings:
        estimator = self._estimator
        batch_size = estimator.batch_size
        if isinstance(batch_size, str):
            batch_size = min(max(2 ** int(math.log2(max(n_rows / 8, 1))), 16), 256)
        return TrainingSettings(
            max_iter=int(max_iter),
            batch_size=int(min(batch_size, n_rows)),
            learning_rate_init=float(estimator.learning_rate_init),
            learning_rate=estimator.learning_rate,
            solver=estimator.solver,
            alpha=float(estimator.alpha),
            label_smoothing=float(estimator.label_smoothing),
            dropout=float(estimator.dropout),
            n_iter_no_change=n_iter_no_change,
            schedule_iter=schedule_iter,
        )
