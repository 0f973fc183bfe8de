"""Where tasks are carried out: in this process, in its threads, or in others.

All three take a function and tasks, and yield each task's number with its outcome as
soon as it is there. All leave no thread and no process behind that still computes, and
no broken pool, however they end.
"""

from __future__ import annotations

import contextlib
import functools
import os
import pickle
import signal
import threading
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any, TypeVar

import joblib
from joblib.externals.loky import BrokenProcessPool, reusable_executor

from sknas._interrupts import deferred_interrupts
from sknas._warnings import warn

_Task = TypeVar("_Task")
_Outcome = TypeVar("_Outcome")


class Cancellation:
    """Tells the threads of this process to end.

    What another process receives is a copy that never does: processes are killed.
    """

    def __init__(self) -> None:
        self._event = threading.Event()

    def __call__(self) -> bool:
        """Tell whether to end."""
        return self._event.is_set()

    def __reduce__(self) -> tuple[type[Cancellation], tuple[()]]:
        return Cancellation, ()

    def cancel(self) -> None:
        """From now on, say yes."""
        self._event.set()


def run_here(
    function: Callable[[_Task, Callable[[], bool]], _Outcome],
    tasks: Sequence[_Task],
) -> Iterator[tuple[int, _Outcome]]:
    """Carry out one task after the other."""
    for number, task in enumerate(tasks):
        # `bool()` is False: nobody cancels what runs here.
        yield number, function(task, bool)


def run_threads(
    function: Callable[[_Task, Callable[[], bool]], _Outcome],
    tasks: Sequence[_Task],
    n_threads: int,
) -> Generator[tuple[int, _Outcome], None, None]:
    """Carry out tasks in threads of this process.

    A thread cannot be stopped from outside, as a process can: after an interrupt those
    that compute are told to end, and waited for.
    """
    cancellation = Cancellation()
    executor = ThreadPoolExecutor(n_threads)
    try:
        futures = {
            executor.submit(function, task, cancellation): number
            for number, task in enumerate(tasks)
        }
        for future in as_completed(futures):
            yield futures[future], future.result()
    finally:
        cancellation.cancel()
        executor.shutdown(cancel_futures=True)


def run_processes(
    function: Callable[[_Task, Callable[[], bool]], _Outcome],
    tasks: Sequence[_Task],
    n_jobs: int | None,
) -> Generator[tuple[int, _Outcome | None], None, None]:
    """Carry out tasks in joblib's workers.

    If a worker is killed, the tasks that were under way are carried out again, in a
    renewed pool and one at a time. If a worker is killed once more, the outcome of that
    task is None.

    Parameters
    ----------
    function : callable
        Takes a task and a function that tells whether to end.
    tasks : sequence
        What goes to the workers. Those submitted first are under way first.
    n_jobs : int or None
        Workers, in joblib's sense.

    Warns
    -----
    UserWarning
        If tasks cannot be sent to workers, which is so where a temporary folder is full
        or cannot be written to. They are carried out here.
    """
    pending = list(range(len(tasks)))
    # Tasks that were under way when a worker was killed.
    suspects: list[int] = []
    while pending:
        # A suspect is alone, so that there is no doubt who caused a second failure.
        submitted = suspects[:1] or list(pending)
        outcomes = _submit(function, tasks, submitted, n_jobs)
        try:
            for number, outcome in outcomes:
                pending.remove(number)
                suspects = [suspect for suspect in suspects if suspect != number]
                yield number, outcome
        except BrokenProcessPool:
            if not suspects:
                # Nobody knows which task it was, but workers take them in order: the
                # first ones that are pending were under way.
                suspects = pending[: joblib.effective_n_jobs(n_jobs)]
                continue
            killer = suspects.pop(0)
            pending.remove(killer)
            yield killer, None
        except (pickle.PicklingError, OSError) as error:
            warn(
                "Networks are trained in this process alone, as joblib cannot hand "
                f"tasks to its workers ({error}). Is the temporary folder full? "
                "JOBLIB_TEMP_FOLDER names another one."
            )
            here = run_here(function, [tasks[number] for number in pending])
            for position, outcome in here:
                yield pending[position], outcome
            return
        finally:
            outcomes.close()


def _submit(
    function: Callable[[_Task, Callable[[], bool]], _Outcome],
    tasks: Sequence[_Task],
    numbers: Sequence[int],
    n_jobs: int | None,
) -> Generator[tuple[int, _Outcome], None, None]:
    """Yield the outcomes of some tasks; at an early end, leave no worker behind."""
    # Copy-on-write maps: workers share one copy of a large table, and torch does not
    # warn of arrays it must not write to. One task at a time: joblib's batches of tasks
    # would leave workers idle.
    make_parallel = functools.partial(
        joblib.Parallel, n_jobs=n_jobs, batch_size=1, mmap_mode="c"
    )
    parallel = None
    # The first needs joblib 1.4, and the "multiprocessing" backend has only the last.
    for return_as in ("generator_unordered", "generator", "list"):
        with contextlib.suppress(ValueError):
            parallel = make_parallel(return_as=return_as)
            break
    assert parallel is not None
    cancellation = Cancellation()
    outcomes: Any = ()
    queue: Any = None
    is_complete = False
    try:
        outcomes = parallel(
            joblib.delayed(_carry_out)(
                function, number, tasks[number], cancellation, os.getpid()
            )
            for number in numbers
        )
        # Looked up now: the pool forgets its queue when it is shut down.
        queue = getattr(_executor(), "_call_queue", None)
        yield from outcomes
        is_complete = True
    finally:
        if not is_complete:
            # Another Ctrl-C must not leave half a pool behind.
            with deferred_interrupts():
                cancellation.cancel()
                _end_workers(outcomes, queue)


def _executor() -> Any:
    """Return joblib's pool of processes, if there is one."""
    return getattr(reusable_executor, "_executor", None)


def _end_workers(outcomes: Any, queue: Any) -> None:
    """Stop what is under way: joblib's next pool is a new one."""
    # A terminal's Ctrl-C reaches the workers too, and another one may come while joblib
    # ends its pool: whatever is left of it is broken.
    if hasattr(outcomes, "close"):
        with warnings.catch_warnings():
            # joblib tells what is cancelled.
            warnings.simplefilter("ignore")
            outcomes.close()
    executor = _executor()
    if executor is not None:
        executor.shutdown(wait=True, kill_workers=True)
    if queue is not None:
        # A thread of this process may be writing a task that nobody will read, for ever
        # unless it finds that the pipe has no other end.
        with contextlib.suppress(OSError):
            queue._reader.close()
        if queue._thread is not None:
            queue._thread.join(timeout=1.0)


def _carry_out(
    function: Callable[[_Task, Callable[[], bool]], _Outcome],
    number: int,
    task: _Task,
    cancellation: Cancellation,
    submitter: int,
) -> tuple[int, _Outcome]:
    """Carry out a task, deaf to Ctrl-C where that is another process's to answer."""
    # joblib may carry out tasks in the submitting process. Only a main thread may set
    # signal handlers.
    is_worker = os.getpid() != submitter
    if not is_worker or threading.current_thread() is not threading.main_thread():
        return number, function(task, cancellation)
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return number, function(task, cancellation)
    finally:
        signal.signal(signal.SIGINT, handler)
