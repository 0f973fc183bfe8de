"""What a fit may still use: one object that every stage asks."""

from __future__ import annotations

import math
import time


class Budget:
    """Seconds that are left.

    A budget is made once, when `fit` is called, and handed down. A stage that may use
    only a part of it takes a `share`, which ends no later than the whole does.

    Parameters
    ----------
    max_time : float or None, default=None
        Seconds from ``began`` on. None is no limit.
    began : float or None, default=None
        When the seconds began to count, of ``time.monotonic()``: the one clock that
        the processes of a machine have in common. None is now.

    Examples
    --------
    >>> from sknas._budget import Budget
    >>> Budget().seconds_left()
    inf
    >>> Budget(60.0).share(0.5).seconds_left() <= 30.0
    True
    """

    def __init__(
        self, max_time: float | None = None, *, began: float | None = None
    ) -> None:
        if began is None:
            began = time.monotonic()
        self._deadline = math.inf if max_time is None else began + max_time

    def seconds_left(self) -> float:
        """Return the seconds until the end: negative after it, infinite without one."""
        return self._deadline - time.monotonic()

    def is_over(self) -> bool:
        """Tell whether nothing is left."""
        return self.seconds_left() <= 0

    @property
    def is_limited(self) -> bool:
        """Whether there is an end at all."""
        return math.isfinite(self._deadline)

    def share(self, fraction: float) -> Budget:
        """Return a budget of a fraction of the seconds that are left, from now on."""
        # Infinity times a fraction is infinity: no limit stays none.
        return self.at_most(fraction * self.seconds_left())

    def at_most(self, seconds: float) -> Budget:
        """Return a budget of some seconds from now on, but of no more than are left."""
        return Budget(min(seconds, self.seconds_left()))
