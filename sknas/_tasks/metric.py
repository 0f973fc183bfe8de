"""Validation scores by scikit-learn's scorers, rewards, and how noisy they are."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import get_scorer

from sknas._sklearn import safe_indexing
from sknas._tasks.calibration import best_temperature, true_log_probabilities
from sknas._tasks.task import Scoring, ValidationMetric

# The noise of a scorer is measured on resamples. Thirty resamples estimate it to within
# a seventh, and resamples of part of the rows suffice: noise falls with the root of
# their number.
_N_RESAMPLES = 30
_MAX_RESAMPLED_ROWS = 1000
# Weights of the mean log-probability of the true classes beside the accuracy. Of
# twelve trainings (three architectures, four lengths) of fourteen tables, those chosen
# by accuracy were right in 0.894 of the test rows, by log-probability in 0.889; for
# ranking children, of which fewer rows and epochs tell, both together serve best.
_CHOICE_CERTAINTY = 0.05
# Standard deviation of the accuracy of networks that differ in their seeds alone: the
# mean of two networks each of 150 finalists on eight tables, on the same test rows.
_SEED_DEVIATION = 0.0014
_REWARD_CERTAINTY = 0.5


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


class ClassificationMetric(ValidationMetric):
    """Scores predicted probabilities of the validation rows.

    Parameters
    ----------
    scoring : str, callable or None
        A scorer, in scikit-learn's sense. With None the score is the accuracy, and
        the mean log-probability given to the true class tells apart what the accuracy
        of a few hundred rows cannot. With a scorer the reward is the score.
    classes : ndarray of shape (n_classes,)
        Labels.
    y : ndarray of shape (n_validation_rows,)
        Class codes.
    X : array-like or DataFrame of shape (n_validation_rows, n_features), optional
        The rows as the user gave them, which only a callable looks at.

    Notes
    -----
    A class of one row has no validation row. A scorer with a name is then given
    probabilities of the other classes alone, normalised to a sum of 1; a callable gets
    those of all classes.
    """

    def __init__(
        self, scoring: Scoring, classes: np.ndarray, y: np.ndarray, X: Any = None
    ) -> None:
        self._scoring = scoring
        self._scorer = get_scorer("accuracy" if scoring is None else scoring)
        self._classes = classes
        self._X = X if callable(scoring) else np.empty(len(y))
        self._y = y
        present = np.unique(y)
        self._lacks_classes = len(present) < len(classes)
        self._measured = np.arange(len(classes)) if callable(scoring) else present

    @property
    def is_accuracy(self) -> bool:
        """Whether the score is the share of rows that are predicted correctly."""
        return self._scoring in (None, "accuracy")

    def check(self) -> None:
        """Fail now rather than after training, if the scorer does not fit the target.

        Raises
        ------
        ValueError
            If a scorer with a name fails on a guess, or a scorer has no value on it.
        Exception
            What a callable raised, with a note on what a scorer should be.
        """
        try:
            score = self._guess_score()
            # Each class is predicted somewhere, as networks may.
            varied = np.eye(len(self._classes))[
                np.arange(len(self._y)) % len(self._classes)
            ]
            self._score_silently((varied + self._guess()) / 2)
        except Exception as error:
            if callable(self._scoring):
                error.add_note(
                    f"This was raised by scoring={self._scoring!r}, before any "
                    "training. A callable must have the signature scorer(estimator, "
                    "X, y) and return a number, as make_scorer makes it of a metric."
                )
                raise
            raise ValueError(
                f"scoring={self._scoring!r} cannot be computed on this target with "
                f"{len(self._classes)} classes{self._lack()}: {error}"
            ) from error
        if not math.isfinite(score):
            raise ValueError(
                f"scoring={self._scoring!r} is {score} on the {len(self._y)} "
                f"validation rows{self._lack()}. Choose another metric or a larger "
                "validation_fraction."
            )

    def _lack(self) -> str:
        if not self._lacks_classes:
            return ""
        n_present = len(np.unique(self._y))
        return f", of which {n_present} have validation rows"

    def _guess(self) -> np.ndarray:
        n_classes = len(self._classes)
        return np.full((len(self._y), n_classes), 1 / n_classes)

    def _score_silently(self, probabilities: np.ndarray) -> float:
        # A metric may well be undefined, and warn, where everything is one class.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self.score(probabilities)

    def _guess_score(self) -> float:
        return self._score_silently(self._guess())

    def guess_reward(self) -> float:
        """Return the reward of a network that has learned nothing."""
        return self.reward(self._guess(), self._guess_score())

    def score(self, predictions: np.ndarray, rows: np.ndarray | None = None) -> float:
        """Return the score of predicted probabilities.

        Parameters
        ----------
        predictions : ndarray of shape (n_validation_rows, n_classes)
            Probabilities.
        rows : ndarray of int, optional
            Positions of the validation rows to count; all by default.
        """
        X, y = self._X, self._y
        if rows is not None:
            X, y = safe_indexing(X, rows), y[rows]
            predictions = predictions[rows]
        if self.is_accuracy:
            return float((predictions.argmax(axis=1) == y).mean())
        model = _Predictions(self._classes, predictions, self._measured)
        labels = self._classes[y]
        if not self._lacks_classes or callable(self._scoring):
            return float(self._scorer(model, X, labels))
        # A warning about predicted classes without rows would not be useful.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return float(self._scorer(model, X, labels))

    def reward(self, predictions: np.ndarray, score: float) -> float:
        """Return what the strategy is told: more is better.

        Parameters
        ----------
        predictions : ndarray of shape (n_validation_rows, n_classes)
            Probabilities.
        score : float
            Their score.
        """
        if self._scoring is not None:
            return score
        return score + _REWARD_CERTAINTY * float(self._certainty(predictions).mean())

    def merit(self, predictions: np.ndarray, score: float) -> float:
        """Return what is compared when the best of several networks is chosen.

        It is the score; without `scoring`, accuracies that are equal or nearly so are
        told apart by the mean log-probability of the true classes at the temperature
        that suits each candidate: long training makes networks over-confident, which
        costs log loss but no accuracy.

        Parameters
        ----------
        predictions : ndarray of shape (n_validation_rows, n_classes)
            Probabilities.
        score : float
            Their score.
        """
        return (
            float(self._row_merits(predictions).mean()) if self.is_accuracy else score
        )

    def noise(self, one: np.ndarray, other: np.ndarray) -> float:
        """Return the standard error of the difference of two merits.

        An accuracy is a mean over rows, and so is a difference of two. Other scores are
        computed on resamples of the rows, which hold each class in proportion, so that
        a metric that has a value on the rows has one on each resample.

        Parameters
        ----------
        one, other : ndarray of shape (n_validation_rows, n_classes)
            Probabilities.

        Returns
        -------
        float
            Over draws of the validation rows, and for accuracies of the seeds too.
        """
        if not self.is_accuracy:
            return self._resampled_noise(one, other)
        differences = self._row_merits(one) - self._row_merits(other)
        # Other seeds would have given other networks, of other accuracies.
        variance = differences.var() / len(self._y) + 2 * _SEED_DEVIATION**2
        return math.sqrt(variance)

    def _resampled_noise(self, one: np.ndarray, other: np.ndarray) -> float:
        share = min(_MAX_RESAMPLED_ROWS / len(self._y), 1.0)
        by_class = [np.flatnonzero(self._y == code) for code in np.unique(self._y)]
        sizes = [max(round(share * len(rows)), 1) for rows in by_class]
        # A seed of no consequence: another one would give nearly the same noise.
        generator = np.random.default_rng(0)
        differences = []
        for _ in range(_N_RESAMPLES):
            rows = np.concatenate(
                [
                    generator.choice(rows, size)
                    for rows, size in zip(by_class, sizes, strict=True)
                ]
            )
            differences.append(self.score(one, rows) - self.score(other, rows))
        # Variances are inversely proportional to the number of rows.
        scale = sum(sizes) / len(self._y)
        return float(np.std(differences, ddof=1)) * math.sqrt(scale)

    def _row_merits(self, predictions: np.ndarray) -> np.ndarray:
        """Return what each row adds to the merit: merits are their means."""
        is_right = (predictions.argmax(axis=1) == self._y).astype(np.float64)
        if self._scoring is None:
            is_right += _CHOICE_CERTAINTY * self._certainty(predictions)
        merits: np.ndarray = is_right
        return merits

    def _certainty(self, predictions: np.ndarray) -> np.ndarray:
        """Return log-probabilities of the true classes, at the best temperature."""
        temperature = self.temperature(predictions)
        return true_log_probabilities(predictions, self._y, temperature)

    def temperature(self, predictions: np.ndarray) -> float:
        """Return the temperature of the least log loss on the validation rows.

        Parameters
        ----------
        predictions : ndarray of shape (n_validation_rows, n_classes)
            Probabilities.
        """
        return best_temperature(predictions, self._y)
