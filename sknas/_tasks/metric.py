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
# Weights of the mean log-probability of the true classes beside the accuracy. Of
# twelve trainings (three architectures, four lengths) of fourteen tables, those chosen
# by accuracy were right in 0.894 of the test rows, by log-probability in 0.889; for
# ranking children, of which fewer rows and epochs tell, both together serve best.
_CHOICE_CERTAINTY = 0.05
_REWARD_CERTAINTY = 0.5
# Probability that the bound of the score does not hold.
_BOUND_FAILS = 0.05
# Standard errors by which an incumbent has to be beaten.
_INCUMBENT_ERRORS = 0.5


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
        the mean log-probability given to the true class tells apart what the accuracy
        of a few hundred rows cannot. With a scorer the reward is the score.
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
        self._is_default = scoring is None
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
        n_classes = len(self._classes)
        guess = np.full((len(self._y), n_classes), 1 / n_classes)
        return self.reward(guess, self._guess_score())

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

    def reward(self, probabilities: np.ndarray, score: float) -> float:
        """Return what the strategy is told: more is better.

        Parameters
        ----------
        probabilities : ndarray of shape (n_validation_rows, n_classes)
            Of the validation rows.
        score : float
            Their score.
        """
        if not self._is_default:
            return score
        return score + _REWARD_CERTAINTY * self._certainty(
            apply_temperature(probabilities, self.temperature(probabilities)), None
        )

    def best(
        self,
        candidates: list[np.ndarray],
        incumbent: int | None,
    ) -> int:
        """Choose one of several predictions.

        What is compared is the score; without `scoring`, accuracies that are equal or
        nearly so are told apart by the mean log-probability of the true classes at the
        temperature that suits each candidate: long training makes networks
        over-confident, which costs log loss but no accuracy. The best is chosen; but
        the incumbent, if it falls short by no more than half the standard error of the
        difference, measured on bootstrap resamples of the validation rows. These hold
        each class as often as the rows do, so that a metric that has a value on the
        rows has one on each resample.

        Parameters
        ----------
        candidates : list of ndarray of shape (n_validation_rows, n_classes)
            Probabilities.
        incumbent : int or None
            Position of the candidate that is not to be beaten by luck.

        Returns
        -------
        int
            Position of the choice.
        """
        if self._is_default:
            candidates = [apply_temperature(p, self.temperature(p)) for p in candidates]
        values = np.array([self._merit(p, None) for p in candidates])
        if not np.isfinite(values).any():
            return 0
        best = int(np.nanargmax(values))
        if incumbent in (None, best) or not math.isfinite(values[incumbent]):
            return best
        by_class = [np.flatnonzero(self._y == code) for code in np.unique(self._y)]
        # A seed of no consequence: another one would give nearly the same noise.
        generator = np.random.default_rng(0)
        differences = []
        for _ in range(_N_RESAMPLES):
            rows = np.concatenate(
                [generator.choice(rows, len(rows)) for rows in by_class]
            )
            ours, theirs = (self._merit(candidates[i], rows) for i in (best, incumbent))
            differences.append(ours - theirs)
        noise = _INCUMBENT_ERRORS * float(np.nanstd(differences))
        return best if values[best] - values[incumbent] > noise else incumbent

    def temperature(self, probabilities: np.ndarray) -> float:
        """Return the temperature of the least log loss on the validation rows.

        Parameters
        ----------
        probabilities : ndarray of shape (n_validation_rows, n_classes)
            Of the validation rows.
        """
        return best_temperature(probabilities, self._y)

    def lower_bound(self, score: float, n_candidates: int, n_splits: int) -> float:
        """Return what the score of the choice exceeds in truth, with probability 0.95.

        By Hoeffding's inequality, with a union over all candidates and splits (paper,
        appendix B.3). It holds for accuracies alone.

        Parameters
        ----------
        score : float
            Validation accuracy of the choice.
        n_candidates : int
            Of how many it was chosen.
        n_splits : int
            Into how many equal parts, each with networks of its own, the rows fall.

        Returns
        -------
        float
            NaN where the score is not an accuracy.
        """
        if self._scoring not in (None, "accuracy"):
            return math.nan
        n_rows = len(self._y) / n_splits
        n_measured = n_candidates * n_splits
        deviation = math.sqrt(math.log(n_measured / _BOUND_FAILS) / (2 * n_rows))
        return max(score - deviation, 0.0)

    def _merit(self, probabilities: np.ndarray, rows: np.ndarray | None) -> float:
        """Return what is compared of candidates at their temperatures."""
        merit = self.score(probabilities, rows)
        if self._is_default:
            merit += _CHOICE_CERTAINTY * self._certainty(probabilities, rows)
        return merit

    def _certainty(self, probabilities: np.ndarray, rows: np.ndarray | None) -> float:
        """Return the mean log-probability of the true classes."""
        if rows is None:
            rows = np.arange(len(self._y))
        truth = probabilities[rows, self._y[rows]]
        return float(np.log(np.maximum(truth, np.finfo(np.float64).tiny)).mean())


def best_temperature(probabilities: np.ndarray, y: np.ndarray) -> float:
    """Find the temperature at which probabilities have the least log loss.

    Parameters
    ----------
    probabilities : ndarray of shape (n_rows, n_classes)
        Of rows that were not trained on.
    y : ndarray of shape (n_rows,)
        Class codes.

    Returns
    -------
    float
        What to divide log-probabilities by: above 1 where they are over-confident.
        Between 1/8 and 8.
    """
    rows = np.arange(len(y))

    def log_loss(log_temperature: float) -> float:
        log_p = _at_temperature(probabilities, math.exp(log_temperature))
        return -float(log_p[rows, y].mean())

    bound = math.log(8)
    best = minimize_scalar(log_loss, bounds=(-bound, bound), method="bounded").x
    return math.exp(best)


def apply_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Sharpen (below 1) or soften (above 1) probabilities."""
    softened: np.ndarray = np.exp(_at_temperature(probabilities, temperature))
    return softened


def _at_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    log_p = np.log(np.maximum(probabilities, np.finfo(np.float64).tiny))
    scaled: np.ndarray = log_softmax(log_p / temperature, axis=1)
    return scaled
