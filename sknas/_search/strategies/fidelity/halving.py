"""Successive halving: many short trainings, and longer ones of the best."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from numbers import Real
from typing import Any, ClassVar

import numpy as np
from sklearn.base import clone

from sknas._search.strategies.base import SearchStrategy
from sknas._search.strategies.fidelity.plain import PLAIN_STRATEGIES
from sknas._search.strategies.fidelity.rungs import (
    MAX_RUNGS,
    Ladder,
    resources_of_rungs,
)
from sknas._search.strategies.one_shot.base import OneShotStrategy
from sknas._sklearn import HasMethods, Interval, InvalidParameterError, StrOptions
from sknas._space import Outcome, Proposal, Proposed, as_proposal

# What the estimators offer unless the search says otherwise.
_OFFERED = {"epochs": 15, "rows": 1.0, "folds": 1}


class HalvingStrategy(SearchStrategy):
    """Tries what another strategy proposes at little cost, and the best of it again.

    Everything begins at the lowest rung, with few epochs. The best of a rung, one in
    every `factor`, are trained again with `factor` times as many: low-fidelity
    estimates, section 2.3 of the paper [1]_. It is successive halving in its
    asynchronous form [2]_: what is among the best of its rung by now rises at once, and
    if there is nothing of the kind, something new begins. This is
    ``search_strategy='halving'``.

    Read more in the :ref:`user guide <halving>`.

    Parameters
    ----------
    strategy : str or object, default='bayesian'
        What proposes: ``'reinforce'``, ``'random'``, ``'evolution'``,
        ``'progressive'``, ``'bayesian'``, or an object that may be a
        `search_strategy`. It is told the rewards of the lowest rung alone, which
        compare; and what others proposed, such as the first architecture, as soon as it
        is known by how much the rewards of the rungs differ.

    factor : float, default=8
        One proposal in so many rises, to so many times the resources. More than 1.

    resource : {'epochs', 'rows', 'folds'}, default='epochs'
        What rises: the epochs of the training, the share of the rows trained on, or the
        number of folds trained and validated on.

    min_resources : float or None, default=None
        No rung has less. None makes two rungs: for 15 epochs, of 2 and of 15.

    max_resources : float or None, default=None
        What the highest rung has. None is all that the search offers: `search_epochs`,
        all rows, all folds. There are never more folds than these.

    Attributes
    ----------
    space_ : SearchSpace
        Where architectures come from.

    generator_ : numpy.random.Generator
        Source of the seed of the other strategy.

    strategy_ : object
        The other strategy, which this search alone uses.

    rungs_ : list of float
        Resources of each rung, the lowest first.

    See Also
    --------
    HyperbandStrategy : Does not rely on the lowest rung alone.

    Notes
    -----
    A trial is a trial at any rung: with as many of them a search is shorter, and more
    rounds make up for that.

    Usual factors are 3 and 4. Where all architectures of a space were trained, two
    rungs that are far apart found better ones for the same cost.

    References
    ----------
    .. [1] F. Minutoli and M. Ciranni, "Neural Architecture Search: An overview".
    .. [2] L. Li, K. Jamieson, A. Rostamizadeh, E. Gonina, J. Ben-tzur, M. Hardt,
       B. Recht and A. Talwalkar, "A System for Massively Parallel Hyperparameter
       Tuning", MLSys 2020.

    Examples
    --------
    >>> from sknas import HalvingStrategy, SearchSpace
    >>> strategy = HalvingStrategy("random", factor=3, min_resources=2)
    >>> strategy.setup(SearchSpace((8, 16), ("relu",), max_layers=4), random_state=0)
    >>> strategy.rungs_
    [2, 5, 15]
    >>> begun = strategy.ask(3)
    >>> [proposal.epochs for proposal in begun]
    [2, 2, 2]
    >>> strategy.tell(begun, [0.8, 0.9, 0.7])
    >>> risen, new = strategy.ask(2)
    >>> risen.candidate == begun[1].candidate, risen.epochs, new.epochs
    (True, 5, 2)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "strategy": [
            StrOptions(set(PLAIN_STRATEGIES)),
            HasMethods(["setup", "ask", "tell"]),
        ],
        "factor": [Interval(Real, 1, None, closed="neither")],
        "resource": [StrOptions(set(_OFFERED))],
        "min_resources": [Interval(Real, 0, None, closed="neither"), None],
        "max_resources": [Interval(Real, 0, None, closed="neither"), None],
    }

    _offered: Mapping[str, float] = _OFFERED

    def __init__(
        self,
        strategy: str | SearchStrategy = "bayesian",
        *,
        factor: float = 8,
        resource: str = "epochs",
        min_resources: float | None = None,
        max_resources: float | None = None,
    ) -> None:
        self.strategy = strategy
        self.factor = factor
        self.resource = resource
        self.min_resources = min_resources
        self.max_resources = max_resources

    def set_max_resources(self, epochs: int, folds: int) -> None:
        """Take note of what there is, for `max_resources=None`; before `setup`.

        Parameters
        ----------
        epochs : int
            Those of a plain architecture.
        folds : int
            How many there are.
        """
        self._offered = {**_OFFERED, "epochs": epochs, "folds": folds}
        # A search that is continued may have others.
        if hasattr(self, "_ladder"):
            self._find_rungs()
            self._pass_on()

    def begin(self) -> None:
        """Set up the other strategy, and find the rungs."""
        given: Any = self.strategy
        # A class has the methods too.
        if isinstance(given, type):
            raise self._invalid("strategy", "an object, not a class")
        # Nothing would train its supernet: all that it proposes would be chance.
        if isinstance(given, OneShotStrategy):
            raise self._invalid("strategy", "one that trains no supernet")
        named = PLAIN_STRATEGIES.get(given) if isinstance(given, str) else None
        # Of an object that is no estimator, `clone` is a deep copy.
        self.strategy_: Any = clone(given, safe=False) if named is None else named()
        seed = int(self.generator_.integers(2**31))
        self._ladder = Ladder(self.resource, float(self.factor))
        self._find_rungs()
        self._pass_on()
        self.strategy_.setup(self.space_, seed)
        # What the other strategy awaits, as it proposed it. None if it was not asked.
        self._inside: dict[Proposal, Proposed] | None = None
        # What others proposed, until it compares.
        self._foreign: dict[Proposal, Proposed] = {}
        # Since the last `learn`: `ask` may call `draw` more than once.
        self._drawn: set[Proposal] = set()
        self._n_begun = 0
        self._outcomes: dict[Proposal, Outcome] = {}

    def _pass_on(self) -> None:
        if hasattr(self.strategy_, "set_max_resources"):
            names = ("epochs", "folds")
            self.strategy_.set_max_resources(**{n: self._offered[n] for n in names})

    def _find_rungs(self) -> None:
        offered = self._offered[self.resource]
        highest = offered if self.max_resources is None else self.max_resources
        # More folds than there are would be the same ones, trained twice.
        if self.resource == "folds" and self._offered is not _OFFERED:
            highest = min(highest, offered)
        if self.resource == "rows" and highest > 1:
            raise self._invalid("max_resources", "a share of the rows, at most 1")
        if self.min_resources is not None and self.min_resources > highest:
            rule = f"at most {highest}, the {self.resource} of the highest rung"
            raise self._invalid("min_resources", rule)
        are_whole = self.resource != "rows"
        if are_whole and round(highest) != highest:
            raise self._invalid("max_resources", f"a whole number of {self.resource}")
        self.rungs_ = resources_of_rungs(
            self.min_resources, highest, float(self.factor), are_whole=are_whole
        )
        if len(self.rungs_) > MAX_RUNGS:
            raise self._invalid(
                "factor", f"so large that there are no more than {MAX_RUNGS} rungs"
            )
        # All epochs are those of a plain architecture, which is proposed without.
        plain = offered if self.resource == "epochs" else math.nan
        self._ladder.values = [
            None if resources == plain else resources for resources in self.rungs_
        ]

    def _invalid(self, name: str, rule: str) -> InvalidParameterError:
        return InvalidParameterError(
            f"The {name!r} parameter of {type(self).__name__} must be {rule}. "
            f"Got {getattr(self, name)!r} instead."
        )

    def draw(self, n: int) -> list[Proposal]:
        """Draw what rises, then something new.

        Parameters
        ----------
        n : int
            How many.

        Returns
        -------
        list of Proposal
            Where the other strategy proposes nothing any more, all that began rises,
            rung by rung.
        """
        rising = self._ladder.promotions(self._tried | self._drawn)
        drawn = list(itertools.islice(rising, n))
        self._drawn.update(drawn)
        drawn += self._new(n - len(drawn))
        if len(drawn) < n:
            rest = self._ladder.promotions(
                self._tried | self._drawn, are_all_rising=True
            )
            drawn += itertools.islice(rest, n - len(drawn))
            self._drawn.update(drawn)
        return drawn

    def _new(self, n: int) -> list[Proposal]:
        """Ask the other strategy, which is not asked again before it was told."""
        if not n or self._inside is not None:
            return []
        asked = self.strategy_.ask(n)[:n]
        self._inside = {}
        for each in asked:
            candidate = self._ladder.candidate(as_proposal(each))
            begun = self._ladder.begin(candidate, self._lowest(self._n_begun))
            self._inside.setdefault(begun, each)
            self._n_begun += 1
        self._drawn.update(self._inside)
        return list(self._inside)

    def _lowest(self, number: int) -> int:
        """Return at which rung a new proposal begins."""
        del number
        return 0

    def learn(
        self, architectures: Sequence[Proposed], rewards: Sequence[float]
    ) -> None:
        """Take note of the rewards, and tell the other strategy.

        Parameters
        ----------
        architectures : sequence of Architecture, Candidate or Proposal
            What was tried in a round.
        rewards : sequence of float
            One finite number each.
        """
        self._drawn.clear()
        for each, reward in zip(architectures, rewards, strict=True):
            proposal = as_proposal(each)
            self._ladder.record(proposal, float(reward))
            if not self.was_asked(proposal):
                is_plain = not isinstance(each, Proposal)
                self._foreign[proposal] = each if is_plain else proposal.candidate
        if self._inside is None:
            self.strategy_.ask(0)
        told = {**self._comparable(), **(self._inside or {})}
        self._inside = None
        worths = [self._worth(each) for each in told]
        # What has no outcome was told without.
        if hasattr(self.strategy_, "observe") and told.keys() <= self._outcomes.keys():
            outcomes = [self._outcomes[each] for each in told]
            self.strategy_.observe(
                [
                    replace(outcome, reward=worth)
                    for outcome, worth in zip(outcomes, worths, strict=True)
                ]
            )
        self.strategy_.tell(list(told.values()), worths)

    def observe(self, outcomes: Sequence[Outcome]) -> None:
        """Receive more about the trials of a round, for the other strategy.

        Parameters
        ----------
        outcomes : sequence of Outcome
            One for each trial. Their rewards reach the other strategy as `learn` tells
            them.
        """
        self._outcomes.update({outcome.proposal: outcome for outcome in outcomes})

    def parents(self) -> Collection[int] | None:
        """Return the trials whose weights the other strategy wants to be kept.

        Returns
        -------
        collection of int or None
            What the other strategy returns; None if it has no such method.
        """
        named: Collection[int] | None = getattr(self.strategy_, "parents", _nobody)()
        return named

    def _comparable(self) -> dict[Proposal, Proposed]:
        """Return, and forget, what others proposed as far as it compares by now."""
        known = {
            proposal: given
            for proposal, given in self._foreign.items()
            if self._ladder.shift(self._ladder.rung(proposal)) is not None
        }
        for proposal in known:
            del self._foreign[proposal]
        return known

    def _worth(self, proposal: Proposal) -> float:
        """Return the reward that a proposal would have had at the lowest rung."""
        return self._ladder.rewards[proposal] - self._added(proposal)

    def _added(self, proposal: Proposal) -> float:
        """Return what the rung of a proposal adds to its reward, as far as is known."""
        rung = self._ladder.rung(proposal)
        shift = self._ladder.shift(rung)
        return self._ladder.rough_shift(rung) if shift is None else shift

    def predict(self, architectures: Sequence[Proposed]) -> np.ndarray:
        """Predict rewards as the other strategy does; NaN if it does not.

        Parameters
        ----------
        architectures : sequence of Architecture, Candidate or Proposal
            Architectures of the space.

        Returns
        -------
        ndarray of shape (n_architectures,)
            One reward each, at the rung of each.
        """
        if not hasattr(self.strategy_, "predict"):
            return super().predict(architectures)
        proposals = [as_proposal(each) for each in architectures]
        candidates = [proposal.candidate for proposal in proposals]
        predicted = np.asarray(self.strategy_.predict(candidates), dtype=float)
        return predicted + [self._added(proposal) for proposal in proposals]

    def report(self) -> dict[str, float]:
        """Return figures about the last `tell`.

        Returns
        -------
        dict of str to float
            Those of the other strategy.
        """
        report: dict[str, float] = getattr(self.strategy_, "report", dict)() or {}
        return report


def _nobody() -> None:
    """Name no parents."""
