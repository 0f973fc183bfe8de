"""L-BFGS: each child alone, all rows in every step."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from sknas._budget import Budget
from sknas._engine.batch import Batch
from sknas._engine.jobs import (
    NOT_FINITE,
    TrainingData,
    TrainingJob,
    TrainingResult,
    TrainingSettings,
)
from sknas._engine.network import StackedMLP
from sknas._engine.training.rows import TrainingRows

# Rows computed at once: bounds the memory.
_CHUNK = 2048
# Cost of validating a row relative to that of training on it.
_VALIDATION_COST = 0.5


class _EndedEarly(Exception):
    """Raised through the minimiser, which has no other way to be left."""


def train_full_batch(
    data: TrainingData,
    jobs: Sequence[TrainingJob],
    settings: TrainingSettings,
    device: torch.device,
    budget: Budget,
    is_cancelled: Callable[[], bool],
    must_finish: bool,
) -> list[TrainingResult]:
    """Train children one after the other, as ``solver='lbfgs'`` of `MLPClassifier`.

    An epoch is an iteration of the minimiser, and there are ``max_iter`` of them at
    most. The loss has to be the same at each call: nothing is dropped out. Learning
    rates, batches and patience have no meaning here.

    Parameters
    ----------
    data, jobs, settings, device, budget, is_cancelled, must_finish
        See `sknas._engine.training.stack.train_stack`.

    Returns
    -------
    list of TrainingResult
        One for each job, in their order. Empty if training was cancelled or there was
        no time for anything.
    """
    if budget.is_over() and not must_finish:
        return []
    results = []
    for number, job in enumerate(jobs):
        training = _Minimization(data, job, settings, device)
        training.run(budget.share(1 / (len(jobs) - number)), is_cancelled)
        if is_cancelled():
            return []
        results.append(training.result())
    return results


class _Minimization:
    """One child, whose loss over all rows is minimised."""

    def __init__(
        self,
        data: TrainingData,
        job: TrainingJob,
        settings: TrainingSettings,
        device: torch.device,
    ) -> None:
        self._start = time.perf_counter()
        self.job, self.settings = job, job.own_settings(settings)
        self.output = data.output
        self.n_rows = data.n_rows
        self.table = TrainingRows(data, [self.settings.label_smoothing], device)
        self.network = StackedMLP(
            [job.architecture],
            data.X.shape[1],
            data.output.n_outputs,
            dropout=[0.0],
            device=device,
        )
        self.network.initialize(0, job.seed, job.inherited)
        # Buffers for each number of rows: the last chunk may be a smaller one.
        self._batches: dict[int, Batch] = {}
        self._penalty = self.settings.weight_decay / self.n_rows
        # Seconds of an evaluation; none yet.
        self._seconds: float | None = None
        # The lowest value so far with its training loss, and where that is.
        self._best_value = self._best_loss = math.inf
        self._best_x: np.ndarray | None = None
        self._loss_curve: list[float] = []

    def run(self, budget: Budget, is_cancelled: Callable[[], bool]) -> None:
        """Minimise until it has converged, or iterations or the time are used up."""
        # The minimiser works with 64 bits, and the network with 32.
        begin = self.network.parameters[0].double().cpu().numpy()

        def evaluate(x: np.ndarray) -> tuple[float, np.ndarray]:
            if is_cancelled() or not self._can_afford(budget):
                raise _EndedEarly
            return self._evaluate(x)

        def end_iteration(_: np.ndarray) -> None:
            self._loss_curve.append(self._best_loss)

        with contextlib.suppress(_EndedEarly):
            minimize(
                evaluate,
                begin,
                method="L-BFGS-B",
                jac=True,
                callback=end_iteration,
                options={
                    "maxiter": self.settings.max_iter,
                    "maxfun": self.settings.max_fun,
                    "gtol": self.settings.training_tol,
                },
            )

    def _can_afford(self, budget: Budget) -> bool:
        """Tell whether there is time for an evaluation, and for the validation."""
        if self._seconds is None or not budget.is_limited:
            return True
        n_rows = self.n_rows + _VALIDATION_COST * self.table.n_validation_rows
        return budget.seconds_left() > self._seconds * n_rows / self.n_rows

    def _evaluate(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the loss with its L2 term, and its gradient."""
        start = time.perf_counter()
        self.network.parameters[0].copy_(torch.from_numpy(x))
        loss, gradient = self._loss_and_gradient()
        weights = x[: self.network.decayed.shape[1]]
        with np.errstate(over="ignore", invalid="ignore"):
            # As in `MLPClassifier`: alpha / (2 n) |W|^2.
            value = loss + 0.5 * self._penalty * float(weights @ weights)
            gradient[: len(weights)] += self._penalty * weights
        self._seconds = time.perf_counter() - start
        if not math.isfinite(value) or not np.isfinite(gradient).all():
            # The minimiser could not go on from here.
            raise _EndedEarly
        if value < self._best_value:
            self._best_value, self._best_loss = value, loss
            self._best_x = x.copy()
        return value, gradient

    def _loss_and_gradient(self) -> tuple[float, np.ndarray]:
        """Return the mean loss over all rows, and its gradient, with 64 bits."""
        parameters = self.network.parameters
        gradient = torch.zeros_like(parameters[0], dtype=torch.float64)
        loss = gradient.new_zeros(())
        for start in range(0, self.n_rows, _CHUNK):
            loss += self._pass(slice(start, min(start + _CHUNK, self.n_rows)))
            gradient += self.network.gradients[0]
        return loss.item() / self.n_rows, gradient.cpu().numpy()

    def _pass(self, rows: slice) -> Tensor:
        """Fill the network's gradients for some rows, and return their summed loss."""
        n_rows = rows.stop - rows.start
        if n_rows not in self._batches:
            self._batches[n_rows] = Batch(
                self.network, n_rows, is_sparse=self.table.multiplies_sparse
            )
        batch = self._batches[n_rows]
        X = batch.X[0] if isinstance(batch.X, Tensor) else batch.X
        positions = torch.arange(rows.start, rows.stop, device=self.network.device)
        self.table.copy_to(X, positions)
        logits = batch.forward()
        loss = torch.zeros_like(logits)
        gradient = self.output.add_loss(logits, self.table.targets[None, :, rows], loss)
        if self.table.weights is not None:
            gradient.mul_(self.table.weights[rows])
            loss.mul_(self.table.weights[rows])
        batch.backward(gradient.mul_(1 / self.n_rows))
        return loss.sum(dtype=torch.float64)

    def result(self) -> TrainingResult:
        """Validate the best parameters, and copy everything worth keeping."""
        error: str | None = NOT_FINITE
        validation = None
        if self._best_x is not None:
            self.network.parameters[0].copy_(torch.from_numpy(self._best_x))
            validation = self.table.validate(self.network)
            error = None
        # The validation loss and the score, if there are validation rows.
        measured = [] if validation is None else [v.item() for v in validation[1:]]
        if not all(map(math.isfinite, measured)):
            error = NOT_FINITE
        failed = error is not None
        predictions = None
        if validation is not None and not failed:
            predictions = self.output.as_rows(validation[0][0])
        # An iteration that was broken off counts where it is the only one.
        loss_curve = self._loss_curve or [self._best_loss]
        return TrainingResult(
            architecture=self.job.architecture,
            error=error,
            weights=[] if failed else self.network.extract(0),
            n_rows=self.n_rows,
            n_iter=len(loss_curve),
            best_iter=len(loss_curve),
            time=time.perf_counter() - self._start,
            loss_curve=loss_curve,
            validation_scores=measured[1:],
            validation_loss=measured[0] if measured and not failed else math.nan,
            validation_predictions=predictions,
        )
