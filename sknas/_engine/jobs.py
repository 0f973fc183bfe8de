"""What goes into a training and what comes out: settings, tables, jobs, results."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from sknas._space import Architecture
from sknas._space.candidate import Setting
from sknas._typing import Matrix, Weights

# States of optimizers are stored with estimators, and are read without torch.
if TYPE_CHECKING:
    from sknas._tasks.outputs import OutputLoss

NOT_FINITE = "a loss that is NaN or infinite"
# Strength of an L2 term, and the least improvement, as in `MLPClassifier`.
_AUTO_PENALTY = 0.0001
_AUTO_TOL = 0.0001
# With an adaptive learning rate: how many epochs without an improvement there are
# before it is divided, and by what.
_PLATEAU_EPOCHS = 2
_PLATEAU_DIVISOR = 5.0


@dataclass(frozen=True)
class OptimizerSettings:
    """What decides an optimizer's steps: children who share it are moved together.

    ``weight_decay`` is a number here. The learning rate follows the schedule over
    ``schedule_iter`` epochs, and training ends after ``max_iter`` of them.
    """

    solver: str
    learning_rate_init: float
    learning_rate: str
    weight_decay: float
    max_iter: int
    schedule_iter: int
    beta_1: float
    beta_2: float
    epsilon: float
    momentum: float
    nesterovs_momentum: bool
    power_t: float


@dataclass(frozen=True)
class TrainingSettings:
    """How a network is trained; the words are those of the estimator's parameters.

    Fields that are parameters have no default: the only one is the estimator's. Those
    that are parameters of `MLPClassifier` alone have its defaults, here and nowhere
    else.
    """

    max_iter: int
    batch_size: int | str
    learning_rate_init: float
    learning_rate: str
    solver: str
    alpha: float | str
    label_smoothing: float
    dropout: float
    n_iter_no_change: int | None
    # What `alpha='auto'` is where weight decay is decoupled: it depends on the task.
    auto_decay: float
    # Whether every epoch has an order of the rows of its own, not that of the table.
    shuffle: bool = True
    # Of Adam: how much of its averages a step keeps, and what it adds to the root.
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    # Of gradient descent: how much of its velocity a step keeps, whether it looks ahead
    # along that, and the exponent of the epoch with 'invscaling'.
    momentum: float = 0.9
    nesterovs_momentum: bool = True
    power_t: float = 0.5
    # Of L-BFGS: after how many evaluations of the loss no further iteration begins.
    max_fun: int = 15000
    # How much a loss must fall to have improved. None is 0 for the patience with the
    # validation loss, and `MLPClassifier`'s 1e-4 for all else.
    tol: float | None = None
    # Epochs of the learning-rate schedule, of which the training may be a part; None is
    # `max_iter`.
    schedule_iter: int | None = None
    # Whether large layers may multiply in bfloat16 where the machine is fast at it.
    allow_bfloat16: bool = True
    # Whether results say where the optimizer stands, so that others can go on from it.
    keeps_state: bool = False

    @property
    def weight_decay(self) -> float:
        """The value of ``alpha``; ``'auto'`` is what suits the solver."""
        if self.alpha != "auto":
            return float(self.alpha)
        return self.auto_decay if self.solver == "adamw" else _AUTO_PENALTY

    @property
    def optimizer(self) -> OptimizerSettings:
        """The part that the optimizer sees."""
        return OptimizerSettings(
            self.solver,
            self.learning_rate_init,
            self.learning_rate,
            self.weight_decay,
            self.max_iter,
            self.schedule_iter or self.max_iter,
            self.beta_1,
            self.beta_2,
            self.epsilon,
            self.momentum,
            self.nesterovs_momentum,
            self.power_t,
        )

    @property
    def validation_tol(self) -> float:
        """How much the validation loss must fall, so that patience does not run out."""
        return 0.0 if self.tol is None else self.tol

    @property
    def training_tol(self) -> float:
        """How much the training loss must fall."""
        return _AUTO_TOL if self.tol is None else self.tol

    @property
    def is_stochastic(self) -> bool:
        """Whether children step together, from batch to batch."""
        return self.solver != "lbfgs"

    @property
    def adapts(self) -> bool:
        """Whether the learning rate follows from the training loss."""
        # Only gradient descent has this schedule, as in `MLPClassifier`.
        return self.solver == "sgd" and self.learning_rate == "adaptive"

    @property
    def stack_key(self) -> tuple[object, ...]:
        """What the children of a stack have in common.

        They see the same batches and take the same kind of step. All else has a value
        for each child, along the leading axis of the stack.
        """
        return self.batch_size, self.solver, self.learning_rate

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

        With 'auto', about an eighth of the rows, between 16 and 256. L-BFGS takes all.
        """
        if not self.is_stochastic:
            return n_rows
        if isinstance(self.batch_size, str):
            # The power of two below an eighth of the rows.
            power = int(2.0 ** int(math.log2(max(n_rows / 8, 1))))
            return min(max(power, 16), 256, n_rows)
        return min(self.batch_size, n_rows)

    def n_steps(self, n_rows: int) -> int:
        """Return how many optimizer steps all epochs have."""
        # The last batch of an epoch is smaller, but a step like the others.
        return self.max_iter * math.ceil(n_rows / self.n_batch_rows(n_rows))


@dataclass(frozen=True)
class TrainingData:
    """An encoded table. Without validation rows nothing is measured or stopped early.

    X : float32 array of shape (n_rows, n_features), or a csr_array of it
    y : array whose first axis is the rows, what ``output`` makes targets of
    sample_weight : array of shape (n_rows,) or None
        Factors of the rows' losses in training, relative to their mean.
    sample_weight_validation : array of shape (n_validation_rows,) or None
        Weights of the validation rows in the means of losses and scores.
    """

    X: Matrix
    y: np.ndarray
    # Makes targets of y, and losses and gradients of logits and targets.
    output: OutputLoss
    X_validation: Matrix | None = None
    y_validation: np.ndarray | None = None
    sample_weight: np.ndarray | None = None
    sample_weight_validation: np.ndarray | None = None

    @property
    def n_rows(self) -> int:
        """How many rows there are to train on."""
        return int(self.X.shape[0])

    @property
    def density(self) -> float:
        """Share of the values that are stored: 1 of a dense table."""
        if isinstance(self.X, np.ndarray):
            return 1.0
        return float(self.X.nnz / max(math.prod(self.X.shape), 1))


@dataclass(frozen=True)
class Plateau:
    """How an adaptive learning rate stands: it is divided where the loss stays.

    Attributes
    ----------
    factor : float
        Of the learning rate.
    best_loss : float
        The lowest training loss of an epoch so far.
    n_failed : int
        Epochs in a row that have not lowered it by ``tol``.
    """

    factor: float = 1.0
    best_loss: float = math.inf
    n_failed: int = 0

    def after(self, loss: float, tol: float) -> Plateau:
        """Return what it is after another epoch."""
        n_failed = self.n_failed + 1 if loss > self.best_loss - tol else 0
        best_loss = min(loss, self.best_loss)
        if n_failed < _PLATEAU_EPOCHS:
            return Plateau(self.factor, best_loss, n_failed)
        return Plateau(self.factor / _PLATEAU_DIVISOR, best_loss)


@dataclass(frozen=True)
class OptimizerState:
    """Where the optimizer of a child stands; with its weights, all that it knows.

    Attributes
    ----------
    solver : str
        Whose moments these are: no other optimizer can go on with them.
    n_steps, n_iter : int
        Steps and epochs so far.
    moments : tuple of list of (weights, bias)
        In the layout of the child's weights: of Adam the averages of its gradients
        and of their squares, of gradient descent its velocity.
    plateau : Plateau
        Of an adaptive learning rate.
    """

    solver: str
    n_steps: int
    n_iter: int
    moments: tuple[list[Weights], ...]
    plateau: Plateau = Plateau()


@dataclass(frozen=True)
class TrainingJob:
    """One child to train: its randomness is in the seed, never in the order of jobs.

    ``fold`` says on which of a trainer's tables. ``settings`` are those of a
    `Candidate`, which has checked them: they take the place of the trainer's for this
    child, and ``epochs`` that of ``max_iter``. ``state`` is of the training that the
    inherited weights are from, if this one goes on with it. After each epoch, training
    is stopped if the validation score is less than the one of ``hopeless_below``.
    """

    architecture: Architecture
    seed: int
    inherited: Sequence[Weights | None] | None = None
    fold: int = 0
    settings: tuple[Setting, ...] = ()
    epochs: int | None = None
    state: OptimizerState | None = None
    hopeless_below: tuple[float, ...] = ()

    @property
    def steps_before(self) -> tuple[int, int]:
        """Steps and epochs of the training that this one goes on with.

        The children of a stack have them in common, since they step together.
        """
        return (0, 0) if self.state is None else (self.state.n_steps, self.state.n_iter)

    def own_settings(self, settings: TrainingSettings) -> TrainingSettings:
        """Return what this child is trained with, given the trainer's settings."""
        # Their names are those of fields.
        changes: dict[str, Any] = dict(self.settings)
        if self.epochs is not None:
            changes["max_iter"] = self.epochs
        return replace(settings, **changes) if changes else settings


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
    weights: list[Weights]  # none if it failed
    n_rows: int  # trained on
    n_iter: int
    best_iter: int
    time: float  # seconds
    # A value for each epoch; of L-BFGS, there is the last score alone.
    loss_curve: list[float]
    validation_scores: list[float]
    validation_loss: float
    # Of shape (n_validation_rows, n_columns), as the output gives them.
    validation_predictions: np.ndarray | None
    # Of the same epoch as the weights, where it was asked for.
    state: OptimizerState | None = None
    # Whether its scores were hopeless.
    is_stopped: bool = False

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
