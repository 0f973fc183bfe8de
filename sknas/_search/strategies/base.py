"""The conversation between a search and what proposes architectures."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Sequence
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator

from sknas._sklearn import validate_parameter_constraints
from sknas._space import Outcome, Proposal, Proposed, SearchSpace, as_proposal

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
    `setup`, `ask` and `tell`. Four methods are optional: ``predict(architectures)``
    returns one expected reward each, to be recorded as ``predicted_score``;
    ``report()`` returns a dict of figures, to be recorded with the round;
    ``observe(outcomes)`` is given an `Outcome` for each trial of a round before `tell`;
    ``parents()`` returns numbers of trials whose weights are to be kept;
    ``set_max_resources(epochs, folds)``, before `setup`, is told the epochs of a plain
    architecture and how many folds there are.

    A `Candidate` (an architecture with settings of its own) or a `Proposal` (a
    candidate with the epochs, rows and folds to train it for) may stand wherever an
    architecture does: `draw` may return them, and `learn` is then given the same. Two
    that mean the same, such as an architecture and a candidate of it without settings,
    are duplicates.

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

    def draw(self, n: int) -> Sequence[Proposed]:
        """Draw architectures, by what was learned so far.

        Parameters
        ----------
        n : int
            How many are needed, at least 1.

        Returns
        -------
        sequence of Architecture, Candidate or Proposal
            Architectures of `space_`. Duplicates and what was tried before are allowed:
            `ask` removes them and draws again. It does so too if there are fewer than
            ``n``, and ignores what there is beyond.
        """
        raise NotImplementedError(
            f"{type(self).__name__} must have a method draw(n) that returns a list of "
            "architectures."
        )

    def learn(
        self, architectures: Sequence[Proposed], rewards: Sequence[float]
    ) -> None:
        """Learn from the rewards; by default, do nothing.

        Parameters
        ----------
        architectures : sequence of Architecture, Candidate or Proposal
            What `ask` returned, as `draw` made it, and others that were tried, at least
            one. `was_asked` tells which are which.
        rewards : sequence of float
            One finite number each; higher is better.
        """

    def observe(self, outcomes: Sequence[Outcome]) -> None:
        """Receive more about the trials of a round; by default, do nothing.

        A search calls it before `tell`, so that `learn` has it.

        Parameters
        ----------
        outcomes : sequence of Outcome
            One for each of the architectures that `tell` is given next, in that order:
            number of the trial, curve, cost, objectives.
        """

    def parents(self) -> Collection[int] | None:
        """Return the trials whose weights proposals may begin with from now on.

        A search calls it after `tell`, and keeps the weights of these trials alone.

        Returns
        -------
        collection of int or None
            Numbers of trials, as `Outcome.trial` and `Proposal.parent` have them. By
            default None, with which no weights are kept at any time.
        """
        return None

    def predict(self, architectures: Sequence[Proposed]) -> np.ndarray:
        """Predict rewards: NaN by default.

        Parameters
        ----------
        architectures : sequence of Architecture, Candidate or Proposal
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
        # All as proposals: what means the same must compare equal, whichever of the
        # three forms it has.
        self._tried: set[Proposal] = set()
        self._asked: set[Proposal] = set()
        # What has been asked for but not yet told, in the form that `draw` gave it.
        self._awaited: dict[Proposal, Proposed] | None = None
        self.begin()

    def ask(self, n: int) -> list[Proposed]:
        """Propose architectures that were neither asked for nor told before.

        Parameters
        ----------
        n : int
            How many.

        Returns
        -------
        list of Architecture, Candidate or Proposal
            Fewer than ``n`` only where `draw` finds nothing new, and all architectures
            of the space were tried.

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
        proposed = self._propose(n) if n > 0 else []
        self._awaited = {as_proposal(each): each for each in proposed}
        self._tried.update(self._awaited)
        self._asked.update(self._awaited)
        return proposed

    def tell(self, architectures: Sequence[Proposed], rewards: Sequence[float]) -> None:
        """Receive the rewards of architectures.

        Parameters
        ----------
        architectures : sequence of Architecture, Candidate or Proposal
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
        told = [as_proposal(each) for each in architectures]
        missing = [self._awaited[each] for each in self._awaited if each not in told]
        if missing:
            raise ValueError(
                f"tell() must be given all that ask() returned. Missing: {missing}."
            )
        # The first of a search may be told as an architecture, where `draw` returned a
        # candidate of it: a strategy hears its own words.
        given = [
            self._awaited.get(proposal, each)
            for proposal, each in zip(told, architectures, strict=True)
        ]
        self._tried.update(told)
        self._awaited = None
        if given:
            self.learn(given, rewards)

    def was_asked(self, architecture: Proposed) -> bool:
        """Tell whether `ask` returned this in this search.

        Parameters
        ----------
        architecture : Architecture, Candidate or Proposal
            Anything that may be told. With other settings or epochs it is another one.

        Returns
        -------
        bool
            False for one that others proposed, such as the first of the search.
        """
        return as_proposal(architecture) in self._asked

    def _check_set_up(self, method: str) -> None:
        if not hasattr(self, "space_"):
            raise RuntimeError(f"{method}() was called without calling setup().")

    def _propose(self, n: int) -> list[Proposed]:
        """Find ``n`` new proposals; a bounded number of redraws, then others."""
        # A dict is a set that keeps its order, and here the form that `draw` gave.
        found: dict[Proposal, Proposed] = {}
        for _ in range(_MAX_REDRAWS):
            drawn = self.draw(n - len(found))
            self._check_drawn(drawn)
            self._take_new(drawn, found, n)
            if len(found) == n:
                return list(found.values())
            # There is no end of candidates with settings. But of architectures alone
            # there may be no more, and then it is in vain to draw them.
            if not self._n_untried(found) and all(map(_is_plain, drawn)):
                break
        # The strategy repeats itself. What it does not reach is drawn from the prior,
        # and in a space that is nearly used up, taken in order.
        n = len(found) + min(n - len(found), self._n_untried(found))
        draws = (self.space_.sample(self._fallback) for _ in range(n * _MAX_REDRAWS))
        self._take_new(itertools.chain(draws, self.space_), found, n)
        return list(found.values())

    def _n_untried(self, found: Iterable[Proposal]) -> int:
        """Count plain architectures, those that were neither tried nor found."""
        tried = self._tried.union(found)
        return self.space_.n_architectures - sum(map(_is_plain, tried))

    def _check_drawn(self, drawn: Sequence[Proposed]) -> None:
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

    def _take_new(
        self, drawn: Iterable[Proposed], found: dict[Proposal, Proposed], n: int
    ) -> None:
        """Add what is new to ``found``, up to ``n`` in all; of equals the first."""
        for each in drawn:
            if len(found) == n:
                return
            proposal = as_proposal(each)
            if proposal not in self._tried:
                found.setdefault(proposal, each)


def _is_plain(given: Proposed) -> bool:
    """Tell whether this is an architecture and no more, in whichever form."""
    proposal = as_proposal(given)
    return proposal == as_proposal(proposal.candidate.architecture)
