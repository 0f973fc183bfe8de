"""What every stage of a fit trains with: the encoded table, its folds, the workers."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from sknas._budget import Budget
from sknas._engine.evaluator import Evaluator
from sknas._engine.jobs import TrainingData, TrainingSettings
from sknas._engine.trainer import Trainer
from sknas._sklearn import safe_indexing
from sknas._table.encoder import TableEncoder
from sknas._table.sparse import stays_sparse
from sknas._tasks.task import Task

# Share of the time that the encoding may take. A table that would take longer is
# trained on as many of its rows, drawn at random, as there is time for.
_ENCODING_SHARE = 0.15
# Rows that are encoded to find out what a row costs, and the fewest of a sample.
_PROBED_ROWS = 5_000


class Workbench:
    """The encoded table of one fit, and evaluators of networks on it.

    Parameters
    ----------
    X : DataFrame, ndarray or sparse matrix of shape (n_rows, n_columns)
        The validated table.
    task : Task
        The target.
    splits : list of (training, validation)
        Positions of the rows of each fold.
    encoder : TableEncoder
        Not yet fitted.
    make_trainer : callable
        Takes folds and settings, and returns what trains on them.

    Attributes
    ----------
    encoder : TableEncoder
        Has learned from all rows.
    views : dict of str to ndarray
        Columns of the encoded table by the name of each encoding of its numbers; the
        first is that of the search.
    """

    def __init__(
        self,
        X: Any,
        task: Task,
        splits: Sequence[tuple[np.ndarray, np.ndarray]],
        encoder: TableEncoder,
        make_trainer: Callable[[Sequence[TrainingData], TrainingSettings], Trainer],
    ) -> None:
        self.encoder = encoder
        self._table = encoder.fit_table(X, task.y, _relative(task.sample_weight))
        self.views: dict[str, np.ndarray] = self.encoder.views_
        self.search_view = next(iter(self.views))
        self._task, self._splits = task, splits
        self._make_trainer = make_trainer
        # The folds as the search sees them, as far as they have been asked for; another
        # view is cut from them.
        self._folds: dict[int, TrainingData] = {}

    def _fold(self, rows: np.ndarray, validation_rows: np.ndarray) -> TrainingData:
        """Encode a fold: what is learned from y comes from its training rows alone."""
        X, X_validation = self._table.fold(rows, validation_rows)
        task, validated = self._task.subset(rows), self._task.subset(validation_rows)
        return TrainingData(
            X,
            task.y,
            task.output,
            X_validation,
            validated.y,
            task.sample_weight,
            validated.sample_weight,
        )

    def folds(self, view: str, n_folds: int | None = None) -> list[TrainingData]:
        """Return the first folds, or all, in the encoding of that name."""
        for number, rows in enumerate(self._splits[:n_folds]):
            if number not in self._folds:
                self._folds[number] = self._fold(*rows)
        folds = [self._folds[number] for number in range(len(self._splits[:n_folds]))]
        if view == self.search_view:
            return folds
        return [self._cut(fold, view) for fold in folds]

    def parts(self, n_folds: int, share: float, seed: int) -> list[TrainingData]:
        """Return the first folds as the search sees them, with fewer rows to train on.

        Parameters
        ----------
        n_folds : int
            How many; all that there are if there are fewer.
        share : float
            Of the training rows of each fold, drawn at random. A smaller share is a
            part of a larger one; two rows of each class are in all of them.
        seed : int
            Decides the draw.
        """
        folds = self.folds(self.search_view, n_folds)
        if share == 1:
            return folds
        return [self._part(number, share, seed) for number in range(len(folds))]

    def _part(self, number: int, share: float, seed: int) -> TrainingData:
        data = self._folds[number]
        order = np.random.default_rng([seed, number]).permutation(data.n_rows)
        of_fold = self._task.subset(self._splits[number][0])
        n_rows = max(round(share * data.n_rows), 1)
        rows = np.union1d(order[:n_rows], of_fold.representatives())
        weights = data.sample_weight
        return replace(
            data,
            X=data.X[rows],
            y=data.y[rows],
            sample_weight=None if weights is None else weights[rows],
        )

    def all_rows(self, view: str) -> TrainingData:
        """Return all rows, for the refit."""
        task = self._task
        data = TrainingData(
            self._table.all_rows(),
            task.y,
            task.output,
            sample_weight=task.sample_weight,
        )
        return data if view == self.search_view else self._cut(data, view)

    def _cut(self, data: TrainingData, view: str) -> TrainingData:
        columns = self.views[view]
        X_validation = data.X_validation
        if X_validation is not None:
            X_validation = np.ascontiguousarray(X_validation[:, columns])
        return replace(
            data,
            X=np.ascontiguousarray(data.X[:, columns]),
            X_validation=X_validation,
        )

    def evaluator(
        self,
        folds: Sequence[TrainingData],
        settings: TrainingSettings,
        n_copies: int = 1,
    ) -> Evaluator:
        """Return what trains candidates on some folds."""
        return Evaluator(self._make_trainer(folds, settings), n_copies)


def affordable_rows(
    X: Any, task: Task, encoder: TableEncoder, random_state: int, budget: Budget
) -> np.ndarray | None:
    """Return the rows that there is time to encode, or None for all.

    Parameters
    ----------
    X : DataFrame, ndarray or sparse matrix of shape (n_rows, n_columns)
        The validated table.
    task : Task
        The target.
    encoder : TableEncoder
        Not yet fitted; it is fitted to a part of the rows.
    random_state : int
        Draws the rows.
    budget : Budget
        Without a limit, all rows are affordable.
    """
    n_rows = task.n_rows
    if not budget.is_limited or n_rows <= 2 * _PROBED_ROWS:
        return None
    # Step 1: encode a few rows to find out what one costs.
    rows = np.random.default_rng(random_state).permutation(n_rows)
    probed = rows[:_PROBED_ROWS]
    start = time.monotonic()
    with warnings.catch_warnings():
        # Warnings about the table are issued when the whole table is encoded.
        warnings.simplefilter("ignore")
        of_probed = task.subset(probed)
        table = encoder.fit_table(
            safe_indexing(X, probed),
            of_probed.y,
            _relative(of_probed.sample_weight),
            # As the whole table, though few rows of it may be worth making dense.
            keeps_sparse=stays_sparse(X),
        )
    table.all_rows()
    # Step 2: take as many, in the order of the permutation, as there is time for.
    seconds_per_row = (time.monotonic() - start) / len(probed)
    affordable = _ENCODING_SHARE * max(budget.seconds_left(), 0.0) / seconds_per_row
    n_affordable = max(int(affordable), _PROBED_ROWS)
    if n_affordable >= n_rows:
        return None
    # Some rows of each class besides: one to be trained on, one to be validated.
    return np.union1d(rows[:n_affordable], task.representatives())


def _relative(weights: np.ndarray | None) -> np.ndarray | None:
    """Scale weights to a mean of 1: as many rows as there are stand for themselves."""
    if weights is None:
        return None
    # By the largest first, so that no sum overflows.
    shares = weights / weights.max()
    relative: np.ndarray = shares / shares.mean()
    return relative
