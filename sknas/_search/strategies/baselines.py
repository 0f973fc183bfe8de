"""What a reward is compared with before it moves the policy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Baseline(Protocol):
    """The reward expected of an architecture that is neither good nor bad."""

    def update(self, rewards: Sequence[float]) -> float:
        """Take in the rewards of a round and return the value to subtract from them."""


class ConstantBaseline:
    """Always the same value: the paper's 0.5 (appendix A)."""

    def __init__(self, value: float) -> None:
        self._value = value

    def update(self, rewards: Sequence[float]) -> float:
        """Return the constant, whatever the rewards."""
        del rewards
        return self._value


class MovingAverageBaseline:
    """Exponential moving average of the mean reward, corrected for its start.

    Without the correction an average that begins at 0 stays near 0 for the few
    rounds a search has.
    """

    def __init__(self, decay: float = 0.5) -> None:
        self._decay = decay
        self._average = 0.0
        self._weight = 0.0

    def update(self, rewards: Sequence[float]) -> float:
        """Average the rewards in and return the corrected average."""
        mean = sum(rewards) / len(rewards)
        self._average = self._decay * self._average + (1 - self._decay) * mean
        self._weight = self._decay * self._weight + (1 - self._decay)
        return self._average / self._weight
