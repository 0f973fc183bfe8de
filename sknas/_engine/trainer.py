"""Jobs and data in, trained weights and validation results out."""

from __future__ import annotations

import heapq
import itertools
import statistics
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import joblib
import torch

from sknas._budget import Budget
from sknas._engine.grouping import cost_model, group, n_useful_threads
from sknas._engine.jobs import (
    TrainingData,
    TrainingJob,
    TrainingResult,
    TrainingSettings,
    untrained,
)
from sknas._engine.training.stack import train_stack
from sknas._engine.workers import run_here, run_processes, run_threads
from sknas._space import Architecture
from sknas._warnings import warn

_UNLIMITED = Budget()
# Seconds below which it does not pay to start processes, which import torch.
_WORTH_PROCESSES = 5.0
OUT_OF_MEMORY = "out of memory"
WORKER_KILLED = "a killed worker process"


@dataclass(frozen=True)
class StackTask:
    """A stack of children to be trained, somewhere.

    Parameters
    ----------
    data : TrainingData
        The fold.
    jobs : sequence of TrainingJob
        One for each child.
    settings : TrainingSettings
        The trainer's; jobs may have some of their own.
    seed : int
        Decides the order of the rows.
    device : torch.device
        Where to train.
    budget : Budget
        That of all stacks.
    share : float
        Of what is left of the budget when this stack begins, the part that is its own.
    must_finish : bool
        Whether it is trained even if nothing is left.
    """

    data: TrainingData
    jobs: Sequence[TrainingJob]
    settings: TrainingSettings
    seed: int
    device: torch.device
    budget: Budget
    share: float
    must_finish: bool


@dataclass(frozen=True)
class StackOutcome:
    """Results in the order of the jobs, if any, and in how many parts they came."""

    results: list[TrainingResult]
    n_parts: int = 1


@dataclass(frozen=True)
class _Stack:
    """Positions of the jobs that are trained together, and what they cost."""

    positions: list[int]
    step_cost: float
    cost: float  # of all steps


class Trainer:
    """Trains children side by side: in stacks, and stacks in processes or threads.

    Parameters
    ----------
    folds : sequence of TrainingData
        Tables of the same columns and output; a job names the one it is for.
    settings : TrainingSettings
        Of every child, where its job does not have others.
    seed : int
        Decides the order of the rows in each epoch, the same for every child.
    device : torch.device
        Where children are trained; their results come back to the CPU.
    n_jobs : int or None
        Workers on the CPU, in joblib's sense. One worker trains large children in as
        many threads as torch has outside. Results depend on neither.

    Attributes
    ----------
    seconds : float
        How long callers have waited for results.
    """

    def __init__(
        self,
        folds: Sequence[TrainingData],
        settings: TrainingSettings,
        *,
        seed: int,
        device: torch.device,
        n_jobs: int | None,
    ) -> None:
        self.folds = list(folds)
        self.settings = settings
        self.seed = seed
        self.device = device
        # Processes that share a GPU would only take turns on it.
        self.n_jobs = n_jobs if device.type == "cpu" else 1
        self.seconds = 0.0
        self._model = cost_model(device)
        self._warned: set[str] = set()

    def train(
        self, jobs: Sequence[TrainingJob], budget: Budget = _UNLIMITED
    ) -> Generator[tuple[int, TrainingResult], None, None]:
        """Train a child for each job; yield each job's position with its result.

        A stack's results come as soon as they are there, and the most expensive stacks
        begin first, so that little is lost if the caller is interrupted.

        Parameters
        ----------
        jobs : sequence of TrainingJob
            What to train.
        budget : Budget, default=unlimited
            It is shared among the stacks by what these cost, and a stack shortens its
            schedule to keep to its share. One whose turn comes when the time is over is
            not trained, but for the first, which always is for some batches.

        Warns
        -----
        UserWarning
            Once each, if a stack had to be divided because the device's memory was
            full, if the memory does not hold a child, if a worker was killed, or if
            nothing can be sent to workers.
        """
        stacks = self._stacks(jobs)
        start = time.perf_counter()
        with closing(self._run(jobs, stacks, budget)) as outcomes:
            for stack, outcome in outcomes:
                # What the caller does between two results is not counted.
                self.seconds += time.perf_counter() - start
                n_children = len(stack.positions)
                if outcome is None:
                    outcome = self._killed([jobs[i] for i in stack.positions])
                self._warn_of_memory(n_children, outcome)
                # A stack without results was cancelled, or its turn came too late.
                yield from zip(
                    stack.positions, outcome.results, strict=bool(outcome.results)
                )
                start = time.perf_counter()

    def _stacks(self, jobs: Sequence[TrainingJob]) -> list[_Stack]:
        """Divide the jobs into stacks, the most expensive first."""
        settings = [job.own_settings(self.settings) for job in jobs]
        # The children of a stack share the table and the batches, step by step, and
        # count their steps together.
        keys = [
            (job.fold, own.stack_key, job.steps_before)
            for job, own in zip(jobs, settings, strict=True)
        ]
        stacks: list[list[_Stack]] = []
        for key in dict.fromkeys(keys):
            positions = [i for i, other in enumerate(keys) if other == key]
            n_rows = self.folds[key[0]].n_rows
            n_batch_rows = settings[positions[0]].n_batch_rows(n_rows)

            # The default binds the batch size of this key, not that of a later one.
            def cost(
                architectures: Sequence[Architecture], n_rows: int = n_batch_rows
            ) -> float:
                return self._step_cost(architectures, n_rows)

            architectures = [jobs[i].architecture for i in positions]
            # What does not step together is best given to as many workers.
            together = settings[positions[0]].is_stochastic
            max_children = self._model.max_children if together else 1
            stacks.append([])
            for members in group(architectures, cost, max_children):
                # Those that the optimizer moves alike are made neighbours: see
                # `StackedOptimizer`.
                stacked = [positions[member] for member in members]
                kinds = dict.fromkeys(settings[i].optimizer for i in stacked)
                stacked = [
                    i
                    for kind in kinds
                    for i in stacked
                    if settings[i].optimizer == kind
                ]
                step_cost = cost([jobs[i].architecture for i in stacked])
                n_steps = max(settings[i].n_steps(n_rows) for i in stacked)
                stacks[-1].append(_Stack(stacked, step_cost, step_cost * n_steps))
        # Merging keeps the order that `group` gave to the stacks of each key.
        return list(heapq.merge(*stacks, key=lambda stack: -stack.cost))

    def _step_cost(self, architectures: Sequence[Architecture], n_rows: int) -> float:
        """Return what a step of some architectures costs as one stack."""
        return self._model.cost(
            architectures,
            n_rows=n_rows,
            n_features=self.folds[0].X.shape[1],
            n_outputs=self.folds[0].output.n_outputs,
            density=self.folds[0].density,
        )

    def _run(
        self, jobs: Sequence[TrainingJob], stacks: list[_Stack], budget: Budget
    ) -> Generator[tuple[_Stack, StackOutcome | None], None, None]:
        """Choose processes where there are several, else threads where they pay."""
        n_jobs = joblib.effective_n_jobs(self.n_jobs)
        if n_jobs > 1 and budget.seconds_left() > _WORTH_PROCESSES:
            tasks = self._tasks(jobs, stacks, [n_jobs] * len(stacks), budget)
            for number, outcome in run_processes(_train_task, tasks, self.n_jobs):
                yield stacks[number], outcome
            return
        # Threads share the interpreter: they pay only for steps that spend most of
        # their time in torch.
        n_threads = torch.get_num_threads() if self.device.type == "cpu" else 1
        large: list[_Stack] = []
        if n_threads > 1:
            large = [s for s in stacks if n_useful_threads(s.step_cost) > 1]
        if large:
            costs = [stack.step_cost for stack in large]
            n_threads = min(n_threads, n_useful_threads(statistics.median(costs)))
        # Those that would hold each other up come last, alone.
        stacks = large + [stack for stack in stacks if stack not in large]
        # The large ones share the threads, and each of the others has the process to
        # itself.
        n_large = len(large)
        n_workers = [n_threads] * n_large + [1] * (len(stacks) - n_large)
        tasks = self._tasks(jobs, stacks, n_workers, budget)
        if large:
            threads = run_threads(_train_task, tasks[:n_large], n_threads)
            with closing(threads):
                for number, threaded in threads:
                    yield stacks[number], threaded
        for number, single in run_here(_train_task, tasks[n_large:]):
            yield stacks[n_large + number], single

    def _tasks(
        self,
        jobs: Sequence[TrainingJob],
        stacks: Sequence[_Stack],
        n_workers: Sequence[int],
        budget: Budget,
    ) -> list[StackTask]:
        """Make a task of each stack, with its share of the time.

        ``n_workers`` are those that work while the stack is trained.
        """
        # How long each stack keeps all workers busy, and all from each one on.
        busy = [s.cost / n for s, n in zip(stacks, n_workers, strict=True)]
        from_here = list(itertools.accumulate(reversed(busy), initial=0.0))[::-1]
        tasks = []
        for number, stack in enumerate(stacks):
            # Those that the other workers train when this one begins count too.
            first = max(number - n_workers[number] + 1, 0)
            tasks.append(
                StackTask(
                    self.folds[jobs[stack.positions[0]].fold],
                    [jobs[position] for position in stack.positions],
                    self.settings,
                    self.seed,
                    self.device,
                    budget,
                    # Its own part of the work that is left when it begins.
                    min(stack.cost / from_here[first], 1.0),
                    must_finish=number == 0,
                )
            )
        return tasks

    def _killed(self, jobs: Sequence[TrainingJob]) -> StackOutcome:
        self._warn_once(
            WORKER_KILLED,
            f"A worker process was killed twice while it trained {len(jobs)} "
            "networks, which are recorded as failed. If the memory is short, decrease "
            "n_jobs.",
        )
        return StackOutcome(
            [untrained(job, self.folds[job.fold].n_rows, WORKER_KILLED) for job in jobs]
        )

    def _warn_of_memory(self, n_children: int, outcome: StackOutcome) -> None:
        failed = [r for r in outcome.results if r.error == OUT_OF_MEMORY]
        if failed:
            self._warn_once(
                OUT_OF_MEMORY,
                f"The memory of {self.device} does not hold a network of "
                f"{failed[0].architecture}: it is recorded as failed.",
            )
        elif outcome.n_parts > 1:
            self._warn_once(
                "parts",
                f"The memory of {self.device} was full: {n_children} networks were "
                f"trained in {outcome.n_parts} parts, one after the other, not "
                "together.",
            )

    def _warn_once(self, kind: str, message: str) -> None:
        if kind not in self._warned:
            warn(message)
        self._warned.add(kind)


def _train_task(task: StackTask, is_cancelled: Callable[[], bool]) -> StackOutcome:
    """Train a stack within its share of the budget, unless there is nothing left."""
    if task.budget.is_over() and not task.must_finish:
        return StackOutcome([])
    # A share of what is left now, when the stack begins, and not of the whole budget:
    # what earlier stacks did not use is passed on.
    budget = task.budget.share(task.share)
    return train_within_memory(task, budget, is_cancelled)


def train_within_memory(
    task: StackTask, budget: Budget, is_cancelled: Callable[[], bool]
) -> StackOutcome:
    """Train a stack, and if the device's memory does not hold it, its halves.

    A single child that the memory does not hold fails.
    """
    jobs = task.jobs
    try:
        results = train_stack(
            task.data,
            jobs,
            task.settings,
            task.seed,
            task.device,
            budget,
            is_cancelled,
            task.must_finish,
        )
        return StackOutcome(results)
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
    # Out of the handler: the exception keeps everything alive that it passed through.
    if task.device.type == "cuda":
        torch.cuda.empty_cache()
    if len(jobs) == 1:
        n_rows = task.data.n_rows
        return StackOutcome([untrained(jobs[0], n_rows, OUT_OF_MEMORY)])
    # Both halves must finish: if one came back empty, results and jobs would no longer
    # correspond.
    half = len(jobs) // 2
    halves = [
        replace(task, jobs=part, must_finish=True)
        for part in (jobs[:half], jobs[half:])
    ]
    first = train_within_memory(halves[0], budget.share(0.5), is_cancelled)
    second = train_within_memory(halves[1], budget, is_cancelled)
    return StackOutcome(first.results + second.results, first.n_parts + second.n_parts)


def _is_out_of_memory(error: Exception) -> bool:
    """Tell a failed allocation; on a CPU, torch has no class of its own for it."""
    return (
        isinstance(error, (MemoryError, torch.OutOfMemoryError))
        or "DefaultCPUAllocator" in str(error)
        or "bad_alloc" in str(error)
    )
