"""Regularised evolution: the best of a few become parents, and the oldest die."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, ClassVar, NamedTuple

import numpy as np

from sknas._search.strategies.base import SearchStrategy
from sknas._search.strategies.surrogate.screening import Screening
from sknas._sklearn import Interval
from sknas._space import (
    Architecture,
    Candidate,
    Outcome,
    Proposal,
    Proposed,
    as_proposal,
)
from sknas._space.mutation import crossover, neighbours
from sknas._space.pareto import best_first, values_of

# Members that compete where several objectives count. Of more, an end of the front
# would nearly always win. Shares of the exact hypervolume of two lookup tables, as
# bench_front.py measures them, without a screening, with 1, 2, 4 and 8: 0.983, 0.986,
# 0.985, 0.983 and 0.910, 0.915, 0.922, 0.919.
_N_COMPETITORS = 4
# Where several objectives count, what is born, and what is drawn from the prior, for
# each child that is tried. Mutation alone knows nothing of what makes all members good,
# and does not jump: on the noisy table no change to the selection led beyond 0.936.
_N_BORN, _N_DRAWN = 10, 10
# How far from its parent a child may be where all that is closer was tried.
_MAX_STEPS = 20


class _Member(NamedTuple):
    """One of the population."""

    # The round it was told in: those of a round are equally old.
    birth: int
    reward: float
    architecture: Architecture
    # Number of the trial, None where it is not known or failed.
    trial: int | None
    # Of several objectives, more is better; else empty.
    values: tuple[float, ...] = ()


class EvolutionStrategy(SearchStrategy):
    """Mutates the winners of tournaments in a population that ages.

    Regularised evolution [1]_, the kind of method in section 2.2.4 of the paper [2]_:
    of a few members of the population, drawn at random, the best becomes a parent. Its
    child differs by one step: a layer as wide as the next wider or narrower one of the
    space, another activation, a layer more or less, or dropout or a skip connection
    added or removed. Each child enters the population, whatever its reward, and the
    oldest member dies. So a high reward that was mere chance is forgotten unless
    children confirm it. This is ``search_strategy='evolution'``.

    Where a search has several objectives, it is NSGA-II [3]_: tournaments and survival
    are decided by the front that a member belongs to, and within a front by how far
    away its neighbours are. Nobody dies of age. More children are born than can be
    tried, and together with as many draws from the prior they are screened: regressions
    on all trials so far predict their objectives, and those are tried that promise to
    go beyond the front by most.

    Read more in the :ref:`user guide <evolution>`.

    Parameters
    ----------
    population_size : int, default=16
        Largest number of members. Beyond it the oldest die, and of those told in the
        same round the worst.

    tournament_size : int, default=12
        Members that compete to become a parent. 1 takes any member,
        `population_size` the best. With several objectives at most four compete, so
        that not always the ends of the front win.

    n_initial : int or None, default=8
        Architectures drawn from the prior of the space before there are children,
        those that others proposed included. None is `population_size`, as in [1]_. With
        several objectives there are at least `population_size`, as in [3]_.

    crossover : float, default=0.0
        Probability that a child takes the beginning of one winner and the end of
        another before it is mutated.

    inherit_weights : bool, default=False
        Whether a child begins with the weights of its parent, changed so that it
        computes the same as far as it can: network morphism, section 2.3 of [2]_. A
        wider layer has copies of units, which share the outgoing weights of the
        original, and an inserted layer passes on what it is given [4]_. Networks that
        have inherited have been trained for longer than others, so that their scores do
        not compare with those of the first trials. The finalists are trained from
        scratch. A child whose parent's weights are not known has none to inherit.

    Attributes
    ----------
    space_ : SearchSpace
        Where architectures come from.

    generator_ : numpy.random.Generator
        Source of the draws, the tournaments and the mutations.

    See Also
    --------
    RandomStrategy : Learns nothing.
    ReinforceStrategy : Learns which layers are good.

    Notes
    -----
    The defaults are for some tens of trials, and [1]_ has thousands: a population of
    100 that is filled from the prior would be no more than a random search here.

    References
    ----------
    .. [1] E. Real, A. Aggarwal, Y. Huang and Q. V. Le, "Regularized Evolution for Image
       Classifier Architecture Search", AAAI 2019.
    .. [2] F. Minutoli and M. Ciranni, "Neural Architecture Search: An overview".
    .. [3] K. Deb, A. Pratap, S. Agarwal and T. Meyarivan, "A Fast and Elitist
       Multiobjective Genetic Algorithm: NSGA-II", IEEE Transactions on Evolutionary
       Computation 6, 2002.
    .. [4] T. Chen, I. Goodfellow and J. Shlens, "Net2Net: Accelerating Learning via
       Knowledge Transfer", ICLR 2016.

    Examples
    --------
    >>> from sknas import EvolutionStrategy, SearchSpace
    >>> strategy = EvolutionStrategy(n_initial=2, tournament_size=2)
    >>> space = SearchSpace((8, 16, 32), ("relu", "tanh"), max_layers=4)
    >>> strategy.setup(space, random_state=0)
    >>> parents = strategy.ask(2)
    >>> strategy.tell(parents, [0.8, 0.9])
    >>> child, = strategy.ask(1)
    >>> child in parents
    False
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "population_size": [Interval(Integral, 1, None, closed="left")],
        "tournament_size": [Interval(Integral, 1, None, closed="left")],
        "n_initial": [Interval(Integral, 1, None, closed="left"), None],
        "crossover": [Interval(Real, 0, 1, closed="both")],
        "inherit_weights": ["boolean"],
    }

    def __init__(
        self,
        *,
        population_size: int = 16,
        tournament_size: int = 12,
        n_initial: int | None = 8,
        crossover: float = 0.0,
        inherit_weights: bool = False,
    ) -> None:
        self.population_size = population_size
        self.tournament_size = tournament_size
        self.n_initial = n_initial
        self.crossover = crossover
        self.inherit_weights = inherit_weights

    def begin(self) -> None:
        """Begin without a population."""
        # The oldest first.
        self._population: list[_Member] = []
        self._n_rounds = 0
        # With other settings an architecture is still the same to evolution.
        self._told: set[Architecture] = set()
        # Of the trials that `learn` is told of next, where several objectives count.
        self._values: dict[Architecture, tuple[float, ...]] = {}
        self._screening: Screening | None = None
        # To list them takes longer than all else, and parents stay for some rounds.
        self._neighbours: dict[Architecture, list[list[Architecture]]] = {}
        # Since the last `learn`: `ask` may call `draw` more than once.
        self._drawn: set[Architecture] = set()
        # Numbers of the trials of the round that is told next.
        self._observed: dict[Architecture, int] = {}

    def draw(self, n: int) -> list[Proposed]:
        """Draw from the prior at first, then children of the population.

        Parameters
        ----------
        n : int
            How many.

        Returns
        -------
        list of Architecture or Proposal
            Fewer than ``n`` where no new child was found. Proposals are children that
            inherit.
        """
        drawn: list[Proposed] = []
        while len(drawn) < n:
            if self._screening is not None and not self._is_initial():
                return [*drawn, *self._screened(self._screening, n - len(drawn))]
            proposed = self._first() if self._is_initial() else self._child()
            # Little is left. `ask` looks again, and does not where nothing is left.
            if proposed is None:
                break
            drawn.append(proposed)
            architecture = as_proposal(proposed).candidate.architecture
            if self._is_new(architecture):
                self._drawn.add(architecture)
        return drawn

    def _screened(self, screening: Screening, n: int) -> list[Proposed]:
        """Return what promises most of many children and draws."""
        pool: dict[Architecture, Proposed] = {}
        for child in (self._child() for _ in range(_N_BORN * n)):
            if child is not None:
                pool.setdefault(as_proposal(child).candidate.architecture, child)
        for drawn in (self._first() for _ in range(_N_DRAWN * n)):
            if self._is_new(drawn):
                pool.setdefault(drawn, drawn)
        candidates = list(pool)
        chosen = screening.choose(candidates, n, self.generator_)
        self._drawn.update(candidates[place] for place in chosen)
        return [pool[candidates[place]] for place in chosen]

    def observe(self, outcomes: Sequence[Outcome]) -> None:
        """Learn the numbers of the trials of a round, and objectives if several.

        Parameters
        ----------
        outcomes : sequence of Outcome
            Trials of the round that is told next. A number that is not higher than
            those before begins a search on other rows, where none of these is known.
        """
        numbers = {o.architecture: o.trial for o in outcomes if not o.failed}
        known = [m.trial for m in self._population if m.trial is not None]
        if known and numbers and min(numbers.values()) <= max(known):
            self._population = [m._replace(trial=None) for m in self._population]
        self._observed = numbers
        sought = outcomes[0].sought if outcomes else ()
        if len(sought) > 1:
            values = values_of([outcome.objectives for outcome in outcomes], sought)
            self._screening = self._screening or Screening(self.space_)
            for outcome, of_one in zip(outcomes, values.tolist(), strict=True):
                self._values[outcome.architecture] = tuple(of_one)
                self._screening.add(outcome.architecture, of_one)

    def parents(self) -> list[int] | None:
        """Return the trials whose weights children may begin with.

        Returns
        -------
        list of int or None
            Numbers of the members' trials; None without inheritance.
        """
        if not self.inherit_weights:
            return None
        return [m.trial for m in self._population if m.trial is not None]

    def learn(
        self, architectures: Sequence[Proposed], rewards: Sequence[float]
    ) -> None:
        """Add what was tried to the population; the oldest die.

        Parameters
        ----------
        architectures : sequence of Architecture, Candidate or Proposal
            What was tried in a round. Settings and epochs are passed over.
        rewards : sequence of float
            One finite number each, of which only the order matters.
        """
        self._n_rounds += 1
        for proposed, reward in zip(architectures, rewards, strict=True):
            architecture = as_proposal(proposed).candidate.architecture
            member = _Member(
                self._n_rounds,
                float(reward),
                architecture,
                self._observed.get(architecture),
                self._values.get(architecture, ()),
            )
            self._population.append(member)
            self._told.add(architecture)
        self._drawn.clear()
        self._observed = {}
        if self._values:
            self._values = {}
            self._keep_fronts()
            return
        # The first of a search is told before the others of its round. It must not die
        # for it.
        self._population.sort(key=lambda member: (member.birth, member.reward))
        del self._population[: -int(self.population_size)]

    def _keep_fronts(self) -> None:
        """Let those survive that are not dominated, or by the fewest fronts."""
        n_values = max(len(member.values) for member in self._population)
        comparable = [m for m in self._population if len(m.values) == n_values]
        # An architecture may have been tried with other settings too.
        order = best_first(np.array([member.values for member in comparable]))
        # The worst first, as the oldest are otherwise.
        kept = order[: int(self.population_size)][::-1]
        self._population = [comparable[place] for place in kept]

    def _is_initial(self) -> bool:
        n_initial = self.population_size if self.n_initial is None else self.n_initial
        if self._screening is not None:
            n_initial = max(n_initial, self.population_size)
        # Where a round is larger than that, there are no parents yet.
        return not self._population or len(self._told) + len(self._drawn) < n_initial

    def _first(self) -> Architecture:
        return self.space_.sample(self.generator_)

    def _child(self) -> Proposed | None:
        """Return what is new and close to a winner; None where nothing was found."""
        parent = self._winner()
        architecture = parent.architecture
        if self.generator_.random() < self.crossover:
            other = self._winner().architecture
            architecture = crossover(architecture, other, self.space_, self.generator_)
        child = self._new_near(architecture)
        if child is None or parent.trial is None or not self.inherit_weights:
            return child
        return Proposal(Candidate(child), parent=parent.trial)

    def _new_near(self, architecture: Architecture) -> Architecture | None:
        """Return what is new and as few steps away as can be."""
        for _ in range(_MAX_STEPS):
            of_kinds = self._neighbours_of(architecture)
            new = [[each for each in steps if self._is_new(each)] for steps in of_kinds]
            if any(new):
                return self._pick(new)
            if not any(of_kinds):
                return None
            # All are known: look further from there.
            architecture = self._pick(of_kinds)
        return None

    def _neighbours_of(self, architecture: Architecture) -> list[list[Architecture]]:
        if architecture not in self._neighbours:
            of_kinds = neighbours(architecture, self.space_).values()
            self._neighbours[architecture] = list(of_kinds)
        return self._neighbours[architecture]

    def _winner(self) -> _Member:
        n_members = len(self._population)
        size = min(int(self.tournament_size), n_members)
        # In random order, so that of equal rewards any may win.
        drawn = self.generator_.choice(n_members, size=size, replace=False)
        if self._population[0].values:
            # The last of the population is the best of it.
            best = int(drawn[:_N_COMPETITORS].max())
            return self._population[best]
        members: list[_Member] = [self._population[place] for place in drawn]
        return max(members, key=lambda member: member.reward)

    def _pick(self, of_kinds: list[list[Architecture]]) -> Architecture:
        """Pick a step; each kind that there is is equally likely."""
        present = [steps for steps in of_kinds if steps]
        steps = present[self.generator_.integers(len(present))]
        return steps[self.generator_.integers(len(steps))]

    def _is_new(self, architecture: Architecture) -> bool:
        return architecture not in self._told and architecture not in self._drawn
