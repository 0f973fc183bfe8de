"""Random search: the comparison that every other strategy owes its reader."""

from __future__ import annotations

import numpy as np

from sknas._search.strategies.base import SearchStrategy
from sknas._space import Architecture


class RandomStrategy(SearchStrategy):
    """Draws from the prior of the space and learns nothing."""

    def _setup(self, random_state: int) -> None:
        # Not the stream of the fallback: one repeats nothing of the other.
        self._generator = np.random.default_rng([random_state, 1])

    def _draw(self, n: int) -> list[Architecture]:
        return [self.space.sample(self._generator) for _ in range(n)]
