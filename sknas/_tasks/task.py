"""What the stages of a fit need to know of a task: what y is, and what follows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias

import numpy as np

from sknas._budget import Budget
from sknas._tasks.outputs import OutputLoss
from sknas._tasks.splits import SplitSettings

#: The name of a scorer, a scorer, or None for the task's own score.
Scoring: TypeAlias = str | Callable[..., float] | None


class ValidationMetric(Protocol):
    """Says how good predictions of the validation rows are, and how sure that is.

    Predictions are what networks predict for the validation rows, in the task's form:
    arrays whose first axis is the rows.
    """

    @property
    def is_accuracy(self) -> bool:
        """Whether the score is the share of rows that are predicted correctly."""

    def restrict(self, rows: np.ndarray) -> ValidationMetric:
        """Return the metric of the validation rows at given positions alone."""

    def check(self) -> None:
        """Raise an error now rather than after training, if there is no score."""

    def score(self, predictions: np.ndarray, rows: np.ndarray | None = None) -> float:
        """Return the score of all validation rows, or of those at given positions."""

    def reward(self, predictions: np.ndarray, score: float) -> float:
        """Return what the strategy is told of predictions with this score."""

    def guess_reward(self) -> float:
        """Return the reward of a network that has learned nothing."""

    def merit(self, predictions: np.ndarray, score: float) -> float:
        """Return what is compared when the best of several networks is chosen."""

    def noise(self, one: np.ndarray, other: np.ndarray, budget: Budget) -> float:
        """Return the standard error of the difference of two merits."""

    def temperature(self, predictions: np.ndarray) -> float:
        """Return what to divide logits by, so that predictions are calibrated."""


class Task(Protocol):
    """The target of one table, encoded, with what follows from what it is."""

    # Properties, because a protocol's plain attributes would have to be writable, and
    # tasks are immutable.
    @property
    def y(self) -> np.ndarray:
        """The target in the form that networks are trained on; rows come first."""

    @property
    def sample_weight(self) -> np.ndarray | None:
        """Weights of the rows, of shape (n_rows,); None weights all alike."""

    @property
    def n_rows(self) -> int:
        """How many rows there are."""

    @property
    def output(self) -> OutputLoss:
        """The output layer and its loss, in the engine's form."""

    def representatives(self) -> np.ndarray:
        """Return positions of rows that no sample may lack: two of each class."""

    def subset(self, rows: np.ndarray) -> Task:
        """Return the same task with some of its rows."""

    def restrict(self, rows: np.ndarray) -> Task:
        """Return what the task would have been with some of the rows alone."""

    def split(
        self, settings: SplitSettings, random_state: int
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return positions of training and of validation rows, a pair per split."""

    def metric(self, scoring: Scoring, X: Any, rows: np.ndarray) -> ValidationMetric:
        """Return the metric of some rows of the table X, as the user gave it."""

    def attributes(self) -> Mapping[str, Any]:
        """Return what a fitted estimator publishes about the target."""
