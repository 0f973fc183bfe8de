"""A stack of children on its way through the epochs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from sknas._device import has_fast_bfloat16, single_thread
from sknas._engine.grouping import cost_model
from sknas._engine.network import Output, SigmoidOutput, SoftmaxOutput, StackedMLP
from sknas._engine.optimizer import StackedAdam
from sknas._engine.recorded_step import RecordedStep
from sknas._space import Architecture
from sknas._typing import Weights


@dataclass(frozen=True)
class TrainingSettings:
    """How a network is trained; the words are those of ``NASMLPClassifier``."""

    max_iter: int
    batch_size: int
    learning_rate_init: float
    learning_rate: str = "constant"
    solver: str = "adam"
    alpha: float = 0.0
    label_smoothing: float = 0.0
    dropout: float = 0.0
    n_iter_no_change: int | None = None
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    # Epochs of the learning-rate schedule; a training may be told to end before it.
    schedule_iter: int | None = None
    # Whether large layers may multiply in bfloat16 where the machine is fast at it.
    allow_bfloat16: bool = True


@dataclass(frozen=True)
class TrainingData:
    """An encoded table. Without validation rows nothing is measured or stopped early.

    X : float32 array of shape (n_rows, n_features)
    y : int64 array of shape (n_rows,), class codes
    sample_weight : float32 array of shape (n_rows,) or None
        Factors of the rows' losses in training, relative to their mean.
    """

    X: np.ndarray
    y: np.ndarray
    n_classes: int
    X_validation: np.ndarray | None = None
    y_validation: np.ndarray | None = None
    sample_weight: np.ndarray | None = None

    def split(self, rows: np.ndarray, validation_rows: np.ndarray) -> TrainingData:
        """Return some rows for training and some for validation."""
        weights = self.sample_weight
        return replace(
            self,
            X=self.X[rows],
            y=self.y[rows],
            X_validation=self.X[validation_rows],
            y_validation=self.y[validation_rows],
            sample_weight=None if weights is None else weights[rows],
        )

    @property
    def n_outputs(self) -> int:
        """One sigmoid unit for two classes, else a softmax unit a class (paper 5.1)."""
        return 1 if self.n_classes == 2 else self.n_classes

    @property
    def output(self) -> Output:
        """The output layer that goes with the classes."""
        return SigmoidOutput if self.n_classes == 2 else SoftmaxOutput


@dataclass(frozen=True)
class TrainingJob:
    """One child to train: its randomness is in the seed, never in the order of jobs.

    ``fold`` says on which of a trainer's tables.
    """

    architecture: Architecture
    seed: int
    inherited: Sequence[Weights | None] | None = None
    fold: int = 0


@dataclass(frozen=True)
class TrainingResult:
    """What became of a child.

    Weights and validation results are those of ``best_iter``: the epoch of the
    lowest validation loss where training may stop early, else the last one. The time
    of an epoch is shared equally among the children trained in it together.
    """

    architecture: Architecture
    failed: bool
    weights: list[Weights]
    n_rows: int
    n_iter: int
    best_iter: int
    time: float
    loss_curve: list[float]
    validation_scores: list[float]
    validation_loss: float
    validation_probabilities: np.ndarray | None


def train_stack(
    data: TrainingData,
    jobs: Sequence[TrainingJob],
    settings: TrainingSettings,
    seed: int,
    device: torch.device,
    max_time: float = math.inf,
    is_cancelled: Callable[[], bool] = bool,
) -> list[TrainingResult]:
    """Train children of one depth together, with one thread.

    Parameters
    ----------
    data : TrainingData
        Encoded rows.
    jobs : sequence of TrainingJob
        For each child its architecture, its seed and what it inherits.
    settings : TrainingSettings
        Optimiser, schedule, regularisation, epochs.
    seed : int
        Decides the order of the rows in each epoch, the same for every child.
    device : torch.device
        Where to train.
    max_time : float, default=math.inf
        Seconds. Where they will not do for all epochs, the schedule of the learning
        rate is hastened so that it ends in time.
    is_cancelled : callable, default=bool
        Asked before each epoch; if it says yes, the results are of no use to anybody.

    Returns
    -------
    list of TrainingResult
        One a job, in their order; arrays on the CPU.
    """
    with single_thread(), torch.no_grad():
        training = _StackTraining(data, jobs, settings, seed, device)
        training.run(max_time, is_cancelled)
        return [training.result(child) for child in training.children]


@dataclass(eq=False)
class _Child:
    """What is known of a child so far."""

    job: TrainingJob
    failed: bool = False
    best_iter: int = 0
    best_loss: float = math.inf
    time: float = 0.0
    loss_curve: list[float] = field(default_factory=list)
    validation_scores: list[float] = field(default_factory=list)
    best_log_probabilities: Tensor | None = None
    weights: list[Weights] = field(default_factory=list)


class _StackTraining:
    """Children of one depth, of which some may end before the others."""

    def __init__(
        self,
        data: TrainingData,
        jobs: Sequence[TrainingJob],
        settings: TrainingSettings,
        seed: int,
        device: torch.device,
    ) -> None:
        self.settings = settings
        self.device = device
        self.output = data.output
        self.n_rows = len(data.X)
        self.X = torch.from_numpy(data.X).to(device)
        self.targets = smooth_targets(data, settings.label_smoothing).to(device)
        self.sample_weight = _relative_weights(data, device)
        self.X_validation = self.y_validation = None
        if data.X_validation is not None and data.y_validation is not None:
            self.X_validation = torch.from_numpy(data.X_validation).to(device)
            self.y_validation = torch.from_numpy(data.y_validation).to(device)
        self.network = StackedMLP(
            [job.architecture for job in jobs],
            data.X.shape[1],
            data.n_outputs,
            dropout=settings.dropout,
            device=device,
            bfloat16=settings.allow_bfloat16 and has_fast_bfloat16(device),
        )
        for position, job in enumerate(jobs):
            self.network.initialize(position, job.seed, job.inherited)
        # The order of the rows comes from the CPU: the same on every device.
        self.order_generator = torch.Generator("cpu").manual_seed(seed)
        self.optimizer = StackedAdam(
            self.network,
            solver=settings.solver,
            alpha=settings.alpha,
            learning_rate=settings.learning_rate,
            learning_rate_init=settings.learning_rate_init,
            beta_1=settings.beta_1,
            beta_2=settings.beta_2,
            epsilon=settings.epsilon,
        )
        self.children = [_Child(job) for job in jobs]
        # Those on the network's leading axis, in its order, and those of them that are
        # not done: to go on with all may be cheaper than to leave some out.
        self.stacked = list(self.children)
        self.active = list(self.children)
        self.reduced_at = cost_model(device).reduced_at
        self.best_parameters: Tensor | None = None
        self._steps: dict[int, _Step] = {}

    def run(self, max_time: float, is_cancelled: Callable[[], bool]) -> None:
        """Train until epochs, time or patience are used up or losses are not finite."""
        max_iter = self.settings.max_iter
        end = max_iter / (self.settings.schedule_iter or max_iter)
        began, progress = time.perf_counter(), 0.0
        for epoch in range(max_iter):
            if is_cancelled():
                return
            start = time.perf_counter()
            n_left = _epochs_left(epoch, max_iter, start - began, max_time)
            if not n_left:
                break
            stride = (end - progress) / n_left
            self._train_epoch(progress, stride)
            progress += stride
            self._measure(epoch + 1)
            seconds = time.perf_counter() - start
            for child in self.active:
                child.time += seconds / len(self.active)
            self._leave_out([child for child in self.active if self._is_done(child)])
            if not self.active:
                return
        self._leave_out(list(self.active))

    def _train_epoch(self, progress: float, stride: float) -> None:
        settings, n_rows = self.settings, self.n_rows
        order = torch.randperm(n_rows, generator=self.order_generator, device="cpu")
        batches = order.to(self.device).split(settings.batch_size)
        for number, rows in enumerate(batches):
            self.optimizer.set_progress(progress + stride * number / len(batches))
            self._step(len(rows)).run(rows)

    def _step(self, n_rows: int) -> _Step:
        if n_rows not in self._steps:
            self._steps[n_rows] = _Step(
                self.network,
                self.optimizer,
                self.output,
                (self.X, self.targets, self.sample_weight),
                n_rows,
            )
        return self._steps[n_rows]

    def _measure(self, n_iter: int) -> None:
        """Read the losses of an epoch, and validate; the one time the host waits."""
        losses = torch.stack([step.take_loss() for step in self._steps.values()])
        figures = [losses.sum(0) / self.n_rows]
        log_p = None
        if self.X_validation is not None and self.y_validation is not None:
            log_p = self.output.log_probabilities(
                self.network.logits(self.X_validation)
            )
            y = self.y_validation.expand(len(log_p), 1, -1)
            figures.append(-log_p.gather(1, y)[:, 0].mean(dim=1))
            figures.append((log_p.argmax(dim=1) == y[:, 0]).float().mean(dim=1))
        rows = torch.stack(figures, dim=1).tolist()
        improved = []
        for position, (child, row) in enumerate(zip(self.stacked, rows, strict=True)):
            if child not in self.active:
                continue
            child.loss_curve.append(row[0])
            child.failed = not all(map(math.isfinite, row))
            if log_p is None:
                child.best_iter = n_iter
                continue
            child.validation_scores.append(row[2])
            if child.failed:
                continue
            if self.settings.n_iter_no_change is None or row[1] < child.best_loss:
                child.best_iter, child.best_loss = n_iter, row[1]
                child.best_log_probabilities = log_p[position].clone()
                improved.append(position)
        self._keep_parameters(improved)

    def _keep_parameters(self, positions: list[int]) -> None:
        """Remember the parameters of an epoch that may turn out to be the best."""
        if self.settings.n_iter_no_change is None or not positions:
            return
        if self.best_parameters is None or len(positions) == len(self.stacked):
            self.best_parameters = self.network.parameters.clone()
            return
        index = torch.tensor(positions, device=self.device)
        self.best_parameters[index] = self.network.parameters[index]

    def _is_done(self, child: _Child) -> bool:
        patience = self.settings.n_iter_no_change
        n_iter = len(child.loss_curve)
        return child.failed or (
            patience is not None
            and self.X_validation is not None
            and n_iter - child.best_iter >= patience
        )

    def _leave_out(self, done: list[_Child]) -> None:
        """Take the results of children that are done, and go on without them."""
        for child in done:
            self.active.remove(child)
            if not child.failed:
                child.weights = self.network.extract(
                    self.stacked.index(child), self.best_parameters
                )
        if done and 0 < len(self.active) <= self.reduced_at * len(self.stacked):
            self._select([self.stacked.index(child) for child in self.active])

    def _select(self, positions: list[int]) -> None:
        children = torch.tensor(positions, device="cpu")
        network = self.network.select(children)
        if self.best_parameters is not None:
            self.best_parameters = self.network.select_flat(
                self.best_parameters, network, children
            )
        self.optimizer.select(network, children)
        self.network = network
        self.stacked = list(self.active)
        self._steps = {}

    def result(self, child: _Child) -> TrainingResult:
        """Copy everything worth keeping to the CPU."""
        probabilities = None
        if child.best_log_probabilities is not None:
            # Rows of 32-bit probabilities do not sum to 1 with 64 bits.
            log_p = child.best_log_probabilities.double()
            probabilities = log_p.softmax(0).T.cpu().numpy().copy()
        return TrainingResult(
            architecture=child.job.architecture,
            failed=child.failed,
            weights=child.weights,
            n_rows=self.n_rows,
            n_iter=len(child.loss_curve),
            best_iter=child.best_iter,
            time=child.time,
            loss_curve=child.loss_curve,
            validation_scores=child.validation_scores,
            validation_loss=math.nan if child.failed else child.best_loss,
            validation_probabilities=None if child.failed else probabilities,
        )


def _epochs_left(epoch: int, max_iter: int, elapsed: float, max_time: float) -> float:
    """Return how many epochs are to come: as many as asked for, or as time allows."""
    n_left = max_iter - epoch
    if not epoch:
        return n_left
    affordable = (max_time - elapsed) / (elapsed / epoch)
    # The last epoch may be late by half of its time.
    return 0.0 if affordable < 0.5 else min(n_left, max(affordable, 1.0))


class _Step:
    """One update from a batch of one size: tensors that stay where they are."""

    def __init__(
        self,
        network: StackedMLP,
        optimizer: StackedAdam,
        output: Output,
        rows: tuple[Tensor, Tensor, Tensor | None],
        n_rows: int,
    ) -> None:
        self._network, self._optimizer, self._output = network, optimizer, output
        self._all_X, self._all_targets, self._all_weights = rows
        self._batch = network.batch(n_rows)
        self._targets = self._batch.logits.new_empty((1, *self._batch.logits.shape[1:]))
        self._weights = self._batch.logits.new_empty((1, 1, n_rows))
        self._loss = torch.zeros_like(self._batch.logits)
        # A view costs a microsecond: those of every step are made here.
        self._X_rows, self._target_rows = self._batch.X[0], self._targets[0]
        self._weight_rows = self._weights[0, 0]
        self._recorded = RecordedStep(network.device)

    def run(self, rows: Tensor) -> None:
        """Take the update for these rows."""
        torch.index_select(self._all_X, 0, rows, out=self._X_rows)
        torch.index_select(self._all_targets, 1, rows, out=self._target_rows)
        if self._all_weights is not None:
            torch.index_select(self._all_weights, 0, rows, out=self._weight_rows)
        self._recorded.run(self._compute)

    def _compute(self) -> None:
        logits = self._batch.forward()
        if self._all_weights is None:
            gradient = self._output.add_loss(logits, self._targets, self._loss)
        else:
            loss = torch.zeros_like(self._loss)
            gradient = self._output.add_loss(logits, self._targets, loss)
            gradient.mul_(self._weights)
            self._loss.addcmul_(loss, self._weights)
        self._batch.backward(gradient.mul_(1 / self._batch.n_rows))
        self._optimizer.step(self._batch.n_rows)

    def take_loss(self) -> Tensor:
        """Return the loss summed since the last time, a child each."""
        loss = self._loss.sum((1, 2))
        self._loss.zero_()
        return loss


def smooth_targets(data: TrainingData, label_smoothing: float) -> Tensor:
    """Return targets of shape (n_outputs, n_rows), moved towards equal shares."""
    y = torch.from_numpy(data.y)
    if data.output is SigmoidOutput:
        targets = y[None].float()
        return targets * (1 - label_smoothing) + label_smoothing / 2
    targets = torch.nn.functional.one_hot(y, data.n_classes).T.float()
    return (
        targets * (1 - label_smoothing) + label_smoothing / data.n_classes
    ).contiguous()


def _relative_weights(data: TrainingData, device: torch.device) -> Tensor | None:
    if data.sample_weight is None:
        return None
    weights = torch.from_numpy(data.sample_weight).to(device, torch.float32)
    return weights / weights.mean()
