"""The encoded table of one fit, and its folds."""

from __future__ import annotations

from copy import copy

import numpy as np

from sknas._table.targets import TargetMeans
from sknas._typing import Matrix


class EncodedTable:
    """A table that is encoded but for what must be learned from the target.

    Columns of many categories are encoded by the means of the target too. These are
    learned anew for each selection of rows, so that no target of a validation row is
    in the columns of a training row. All else was learned from the table alone.

    Parameters
    ----------
    encoded : ndarray or csr_array of shape (n_rows, n_features)
        The last columns are filled with means, for which it must be dense. The object
        keeps and uses it.
    codes : ndarray of shape (n_rows, n_large_columns), optional
        Categories of the columns of many categories.
    y : ndarray of shape (n_rows,) or (n_rows, n_targets), optional
        Class codes or numbers.
    means : TargetMeans, optional
        What to fit; None if no column is encoded by the target.
    sample_weight : ndarray of shape (n_rows,), optional
        Counts rows for the means.
    """

    def __init__(
        self,
        encoded: Matrix,
        codes: np.ndarray | None = None,
        y: np.ndarray | None = None,
        means: TargetMeans | None = None,
        sample_weight: np.ndarray | None = None,
    ) -> None:
        # For training on all rows; a fold replaces the last columns.
        self._encoded = encoded
        self._by_target = None
        self._sample_weight = sample_weight
        if codes is not None and y is not None and means is not None:
            self._by_target = (codes, y, means)
            encoded[:, -means.n_features_out :] = means.cross_fit(
                codes, y, sample_weight
            )

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return int(self._encoded.shape[0])

    @property
    def n_features(self) -> int:
        """Number of encoded columns."""
        return int(self._encoded.shape[1])

    def all_rows(self) -> Matrix:
        """Return all rows, for training.

        Returns
        -------
        ndarray or csr_array of shape (n_rows, n_features)
            Not a copy, so not to be written to. Means are those of other rows: no row's
            target shows in its own columns.
        """
        return self._encoded

    def fold(
        self, rows: np.ndarray, validation_rows: np.ndarray
    ) -> tuple[Matrix, Matrix]:
        """Return training and validation rows, means learned from the former alone.

        Parameters
        ----------
        rows : ndarray of shape (n,), int
            Training rows.
        validation_rows : ndarray of shape (m,), int
            Rows whose targets nothing is learned from.

        Returns
        -------
        X : ndarray or csr_array of shape (n, n_features)
            A copy. Means are those of other training rows.
        X_validation : ndarray or csr_array of shape (m, n_features)
            A copy. Means are those of all training rows.
        """
        # Copies of the rows once; the last columns are then written over.
        X, X_validation = self._encoded[rows], self._encoded[validation_rows]
        if self._by_target is not None:
            codes, y, means = self._by_target
            weight = None if self._sample_weight is None else self._sample_weight[rows]
            n = means.n_features_out
            X[:, -n:] = means.cross_fit(codes[rows], y[rows], weight)
            fitted = copy(means).fit(codes[rows], y[rows], weight)
            X_validation[:, -n:] = fitted.transform(codes[validation_rows])
        return X, X_validation
