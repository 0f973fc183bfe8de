"""Architectures and data in, trained weights and validation results out."""

from __future__ import annotations

import functools
import heapq
import math
import statistics
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeAlias

import joblib
import torch

from sknas._engine.grouping import cost_model, group, n_useful_threads
from sknas._engine.stack import (
    TrainingData,
    TrainingJob,
    TrainingResult,
    TrainingSettings,
    train_stack,
)
from sknas._space import Architecture


@dataclass(frozen=True)
class TimeLimit:
    """Seconds of a stack from its beginning, and when all stacks must have ended."""

    share: float
    deadline: float  # of time.monotonic(), which processes have in common
    may_skip: bool

    def max_time(self) -> float:
        """Return the seconds that a stack that begins now has."""
        return min(self.share, self.deadline - time.monotonic())


_Outcome: TypeAlias = tuple[list[TrainingResult], int]
_Task: TypeAlias = tuple[
    TrainingData,
    list[TrainingJob],
    TrainingSettings,
    int,
    torch.device,
    TimeLimit,
]


class Trainer:
    """Trains children side by side: in stacks, and stacks in processes or threads.

    Parameters
    ----------
    folds : sequence of TrainingData
        Tables of the same columns and classes; a job names the one it is for.
    settings : TrainingSettings
        The same for every child.
    seed : int
        Decides the order of the rows in each epoch, the same for every child.
    device : torch.device
        Where children are trained; their results come back to the CPU.
    n_jobs : int or None
        Workers on the CPU, in joblib's sense. One worker trains large children in as
        many threads as torch has outside. Results depend on neither.
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
        self.n_jobs = n_jobs if device.type == "cpu" else 1
        # Seconds that callers have waited for results.
        self.seconds = 0.0
        self._model = cost_model(device)
        self._has_warned = False

    def train(
        self, jobs: Sequence[TrainingJob], max_time: float = math.inf
    ) -> Iterator[tuple[int, TrainingResult]]:
        """Train a child for each job; yield each job's position with its result.

        A stack's results come as soon as those of dearer stacks have, so that little is
        lost if the caller is interrupted.

        Parameters
        ----------
        jobs : sequence of TrainingJob
            What to train.
        max_time : float, default=math.inf
            Seconds. They are shared among the stacks by what these cost, and a stack
            hastens its schedule to keep to its share. One whose turn comes when the
            time is over is not trained, but for the first.

        Warns
        -----
        UserWarning
            Once, if a stack had to be divided because the device's memory was full.
        """
        stacks = self._group(jobs)
        start = time.perf_counter()
        for stack, outcome in self._train_stacks(jobs, stacks, max_time):
            self.seconds += time.perf_counter() - start
            results, n_parts = outcome
            if n_parts > 1:
                self._warn_of_memory(len(stack), n_parts)
            yield from zip(stack, results, strict=bool(results))
            start = time.perf_counter()

    def _group(self, jobs: Sequence[TrainingJob]) -> list[list[int]]:
        """Divide the jobs of each fold into stacks, the dearest of all first."""
        of_folds = []
        for fold in range(len(self.folds)):
            positions = [i for i, job in enumerate(jobs) if job.fold == fold]
            architectures = [jobs[i].architecture for i in positions]
            stacks = group(architectures, self._cost, self._model.max_children)
            of_folds.append([[positions[i] for i in stack] for stack in stacks])
        return list(
            heapq.merge(*of_folds, key=lambda stack: -self._stack_cost(jobs, stack))
        )

    def _stack_cost(self, jobs: Sequence[TrainingJob], stack: Sequence[int]) -> float:
        return self._cost([jobs[position].architecture for position in stack])

    def _cost(self, architectures: Sequence[Architecture]) -> float:
        return self._model.cost(
            architectures,
            n_rows=self.settings.batch_size,
            n_features=self.folds[0].X.shape[1],
            n_outputs=self.folds[0].n_outputs,
        )

    def _train_stacks(
        self, jobs: Sequence[TrainingJob], stacks: Sequence[list[int]], max_time: float
    ) -> Iterator[tuple[list[int], _Outcome]]:
        """Choose processes where there are several, else threads where they pay."""
        costs = [self._stack_cost(jobs, stack) for stack in stacks]
        n_threads = torch.get_num_threads() if self.device.type == "cpu" else 1
        n_jobs = joblib.effective_n_jobs(self.n_jobs)
        if n_threads == 1 or n_jobs > 1:
            n_large, n_workers = 0, n_jobs
        else:
            # The dearest come first. Those that would hold each other up come last,
            # alone.
            large = [cost for cost in costs if n_useful_threads(cost) > 1]
            n_large, n_workers = len(large), 1
            if large:
                n_useful = n_useful_threads(statistics.median(large))
                n_threads = n_workers = min(n_threads, n_useful)
        share = max_time * n_workers / (sum(costs) or 1.0)
        deadline = time.monotonic() + max_time
        tasks = [
            (
                self.folds[jobs[stack[0]].fold],
                [jobs[position] for position in stack],
                self.settings,
                self.seed,
                self.device,
                TimeLimit(share * cost, deadline, may_skip=number > 0),
            )
            for number, (stack, cost) in enumerate(zip(stacks, costs, strict=True))
        ]
        if n_large:
            outcomes = self._run_threads(tasks[:n_large], n_threads)
            yield from zip(stacks[:n_large], outcomes, strict=True)
        outcomes = self._run(tasks[n_large:], self.n_jobs if not n_large else 1)
        yield from zip(stacks[n_large:], outcomes, strict=True)

    def _run(self, tasks: Sequence[_Task], n_jobs: int | None) -> Iterator[_Outcome]:
        # Copy-on-write maps: workers share one copy of a large table, and torch does
        # not warn of arrays it must not write to. One stack a task: joblib's batches of
        # tasks would leave workers idle.
        make_parallel = functools.partial(
            joblib.Parallel, n_jobs=n_jobs, batch_size=1, mmap_mode="c"
        )
        try:
            parallel = make_parallel(return_as="generator")
        except ValueError:  # a backend that cannot, such as "multiprocessing"
            parallel = make_parallel()
        yield from parallel(joblib.delayed(train_within_memory)(*t) for t in tasks)

    def _run_threads(
        self, tasks: Sequence[_Task], n_threads: int
    ) -> Iterator[_Outcome]:
        # A thread cannot be stopped from outside, as a process can: after an interrupt
        # those that train are told to end, and waited for, an epoch at most.
        is_over = threading.Event()
        executor = ThreadPoolExecutor(n_threads)
        try:
            futures = [
                executor.submit(train_within_memory, *task, is_over.is_set)
                for task in tasks
            ]
            for future in futures:
                yield future.result()
        finally:
            is_over.set()
            executor.shutdown(cancel_futures=True)

    def _warn_of_memory(self, n_children: int, n_stacks: int) -> None:
        if not self._has_warned:
            warnings.warn(
                f"The memory of {self.device} was full: {n_children} networks were "
                f"trained in {n_stacks} parts, one after the other, not together.",
                UserWarning,
                stacklevel=3,
            )
        self._has_warned = True


def train_within_memory(
    data: TrainingData,
    jobs: Sequence[TrainingJob],
    settings: TrainingSettings,
    seed: int,
    device: torch.device,
    limit: TimeLimit,
    is_cancelled: Callable[[], bool] = bool,
) -> _Outcome:
    """Train a stack, and if the device's memory does not hold it, its halves.

    Returns
    -------
    list of TrainingResult
        One a job, in their order; none if there was no time left.
    int
        Into how many stacks the children were divided.

    Raises
    ------
    torch.OutOfMemoryError
        If the memory does not hold one child.
    """
    max_time = limit.max_time()
    if max_time <= 0 and limit.may_skip:
        return [], 1
    try:
        results = train_stack(
            data, jobs, settings, seed, device, max_time, is_cancelled
        )
        return results, 1
    except torch.OutOfMemoryError:
        if len(jobs) == 1:
            raise
    # Out of the handler: the exception keeps everything alive that it passed through.
    if device.type == "cuda":
        torch.cuda.empty_cache()
    half = len(jobs) // 2
    half_limit = replace(limit, share=limit.share / 2, may_skip=False)
    halves = [
        train_within_memory(
            data, part, settings, seed, device, half_limit, is_cancelled
        )
        for part in (jobs[:half], jobs[half:])
    ]
    results = [result for trained, _ in halves for result in trained]
    return results, sum(n_stacks for _, n_stacks in halves)
