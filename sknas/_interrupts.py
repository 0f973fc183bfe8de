"""Ctrl-C at moments at which it would break more than it stops."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def deferred_interrupts(*, are_dropped: bool = False) -> Iterator[None]:
    """Hold Ctrl-C back until the end of the context, and let it through then.

    An import of torch that is interrupted leaves a half-made module behind, with which
    nothing works for the rest of the process. Only the main thread hears of signals.

    Parameters
    ----------
    are_dropped : bool, default=False
        Whether to forget it at the end, since an earlier one is under way already.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[tuple[int, FrameType | None]] = []
    previous = signal.getsignal(signal.SIGINT)
    # None is a handler that was not set from Python: it is not ours to replace.
    if not callable(previous):
        yield
        return
    signal.signal(signal.SIGINT, lambda *arguments: received.append(arguments))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
        if received and not are_dropped:
            previous(*received[0])
