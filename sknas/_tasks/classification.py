"""One label per row."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_array, check_consistent_length, column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from sknas._sklearn import safe_indexing
from sknas._tasks.calibration import (
    best_temperature,
    calibration_temperature,
    true_log_probabilities,
)
from sknas._tasks.labels import as_label_array, positions_of, weights_of_classes
from sknas._tasks.metric import ScorerMetric
from sknas._tasks.outputs import OutputLoss, SigmoidOutput, SoftmaxOutput
from sknas._tasks.splits import SplitSettings
from sknas._tasks.task import Scoring

# Weights of the mean log-probability of the true classes beside the accuracy. Of
# twelve trainings (three architectures, four lengths) of fourteen tables, those chosen
# by accuracy were right in 0.894 of the test rows, by log-probability in 0.889; for
# ranking children, of which fewer rows and epochs tell, both together serve best.
_CHOICE_CERTAINTY = 0.05
_REWARD_CERTAINTY = 0.5


@dataclass(frozen=True)
class Classification:
    """A target of two or more classes, or of one.

    Parameters
    ----------
    classes : ndarray of shape (n_classes,)
        Labels, sorted.
    y : int64 array of shape (n_rows,)
        Class codes: positions in ``classes``.
    sample_weight : float64 array of shape (n_rows,) or None, default=None
        Weights of the rows.
    """

    classes: np.ndarray
    y: np.ndarray
    sample_weight: np.ndarray | None = None

    @classmethod
    def from_target(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        sample_weight: np.ndarray | None = None,
        class_weight: Mapping[Any, float] | str | None = None,
        classes: np.ndarray | None = None,
    ) -> Classification:
        """Validate labels and encode them.

        Parameters
        ----------
        estimator : estimator
            Named by errors.
        X : array-like of shape (n_rows, n_columns)
            The table that the labels belong to.
        y : array-like of shape (n_rows,)
            What the user gave. Labels keep their kind: those of pandas' nullable
            ``Int64`` are integers.
        sample_weight : ndarray of shape (n_rows,), optional
            Weights of the rows.
        class_weight : dict, 'balanced' or None, default=None
            Weights of the classes, which those of the rows are multiplied by.
        classes : ndarray of shape (n_classes,), optional
            Labels, sorted, of which y need not have all. By default those of y.

        Raises
        ------
        ValueError
            If y is None, has missing values, does not have one label per row, is
            continuous, or has a label that is not one of the classes.
        """
        name = type(estimator).__name__
        if y is None:
            raise ValueError(
                f"This {name} estimator requires y to be passed, but the target y is "
                "None."
            )
        # scikit-learn's own checks, so that errors are in the words of its classifiers.
        y = column_or_1d(as_label_array(y), warn=True)
        check_array(y, ensure_2d=False, dtype=None, input_name="y", estimator=estimator)
        check_consistent_length(X, y)
        check_classification_targets(y)
        present, codes = np.unique(y, return_inverse=True)
        if classes is None:
            classes = present
        else:
            codes = positions_of(estimator, present, classes)[codes]
        if class_weight is not None:
            of_classes = weights_of_classes(class_weight, classes, codes, sample_weight)
            given = 1.0 if sample_weight is None else sample_weight
            sample_weight = given * of_classes[codes]
        return cls(classes, codes.astype(np.int64, copy=False), sample_weight)

    @property
    def n_rows(self) -> int:
        """How many rows there are."""
        return len(self.y)

    @property
    def n_classes(self) -> int:
        """How many labels there are, in all rows of which this may be a part."""
        return len(self.classes)

    @property
    def output(self) -> OutputLoss:
        """The output layer: one sigmoid unit for two classes, else a softmax."""
        return SigmoidOutput() if self.n_classes == 2 else SoftmaxOutput(self.n_classes)

    def representatives(self) -> np.ndarray:
        """Return the positions of two rows of each class, as far as there are two."""
        # Class by class, in the order of the rows. A first row of a class is where the
        # code changes; a second one follows a first and is not a first itself.
        order = np.argsort(self.y, kind="stable")
        is_first = np.diff(self.y[order], prepend=-1) != 0
        is_second = ~is_first & np.append(False, is_first[:-1])
        positions: np.ndarray = order[is_first | is_second]
        return positions

    def subset(self, rows: np.ndarray) -> Classification:
        """Return some rows, with the classes of all.

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

    def restrict(self, rows: np.ndarray) -> Classification:
        """Return the task of some rows alone, with their classes.

        Parameters
        ----------
        rows : ndarray of int
            Positions.
        """
        part = self.subset(rows)
        present, codes = np.unique(part.y, return_inverse=True)
        return replace(part, classes=self.classes[present], y=codes.astype(np.int64))

    def split(
        self, settings: SplitSettings, random_state: int
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Split the rows into training and validation, stratified by class.

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
        return settings.split(self.y, random_state, stratum="class(es)")

    def metric(
        self, scoring: Scoring, X: Any, rows: np.ndarray
    ) -> ClassificationMetric:
        """Return what scores predictions of some rows.

        Parameters
        ----------
        scoring : str, callable or None
            A scorer, in scikit-learn's sense.
        X : array-like or DataFrame of shape (n_rows, n_columns)
            The table as the user gave it. Only a callable sees it, so that only for a
            callable rows of it are copied.
        rows : ndarray of int
            Positions of the validation rows, those of several folds one after another.
        """
        seen = safe_indexing(X, rows) if callable(scoring) else None
        of_rows = self.subset(rows)
        return ClassificationMetric(
            scoring, self.classes, of_rows.y, seen, of_rows.sample_weight
        )

    def attributes(self) -> dict[str, Any]:
        """Return what a fitted classifier publishes about its labels."""
        return {"classes_": self.classes, "sparse_output_": False}


class _Predictions(ClassifierMixin, BaseEstimator):
    """Probabilities already computed, in the form that a scorer asks for.

    ``measured`` are the positions of the classes that probabilities are scored for.
    """

    def __init__(
        self, classes: np.ndarray, probabilities: np.ndarray, measured: np.ndarray
    ) -> None:
        self.classes = classes
        self.probabilities = probabilities
        self.measured = measured

    def __sklearn_is_fitted__(self) -> bool:
        return True

    @property
    def classes_(self) -> np.ndarray:
        labels: np.ndarray = self.classes[self.measured]
        return labels

    def predict(self, X: object) -> np.ndarray:
        """Predict any class: one that no row has is a mistake."""
        del X
        predicted: np.ndarray = self.classes[self.probabilities.argmax(axis=1)]
        return predicted

    def predict_proba(self, X: object) -> np.ndarray:
        del X
        if len(self.measured) == len(self.classes):
            return self.probabilities
        tiny = np.finfo(np.float64).tiny
        part = np.maximum(self.probabilities[:, self.measured], tiny, dtype=np.float64)
        normalised: np.ndarray = part / part.sum(axis=1, keepdims=True)
        return normalised


class ClassificationMetric(ScorerMetric):
    """Scores predicted probabilities of the validation rows.

    With ``scoring=None`` the score is the accuracy, and the mean log-probability given
    to the true class tells apart what the accuracy of a few hundred rows cannot. It is
    taken at the temperature that suits each candidate: long training makes networks
    over-confident, which costs log loss but no accuracy.

    Parameters
    ----------
    scoring : str, callable or None
        A scorer, in scikit-learn's sense.
    classes : ndarray of shape (n_classes,)
        Labels.
    y : ndarray of shape (n_validation_rows,)
        Class codes.
    X : array-like or DataFrame of shape (n_validation_rows, n_features), optional
        The rows as the user gave them, which only a callable looks at.
    sample_weight : ndarray of shape (n_validation_rows,), optional
        Weights of the rows.

    Notes
    -----
    A class of one row has no validation row. A scorer with a name is then given
    probabilities of the other classes alone, normalised to a sum of 1; a callable gets
    those of all classes.
    """

    # The mean of two networks each of 150 finalists on eight tables, measured on the
    # same test rows.
    seed_deviation = 0.0014

    def __init__(
        self,
        scoring: Scoring,
        classes: np.ndarray,
        y: np.ndarray,
        X: Any = None,
        sample_weight: np.ndarray | None = None,
    ) -> None:
        super().__init__(scoring, "accuracy", classes[y], X, sample_weight)
        self._classes, self._y = classes, y
        present = np.unique(y)
        self._lacks_classes = len(present) < len(classes)
        self._measured = np.arange(len(classes)) if callable(scoring) else present

    def _of_rows(self, rows: np.ndarray, X: Any) -> ClassificationMetric:
        weights = None if self._weights is None else self._weights[rows]
        return ClassificationMetric(
            self._scoring, self._classes, self._y[rows], X, weights
        )

    @property
    def is_accuracy(self) -> bool:
        """Whether the score is the share of rows that are predicted correctly."""
        return self._scoring in (None, "accuracy")

    @property
    def _target(self) -> str:
        return f"this target with {len(self._classes)} classes{self._lack()}"

    @property
    def _rows(self) -> str:
        return super()._rows + self._lack()

    def _lack(self) -> str:
        if not self._lacks_classes:
            return ""
        return f", of which {len(np.unique(self._y))} have validation rows"

    def _stand_in(self, predictions: np.ndarray) -> object:
        return _Predictions(self._classes, predictions, self._measured)

    def _guess(self) -> np.ndarray:
        n_classes = len(self._classes)
        return np.full((len(self._y), n_classes), 1 / n_classes)

    def _varied_guess(self) -> np.ndarray:
        # Each class is predicted somewhere, as networks may.
        n_classes = len(self._classes)
        varied = np.eye(n_classes)[np.arange(len(self._y)) % n_classes]
        half: np.ndarray = (varied + self._guess()) / 2
        return half

    def _strata(self) -> list[np.ndarray]:
        return [np.flatnonzero(self._y == code) for code in np.unique(self._y)]

    def score(self, predictions: np.ndarray, rows: np.ndarray | None = None) -> float:
        """Return the score of predicted probabilities.

        Parameters
        ----------
        predictions : ndarray of shape (n_validation_rows, n_classes)
            Probabilities.
        rows : ndarray of int, optional
            Positions of the validation rows to count; all by default.
        """
        if self.is_accuracy and rows is None:
            return self._mean(predictions.argmax(axis=1) == self._y)
        if not self._lacks_classes or callable(self._scoring):
            return super().score(predictions, rows)
        # A warning about predicted classes without rows would not be useful.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return super().score(predictions, rows)

    def _own_reward(self, predictions: np.ndarray, score: float) -> float:
        certainty = self._mean(self._certainty(predictions))
        return score + _REWARD_CERTAINTY * certainty

    def _row_merits(self, predictions: np.ndarray) -> np.ndarray | None:
        if not self.is_accuracy:
            return None
        merits: np.ndarray = (predictions.argmax(axis=1) == self._y).astype(np.float64)
        if self._scoring is None:
            merits += _CHOICE_CERTAINTY * self._certainty(predictions)
        return merits

    def _certainty(self, predictions: np.ndarray) -> np.ndarray:
        """Return log-probabilities of the true classes, at the best temperature."""
        temperature = best_temperature(predictions, self._y, self._weights)
        return true_log_probabilities(predictions, self._y, temperature)

    def temperature(self, predictions: np.ndarray) -> float:
        """Return the temperature of the least log loss on the validation rows.

        Parameters
        ----------
        predictions : ndarray of shape (n_validation_rows, n_classes)
            Probabilities.
        """
        return calibration_temperature(predictions, self._y, self._weights)
