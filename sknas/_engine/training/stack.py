"""A stack of children on its way through the epochs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from sknas._budget import Budget
from sknas._device import has_fast_bfloat16, single_thread
from sknas._engine.grouping import cost_model
from sknas._engine.jobs import (
    NOT_FINITE,
    OptimizerState,
    Plateau,
    TrainingData,
    TrainingJob,
    TrainingResult,
    TrainingSettings,
)
from sknas._engine.network import StackedMLP
from sknas._engine.training.adam import StackedAdam
from sknas._engine.training.full_batch import train_full_batch
from sknas._engine.training.optimizer import StackedOptimizer
from sknas._engine.training.pace import Pace, Schedule
from sknas._engine.training.rows import TrainingRows
from sknas._engine.training.sgd import StackedSGD
from sknas._engine.training.step import TrainingStep
from sknas._typing import Weights

_UNLIMITED = Budget()
# Cost of validating a row relative to that of training on it, until it is measured.
_VALIDATION_COST = 0.5
# With an adaptive learning rate, training ends when it has fallen so far.
_LEAST_RATE = 1e-6

_OPTIMIZERS: dict[str, type[StackedOptimizer]] = {
    "adamw": StackedAdam,
    "adam": StackedAdam,
    "sgd": StackedSGD,
}


def train_stack(
    data: TrainingData,
    jobs: Sequence[TrainingJob],
    settings: TrainingSettings,
    seed: int,
    device: torch.device,
    budget: Budget = _UNLIMITED,
    is_cancelled: Callable[[], bool] = bool,
    must_finish: bool = True,
) -> list[TrainingResult]:
    """Train children of one depth together, with one thread.

    Parameters
    ----------
    data : TrainingData
        Encoded rows.
    jobs : sequence of TrainingJob
        For each child its architecture, seed, inherited weights and own settings, and
        where it goes on with another training, the state of that. Children that share a
        stack have taken the same number of steps before.
    settings : TrainingSettings
        Optimizer, schedule, regularisation, epochs.
    seed : int
        Decides the order of the rows in each epoch, the same for every child.
    device : torch.device
        Where to train.
    budget : Budget, default=unlimited
        Where it is not enough for all epochs, the schedule of the learning rate is
        shortened so that it ends in time, if need be within an epoch.
    is_cancelled : callable, default=bool
        Asked before each step; if it says yes, there are no results.
    must_finish : bool, default=True
        Whether there are results whatever the budget, of a few steps at least.

    Returns
    -------
    list of TrainingResult
        One for each job, in their order; arrays on the CPU. Empty if training was
        cancelled or there was no time for anything.
    """
    # The layers compute their gradients themselves: autograd has nothing to record.
    with torch.inference_mode(False), torch.no_grad(), single_thread():
        if not jobs[0].own_settings(settings).is_stochastic:
            return train_full_batch(
                data, jobs, settings, device, budget, is_cancelled, must_finish
            )
        training = _StackTraining(data, jobs, settings, seed, device)
        pace = Pace(training, budget, must_finish=must_finish)
        if not training.run(pace, is_cancelled):
            return []
        return [training.result(child) for child in training.children]


@dataclass(eq=False)
class _Child:
    """What is known of a child so far."""

    job: TrainingJob
    settings: TrainingSettings
    error: str | None = None
    best_iter: int = 0
    # The last epoch that patience counts as an improvement.
    improved_iter: int = 0
    best_loss: float = math.inf
    time: float = 0.0
    loss_curve: list[float] = field(default_factory=list)
    validation_scores: list[float] = field(default_factory=list)
    best_predictions: Tensor | None = None
    weights: list[Weights] = field(default_factory=list)
    plateau: Plateau = field(default_factory=Plateau)
    # Without its moments until the weights are taken.
    state: OptimizerState | None = None

    @property
    def is_at_least_rate(self) -> bool:
        """Whether an adaptive learning rate has fallen to next to nothing."""
        factor = self.plateau.factor
        return factor < 1 and factor * self.settings.learning_rate_init <= _LEAST_RATE

    @property
    def is_hopeless(self) -> bool:
        """Whether its last score is too low to go on with."""
        limits, n_iter = self.job.hopeless_below, len(self.validation_scores)
        return 0 < n_iter <= len(limits) and (
            self.validation_scores[-1] < limits[n_iter - 1]
        )


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
        self.children = [_Child(job, job.own_settings(settings)) for job in jobs]
        of_children = [child.settings for child in self.children]
        self.device = device
        self.n_rows = data.n_rows
        # The same for all: see `TrainingSettings.stack_key`.
        self.batch_size = of_children[0].n_batch_rows(self.n_rows)
        self.n_batches = math.ceil(self.n_rows / self.batch_size)
        self.output = data.output
        smoothing = [each.label_smoothing for each in of_children]
        self.table = TrainingRows(data, smoothing, device)
        self.network = StackedMLP(
            [job.architecture for job in jobs],
            data.X.shape[1],
            data.output.n_outputs,
            dropout=[each.dropout for each in of_children],
            device=device,
            bfloat16=settings.allow_bfloat16 and has_fast_bfloat16(device),
        )
        for position, job in enumerate(jobs):
            self.network.initialize(position, job.seed, job.inherited)
        # The order of the rows comes from the CPU: the same on every device.
        self.order_generator = torch.Generator("cpu").manual_seed(seed)
        optimized = [each.optimizer for each in of_children]
        # Steps so far, and epochs before this training: the same for all, since they
        # step together.
        ((self.n_steps, self.n_before),) = {job.steps_before for job in jobs}
        self.optimizer = _OPTIMIZERS[of_children[0].solver](
            self.network, optimized, self.n_steps, self.n_before
        )
        for position, child in enumerate(self.children):
            state = child.job.state
            if state is not None:
                self.optimizer.restore(position, state)
                child.plateau = state.plateau
        self.keeps_state, self.shuffle = settings.keeps_state, settings.shuffle
        # Those on the network's leading axis, in its order, and those of them that are
        # not done: to go on with all may be cheaper than to leave some out.
        self.stacked = list(self.children)
        self.active = list(self.children)
        self._schedules = {each: Schedule(each, self.n_batches) for each in optimized}
        self._adapt_rates()
        self.reduced_at = cost_model(device).reduced_at
        # Copies of the buffers: each row is of its child's best epoch.
        self.best: list[Tensor] = []
        # A step and its buffers for each batch size: the last batch of an epoch may be
        # a smaller one.
        self._steps: dict[int, TrainingStep] = {}

    @property
    def schedules(self) -> Iterable[Schedule]:
        """Those of all different settings in the stack."""
        return self._schedules.values()

    @property
    def validation_steps(self) -> float:
        """What validation is likely to cost, in steps."""
        return _VALIDATION_COST * self.table.n_validation_rows / self.batch_size

    @property
    def buffers(self) -> list[Tensor]:
        """What is kept of a child: parameters, then moments if these are wanted."""
        moments = self.optimizer.moments if self.keeps_state else []
        return [self.network.parameters, *moments]

    def run(self, pace: Pace, is_cancelled: Callable[[], bool]) -> bool:
        """Train until epochs, time or patience are used up or losses are not finite.

        Returns whether there are results.
        """
        n_iter = 0
        while self.active:
            start = time.perf_counter()
            n_rows_seen = self._train_epoch(pace, is_cancelled)
            if is_cancelled():
                return False
            if n_rows_seen:
                n_iter += 1
                trained = time.perf_counter()
                self._measure(n_iter, n_rows_seen)
                end = time.perf_counter()
                pace.validated(end - trained)
                for child in self.active:
                    child.time += (end - start) / len(self.active)
            # An epoch breaks off only when the time is over, for all children alike.
            if n_rows_seen < self.n_rows:
                self._leave_out(list(self.active))
            else:
                self._leave_out([c for c in self.active if self._is_done(c)])
        return n_iter > 0

    def _train_epoch(self, pace: Pace, is_cancelled: Callable[[], bool]) -> int:
        """Train on each row once, or until the time is over; return on how many."""
        order = self._order()
        n_rows_seen = 0
        self.optimizer.n_iter += 1
        schedules = list(self.schedules)
        of_groups = [self._schedules[group.settings] for group in self.optimizer.groups]
        # Positions of the rows of each batch, tensors of shape (batch_size,).
        batches = order.to(self.device).split(self.batch_size)
        for number, positions in enumerate(batches):
            affordable = pace.share(self.n_batches - number)
            if not affordable or is_cancelled():
                break
            self.optimizer.set_progress([schedule.progress for schedule in of_groups])
            self._step(len(positions)).run(positions)
            self.n_steps += 1
            for schedule in schedules:
                schedule.advance(affordable)
            n_rows_seen += len(positions)
        return n_rows_seen

    def _order(self) -> Tensor:
        """Return the positions of the rows in the order of the next epoch."""
        if not self.shuffle:
            return torch.arange(self.n_rows, device="cpu")
        return torch.randperm(self.n_rows, generator=self.order_generator, device="cpu")

    def _step(self, n_rows: int) -> TrainingStep:
        if n_rows not in self._steps:
            self._steps[n_rows] = TrainingStep(
                self.network,
                self.optimizer,
                self.output,
                self.table,
                n_rows,
                self._smoothing(),
            )
        return self._steps[n_rows]

    def _smoothing(self) -> list[float] | None:
        """Return each child's label smoothing, or None where all have the same."""
        if self.table.is_smoothed:
            return None
        return [child.settings.label_smoothing for child in self.stacked]

    def _measure(self, n_iter: int, n_rows_seen: int) -> None:
        """Read the losses of an epoch, and validate; the one time the host waits."""
        # One row for each batch size: (n_sizes, n_children).
        losses = torch.stack([step.take_loss() for step in self._steps.values()])
        # Figures of shape (n_children,): training loss, validation loss and score.
        figures = [losses.sum(0) / n_rows_seen]
        validation = self.table.validate(self.network)
        if validation is not None:
            figures += validation[1:]
        # (n_children, n_figures), in one transfer for all of them.
        of_children = torch.stack(figures, dim=1).tolist()
        improved = []
        for position, (child, (loss, *validated)) in enumerate(
            zip(self.stacked, of_children, strict=True)
        ):
            if child not in self.active:
                continue
            child.loss_curve.append(loss)
            child.plateau = child.plateau.after(loss, child.settings.training_tol)
            if not all(map(math.isfinite, (loss, *validated))):
                child.error = NOT_FINITE
            if validation is None:
                self._mark_best(child, n_iter)
                continue
            validation_loss, validation_score = validated
            child.validation_scores.append(validation_score)
            if child.error is not None:
                continue
            # As in `MLPClassifier`, the lowest loss is the best one, though it may be
            # too little of an improvement to be patient.
            if validation_loss < child.best_loss - child.settings.validation_tol:
                child.improved_iter = n_iter
            # Without early stopping, the last epoch is the best one.
            stops_early = child.settings.stops_early
            if not stops_early or validation_loss < child.best_loss:
                child.best_loss = validation_loss
                self._mark_best(child, n_iter)
                child.best_predictions = validation[0][position].clone()
                improved.append(position)
        self._keep_best(improved)
        self._adapt_rates()

    def _adapt_rates(self) -> None:
        """Hand the optimizer the factors of learning rates that are adaptive."""
        if self.children[0].settings.adapts:
            factors = [[child.plateau.factor] for child in self.stacked]
            self.optimizer.factors.copy_(self.optimizer.factors.new_tensor(factors))

    def _mark_best(self, child: _Child, n_iter: int) -> None:
        """Note that an epoch is a child's best so far."""
        child.best_iter = n_iter
        if self.keeps_state:
            before = self.n_before + n_iter
            child.state = OptimizerState(
                child.settings.solver, self.n_steps, before, (), child.plateau
            )

    def _keep_best(self, positions: list[int]) -> None:
        """Remember children as they are: this epoch may turn out to be the best."""
        if not self.children[0].settings.stops_early or not positions:
            return
        # In the first epoch, only children that have failed have not improved.
        if not self.best or len(positions) == len(self.stacked):
            self.best = [buffer.clone() for buffer in self.buffers]
            return
        index = torch.tensor(positions, device=self.device)
        for best, buffer in zip(self.best, self.buffers, strict=True):
            best[index] = buffer[index]

    def _is_done(self, child: _Child) -> bool:
        patience = child.settings.n_iter_no_change
        n_iter = len(child.loss_curve)
        return (
            child.error is not None
            or n_iter >= child.settings.max_iter
            or child.is_hopeless
            or (child.settings.adapts and child.is_at_least_rate)
            or (
                patience is not None
                and self.table.n_validation_rows > 0
                and n_iter - child.improved_iter >= patience
            )
        )

    def _leave_out(self, done: list[_Child]) -> None:
        """Take the results of children that are done, and go on without them."""
        for child in done:
            self.active.remove(child)
            if child.error is None:
                self._extract(child)
        # To copy the others into a smaller stack pays only if they are few enough.
        if done and 0 < len(self.active) <= self.reduced_at * len(self.stacked):
            self._select([self.stacked.index(child) for child in self.active])

    def _extract(self, child: _Child) -> None:
        """Take weights and state of a child's best epoch."""
        position = self.stacked.index(child)
        child.weights, *moments = [
            self.network.extract(position, buffer)
            for buffer in self.best or self.buffers
        ]
        if child.state is not None:
            child.state = replace(child.state, moments=tuple(moments))

    def _select(self, positions: list[int]) -> None:
        children = torch.tensor(positions, device="cpu")
        network = self.network.select(children)
        self.best = [
            self.network.select_flat(best, network, children) for best in self.best
        ]
        self.optimizer.select(network, children)
        self.network = network
        self.stacked = list(self.active)
        self._schedules = {
            group.settings: self._schedules[group.settings]
            for group in self.optimizer.groups
        }
        # The old steps write to the tensors of the old network.
        self._steps = {}

    def result(self, child: _Child) -> TrainingResult:
        """Copy everything worth keeping to the CPU."""
        failed = child.error is not None
        predictions = None
        if child.best_predictions is not None and not failed:
            predictions = self.output.as_rows(child.best_predictions)
        return TrainingResult(
            architecture=child.job.architecture,
            error=child.error,
            weights=child.weights,
            n_rows=self.n_rows,
            n_iter=len(child.loss_curve),
            best_iter=child.best_iter,
            time=child.time,
            loss_curve=child.loss_curve,
            validation_scores=child.validation_scores,
            validation_loss=math.nan if failed else child.best_loss,
            validation_predictions=predictions,
            state=None if failed else child.state,
            is_stopped=child.is_hopeless,
        )
