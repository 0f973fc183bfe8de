"""One label per row."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.utils import check_array, check_consistent_length, column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from sknas._sklearn import safe_indexing
from sknas._tasks.metric import ClassificationMetric
from sknas._tasks.outputs import OutputLoss, SigmoidOutput, SoftmaxOutput
from sknas._tasks.splits import SplitSettings
from sknas._tasks.task import Scoring


@dataclass(frozen=True)
class Classification:
    """A target of two or more classes, or of one.

    Parameters
    ----------
    classes : ndarray of shape (n_classes,)
        Labels, sorted.
    y : int64 array of shape (n_rows,)
        Class codes: positions in ``classes``.
    """

    classes: np.ndarray
    y: np.ndarray

    @classmethod
    def from_target(cls, estimator: Any, X: Any, y: Any) -> Classification:
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

        Raises
        ------
        ValueError
            If y is None, has missing values, does not have one label per row, or is
            continuous.
        """
        name = type(estimator).__name__
        if y is None:
            raise ValueError(
                f"This {name} estimator requires y to be passed, but the target y is "
                "None."
            )
        # scikit-learn's own checks, so that errors are in the words of its classifiers.
        y = column_or_1d(_as_array(y), warn=True)
        check_array(y, ensure_2d=False, dtype=None, input_name="y", estimator=estimator)
        check_consistent_length(X, y)
        check_classification_targets(y)
        classes, codes = np.unique(y, return_inverse=True)
        return cls(classes, codes.astype(np.int64, copy=False))

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
        return replace(self, y=self.y[rows])

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
        return settings.split(self.y, random_state)

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
        return ClassificationMetric(scoring, self.classes, self.y[rows], seen)

    def attributes(self) -> dict[str, np.ndarray]:
        """Return what a fitted classifier publishes about its labels."""
        return {"classes_": self.classes}


def _as_array(y: Any) -> Any:
    """Turn pandas' own kinds of columns into numpy's, and refuse missing labels.

    scikit-learn would turn nullable integers into floats.
    """
    is_frame = hasattr(y, "iloc") and getattr(y, "ndim", 1) == 2
    if is_frame and y.shape[1] == 1:
        # Still a column, of which scikit-learn warns.
        return np.asarray(_as_array(y.iloc[:, 0]))[:, None]
    if hasattr(y, "isna") and not is_frame:
        _refuse_missing(np.asarray(y.isna(), dtype=bool))
        # A nullable type names the NumPy type that holds its values.
        return np.asarray(y, dtype=getattr(y.dtype, "numpy_dtype", None))
    # NumPy would turn a NaN among strings into the label 'nan'.
    if isinstance(y, (list, tuple)) or getattr(y, "dtype", None) == object:
        _refuse_missing(np.array([_is_missing(label) for label in y], dtype=bool))
    return y


def _is_missing(label: object) -> bool:
    if isinstance(label, (float, np.floating)):
        return math.isnan(label)
    # By name, since pandas need not be installed.
    return label is None or type(label).__name__ in ("NAType", "NaTType")


def _refuse_missing(missing: np.ndarray) -> None:
    if missing.any():
        raise ValueError(
            f"Input y contains NaN, None or pd.NA in {missing.sum()} of {len(missing)} "
            f"rows, the first at position {missing.argmax()}. Drop these rows or give "
            "them a label of their own."
        )
