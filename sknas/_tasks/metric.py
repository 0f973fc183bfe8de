"""Validation scores by scikit-learn's scorers, rewards, and how noisy they are."""

from __future__ import annotations

import inspect
import math
import warnings
from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.metrics import get_scorer

from sknas._budget import Budget
from sknas._sklearn import safe_indexing
from sknas._tasks.task import Scoring, ValidationMetric

_UNLIMITED = Budget()
# The noise of a scorer is measured on resamples. Thirty resamples estimate it to within
# a seventh, and resamples of part of the rows suffice: noise falls with the root of
# their number.
_N_RESAMPLES = 30
_MAX_RESAMPLED_ROWS = 1000


class ScorerMetric(ValidationMetric):
    """Scores what networks predict for the validation rows.

    A subclass says what a guess predicts, what a scorer is shown in place of a fitted
    estimator, and, for scores that are means over the rows, what each row adds.

    Parameters
    ----------
    scoring : str, callable or None
        A scorer, in scikit-learn's sense. With None the task has a score, a reward and
        a figure of merit of its own; with a scorer, its value serves for all three.
    default : str
        The scorer that stands for None.
    y : ndarray of shape (n_validation_rows,) or (n_validation_rows, n_outputs)
        The target as the user gave it, which scorers are called with.
    X : array-like or DataFrame of shape (n_validation_rows, n_features), optional
        The rows as the user gave them, which only a callable looks at.
    sample_weight : ndarray of shape (n_validation_rows,), optional
        Weights of the rows. Scorers that take no ``sample_weight`` do not see them.
    """

    #: Standard deviation of the merits of networks that differ in their seeds alone.
    seed_deviation = 0.0

    def __init__(
        self,
        scoring: Scoring,
        default: str,
        y: np.ndarray,
        X: Any = None,
        sample_weight: np.ndarray | None = None,
    ) -> None:
        self._scoring = scoring
        self._scorer = get_scorer(default if scoring is None else scoring)
        self._X = X if callable(scoring) else np.empty(len(y))
        self._labels, self._weights = y, sample_weight
        self._passes_weights = sample_weight is not None and _takes_weights(
            self._scorer
        )

    # What a subclass says.

    @abstractmethod
    def _stand_in(self, predictions: np.ndarray) -> object:
        """Return an object that predicts these, for a scorer to ask."""

    @abstractmethod
    def _guess(self) -> np.ndarray:
        """Return what a network that has learned nothing predicts."""

    @abstractmethod
    def _varied_guess(self) -> np.ndarray:
        """Return predictions that differ from row to row, as networks' do."""

    @abstractmethod
    def _own_reward(self, predictions: np.ndarray, score: float) -> float:
        """Return the reward where there is no scorer."""

    @abstractmethod
    def _row_merits(self, predictions: np.ndarray) -> np.ndarray | None:
        """Return what each row adds to the merit, None if it is not a mean of rows."""

    @abstractmethod
    def _of_rows(self, rows: np.ndarray, X: Any) -> ScorerMetric:
        """Return the metric of some of the rows, whose table is X."""

    @property
    def _target(self) -> str:
        """What errors call the target."""
        return "this target"

    @property
    def _rows(self) -> str:
        """What errors call the validation rows."""
        return f"the {len(self._labels)} validation rows"

    def _strata(self) -> list[np.ndarray]:
        """Return groups of rows that each resample holds in proportion."""
        return [np.arange(len(self._labels))]

    # What the stages ask.

    @property
    def is_accuracy(self) -> bool:
        """Whether the score is the share of rows that are predicted correctly."""
        return False

    def restrict(self, rows: np.ndarray) -> ScorerMetric:
        """Return the metric of some of the validation rows alone.

        Parameters
        ----------
        rows : ndarray of int
            Their positions.
        """
        restricted = self._of_rows(rows, safe_indexing(self._X, rows))
        # What `check` may have found out.
        restricted._passes_weights = self._passes_weights
        return restricted

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
            score = self._first_score()
            self._score_silently(self._varied_guess())
        except Exception as error:
            if callable(self._scoring):
                error.add_note(
                    f"This was raised by scoring={self._scoring!r}, before any "
                    "training. A callable must have the signature scorer(estimator, "
                    "X, y) and return a number, as make_scorer makes it of a metric."
                )
                raise
            raise ValueError(
                f"scoring={self._scoring!r} cannot be computed on {self._target}: "
                f"{error}"
            ) from error
        if not math.isfinite(score):
            raise ValueError(
                f"scoring={self._scoring!r} is {score} on {self._rows}. Choose another "
                "metric or a larger validation_fraction."
            )

    def _first_score(self) -> float:
        """Score a guess; a metric may have a parameter for weights but refuse them."""
        try:
            return self._guess_score()
        except Exception:
            if not self._passes_weights:
                raise
        self._passes_weights = False
        return self._guess_score()

    def _score_silently(
        self, predictions: np.ndarray, rows: np.ndarray | None = None
    ) -> float:
        # A metric may well be undefined, and warn, where everything is one class.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self.score(predictions, rows)

    def _guess_score(self) -> float:
        return self._score_silently(self._guess())

    def guess_reward(self) -> float:
        """Return the reward of a network that has learned nothing."""
        return self.reward(self._guess(), self._guess_score())

    def score(self, predictions: np.ndarray, rows: np.ndarray | None = None) -> float:
        """Return the score of predictions.

        Parameters
        ----------
        predictions : ndarray of shape (n_validation_rows, n_columns)
            In the form of the task.
        rows : ndarray of int, optional
            Positions of the validation rows to count; all by default.
        """
        X, labels, weights = self._X, self._labels, self._weights
        if rows is not None:
            X, labels = safe_indexing(X, rows), labels[rows]
            weights = None if weights is None else weights[rows]
            predictions = predictions[rows]
        options = {"sample_weight": weights} if self._passes_weights else {}
        return float(self._scorer(self._stand_in(predictions), X, labels, **options))

    def reward(self, predictions: np.ndarray, score: float) -> float:
        """Return what the strategy is told: more is better.

        Parameters
        ----------
        predictions : ndarray of shape (n_validation_rows, n_columns)
            In the form of the task.
        score : float
            Their score.
        """
        if self._scoring is not None:
            return score
        return self._own_reward(predictions, score)

    def merit(self, predictions: np.ndarray, score: float) -> float:
        """Return what is compared when the best of several networks is chosen.

        Parameters
        ----------
        predictions : ndarray of shape (n_validation_rows, n_columns)
            In the form of the task.
        score : float
            Their score.
        """
        merits = self._row_merits(predictions)
        return score if merits is None else self._mean(merits)

    def noise(
        self, one: np.ndarray, other: np.ndarray, budget: Budget = _UNLIMITED
    ) -> float:
        """Return the standard error of the difference of two merits.

        Merits that are means over the rows differ by a mean over the rows. Other scores
        are computed on resamples of the rows, which hold each class in proportion, so
        that a metric that has a value on the rows has one on each resample.

        Parameters
        ----------
        one, other : ndarray of shape (n_validation_rows, n_columns)
            Predictions.
        budget : Budget, default=unlimited
            When it is at its end, the resamples so far must do.

        Returns
        -------
        float
            Over draws of the validation rows and, where merits are means, of the
            seeds. 0 where nothing could be measured.
        """
        merits, others = self._row_merits(one), self._row_merits(other)
        if merits is None or others is None:
            return self._resampled_noise(one, other, budget)
        differences = merits - others
        deviations = differences - self._mean(differences)
        weights = np.ones(len(deviations)) if self._weights is None else self._weights
        shares = weights / weights.sum()
        # Other seeds would have given other networks, of other merits.
        variance = float((shares**2 * deviations**2).sum())
        return math.sqrt(variance + 2 * self.seed_deviation**2)

    def temperature(self, predictions: np.ndarray) -> float:
        """Return what to divide log-probabilities by; 1 where there are none."""
        del predictions
        return 1.0

    def _mean(self, of_rows: np.ndarray) -> float:
        return float(np.average(of_rows, weights=self._weights))

    def _resampled_noise(
        self, one: np.ndarray, other: np.ndarray, budget: Budget
    ) -> float:
        strata = self._strata()
        n_rows = len(self._labels)
        share = min(_MAX_RESAMPLED_ROWS / n_rows, 1.0)
        sizes = [max(round(share * len(rows)), 1) for rows in strata]
        # A seed of no consequence: another one would give nearly the same noise.
        generator = np.random.default_rng(0)
        differences = []
        for _ in range(_N_RESAMPLES):
            if budget.is_over():
                break
            rows = np.concatenate(
                [
                    generator.choice(rows, size)
                    for rows, size in zip(strata, sizes, strict=True)
                ]
            )
            differences.append(
                self._score_silently(one, rows) - self._score_silently(other, rows)
            )
        # A metric may have no value on a resample. Without any, nothing is known.
        differences = [d for d in differences if math.isfinite(d)]
        if len(differences) < 2:
            return 0.0
        # Variances are inversely proportional to the number of rows.
        scale = sum(sizes) / n_rows
        return float(np.std(differences, ddof=1)) * math.sqrt(scale)


def _takes_weights(scorer: Callable[..., float]) -> bool:
    """Tell whether a scorer, or the metric that it was made of, takes weights."""
    function = getattr(scorer, "_score_func", scorer)
    try:
        return "sample_weight" in inspect.signature(function).parameters
    except ValueError:  # some functions written in C have no signature
        return False
