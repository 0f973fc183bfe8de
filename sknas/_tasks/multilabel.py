"""Several labels per row, each there or not."""

from __future__ import annotations

from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_array, check_consistent_length
from sklearn.utils.multiclass import type_of_target

from sknas._sklearn import safe_indexing
from sknas._tasks.calibration import (
    best_temperature,
    calibration_temperature,
    true_log_probabilities,
)
from sknas._tasks.metric import ScorerMetric
from sknas._tasks.outputs import MultilabelOutput, OutputLoss
from sknas._tasks.splits import SplitSettings
from sknas._tasks.task import Scoring

# Weights of the mean log-probability beside the share of the labels that are right: as
# for one label per row.
_CHOICE_CERTAINTY = 0.05
_REWARD_CERTAINTY = 0.5


def has_several_columns(y: Any) -> bool:
    """Tell whether a target is a table of more than one column."""
    try:
        table = y if hasattr(y, "shape") else np.asarray(y)
    except ValueError:  # rows of unequal lengths
        return False
    return len(table.shape) == 2 and table.shape[1] > 1


@dataclass(frozen=True)
class Multilabel:
    """A target of several labels, of which a row may have any number.

    Parameters
    ----------
    y : float32 array of shape (n_rows, n_labels)
        1 where a row has a label, else 0.
    sample_weight : float64 array of shape (n_rows,) or None, default=None
        Weights of the rows.
    is_sparse : bool, default=False
        Whether the user gave a sparse matrix.
    """

    y: np.ndarray
    sample_weight: np.ndarray | None = None
    is_sparse: bool = False

    @classmethod
    def from_target(
        cls, estimator: Any, X: Any, y: Any, sample_weight: np.ndarray | None = None
    ) -> Multilabel:
        """Validate an indicator matrix.

        Parameters
        ----------
        estimator : estimator
            Named by errors.
        X : array-like of shape (n_rows, n_columns)
            The table that the labels belong to.
        y : array-like or sparse matrix of shape (n_rows, n_labels)
            0 and 1, or False and True.
        sample_weight : ndarray of shape (n_rows,), optional
            Weights of the rows.

        Raises
        ------
        ValueError
            If y has missing values or other values than 0 and 1, or not one row for
            each row of X.
        """
        indicators = check_array(
            y, accept_sparse=True, dtype=None, input_name="y", estimator=estimator
        )
        check_consistent_length(X, indicators)
        is_sparse = issparse(indicators)
        if is_sparse:
            indicators = indicators.toarray()
        elif indicators.dtype == object and _are_numbers(indicators):
            indicators = indicators.astype(np.float64)
        kind = type_of_target(indicators, input_name="y")
        # scikit-learn takes any two whole numbers for indicators.
        if kind != "multilabel-indicator" or not np.isin(indicators, (0, 1)).all():
            values = indicators.ravel()[:5].tolist()
            raise ValueError(
                f"y of {type(estimator).__name__}.fit must have one label per row, or "
                "be an array of 0 and 1 with a column for each label. Got a target of "
                f"type {kind!r} with values such as {values} instead. "
                "MultiOutputClassifier fits a classifier for each column."
            )
        return cls(indicators.astype(np.float32), sample_weight, is_sparse)

    @property
    def n_rows(self) -> int:
        """How many rows there are."""
        return len(self.y)

    @property
    def n_labels(self) -> int:
        """How many labels there are."""
        return int(self.y.shape[1])

    @property
    def output(self) -> OutputLoss:
        """One sigmoid unit for each label."""
        return MultilabelOutput(self.n_labels)

    def strata(self) -> np.ndarray:
        """Return a code for each row: that of its rarest label, of the rows without.

        Rows of the rarest label are one stratum, and so it is on both sides of a
        split; those of the next one are a stratum but for the rows that have the rarest
        too, and so on.
        """
        rarity = self.y.sum(axis=0).argsort(kind="stable")
        # Labels from the rarest on; the first one that a row has is its stratum.
        ordered = self.y[:, rarity] > 0
        strata: np.ndarray = ordered.argmax(axis=1) + 1
        strata[~ordered.any(axis=1)] = 0
        return strata

    def representatives(self) -> np.ndarray:
        """Return the positions of up to two rows with each label, and without it."""
        positions = [
            np.flatnonzero(column == value)[:2]
            for column in self.y.T
            for value in (0, 1)
        ]
        return np.unique(np.concatenate(positions))

    def subset(self, rows: np.ndarray) -> Multilabel:
        """Return some rows, with all labels.

        Parameters
        ----------
        rows : ndarray of int
            Positions.
        """
        weights = self.sample_weight
        return replace(
            self,
            y=self.y[rows],
            sample_weight=None if weights is None else weights[rows],
        )

    def restrict(self, rows: np.ndarray) -> Multilabel:
        """Return the task of some rows alone.

        Parameters
        ----------
        rows : ndarray of int
            Positions.
        """
        return self.subset(rows)

    def split(
        self, settings: SplitSettings, random_state: int
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Split the rows into training and validation, rare labels on both sides.

        Parameters
        ----------
        settings : SplitSettings
            How often, and how many rows are for validation.
        random_state : int
            Seed.

        Returns
        -------
        list of (training, validation)
            Positions of rows, one pair for each split.
        """
        return settings.split(self.strata(), random_state, stratum=None)

    def metric(self, scoring: Scoring, X: Any, rows: np.ndarray) -> MultilabelMetric:
        """Return what scores predictions of some rows.

        Parameters
        ----------
        scoring : str, callable or None
            A scorer, in scikit-learn's sense.
        X : array-like or DataFrame of shape (n_rows, n_columns)
            The table as the user gave it, of which only a callable sees rows.
        rows : ndarray of int
            Positions of the validation rows, those of several folds one after another.
        """
        seen = safe_indexing(X, rows) if callable(scoring) else None
        return MultilabelMetric(scoring, self.subset(rows), seen)

    def attributes(self) -> dict[str, Any]:
        """Return what a fitted classifier publishes about its labels."""
        labels = np.arange(self.n_labels)
        return {"classes_": labels, "sparse_output_": self.is_sparse}


def _are_numbers(values: np.ndarray) -> bool:
    """Tell objects that are numbers or truth values from text and all else."""
    return all(isinstance(value, (Real, np.bool_)) for value in values.ravel())


class _Predictions(ClassifierMixin, BaseEstimator):
    """Probabilities already computed, in the form that a scorer asks for."""

    def __init__(self, probabilities: np.ndarray) -> None:
        self.probabilities = probabilities

    def __sklearn_is_fitted__(self) -> bool:
        return True

    @property
    def classes_(self) -> list[np.ndarray]:
        # For each label, as multi-output forests have it. Scorers would take the names
        # of two labels for two classes.
        return [np.arange(2)] * self.probabilities.shape[1]

    def predict(self, X: object) -> np.ndarray:
        del X
        return (self.probabilities > 0.5).astype(np.int64)

    def predict_proba(self, X: object) -> np.ndarray:
        del X
        return self.probabilities


class MultilabelMetric(ScorerMetric):
    """Scores predicted probabilities of labels.

    With ``scoring=None`` the score is the share of the rows of which all labels are
    right. Candidates are compared by the share of the labels that are right, and by the
    mean log-probability of what is true of them: few rows have all labels right.

    Parameters
    ----------
    scoring : str, callable or None
        A scorer, in scikit-learn's sense.
    task : Multilabel
        The validation rows.
    X : array-like or DataFrame of shape (n_validation_rows, n_features), optional
        The rows as the user gave them, which only a callable looks at.
    """

    def __init__(self, scoring: Scoring, task: Multilabel, X: Any = None) -> None:
        labels = task.y.astype(np.int64)
        super().__init__(scoring, "accuracy", labels, X, task.sample_weight)
        self._task = task
        strata = task.strata()
        self._groups = [np.flatnonzero(strata == code) for code in np.unique(strata)]
        # One entry for each label of each row.
        self._codes = labels.ravel()
        self._flat_weights = None
        if self._weights is not None:
            self._flat_weights = np.repeat(self._weights, task.n_labels)

    def _of_rows(self, rows: np.ndarray, X: Any) -> MultilabelMetric:
        return MultilabelMetric(self._scoring, self._task.subset(rows), X)

    @property
    def _target(self) -> str:
        return f"this target with {self._labels.shape[1]} labels"

    def _stand_in(self, predictions: np.ndarray) -> object:
        return _Predictions(predictions)

    def _guess(self) -> np.ndarray:
        return np.full(self._labels.shape, 0.5)

    def _varied_guess(self) -> np.ndarray:
        varied: np.ndarray = 0.25 + 0.5 * self._labels
        return varied

    def _strata(self) -> list[np.ndarray]:
        return self._groups

    def _own_reward(self, predictions: np.ndarray, score: float) -> float:
        del score
        return self._mean(self._combined(predictions, _REWARD_CERTAINTY))

    def _row_merits(self, predictions: np.ndarray) -> np.ndarray | None:
        if self._scoring is not None:
            return None
        return self._combined(predictions, _CHOICE_CERTAINTY)

    def _combined(self, predictions: np.ndarray, certainty: float) -> np.ndarray:
        """Return, for each row, the mean over its labels of accuracy and certainty."""
        is_right = (predictions > 0.5) == (self._labels > 0)
        log_p = true_log_probabilities(
            _of_both(predictions), self._codes, self._coarse_temperature(predictions)
        )
        of_labels = is_right + certainty * log_p.reshape(self._labels.shape)
        of_rows: np.ndarray = of_labels.mean(axis=1)
        return of_rows

    def temperature(self, predictions: np.ndarray) -> float:
        """Return the temperature of the least log loss, the same for all labels.

        Parameters
        ----------
        predictions : ndarray of shape (n_validation_rows, n_labels)
            Probabilities.
        """
        return calibration_temperature(
            _of_both(predictions), self._codes, self._flat_weights
        )

    def _coarse_temperature(self, predictions: np.ndarray) -> float:
        return best_temperature(_of_both(predictions), self._codes, self._flat_weights)


def _of_both(predictions: np.ndarray) -> np.ndarray:
    """Return the probabilities of no and yes, of shape (n_rows * n_labels, 2)."""
    p = predictions.ravel()
    return np.column_stack([1 - p, p])
