"""How far children are on their way through the epochs, and how far they may go."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from typing import Protocol

import torch

from sknas._budget import Budget
from sknas._engine.jobs import OptimizerSettings

# Steps that a stack which must have a result is trained for, whatever the budget.
_FEWEST_STEPS = 8
# Steps between two looks at the clock on a GPU, which has to be waited for.
_CUDA_LOOK = 16


class Paced(Protocol):
    """What the pace needs to know of a training."""

    device: torch.device
    n_batches: int

    @property
    def schedules(self) -> Iterable[Schedule]:
        """Those of all different settings in the stack."""

    @property
    def validation_steps(self) -> float:
        """What validation is likely to cost, in steps."""


class Schedule:
    """Where children of equal settings are on their way through the epochs."""

    def __init__(self, settings: OptimizerSettings, n_batches: int) -> None:
        self.progress = 0.0
        self.n_left = settings.max_iter * n_batches
        # Less than 1 where training ends before the schedule does.
        self._end = settings.max_iter / settings.schedule_iter

    def advance(self, affordable: float) -> None:
        """Move on by one step, of which only a share of those left is affordable."""
        # Equal parts, which grow if time runs short: the learning rate still reaches
        # the end of its schedule.
        n_left = max(self.n_left * affordable, 1.0)
        self.progress += (self._end - self.progress) / n_left
        # Children that are done may stay beside others.
        self.n_left = max(self.n_left - 1, 1)


class Pace:
    """Looks at the clock, and says what share of the steps left is affordable.

    Without a limit of the budget the clock is never looked at. If training must finish,
    a few steps are affordable in any case.
    """

    def __init__(self, training: Paced, budget: Budget, *, must_finish: bool) -> None:
        self._training = training
        self._budget = budget
        self._n_steps = 0
        self._n_fewest = _FEWEST_STEPS if must_finish else 0
        self._look_every = _CUDA_LOOK if training.device.type == "cuda" else 1
        self._share = 1.0
        # Seconds of all steps since the first, which is slower, and how many these are.
        self._seconds, self._n_timed = 0.0, 0
        self._last_look = time.perf_counter()
        self._validation: float | None = None

    def share(self, n_to_boundary: int) -> float:
        """Return the share of the steps left that is affordable, from 0, stop, to 1.

        To be asked before each step. After ``n_to_boundary`` steps the epoch ends, and
        all children are validated.
        """
        if not self._budget.is_limited:
            return 1.0
        if self._n_steps % self._look_every == 0:
            self._look()
            n_left = max(schedule.n_left for schedule in self._training.schedules)
            n_affordable = self._n_affordable(n_to_boundary)
            if n_affordable < 1 and self._n_steps >= self._n_fewest:
                return 0.0
            n_affordable = max(n_affordable, self._n_fewest - self._n_steps)
            self._share = min(n_affordable / n_left, 1.0)
        self._n_steps += 1
        return self._share

    def validated(self, seconds: float) -> None:
        """Learn what it costs to validate all children."""
        self._validation = seconds
        self._last_look += seconds  # no part of a step

    def _look(self) -> None:
        """Add the time since the last look to that of the steps."""
        if self._look_every > 1:
            torch.cuda.synchronize(self._training.device)
        now = time.perf_counter()
        # The first steps are slower. Their time serves until there is that of others:
        # the second look takes it, and the third discards it.
        if self._n_steps == self._look_every:
            self._seconds, self._n_timed = now - self._last_look, self._look_every
        elif self._n_steps > self._look_every:
            if self._n_steps == 2 * self._look_every:
                self._seconds, self._n_timed = 0.0, 0
            self._seconds += now - self._last_look
            self._n_timed += self._look_every
        self._last_look = now

    def _n_affordable(self, n_to_boundary: int) -> float:
        """Return how many steps there is time for, with the validations between."""
        seconds = self._budget.seconds_left()
        if not self._n_timed:
            return math.inf if seconds > 0 else 0.0
        step = self._seconds / self._n_timed
        validation = self._validation
        if validation is None:
            validation = step * self._training.validation_steps
        validation *= 1.1  # it must not be late
        # What is left of this epoch, then whole epochs, then a part of one. Each of
        # these ends with a validation, which has to be paid too.
        n_in_epoch = (seconds - validation) / step
        if n_in_epoch <= n_to_boundary:
            return n_in_epoch
        seconds -= n_to_boundary * step + validation
        n_batches = self._training.n_batches
        n_epochs, seconds = divmod(seconds, n_batches * step + validation)
        n_last = max((seconds - validation) / step, 0.0)
        return n_to_boundary + n_epochs * n_batches + n_last
