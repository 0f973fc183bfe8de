"""Architectures and data in, trained weights and validation results out."""

from __future__ import annotations

import functools
import statistics
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

import joblib
import torch

from sknas._grouping import cost_model, group, n_useful_threads
from sknas._space import Architecture
from sknas._training import (
    TrainingData,
    TrainingJob,
    TrainingResult,
    TrainingSettings,
    train_stack,
)

_Outcome: TypeAlias = tuple[list[TrainingResult], int]


class Trainer:
    """Trains children side by side: in stacks, and stacks in processes or threads.

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
        Workers on the CPU, in joblib's sense. One worker trains large children in as
        many threads as torch has outside. Results depend on neither.
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
        # Seconds that callers have waited for results.
        self.seconds = 0.0
        self._model = cost_model(device)
        self._has_warned = False

    def train(
        self, jobs: Sequence[TrainingJob]
    ) -> Iterator[tuple[int, TrainingResult]]:
        """Train a child for each job; yield each job's position with its result.

        A stack's results come as soon as those of dearer stacks have, so that little is
        lost if the caller is interrupted.

        Warns
        -----
        UserWarning
            Once, if a stack had to be divided because the device's memory was full.
        """
        architectures = [job.architecture for job in jobs]
        stacks = group(architectures, self._cost, self._model.max_children)
        start = time.perf_counter()
        for stack, (results, n_parts) in self._train_stacks(jobs, stacks):
            self.seconds += time.perf_counter() - start
            if n_parts > 1:
                self._warn_of_memory(len(stack), n_parts)
            yield from zip(stack, results, strict=True)
            start = time.perf_counter()

    def _cost(self, architectures: Sequence[Architecture]) -> float:
        return self._model.cost(
            architectures,
            n_rows=self.settings.batch_size,
            n_features=self.data.X.shape[1],
            n_outputs=self.data.n_outputs,
        )

    def _train_stacks(
        self, jobs: Sequence[TrainingJob], stacks: Sequence[list[int]]
    ) -> Iterator[tuple[list[int], _Outcome]]:
        """Choose processes where there are several, else threads where they pay."""
        n_threads = torch.get_num_threads() if self.device.type == "cpu" else 1
        if n_threads == 1 or joblib.effective_n_jobs(self.n_jobs) > 1:
            yield from self._run(jobs, stacks, self.n_jobs)
            return
        costs = [self._cost([jobs[p].architecture for p in stack]) for stack in stacks]
        # The dearest come first. Those that would hold each other up come last, alone.
        large = [cost for cost in costs if n_useful_threads(cost) > 1]
        n_large = len(large)
        if large:
            n_threads = min(n_threads, n_useful_threads(statistics.median(large)))
            yield from self._run_threads(jobs, stacks[:n_large], n_threads)
        yield from self._run(jobs, stacks[n_large:], n_jobs=1)

    def _run(
        self,
        jobs: Sequence[TrainingJob],
        stacks: Sequence[list[int]],
        n_jobs: int | None,
    ) -> Iterator[tuple[list[int], _Outcome]]:
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
        outcomes: Iterable[_Outcome] = parallel(
            joblib.delayed(train_within_memory)(*self._task(jobs, stack))
            for stack in stacks
        )
        yield from zip(stacks, outcomes, strict=True)

    def _run_threads(
        self, jobs: Sequence[TrainingJob], stacks: Sequence[list[int]], n_threads: int
    ) -> Iterator[tuple[list[int], _Outcome]]:
        # A thread cannot be stopped from outside, as a process can: after an interrupt
        # those that train are told to end, and waited for, an epoch at most.
        is_over = threading.Event()
        executor = ThreadPoolExecutor(n_threads)
        try:
            tasks = [
                executor.submit(
                    train_within_memory, *self._task(jobs, stack), is_over.is_set
                )
                for stack in stacks
            ]
            for stack, task in zip(stacks, tasks, strict=True):
                yield stack, task.result()
        finally:
            is_over.set()
            executor.shutdown(cancel_futures=True)

    def _task(
        self, jobs: Sequence[TrainingJob], stack: Sequence[int]
    ) -> tuple[TrainingData, list[TrainingJob], TrainingSettings, int, torch.device]:
        stacked = [jobs[position] for position in stack]
        return self.data, stacked, self.settings, self.seed, self.device

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
    is_cancelled: Callable[[], bool] = bool,
) -> tuple[list[TrainingResult], int]:
    """Train a stack, and if the device's memory does not hold it, its halves.

    Returns
    -------
    list of TrainingResult
        One a job, in their order.
    int
        Into how many stacks the children were divided.

    Raises
    ------
    torch.OutOfMemoryError
        If the memory does not hold one child.
    """
    try:
        return train_stack(data, jobs, settings, seed, device, is_cancelled), 1
    except torch.OutOfMemoryError:
        if len(jobs) == 1:
            raise
    # Out of the handler: the exception keeps everything alive that it passed through.
    if device.type == "cuda":
        torch.cuda.empty_cache()
    half = len(jobs) // 2
    results: list[TrainingResult] = []
    n_stacks = 0
    for part in (jobs[:half], jobs[half:]):
        trained, n = train_within_memory(
            data, part, settings, seed, device, is_cancelled
        )
        results += trained
        n_stacks += n
    return results, n_stacks
