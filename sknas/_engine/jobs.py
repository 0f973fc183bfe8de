"""What goes into a training and what comes out: settings, tables, jobs, results."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sknas._space import Architecture
from sknas._space.candidate import Setting
from sknas._tasks.outputs import OutputLoss
from sknas._typing import Weights

# Decoupled decay, and the strength of an L2 term as in `MLPClassifier`.
_AUTO_ALPHA = {"adamw": 0.3, "adam": 0.0001}


@dataclass(frozen=True)
class TrainingSettings:
    """How a network is trained; the words are those of the estimator's parameters."""

    max_iter: int
    batch_size: int | str
    learning_rate_init: float
    learning_rate: str = "constant"
    solver: str = "adam"
    alpha: float | str = "auto"
    label_smoothing: float = 0.0
    dropout: float = 0.0
    n_iter_no_change: int | None = None
    # Epochs of the learning-rate schedule; a training may be told to end before it.
    schedule_iter: int | None = None
    # Whether large layers may multiply in bfloat16 where the machine is fast at it.
    allow_bfloat16: bool = True

    @property
    def weight_decay(self) -> float:
        """The value of ``alpha``; ``'auto'`` is what suits the solver."""
        return _AUTO_ALPHA[self.solver] if self.alpha == "auto" else float(self.alpha)

    @property
    def stops_early(self) -> bool:
        """Whether the validation rows decide when a training ends."""
        return self.n_iter_no_change is not None

    def whole(self, epochs: int, schedule: int) -> TrainingSettings:
        """Return settings of a training that ends after so many epochs, not before.

        ``schedule`` is how many epochs the schedule of the learning rate is made for.
        """
        return replace(
            self, max_iter=epochs, schedule_iter=schedule, n_iter_no_change=None
        )

    def n_batch_rows(self, n_rows: int) -> int:
        """Return how many rows a batch of a table has.

        With 'auto', about an eighth of the rows, between 16 and 256.
        """
        if isinstance(self.batch_size, str):
            power = int(2.0 ** int(math.log2(max(n_rows / 8, 1))))
            return min(max(power, 16), 256, n_rows)
        return min(int(self.batch_size), n_rows)

    def n_steps(self, n_rows: int) -> int:
        """Return how many optimizer steps all epochs have."""
        return self.max_iter * math.ceil(n_rows / self.n_batch_rows(n_rows))


# What a job may set for its own child: the type of the values, and whether children
# that differ in it are trained in different stacks. All others have a value for each
# child, along the leading axis of a stack.
_JOB_SETTINGS: dict[str, tuple[Callable[[float | str], float | str], bool]] = {
    "learning_rate_init": (float, False),
    "alpha": (float, False),
    "label_smoothing": (float, False),
    "dropout": (float, False),
    "batch_size": (int, True),
    "solver": (str, True),
    "learning_rate": (str, True),
}


@dataclass(frozen=True)
class TrainingData:
    """An encoded table. Without validation rows nothing is measured or stopped early.

    X : float32 array of shape (n_rows, n_features)
    y : array whose first axis is the rows, what ``output`` makes targets of
    sample_weight : array of shape (n_rows,) or None
        Factors of the rows' losses in training, relative to their mean.
    sample_weight_validation : array of shape (n_validation_rows,) or None
        Weights of the validation rows in the means of losses and scores.
    """

    X: np.ndarray
    y: np.ndarray
    output: OutputLoss
    X_validation: np.ndarray | None = None
    y_validation: np.ndarray | None = None
    sample_weight: np.ndarray | None = None
    sample_weight_validation: np.ndarray | None = None


@dataclass(frozen=True)
class TrainingJob:
    """One child to train: its randomness is in the seed, never in the order of jobs.

    ``fold`` says on which of a trainer's tables. ``settings`` take the place of the
    trainer's for this child, and ``epochs`` that of ``max_iter``.
    """

    architecture: Architecture
    seed: int
    inherited: Sequence[Weights | None] | None = None
    fold: int = 0
    settings: tuple[Setting, ...] = ()
    epochs: int | None = None

    def own_settings(self, settings: TrainingSettings) -> TrainingSettings:
        """Return what this child is trained with, given the trainer's settings.

        Raises
        ------
        ValueError
            If there is a setting that a job cannot have.
        """
        changes: dict[str, float | str] = {}
        for name, value in self.settings:
            if name not in _JOB_SETTINGS:
                raise ValueError(
                    f"The settings of a candidate must be among {list(_JOB_SETTINGS)}. "
                    f"Got {name!r} instead."
                )
            convert, _ = _JOB_SETTINGS[name]
            try:
                changes[name] = convert(value)
            except (TypeError, ValueError):
                raise _invalid(name, value) from None
            if not _is_allowed(name, changes[name]):
                raise _invalid(name, value)
        if self.epochs is not None:
            changes["max_iter"] = self.epochs
        # The names and types of the changes are those of the table.
        return replace(settings, **changes) if changes else settings  # type: ignore[arg-type]


def _is_allowed(name: str, value: float | str) -> bool:
    """Tell whether a job may have this value: the rules are the estimator's."""
    if isinstance(value, str):
        choices = {"solver": ("adamw", "adam"), "learning_rate": ("cosine", "constant")}
        return value in choices[name]
    if not math.isfinite(value):
        return False
    if name in ("dropout", "label_smoothing"):
        return 0 <= value < 1
    if name in ("max_iter", "batch_size"):
        return value >= 1
    return value > 0 if name == "learning_rate_init" else value >= 0


def _invalid(name: str, value: float | str) -> ValueError:
    return ValueError(
        f"The setting {name!r} of a candidate must be a value that the parameter of "
        f"the estimator may have, other than 'auto'. Got {value!r} instead."
    )


def shared_settings(settings: TrainingSettings) -> tuple[object, ...]:
    """Return what children must have in common to be trained in one stack."""
    names = (name for name, (_, divides) in _JOB_SETTINGS.items() if divides)
    return tuple(getattr(settings, name) for name in names)


@dataclass(frozen=True)
class TrainingResult:
    """What became of a child.

    Weights and validation results are those of ``best_iter``: the epoch of the
    lowest validation loss where training may stop early, else the last one. An epoch
    that ended in its middle because the time was over counts as one. The time of an
    epoch is shared equally among the children trained in it together.
    """

    architecture: Architecture
    error: str | None  # why it failed
    weights: list[Weights]
    n_rows: int
    n_iter: int
    best_iter: int
    time: float
    loss_curve: list[float]
    validation_scores: list[float]
    validation_loss: float
    # Of shape (n_validation_rows, n_columns), as the output gives them.
    validation_predictions: np.ndarray | None

    @property
    def failed(self) -> bool:
        """Whether there is no network."""
        return self.error is not None


def untrained(job: TrainingJob, n_rows: int, error: str) -> TrainingResult:
    """Return the result of a child that could not be trained at all."""
    return TrainingResult(
        architecture=job.architecture,
        error=error,
        weights=[],
        n_rows=n_rows,
        n_iter=0,
        best_iter=0,
        time=0.0,
        loss_curve=[],
        validation_scores=[],
        validation_loss=math.nan,
        validation_predictions=None,
    )
