"""Validation scores by scikit-learn's scorers, rewards, and how noisy they are."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import get_scorer

from sknas._sklearn import safe_indexing

_N_RESAMPLES = 100


class _Predictions(ClassifierMixin, BaseEstimator):
    """Probabilities already computed, in the form that a scorer asks for."""

    def __init__(self, classes: np.ndarray, probabilities: np.ndarray) -> None:
        self.classes = classes
        self.probabilities = probabilities

    def __sklearn_is_fitted__(self) -> bool:
        return True

    @property
    def classes_(self) -> np.ndarray:
        return self.classes

    def predict(self, X: object) -> np.ndarray:
        del X
        predicted: np.ndarray = self.classes[self.probabilities.argmax(axis=1)]
        return predicted

    def predict_proba(self, X: object) -> np.ndarray:
        del X
        return self.probabilities


class ValidationMetric:
    """Scores children on the validation rows.

    Parameters
    ----------
    scoring : str, callable or None
        A scorer, in scikit-learn's sense. With None the score is the accuracy, and
        the reward ``exp(-log loss)``, the geometric mean of the probability given to
        the true class, which ranks architectures better than the accuracy of a few
        hundred rows. With a scorer the reward is the score.
    classes : ndarray of shape (n_classes,)
        Labels.
    X : array-like of shape (n_validation_rows, n_features)
        The rows as the user gave them, for scorers that look at them.
    y : ndarray of shape (n_validation_rows,)
        Class codes.
    """

    def __init__(
        self,
        scoring: str | Callable[..., float] | None,
        classes: np.ndarray,
        X: Any,
        y: np.ndarray,
    ) -> None:
        self._by_loss = scoring is None
        self._scorer = get_scorer("accuracy" if scoring is None else scoring)
        self._scoring = scoring
        self._classes = classes
        # A scorer with a name does not look at X; copies of it would cost.
        self._X = X if callable(scoring) else np.arange(len(y))
        self._y = y

    def check(self) -> None:
        """Fail now rather than after training, if the scorer does not fit the target.

        Raises
        ------
        ValueError
            If the scorer fails, or has no value, on a guess.
        """
        n_classes = len(self._classes)
        try:
            score = self._guess_score()
        except Exception as error:
            raise ValueError(
                f"scoring={self._scoring!r} cannot be computed on this target with "
                f"{n_classes} classes: {error} (A callable must have the signature "
                "scorer(estimator, X, y), as make_scorer gives it to a metric.)"
            ) from error
        if not math.isfinite(score):
            raise ValueError(
                f"scoring={self._scoring!r} is {score} on the {len(self._y)} "
                "validation rows. Choose another metric or a larger "
                "validation_fraction."
            )

    def _guess_score(self) -> float:
        n_classes = len(self._classes)
        guess = np.full((len(self._y), n_classes), 1 / n_classes)
        # A metric may well be undefined, and warn, where everything is one class.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self.score(guess)

    def guess_reward(self) -> float:
        """Return the reward of a network that has learned nothing."""
        return self.reward(self._guess_score(), math.log(len(self._classes)))

    def score(self, probabilities: np.ndarray, rows: np.ndarray | None = None) -> float:
        """Return the score of predicted probabilities.

        Parameters
        ----------
        probabilities : ndarray of shape (n_validation_rows, n_classes)
            Of the validation rows.
        rows : ndarray of int, optional
            Positions of the validation rows to count; all by default.
        """
        X, y = self._X, self._y
        if rows is not None:
            X, y = safe_indexing(X, rows), y[rows]
            probabilities = probabilities[rows]
        predictions = _Predictions(self._classes, probabilities)
        return float(self._scorer(predictions, X, self._classes[y]))

    def reward(self, score: float, loss: float) -> float:
        """Return what the strategy is told: more is better."""
        return math.exp(-loss) if self._by_loss else score

    def equals_of_best(
        self, candidates: list[np.ndarray], generator: np.random.Generator
    ) -> list[int]:
        """Find the best of several predictions and those no worse within the noise.

        What is compared is the score, or without `scoring` the mean log-probability of
        the true classes at the temperature that suits each candidate: long training
        makes networks over-confident, which costs log loss but no accuracy. A
        candidate equals the best if it falls short by no more than the standard error
        of the difference, measured on bootstrap resamples of the validation rows.
        These hold each class as often as the rows do, so that a metric that has a
        value on the rows has one on each resample.

        Parameters
        ----------
        candidates : list of ndarray of shape (n_validation_rows, n_classes)
            Probabilities.
        generator : numpy.random.Generator
            Draws the resamples.

        Returns
        -------
        list of int
            Positions of all that equal the best, itself included.
        """
        if self._by_loss:
            candidates = [_tempered(p, self._y) for p in candidates]
        values = np.array([self._merit(p, None) for p in candidates])
        if not np.isfinite(values).any():
            return [0]
        best = int(np.nanargmax(values))
        by_class = [np.flatnonzero(self._y == code) for code in np.unique(self._y)]
        resamples = [
            np.concatenate([generator.choice(rows, len(rows)) for rows in by_class])
            for _ in range(_N_RESAMPLES)
        ]
        best_resampled = [self._merit(candidates[best], rows) for rows in resamples]
        equals = [best]
        for position, candidate in enumerate(candidates):
            if position == best or not math.isfinite(values[position]):
                continue
            resampled = [self._merit(candidate, rows) for rows in resamples]
            noise = np.nanstd(np.subtract(best_resampled, resampled))
            if values[best] - values[position] <= noise:
                equals.append(position)
        return equals

    def _merit(self, probabilities: np.ndarray, rows: np.ndarray | None) -> float:
        if not self._by_loss:
            return self.score(probabilities, rows)
        if rows is None:
            rows = np.arange(len(self._y))
        truth = probabilities[rows, self._y[rows]]
        return float(np.log(np.maximum(truth, np.finfo(np.float64).tiny)).mean())


def _tempered(probabilities: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Sharpen or soften probabilities until the log loss is least."""
    log_p = np.log(np.maximum(probabilities, np.finfo(np.float64).tiny))

    def tempered(log_temperature: float) -> np.ndarray:
        scaled: np.ndarray = log_softmax(log_p / math.exp(log_temperature), axis=1)
        return scaled

    def log_loss(log_temperature: float) -> float:
        return -float(tempered(log_temperature)[np.arange(len(y)), y].mean())

    best = minimize_scalar(log_loss, bounds=(-2, 2), method="bounded").x
    softened: np.ndarray = np.exp(tempered(best))
    return softened
