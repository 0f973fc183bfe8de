"""The conversation between a search and what proposes architectures."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import numpy as np

from sknas._space import Architecture, SearchSpace

# Draws a strategy may waste on architectures it has seen, for each one asked for.
_MAX_REDRAWS = 20


class SearchStrategy:
    """Base of the built-in strategies: counts, checks and removes duplicates.

    A strategy sees the space and the rewards, never the data. ``setup`` once, then
    ``ask`` and ``tell`` in turn. Subclasses write ``_setup``, ``_draw`` and, if they
    learn, ``_tell`` and ``predict``.
    """

    space: SearchSpace

    def setup(self, space: SearchSpace, random_state: int) -> None:
        """Begin a search.

        Parameters
        ----------
        space : SearchSpace
            Where architectures come from.
        random_state : int
            Seed of everything the strategy draws.
        """
        self.space = space
        self._fallback = np.random.default_rng(random_state)
        self._seen: set[Architecture] = set()
        self._asked: list[Architecture] | None = None
        self._setup(random_state)

    def ask(self, n: int) -> list[Architecture]:
        """Propose architectures that were neither asked for nor told before.

        Parameters
        ----------
        n : int
            How many.

        Returns
        -------
        list of Architecture
            Fewer than ``n`` only where the space has no more.

        Raises
        ------
        RuntimeError
            If the last ones asked for have not been told.
        """
        self._check_set_up("ask")
        if self._asked is not None:
            raise RuntimeError("ask() was called twice without tell() in between.")
        n = min(n, self.space.n_architectures - len(self._seen))
        proposed = self._propose(n) if n > 0 else []
        self._seen.update(proposed)
        self._asked = proposed
        return list(proposed)

    def tell(
        self, architectures: Sequence[Architecture], rewards: Sequence[float]
    ) -> None:
        """Learn what came of architectures.

        Parameters
        ----------
        architectures : sequence of Architecture
            All that were asked for, and any others of the space.
        rewards : sequence of float
            One finite number each; more is better.

        Raises
        ------
        RuntimeError
            If nothing was asked for.
        ValueError
            If the lengths differ, a reward is not finite, or one of the architectures
            asked for is missing.
        """
        self._check_set_up("tell")
        if self._asked is None:
            raise RuntimeError("tell() was called without calling ask().")
        if len(architectures) != len(rewards):
            raise ValueError(
                f"architectures and rewards must have the same length. Got "
                f"{len(architectures)} and {len(rewards)} instead."
            )
        if not np.isfinite(rewards).all():
            raise ValueError(f"rewards must be finite. Got {list(rewards)} instead.")
        missing = set(self._asked) - set(architectures)
        if missing:
            raise ValueError(
                f"tell() must be given all that ask() returned. Missing: {missing}."
            )
        self._seen.update(architectures)
        asked, self._asked = self._asked, None
        if architectures:
            self._tell(architectures, rewards, set(asked))

    def predict(self, architectures: Sequence[Architecture]) -> np.ndarray:
        """Predict rewards: NaN from a strategy that does not.

        Parameters
        ----------
        architectures : sequence of Architecture
            Architectures of the space.

        Returns
        -------
        ndarray of shape (n_architectures,)
            One reward each.
        """
        return np.full(len(architectures), np.nan)

    def report(self) -> dict[str, float]:
        """Return figures about the last ``tell``, to be recorded with the round."""
        return {}

    def _check_set_up(self, method: str) -> None:
        if not hasattr(self, "space"):
            raise RuntimeError(f"{method}() was called without calling setup().")

    def _propose(self, n: int) -> list[Architecture]:
        """Find ``n`` new architectures; a bounded number of redraws, then others."""
        found: dict[Architecture, None] = {}
        for _ in range(_MAX_REDRAWS):
            self._take_new(self._draw(n - len(found)), found, n)
            if len(found) == n:
                return list(found)
        # The policy repeats itself. What it does not reach is drawn from the prior,
        # and in a space that is nearly used up, taken in order.
        draws = (self.space.sample(self._fallback) for _ in range(n * _MAX_REDRAWS))
        self._take_new(itertools.chain(draws, self.space), found, n)
        return list(found)

    def _take_new(
        self,
        candidates: Iterable[Architecture],
        found: dict[Architecture, None],
        n: int,
    ) -> None:
        for architecture in candidates:
            if len(found) == n:
                return
            if architecture not in self._seen:
                found[architecture] = None

    def _setup(self, random_state: int) -> None:
        """Prepare whatever the strategy draws with."""
        raise NotImplementedError

    def _draw(self, n: int) -> list[Architecture]:
        """Draw ``n`` architectures, duplicates allowed."""
        raise NotImplementedError

    def _tell(
        self,
        architectures: Sequence[Architecture],
        rewards: Sequence[float],
        asked: set[Architecture],
    ) -> None:
        """Learn; ``asked`` are those this strategy proposed itself."""
