"""Numbers to predict, one or several per row."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import kl_div
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import (
    assert_all_finite,
    check_array,
    check_consistent_length,
    column_or_1d,
)

from sknas._model.activations import LEAST_LOGARITHM
from sknas._sklearn import safe_indexing
from sknas._tasks.metric import ScorerMetric
from sknas._tasks.outputs import IdentityOutput, OutputLoss, PoissonOutput
from sknas._tasks.splits import SplitSettings
from sknas._tasks.target import MeanScaler, TargetScaler
from sknas._tasks.task import Scoring

# A network whose errors are so many times those of a constant is told to the strategy
# as no worse than that: one diverging child would drown all differences that count.
_WORST_ERROR = 2.0


@dataclass(frozen=True)
class Regression:
    """A target of one or several numbers per row.

    Parameters
    ----------
    given_y : float64 array of shape (n_rows,) or (n_rows, n_targets)
        The target as the user gave it.
    y : float32 array of shape (n_rows, n_targets)
        The scaled target.
    scaler : TargetScaler or MeanScaler
        What scaled it.
    sample_weight : float64 array of shape (n_rows,) or None, default=None
        Weights of the rows.
    loss : {'squared_error', 'poisson'}, default='squared_error'
        What networks minimise.
    """

    given_y: np.ndarray
    y: np.ndarray
    scaler: TargetScaler | MeanScaler
    sample_weight: np.ndarray | None = None
    loss: str = "squared_error"

    @classmethod
    def from_target(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        sample_weight: np.ndarray | None = None,
        loss: str = "squared_error",
    ) -> Regression:
        """Validate numbers and scale them.

        Parameters
        ----------
        estimator : estimator
            Named by errors.
        X : array-like of shape (n_rows, n_columns)
            The table that the numbers belong to.
        y : array-like of shape (n_rows,) or (n_rows, n_targets)
            What the user gave.
        sample_weight : ndarray of shape (n_rows,), optional
            Weights of the rows.
        loss : {'squared_error', 'poisson'}, default='squared_error'
            What networks minimise.

        Raises
        ------
        ValueError
            If y is None, is not numeric, or has missing or infinite values, or negative
            ones with ``loss='poisson'``.
        """
        if y is None:
            raise ValueError(
                f"This {type(estimator).__name__} estimator requires y to be passed, "
                "but the target y is None."
            )
        try:
            # Nullable columns hold their missing values in ways that numpy does not
            # read.
            if hasattr(y, "to_numpy") and hasattr(y, "isna") and not _has_dates(y):
                y = y.to_numpy(dtype=np.float64, na_value=np.nan)
            given = check_array(
                y, ensure_2d=False, dtype=None, input_name="y", estimator=estimator
            )
            if _has_dates(given):
                raise TypeError("it holds dates or durations")
            given = given.astype(np.float64)
        except (TypeError, OverflowError) as error:
            raise _no_numbers(estimator, error) from error
        except ValueError as error:
            if "could not convert" not in str(error):
                raise
            raise _no_numbers(estimator, error) from error
        # Objects are finite only as far as their numbers are.
        assert_all_finite(given, input_name="y")
        if given.ndim == 2 and given.shape[1] == 1:
            given = column_or_1d(given, warn=True)
        check_consistent_length(X, given)
        if loss == "poisson" and given.min() < 0:
            raise ValueError(
                "Some value(s) of y are out of the valid range of the loss 'poisson': "
                f"y must not be negative. Got {given.min()} instead."
            )
        scaled, scaler = _scaled(given, sample_weight, loss)
        return cls(given, scaled, scaler, sample_weight, loss)

    @property
    def n_rows(self) -> int:
        """How many rows there are."""
        return len(self.y)

    @property
    def output(self) -> OutputLoss:
        """One unit for each number."""
        output = PoissonOutput if self.loss == "poisson" else IdentityOutput
        return output(self.y.shape[1])

    def representatives(self) -> np.ndarray:
        """Return the positions of two rows, as far as there are two."""
        return np.arange(min(self.n_rows, 2))

    def subset(self, rows: np.ndarray) -> Regression:
        """Return some rows, with the scale of all.

        Parameters
        ----------
        rows : ndarray of int
            Positions.
        """
        weights = self.sample_weight
        return replace(
            self,
            given_y=self.given_y[rows],
            y=self.y[rows],
            sample_weight=None if weights is None else weights[rows],
        )

    def restrict(self, rows: np.ndarray) -> Regression:
        """Return the task of some rows alone, scaled anew.

        Parameters
        ----------
        rows : ndarray of int
            Positions.
        """
        part = self.subset(rows)
        scaled, scaler = _scaled(part.given_y, part.sample_weight, part.loss)
        return replace(part, y=scaled, scaler=scaler)

    def continued(self, scaler: TargetScaler | MeanScaler) -> Regression:
        """Return the task with the scale of an earlier one, for networks of that.

        Parameters
        ----------
        scaler : TargetScaler or MeanScaler
            Its range is widened to hold these numbers too, but for those of rows
            without weight.
        """
        columns = self.given_y.reshape(self.n_rows, -1)
        if columns.shape[1] != len(scaler.scale_):
            # The form of the target is checked where the first one is known.
            return self
        weights = self.sample_weight
        widened = scaler.widened(columns if weights is None else columns[weights > 0])
        return replace(
            self, y=widened.transform(columns).astype(np.float32), scaler=widened
        )

    def split(
        self, settings: SplitSettings, random_state: int
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Split the rows into training and validation.

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
        # One stratum of all rows.
        one_stratum = np.zeros(self.n_rows, dtype=np.int64)
        return settings.split(one_stratum, random_state, stratum=None)

    def metric(self, scoring: Scoring, X: Any, rows: np.ndarray) -> RegressionMetric:
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
        measures = PoissonMetric if self.loss == "poisson" else RegressionMetric
        return measures(scoring, self.subset(rows), seen)

    def attributes(self) -> dict[str, Any]:
        """Return what a fitted regressor publishes about its target."""
        return {"target_scaler_": self.scaler}


def _scaled(
    given: np.ndarray, sample_weight: np.ndarray | None, loss: str
) -> tuple[np.ndarray, TargetScaler | MeanScaler]:
    """Return the scaled target, with what scaled it."""
    # (n_rows, n_targets), also where there is one number per row.
    columns = given.reshape(len(given), -1)
    # The logarithm of a mean is the mean of no logarithms: nothing is compressed.
    scaler = MeanScaler() if loss == "poisson" else TargetScaler()
    scaler.fit(columns, sample_weight)
    return scaler.transform(columns).astype(np.float32), scaler


def _has_dates(y: Any) -> bool:
    """Tell whether a target, or one of its columns, has a dtype of dates."""
    dtypes = list(y.dtypes) if hasattr(y, "columns") else [getattr(y, "dtype", None)]
    return any(getattr(dtype, "kind", "") in "mM" for dtype in dtypes if dtype)


def _no_numbers(estimator: Any, error: Exception) -> ValueError:
    return ValueError(
        f"y of {type(estimator).__name__}.fit must hold numbers: {error}. To predict "
        "labels, use NASMLPClassifier."
    )


def _unit(y: np.ndarray) -> float | np.ndarray:
    """Return what to divide targets by, so that R2 neither overflows nor underflows.

    1 for all targets but those of extreme size.
    """
    largest = np.abs(y).max(axis=0)
    is_extreme = (largest > 0) & ((largest > 1e100) | (largest < 1e-100))
    unit: np.ndarray = np.where(is_extreme, largest, 1.0)
    return unit


class _Predictions(RegressorMixin, BaseEstimator):
    """Numbers already predicted, in the form that a scorer asks for."""

    def __init__(self, predictions: np.ndarray) -> None:
        self.predictions = predictions

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def predict(self, X: object) -> np.ndarray:
        del X
        return self.predictions


class RegressionMetric(ScorerMetric):
    """Scores predicted numbers, which are on the scale of the networks.

    With ``scoring=None`` the score is R2. Candidates are compared by the squared error
    on the networks' scale, relative to that of a constant: but for targets with a heavy
    tail, this is R2 too.

    Parameters
    ----------
    scoring : str, callable or None
        A scorer, in scikit-learn's sense.
    task : Regression
        The validation rows.
    X : array-like or DataFrame of shape (n_validation_rows, n_features), optional
        The rows as the user gave them, which only a callable looks at.
    """

    # The mean of two networks, eight seeds, two lengths of training on concrete,
    # abalone and friedman1: 0.0006 to 0.006, and half of them above this.
    seed_deviation = 0.002

    def __init__(self, scoring: Scoring, task: Regression, X: Any = None) -> None:
        self._unit = _unit(task.given_y) if scoring is None else 1.0
        labels = task.given_y / self._unit
        super().__init__(scoring, "r2", labels, X, task.sample_weight)
        self._task = task
        y = task.y.astype(np.float64)
        self._best_constant = np.average(y, axis=0, weights=self._weights)
        errors = self._errors(self._best_constant, y)
        of_constant = np.average(errors, axis=0, weights=self._weights)
        # Where a target does not vary, errors count as they are.
        self._of_constant = np.where(of_constant > 0, of_constant, 1.0)

    def _of_rows(self, rows: np.ndarray, X: Any) -> RegressionMetric:
        return type(self)(self._scoring, self._task.subset(rows), X)

    def _errors(self, predictions: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return the error of each prediction, on the scale of the networks."""
        errors: np.ndarray = np.square(predictions - y)
        return errors

    def _stand_in(self, predictions: np.ndarray) -> object:
        numbers = self._task.scaler.inverse_transform(predictions) / self._unit
        return _Predictions(numbers if self._labels.ndim == 2 else numbers[:, 0])

    def _guess(self) -> np.ndarray:
        return np.tile(self._best_constant, (len(self._labels), 1))

    def _varied_guess(self) -> np.ndarray:
        # From the least target to the greatest, as networks may.
        return self._task.y

    def score(self, predictions: np.ndarray, rows: np.ndarray | None = None) -> float:
        """Return the score of predicted numbers.

        Parameters
        ----------
        predictions : ndarray of shape (n_validation_rows, n_targets)
            On the scale of the networks.
        rows : ndarray of int, optional
            Positions of the validation rows to count; all by default.
        """
        # Of one row there is no R2; scikit-learn warns and returns NaN.
        if self._scoring is None and len(self._labels) == 1:
            return 1 - self._relative_error(predictions)
        return super().score(predictions, rows)

    def _relative_errors(self, predictions: np.ndarray) -> np.ndarray:
        """Return each row's error, relative to the mean error of a constant."""
        errors = self._errors(predictions, self._task.y) / self._of_constant
        of_rows: np.ndarray = errors.mean(axis=1)
        return of_rows

    def _relative_error(self, predictions: np.ndarray) -> float:
        return self._mean(self._relative_errors(predictions))

    def _own_reward(self, predictions: np.ndarray, score: float) -> float:
        # 1 for perfect predictions, 0 for a constant. Unlike R2, it tells networks
        # apart that are all good.
        del score
        return 1 - min(math.sqrt(self._relative_error(predictions)), _WORST_ERROR)

    def _row_merits(self, predictions: np.ndarray) -> np.ndarray | None:
        if self._scoring is not None:
            return None
        return 1 - self._relative_errors(predictions)


class PoissonMetric(RegressionMetric):
    """Scores predicted means, relative to the mean of the target.

    With ``scoring=None`` the score is R2; candidates are compared by the Poisson
    deviance, relative to that of a constant.

    Parameters
    ----------
    scoring : str, callable or None
        A scorer, in scikit-learn's sense.
    task : Regression
        The validation rows.
    X : array-like or DataFrame of shape (n_validation_rows, n_features), optional
        The rows as the user gave them, which only a callable looks at.
    """

    def _errors(self, predictions: np.ndarray, y: np.ndarray) -> np.ndarray:
        deviances: np.ndarray = kl_div(y, predictions)
        return deviances

    def _guess(self) -> np.ndarray:
        # Networks predict no zero either, which some scorers refuse.
        guess: np.ndarray = np.maximum(super()._guess(), math.exp(LEAST_LOGARITHM))
        return guess

    def _varied_guess(self) -> np.ndarray:
        varied: np.ndarray = np.maximum(self._task.y, math.exp(LEAST_LOGARITHM))
        return varied
