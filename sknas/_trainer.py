"""Architectures and data in, trained weights and validation results out."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import joblib
import numpy as np
import torch
from torch import Tensor
from torch.optim.adam import adam

from sknas._device import single_thread
from sknas._network import Output, SigmoidOutput, SoftmaxOutput, StackedMLP
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


@dataclass(frozen=True)
class TrainingData:
    """An encoded table. Without validation rows nothing is measured or stopped early.

    X : float32 array of shape (n_rows, n_features)
    y : int64 array of shape (n_rows,), class codes
    """

    X: np.ndarray
    y: np.ndarray
    n_classes: int
    X_validation: np.ndarray | None = None
    y_validation: np.ndarray | None = None

    def split(self, rows: np.ndarray, validation_rows: np.ndarray) -> TrainingData:
        """Return some rows for training and some for validation."""
        return replace(
            self,
            X=self.X[rows],
            y=self.y[rows],
            X_validation=self.X[validation_rows],
            y_validation=self.y[validation_rows],
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
    """One child to train: its randomness is in the seed, never in the order of jobs."""

    architecture: Architecture
    seed: int
    inherited: Sequence[Weights | None] | None = None


@dataclass(frozen=True)
class TrainingResult:
    """What became of a child.

    Weights and validation results are those of ``best_iter``: the epoch of the
    lowest validation loss where training may stop early, else the last one.
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


class Trainer:
    """Trains children side by side.

    Parameters
    ----------
    data : TrainingData
        The same for every child.
    settings : TrainingSettings
        The same for every child.
    seed : int
        Decides the order of the rows in each epoch, the same for every child.
    device : torch.device
        Where children are trained; their results come back to the CPU.
    n_jobs : int or None
        Workers on the CPU, in joblib's sense. Results do not depend on it.
    """

    def __init__(
        self,
        data: TrainingData,
        settings: TrainingSettings,
        *,
        seed: int,
        device: torch.device,
        n_jobs: int | None,
    ) -> None:
        self.data = data
        self.settings = settings
        self.seed = seed
        self.device = device
        self.n_jobs = n_jobs if device.type == "cpu" else 1

    def train(self, jobs: Sequence[TrainingJob]) -> Iterator[TrainingResult]:
        """Train a child for each job and yield the results in the order of the jobs."""
        # Copy-on-write maps: workers share one copy of the table, and torch does not
        # warn of arrays it must not write to.
        make_parallel = functools.partial(
            joblib.Parallel, n_jobs=self.n_jobs, mmap_mode="c"
        )
        try:
            parallel = make_parallel(return_as="generator")
        except ValueError:  # a backend that cannot, such as "multiprocessing"
            parallel = make_parallel()
        results: Iterable[TrainingResult] = parallel(
            joblib.delayed(train_child)(
                self.data, job, self.settings, self.seed, self.device
            )
            for job in jobs
        )
        return iter(results)


def train_child(
    data: TrainingData,
    job: TrainingJob,
    settings: TrainingSettings,
    seed: int,
    device: torch.device,
) -> TrainingResult:
    """Train one child from its job, with one thread.

    Parameters
    ----------
    data : TrainingData
        Encoded rows.
    job : TrainingJob
        The architecture, its seed and what it inherits.
    settings : TrainingSettings
        Optimiser, schedule, regularisation, epochs.
    seed : int
        Decides the order of the rows in each epoch.
    device : torch.device
        Where to train.

    Returns
    -------
    TrainingResult
        Arrays on the CPU.
    """
    start = time.perf_counter()
    with single_thread(), torch.no_grad():
        training = _Training(data, job, settings, seed, device)
        training.run()
        return training.result(time.perf_counter() - start)


class _Training:
    """One child on its way through the epochs."""

    def __init__(
        self,
        data: TrainingData,
        job: TrainingJob,
        settings: TrainingSettings,
        seed: int,
        device: torch.device,
    ) -> None:
        self.job = job
        self.settings = settings
        self.device = device
        self.output = data.output
        self.X = torch.from_numpy(data.X).to(device)
        self.targets = _smooth_targets(data, settings.label_smoothing).to(device)
        self.X_validation = self.y_validation = None
        if data.X_validation is not None and data.y_validation is not None:
            self.X_validation = torch.from_numpy(data.X_validation).to(device)
            self.y_validation = torch.from_numpy(data.y_validation).to(device)
        self.network = StackedMLP(
            job.architecture,
            data.X.shape[1],
            data.n_outputs,
            dropout=settings.dropout,
            n_children=1,
            device=device,
        )
        self.network.initialize(
            0, torch.Generator("cpu").manual_seed(job.seed), job.inherited
        )
        # The order of the rows comes from the CPU: the same on every device.
        self.order_generator = torch.Generator("cpu").manual_seed(seed)
        self.dropout_generator = torch.Generator(device).manual_seed(job.seed + 1)
        self.optimizer = _Adam(self.network, settings)
        self.failed = False
        self.loss_curve: list[float] = []
        self.validation_scores: list[float] = []
        self.best_iter = 0
        self.best_loss = math.inf
        self.best_log_probabilities: Tensor | None = None
        self.best_parameters: Tensor | None = None

    def run(self) -> None:
        """Train until epochs or patience are used up or the loss is not finite."""
        for epoch in range(self.settings.max_iter):
            loss = self._train_epoch(epoch)
            self.loss_curve.append(loss)
            if self.X_validation is None:
                self.best_iter = epoch + 1
            else:
                self._validate(epoch + 1)
            if not math.isfinite(loss) or self.failed:
                self.failed = True
                return
            patience = self.settings.n_iter_no_change
            if patience is not None and epoch + 1 - self.best_iter >= patience:
                return

    def _train_epoch(self, epoch: int) -> float:
        n_rows, batch_size = len(self.X), self.settings.batch_size
        order = torch.randperm(n_rows, generator=self.order_generator, device="cpu").to(
            self.device
        )
        X, targets = self.X[order], self.targets[order]
        n_batches = math.ceil(n_rows / batch_size)
        schedule_iter = self.settings.schedule_iter or self.settings.max_iter
        total_loss = self.network.parameters.new_zeros(1)
        for batch in range(n_batches):
            rows = slice(batch * batch_size, (batch + 1) * batch_size)
            X_batch, targets_batch = X[None, rows], targets[None, rows]
            self.network.draw_masks(X_batch.shape[1], [self.dropout_generator])
            logits = self.network.forward(X_batch)
            loss, gradient = self.output.loss(logits, targets_batch)
            total_loss += loss
            self.network.backward(X_batch, gradient.div_(X_batch.shape[1]))
            progress = (epoch + batch / n_batches) / schedule_iter
            self.optimizer.step(progress, X_batch.shape[1])
        return float(total_loss) / n_rows

    def _validate(self, n_iter: int) -> None:
        assert self.X_validation is not None
        assert self.y_validation is not None
        log_p = self.output.log_probabilities(self.network.logits(self.X_validation))[0]
        mean_loss = -log_p.gather(1, self.y_validation[:, None]).mean()
        accuracy = (log_p.argmax(dim=1) == self.y_validation).float().mean()
        loss, score = torch.stack([mean_loss, accuracy]).tolist()
        self.validation_scores.append(score)
        if not math.isfinite(loss):
            self.failed = True
        elif self.settings.n_iter_no_change is None or loss < self.best_loss:
            self.best_iter, self.best_loss = n_iter, loss
            self.best_log_probabilities = log_p
            if self.settings.n_iter_no_change is not None:
                self.best_parameters = self.network.parameters.clone()

    def result(self, seconds: float) -> TrainingResult:
        """Copy everything worth keeping to the CPU."""
        probabilities = None
        if self.best_log_probabilities is not None:
            # Rows of 32-bit probabilities do not sum to 1 with 64 bits.
            probabilities = (
                self.best_log_probabilities.double().softmax(1).cpu().numpy()
            )
        return TrainingResult(
            architecture=self.job.architecture,
            failed=self.failed,
            weights=[]
            if self.failed
            else self.network.extract(0, self.best_parameters),
            n_rows=len(self.X),
            n_iter=len(self.loss_curve),
            best_iter=self.best_iter,
            time=seconds,
            loss_curve=self.loss_curve,
            validation_scores=self.validation_scores,
            validation_loss=math.nan if self.failed else self.best_loss,
            validation_probabilities=None if self.failed else probabilities,
        )


def _smooth_targets(data: TrainingData, label_smoothing: float) -> Tensor:
    """Return targets of shape (n_rows, n_outputs), moved towards equal shares."""
    y = torch.from_numpy(data.y)
    if data.output is SigmoidOutput:
        targets = y[:, None].float()
        return targets * (1 - label_smoothing) + label_smoothing / 2
    targets = torch.nn.functional.one_hot(y, data.n_classes).float()
    return targets * (1 - label_smoothing) + label_smoothing / data.n_classes


class _Adam:
    """Adam or AdamW on a network's flat buffers: one fused call a step."""

    def __init__(self, network: StackedMLP, settings: TrainingSettings) -> None:
        self.network = network
        self.settings = settings
        self.first_moment = torch.zeros_like(network.parameters)
        self.second_moment = torch.zeros_like(network.parameters)
        self.n_steps = network.parameters.new_zeros(())

    def step(self, progress: float, n_rows: int) -> None:
        """Move the parameters along the gradients.

        Parameters
        ----------
        progress : float
            How much of the learning-rate schedule is behind, from 0 to 1.
        n_rows : int
            Size of the batch: as in ``MLPClassifier``, the L2 term of plain Adam is
            divided by it.
        """
        settings = self.settings
        rate = settings.learning_rate_init
        if settings.learning_rate == "cosine":
            rate *= 0.5 * (1 + math.cos(math.pi * progress))
        decayed = self.network.decayed
        if settings.alpha and settings.solver == "adamw":
            decayed.mul_(1 - rate * settings.alpha)
        elif settings.alpha:
            self.network.gradients[:, : decayed.shape[1]].add_(
                decayed, alpha=settings.alpha / n_rows
            )
        adam(
            [self.network.parameters],
            [self.network.gradients],
            [self.first_moment],
            [self.second_moment],
            [],
            [self.n_steps],
            fused=True,
            amsgrad=False,
            beta1=settings.beta_1,
            beta2=settings.beta_2,
            lr=rate,
            weight_decay=0.0,
            eps=settings.epsilon,
            maximize=False,
        )
