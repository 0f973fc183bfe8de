"""What fitted estimators predict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.base import ClassifierMixin, RegressorMixin

from sknas._estimators.batches import ClassLearner, NumberLearner
from sknas._table.reading.tables import as_numpy

if TYPE_CHECKING:
    from sknas._fit.stages import FitResult


class ClassPredictions(ClassifierMixin, ClassLearner):
    """Predicts classes, or several labels per row, and their probabilities."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    def predict(self, X: Any) -> Any:
        """Predict labels.

        Parameters
        ----------
        X : array-like, sparse matrix or DataFrame of shape (n_samples, n_features)
            A table with the columns of `fit`.

        Returns
        -------
        ndarray of shape (n_samples,), or ndarray or CSR matrix (n_samples, n_labels)
            The most probable label of each row; of several labels per row, 1 for each
            label that is more probable than not. Sparse if y of `fit` was.
        """
        positions: np.ndarray = self._log_probabilities(X).argmax(axis=-1)
        if positions.ndim == 2:
            return csr_matrix(positions) if self.sparse_output_ else positions
        labels: np.ndarray = self.classes_[positions]
        return labels

    def predict_proba(self, X: Any) -> np.ndarray:
        """Predict the probability of each class, or of each label.

        Parameters
        ----------
        X : array-like, sparse matrix or DataFrame of shape (n_samples, n_features)
            A table with the columns of `fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_classes) or (n_samples, n_labels)
            In the order of `classes_`. Rows sum to 1, but not where there are several
            labels per row.
        """
        probabilities: np.ndarray = np.exp(self.predict_log_proba(X))
        return probabilities

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Predict the logarithms of the probabilities.

        Parameters
        ----------
        X : array-like, sparse matrix or DataFrame of shape (n_samples, n_features)
            A table with the columns of `fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_classes) or (n_samples, n_labels)
            In the order of `classes_`.
        """
        log_p = self._log_probabilities(X)
        # Of each label, there are logarithms for no and for yes.
        return log_p[..., 1] if log_p.ndim == 3 else log_p

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the accuracy of `predict`.

        Parameters
        ----------
        X : array-like, sparse matrix or DataFrame of shape (n_samples, n_features)
            A table with the columns of `fit`.
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            True labels.
        sample_weight : array-like of shape (n_samples,), optional
            Weights of the rows.

        Returns
        -------
        float
            The share of rows whose labels are all predicted.
        """
        # scikit-learn compares y with predictions, which are numpy's.
        score: float = super().score(X, as_numpy(y), as_numpy(sample_weight))
        return score

    def _log_probabilities(self, X: Any) -> np.ndarray:
        encoded = self._encode(X)
        log_probabilities: np.ndarray = self.ensemble_.predict_log_proba(encoded)
        return log_probabilities

    def _attributes(self, result: FitResult) -> dict[str, Any]:
        return {
            **super()._attributes(result),
            "score_bound_": result.score_bound,
            "temperature_": result.ensemble.temperature,
        }


class NumberPredictions(RegressorMixin, NumberLearner):
    """Predicts numbers."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.target_tags.positive_only = getattr(self, "loss", None) == "poisson"
        return tags

    def predict(self, X: Any) -> np.ndarray:
        """Predict numbers.

        Parameters
        ----------
        X : array-like, sparse matrix or DataFrame of shape (n_samples, n_features)
            A table with the columns of `fit`.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Of the shape that y had in `fit`.
        """
        encoded = self._encode(X)
        scaled = self.ensemble_.predict(encoded)
        numbers: np.ndarray = self.target_scaler_.inverse_transform(scaled)
        return numbers[:, 0] if numbers.shape[1] == 1 else numbers

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the coefficient of determination of `predict`.

        Parameters
        ----------
        X : array-like, sparse matrix or DataFrame of shape (n_samples, n_features)
            A table with the columns of `fit`.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            True numbers.
        sample_weight : array-like of shape (n_samples,), optional
            Weights of the rows.

        Returns
        -------
        float
            1 at best; the mean over the outputs.
        """
        # scikit-learn compares y with predictions, which are numpy's.
        score: float = super().score(X, as_numpy(y), as_numpy(sample_weight))
        return score
