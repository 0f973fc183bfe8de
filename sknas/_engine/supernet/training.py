"""A supernet with its data: what one-shot strategies train, and ask for rewards."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import wraps
from typing import ParamSpec, TypeVar

import numpy as np
import torch
from torch import Tensor

from sknas._budget import Budget
from sknas._device import single_thread
from sknas._engine.jobs import TrainingData, TrainingSettings
from sknas._engine.sparse import SparseBatch
from sknas._engine.supernet.cost import SupernetCosts
from sknas._engine.supernet.network import SupernetWeights
from sknas._engine.supernet.optimizer import SupernetOptimizer
from sknas._engine.supernet.passes import SupernetPass
from sknas._engine.supernet.unrolling import unrolled_gradients
from sknas._engine.training.pace import Schedule
from sknas._engine.training.rows import TrainingRows
from sknas._space import Architecture, Gates, SearchSpace
from sknas._tasks.task import ValidationMetric
from sknas._typing import Weights

_UNLIMITED = Budget()
# Rows passed forward at once when nothing is trained: bounds the memory.
_CHUNK = 8192

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")


def _computes(
    method: Callable[_Parameters, _Result],
) -> Callable[_Parameters, _Result]:
    """Let a method compute with one thread, and without autograd."""

    @wraps(method)
    def computing(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> _Result:
        with torch.inference_mode(False), torch.no_grad(), single_thread():
            return method(*args, **kwargs)

    return computing


class Supernet:
    """All architectures of a space as slices of one network, trained together.

    It is scored on the validation rows of a fold, and trained on the others.

    Parameters
    ----------
    data : TrainingData
        The fold, with validation rows.
    space : SearchSpace
        Whose architectures are slices of the network.
    settings : TrainingSettings
        Solver, learning rate and its schedule, regularisation, batch size.
    seed : int
        Decides weights, the order of the rows and dropout.
    device : torch.device
        Where to train.
    n_epochs : int
        Of the learning rate's schedule: how often `train` is going to be called.
    metric : ValidationMetric
        Of rows of which the first are the validation rows of ``data``: where there are
        several folds, ``data`` is the first one.
    separates_first : bool, default=False
        Whether the first position has weights of its own for each activation, so that
        gates must be those of architectures.
    budget : Budget, default=unlimited
        When it is at its end, `train` is too.

    Attributes
    ----------
    space : SearchSpace
        As given.
    n_batches, n_validation_batches : int
        How many batches the rows to train on and to validate on have.
    cost : float
        Of all that was computed, in microseconds by the model of a CPU: the same on
        every machine.
    is_over : bool
        Whether the budget ended a training.
    """

    @_computes
    def __init__(
        self,
        data: TrainingData,
        space: SearchSpace,
        settings: TrainingSettings,
        *,
        seed: int,
        device: torch.device,
        n_epochs: int,
        metric: ValidationMetric,
        separates_first: bool = False,
        budget: Budget = _UNLIMITED,
    ) -> None:
        validation = _validation(data, space)
        if not settings.is_stochastic:
            # All rows are one batch of L-BFGS, but not of what stands in for it.
            settings = replace(settings, solver="adamw")
        self.space, self.cost, self.is_over = space, 0.0, False
        self._settings, self._budget = settings, budget
        self._device, self._output = device, data.output
        self._rows = TrainingRows(data, [settings.label_smoothing], device)
        self._n_rows = data.n_rows
        self._validation_rows = TrainingRows(validation, [0.0], device)
        self._n_validation_rows = validation.n_rows
        self._metric = metric.restrict(np.arange(validation.n_rows))
        seeds = np.random.SeedSequence(seed).generate_state(3).tolist()
        self._weights = SupernetWeights(
            space,
            data.X.shape[1],
            data.output.n_outputs,
            device=device,
            separates_first=separates_first,
        )
        self._weights.initialize(seeds[0])
        # The order of the rows comes from the CPU: the same on every device.
        self._order = torch.Generator("cpu").manual_seed(seeds[1])
        self._dropout = torch.Generator(device).manual_seed(seeds[2])
        self._batch_size = settings.n_batch_rows(self._n_rows)
        self._training_batches = self._draw(self._n_rows).split(self._batch_size)
        self.n_batches = len(self._training_batches)
        # Of nearly equal size, so that none is a small one.
        self.n_validation_batches = max(validation.n_rows // self._batch_size, 1)
        self._validation_batches = self._draw(validation.n_rows).tensor_split(
            self.n_validation_batches
        )
        whole = settings.whole(n_epochs, n_epochs).optimizer
        self._optimizer = SupernetOptimizer(self._weights, whole)
        self._schedule = Schedule(whole, self.n_batches)
        # That of the last step, which may not have been the schedule's.
        self._rate = settings.learning_rate_init
        self._costs = SupernetCosts(
            n_features=data.X.shape[1],
            n_outputs=data.output.n_outputs,
            density=data.density,
        )
        # The metric of each validation batch that was asked for.
        self._metrics: dict[int, ValidationMetric] = {}

    def _draw(self, n_rows: int) -> Tensor:
        """Return the positions of rows in a new order."""
        order = torch.randperm(n_rows, generator=self._order, device="cpu")
        return order.to(self._device)

    @_computes
    def train(
        self,
        gates: Sequence[Gates],
        *,
        unit_penalty: float = 0.0,
        learning_rate: float | None = None,
    ) -> float:
        """Train for one epoch.

        Parameters
        ----------
        gates : sequence of Gates
            Each batch is trained with the next of them, in turn.
        unit_penalty : float, default=0.0
            Strength of a penalty that removes hidden units: by the learning rate times
            this, the norm of a unit's incoming weights and bias is shrunk in each step,
            for a unit of as many parameters as the mean.
        learning_rate : float or None, default=None
            In place of that of the schedule.

        Returns
        -------
        float
            Mean training loss. NaN if the budget left no time for a batch.
        """
        passes = [
            SupernetPass(
                self._weights,
                each,
                dropout=self._settings.dropout,
                generator=self._dropout,
            )
            for each in gates
        ]
        losses = torch.zeros((), device=self._device)
        n_seen = 0
        batches = self._draw(self._n_rows).split(self._batch_size)
        for number, positions in enumerate(batches):
            if self._budget.is_over():
                self.is_over = True
                break
            of_batch = passes[number % len(passes)]
            n_rows = positions.shape[0]
            loss = self._differentiate(of_batch, self._rows, positions)
            losses.add_(loss, alpha=n_rows)
            self._rate = (
                self._scheduled_rate() if learning_rate is None else learning_rate
            )
            self._optimizer.step(of_batch.blocks, self._rate, n_rows, unit_penalty)
            self._schedule.advance(1.0)
            self.cost += self._costs.step(of_batch, n_rows)
            n_seen += n_rows
        return losses.item() / n_seen if n_seen else math.nan

    def _scheduled_rate(self) -> float:
        """Return the learning rate of the next step."""
        rate = self._settings.learning_rate_init
        if self._settings.learning_rate != "cosine":
            return rate
        return 0.5 * rate * (1 + math.cos(math.pi * self._schedule.progress))

    def _differentiate(
        self, of_batch: SupernetPass, rows: TrainingRows, positions: Tensor
    ) -> Tensor:
        """Fill the gradients of the mean loss of some rows, and return that."""
        loss, gradient = self._loss(of_batch, rows, positions)
        of_batch.backward(gradient)
        return loss

    def _loss(
        self, of_batch: SupernetPass, rows: TrainingRows, positions: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the mean loss of some rows, and its gradient of the logits."""
        logits = of_batch.forward(self._take(rows, positions))
        loss = torch.zeros_like(logits)
        targets = rows.targets[None].index_select(2, positions)
        gradient = self._output.add_loss(logits, targets, loss)
        if rows.weights is not None:
            weights = rows.weights[positions]
            gradient.mul_(weights)
            loss.mul_(weights)
        share = 1 / positions.shape[0]
        return loss.sum().mul_(share), gradient.mul_(share)

    def _take(self, rows: TrainingRows, positions: Tensor) -> Tensor | SparseBatch:
        """Return the rows at some positions."""
        X: Tensor | SparseBatch
        n_rows = positions.shape[0]
        if rows.multiplies_sparse:
            X = SparseBatch(n_rows)
        else:
            X = self._weights.parameters.new_empty((n_rows, self._weights.n_features))
        rows.copy_to(X, positions)
        return X

    @_computes
    def rewards(
        self, architectures: Sequence[Architecture], batch: int | None = None
    ) -> np.ndarray:
        """Score architectures with the shared weights as they are.

        Parameters
        ----------
        architectures : sequence of Architecture
            Architectures of the space.
        batch : int or None, default=None
            Which validation batch to score them on; None is all validation rows.

        Returns
        -------
        ndarray of shape (n_architectures,)
            Their rewards. One whose predictions are not finite has that of a guess.
        """
        return np.array([self._reward(each, batch) for each in architectures])

    def _reward(self, architecture: Architecture, batch: int | None) -> float:
        of_architecture = SupernetPass(
            self._weights, Gates.of(architecture, self.space)
        )
        positions = self._validation_positions(batch)
        logits = torch.cat(
            [
                of_architecture.forward(self._take(self._validation_rows, chunk))
                for chunk in positions.split(_CHUNK)
            ],
            dim=2,
        )
        self.cost += self._costs.score(of_architecture, len(positions))
        predictions = self._output.as_rows(self._output.predictions(logits)[0])
        metric = self._metric_of(batch)
        if not np.isfinite(predictions).all():
            return metric.guess_reward()
        return metric.reward(predictions, metric.score(predictions))

    def _metric_of(self, batch: int | None) -> ValidationMetric:
        if batch is None:
            return self._metric
        if batch not in self._metrics:
            rows = self._validation_batches[batch].cpu().numpy()
            self._metrics[batch] = self._metric.restrict(rows)
        return self._metrics[batch]

    def _validation_positions(self, batch: int | None) -> Tensor:
        if batch is not None:
            return self._validation_batches[batch]
        return torch.arange(self._n_validation_rows, device=self._device)

    @_computes
    def losses(self, gates: Sequence[Gates], batch: int | None = None) -> np.ndarray:
        """Return the validation loss of each gates.

        Parameters
        ----------
        gates : sequence of Gates
            What is open, and how far.
        batch : int or None, default=None
            On which validation batch; None is all validation rows.

        Returns
        -------
        ndarray of shape (n_gates,)
            Mean losses.
        """
        return np.array([self._validation_loss(each, batch) for each in gates])

    def _validation_loss(self, gates: Gates, batch: int | None) -> float:
        of_gates = SupernetPass(self._weights, gates)
        positions = self._validation_positions(batch)
        loss = torch.zeros((), device=self._device)
        for chunk in positions.split(_CHUNK):
            of_chunk, _ = self._loss(of_gates, self._validation_rows, chunk)
            loss += of_chunk * len(chunk)
        self.cost += self._costs.forward(of_gates, len(positions))
        return loss.item() / len(positions)

    @_computes
    def gate_gradient(
        self,
        gates: Gates,
        batch: int,
        *,
        training_batch: int | None = None,
        unrolled: bool = False,
    ) -> Gates:
        """Differentiate the validation loss with respect to all gates.

        Nothing is dropped out, and the weights are left as they were.

        Parameters
        ----------
        gates : Gates
            What is open, and how far.
        batch : int
            The validation batch.
        training_batch : int or None, default=None
            Of ``unrolled``; None is that of the same number, modulo theirs.
        unrolled : bool, default=False
            Whether the loss is that after a step of the weights on a training batch,
            along their gradient, at the learning rate of the last step.

        Returns
        -------
        Gates
            The gradients; those of gates that are 0 too.
        """
        of_gates = SupernetPass(self._weights, gates, wants_gates=True)

        def differentiate(rows: TrainingRows, positions: Tensor) -> Gates:
            self._differentiate(of_gates, rows, positions)
            self.cost += self._costs.gates(of_gates, len(positions))
            return of_gates.gate_gradients()

        def of_validation() -> Gates:
            return differentiate(self._validation_rows, self._validation_batches[batch])

        if not unrolled:
            return of_validation()
        number = batch % self.n_batches if training_batch is None else training_batch

        def of_training() -> Gates:
            return differentiate(self._rows, self._training_batches[number])

        return unrolled_gradients(self._weights, of_training, of_validation, self._rate)

    @_computes
    def restart(self) -> None:
        """Draw all weights anew, and forget what the optimizer has learned."""
        seed = torch.empty(1, dtype=torch.int64, device="cpu")
        seed.random_(0, 2**32, generator=self._order)
        self._weights.initialize(int(seed.item()))
        self._optimizer.restart()

    def extract(self, architecture: Architecture) -> list[Weights]:
        """Copy an architecture's weights out, as a child inherits them.

        Parameters
        ----------
        architecture : Architecture
            An architecture of the space.
        """
        return self._weights.extract(architecture)

    def unit_norms(self) -> list[np.ndarray]:
        """Return the norms of the hidden units of each position.

        Returns
        -------
        list of ndarray of shape (n_units,)
            Of each unit's incoming weights and its bias.
        """
        return self._weights.unit_norms()


def _validation(data: TrainingData, space: SearchSpace) -> TrainingData:
    """Return the validation rows as rows, or raise ValueError: there is no supernet."""
    if data.X_validation is None or data.y_validation is None:
        raise ValueError(
            "A supernet must have validation rows, on which its slices are compared. "
            "Got none instead."
        )
    if space.skip:
        raise ValueError(
            "A supernet must have a space without skip connections, skip=False, since "
            f"no two widths share their weights. Got {space!r} instead."
        )
    return TrainingData(
        data.X_validation,
        data.y_validation,
        data.output,
        sample_weight=data.sample_weight_validation,
    )
