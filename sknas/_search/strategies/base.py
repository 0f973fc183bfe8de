"""The conversation between a search and what proposes architectures."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator

from sknas._sklearn import validate_parameter_constraints
from sknas._space import Architecture, SearchSpace, as_proposal

# How often `ask` draws again for the architectures that it still lacks.
_MAX_REDRAWS = 20


class SearchStrategy(BaseEstimator):
    """Base class for search strategies.

    A search calls `setup` once, then `ask` and `tell` in turn. A strategy sees the
    space and the rewards, never the data. This class checks, counts, removes
    duplicates and draws again where some were removed. A subclass writes `draw` and
    what it needs of `begin`, `learn` and the constructor, which only assigns its
    parameters, as in all of scikit-learn's estimators: `clone`, `get_params`,
    `set_params` and grids over ``search_strategy__<parameter>`` then work.

    Read more in the :ref:`user guide <own_strategy>`.

    Attributes
    ----------
    space_ : SearchSpace
        Where architectures come from.

    generator_ : numpy.random.Generator
        Source of everything that a subclass draws. Its seed is the ``random_state``
        of `setup`, so that a search is reproducible.

    Notes
    -----
    An object that does not inherit from this class is a strategy too if it has
    `setup`, `ask` and `tell`. Two methods are optional: ``predict(architectures)``
    returns one expected reward each, to be recorded as ``predicted_score``;
    ``report()`` returns a dict of figures, to be recorded with the round.

    A `Candidate` (an architecture with settings of its own) or a `Proposal` (a
    candidate with the epochs to train it for) may stand wherever an architecture does:
    `draw` may return them, and `learn` is then given the same.

    Examples
    --------
    >>> from sknas import SearchSpace, SearchStrategy
    >>> class ShallowStrategy(SearchStrategy):
    ...     '''Proposes networks of one hidden layer.'''
    ...
    ...     def draw(self, n):
    ...         drawn = (self.space_.sample(self.generator_) for _ in range(10 * n))
    ...         return [a for a in drawn if len(a.hidden_layer_sizes) == 1]
    >>> strategy = ShallowStrategy()
    >>> strategy.setup(SearchSpace((8, 16), ("relu",), max_layers=4), random_state=0)
    >>> architectures = strategy.ask(2)
    >>> [len(architecture.hidden_layer_sizes) for architecture in architectures]
    [1, 1]
    >>> strategy.tell(architectures, [0.8, 0.9])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {}

    space_: SearchSpace
    generator_: np.random.Generator

    # What a subclass writes.

    def begin(self) -> None:
        """Prepare a search; `space_` and `generator_` are already set.

        Whatever a strategy remembers of a search is made here, not in the constructor.
        """

    def draw(self, n: int) -> list[Architecture]:
        """Draw architectures, by what was learned so far.

        Parameters
        ----------
        n : int
            How many are needed, at least 1.

        Returns
        -------
        list of Architecture
            Architectures of `space_`. Duplicates and architectures that were tried
            before are allowed: `ask` removes them and draws again. It does so too if
            there are fewer than ``n``, and ignores what there is beyond.
        """
        raise NotImplementedError(
            f"{type(self).__name__} must have a method draw(n) that returns a list of "
            "architectures."
        )

    def learn(
        self, architectures: Sequence[Architecture], rewards: Sequence[float]
    ) -> None:
        """Learn from the rewards; by default, do nothing.

        Parameters
        ----------
        architectures : sequence of Architecture
            Those that `ask` returned and others that were tried, at least one.
            `was_asked` tells which are which.
        rewards : sequence of float
            One finite number each; higher is better.
        """

    def predict(self, architectures: Sequence[Architecture]) -> np.ndarray:
        """Predict rewards: NaN by default.

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
        """Return figures about the last `tell`, to be recorded with the round.

        Returns
        -------
        dict of str to float
            Empty from a strategy that has none.
        """
        return {}

    # What a search calls.

    def setup(self, space: SearchSpace, random_state: int) -> None:
        """Begin a search; what was learned in another one is forgotten.

        Parameters
        ----------
        space : SearchSpace
            Where architectures come from.
        random_state : int
            Seed of everything the strategy draws.

        Raises
        ------
        ValueError
            If a parameter of the constructor is not valid.
        """
        validate_parameter_constraints(
            self._parameter_constraints,
            self.get_params(deep=False),
            caller_name=type(self).__name__,
        )
        self.space_ = space
        # Two streams, so that neither repeats what the other drew.
        self.generator_, self._fallback = np.random.default_rng(random_state).spawn(2)
        self._tried: set[Architecture] = set()
        self._asked: set[Architecture] = set()
        self._awaited: list[Architecture] | None = None
        self.begin()

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
            If `setup` was not called, or the last ones asked for have not been told.
        ValueError
            If `draw` returned something that is not in the space.
        """
        self._check_set_up("ask")
        if self._awaited is not None:
            raise RuntimeError("ask() was called twice without tell() in between.")
        n = min(n, self.space_.n_architectures - len(self._tried))
        proposed = self._propose(n) if n > 0 else []
        self._tried.update(proposed)
        self._asked.update(proposed)
        self._awaited = proposed
        return list(proposed)

    def tell(
        self, architectures: Sequence[Architecture], rewards: Sequence[float]
    ) -> None:
        """Receive the rewards of architectures.

        Parameters
        ----------
        architectures : sequence of Architecture
            All that were asked for, and any others of the space.
        rewards : sequence of float
            One finite number each; higher is better.

        Raises
        ------
        RuntimeError
            If nothing was asked for.
        ValueError
            If the lengths differ, a reward is not finite, or one of the architectures
            asked for is missing.
        """
        self._check_set_up("tell")
        if self._awaited is None:
            raise RuntimeError("tell() was called without calling ask().")
        if len(architectures) != len(rewards):
            raise ValueError(
                f"architectures and rewards must have the same length. Got "
                f"{len(architectures)} and {len(rewards)} instead."
            )
        if not np.isfinite(rewards).all():
            raise ValueError(f"rewards must be finite. Got {list(rewards)} instead.")
        missing = set(self._awaited) - set(architectures)
        if missing:
            raise ValueError(
                f"tell() must be given all that ask() returned. Missing: {missing}."
            )
        self._tried.update(architectures)
        self._awaited = None
        if architectures:
            self.learn(architectures, rewards)

    def was_asked(self, architecture: Architecture) -> bool:
        """Tell whether `ask` returned an architecture in this search.

        Parameters
        ----------
        architecture : Architecture
            Any architecture.

        Returns
        -------
        bool
            False for one that others proposed, such as the first of the search.
        """
        return architecture in self._asked

    def _check_set_up(self, method: str) -> None:
        if not hasattr(self, "space_"):
            raise RuntimeError(f"{method}() was called without calling setup().")

    def _propose(self, n: int) -> list[Architecture]:
        """Find ``n`` new architectures; a bounded number of redraws, then others."""
        # A dict is a set that keeps its order.
        found: dict[Architecture, None] = {}
        for _ in range(_MAX_REDRAWS):
            self._take_new(self._checked(self.draw(n - len(found))), found, n)
            if len(found) == n:
                return list(found)
        # The strategy repeats itself. What it does not reach is drawn from the prior,
        # and in a space that is nearly used up, taken in order.
        draws = (self.space_.sample(self._fallback) for _ in range(n * _MAX_REDRAWS))
        self._take_new(itertools.chain(draws, self.space_), found, n)
        return list(found)

    def _checked(self, drawn: list[Architecture]) -> list[Architecture]:
        for drawn_one in drawn:
            try:
                architecture = as_proposal(drawn_one).candidate.architecture
            except TypeError:
                architecture = None
            if architecture not in self.space_:
                raise ValueError(
                    f"draw() of {type(self).__name__} must return architectures of "
                    f"space_. Got {drawn_one!r} instead."
                )
        return drawn

    def _take_new(
        self,
        candidates: Iterable[Architecture],
        found: dict[Architecture, None],
        n: int,
    ) -> None:
        for architecture in candidates:
            if len(found) == n:
                return
            if architecture not in self._tried:
                found[architecture] = None
