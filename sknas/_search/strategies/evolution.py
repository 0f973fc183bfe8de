"""Regularised evolution: the best of a few become parents, and the oldest die."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, ClassVar, NamedTuple

import numpy as np

from sknas._search.strategies.base import SearchStrategy
from sknas._sklearn import Interval
from sknas._space import Architecture, Outcome, Proposed, as_proposal
from sknas._space.mutation import crossover, neighbours
from sknas._space.pareto import best_first, values_of

# Members that compete where several objectives count. Of more, an end of the front
# would nearly always win. Shares of the exact hypervolume of two lookup tables, as
# bench_front.py measures them, with 1, 2, 4 and 8: 0.983, 0.986, 0.985, 0.983 and
# 0.910, 0.915, 0.922, 0.919.
_N_COMPETITORS = 4
# How far from its parent a child may be where all that is closer was tried.
_MAX_STEPS = 20


class _Member(NamedTuple):
    """One of the population."""

    # The round it was told in: those of a round are equally old.
    birth: int
    reward: float
    architecture: Architecture
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
    away its neighbours are. Nobody dies of age.

    Read more in the :ref:`user guide <own_strategy>`.

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
        those that others proposed included. None is `population_size`, as in [1]_.

    crossover : float, default=0.0
        Probability that a child takes the beginning of one winner and the end of
        another before it is mutated.

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
    }

    def __init__(
        self,
        *,
        population_size: int = 16,
        tournament_size: int = 12,
        n_initial: int | None = 8,
        crossover: float = 0.0,
    ) -> None:
        self.population_size = population_size
        self.tournament_size = tournament_size
        self.n_initial = n_initial
        self.crossover = crossover

    def begin(self) -> None:
        """Begin without a population."""
        # The oldest first.
        self._population: list[_Member] = []
        self._n_rounds = 0
        # With other settings an architecture is still the same to evolution.
        self._told: set[Architecture] = set()
        # Of the trials that `learn` is told of next, where several objectives count.
        self._values: dict[Architecture, tuple[float, ...]] = {}
        # Since the last `learn`: `ask` may call `draw` more than once.
        self._drawn: set[Architecture] = set()

    def draw(self, n: int) -> list[Architecture]:
        """Draw from the prior at first, then children of the population.

        Parameters
        ----------
        n : int
            How many.

        Returns
        -------
        list of Architecture
            Fewer than ``n`` where no new child was found.
        """
        drawn: list[Architecture] = []
        while len(drawn) < n:
            architecture = self._first() if self._is_initial() else self._child()
            # Little is left. `ask` looks again, and does not where nothing is left.
            if architecture is None:
                break
            drawn.append(architecture)
            if self._is_new(architecture):
                self._drawn.add(architecture)
        return drawn

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
            values = self._values.get(architecture, ())
            member = _Member(self._n_rounds, float(reward), architecture, values)
            self._population.append(member)
            self._told.add(architecture)
        self._drawn.clear()
        if self._values:
            self._values = {}
            self._keep_fronts()
            return
        # The first of a search is told before the others of its round. It must not die
        # for it.
        self._population.sort(key=lambda member: (member.birth, member.reward))
        del self._population[: -int(self.population_size)]

    def observe(self, outcomes: Sequence[Outcome]) -> None:
        """Receive the objectives of a round, where there are several.

        Parameters
        ----------
        outcomes : sequence of Outcome
            Of the trials that `learn` is told of next.
        """
        sought = outcomes[0].sought if outcomes else ()
        if len(sought) < 2:
            return
        values = values_of([outcome.objectives for outcome in outcomes], sought)
        for outcome, of_one in zip(outcomes, values.tolist(), strict=True):
            self._values[outcome.architecture] = tuple(of_one)

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
        # Where a round is larger than that, there are no parents yet.
        return not self._population or len(self._told) + len(self._drawn) < n_initial

    def _first(self) -> Architecture:
        return self.space_.sample(self.generator_)

    def _child(self) -> Architecture | None:
        """Return what is new and close to a winner; None where nothing was found."""
        parent = self._winner()
        if self.generator_.random() < self.crossover:
            parent = crossover(parent, self._winner(), self.space_, self.generator_)
        for _ in range(_MAX_STEPS):
            of_kinds = list(neighbours(parent, self.space_).values())
            new = [[each for each in steps if self._is_new(each)] for steps in of_kinds]
            if any(new):
                return self._pick(new)
            if not any(of_kinds):
                return None
            # All are known: look further from there.
            parent = self._pick(of_kinds)
        return None

    def _winner(self) -> Architecture:
        n_members = len(self._population)
        size = min(int(self.tournament_size), n_members)
        # In random order, so that of equal rewards any may win.
        drawn = self.generator_.choice(n_members, size=size, replace=False)
        if self._population[0].values:
            # The last of the population is the best of it.
            best = int(drawn[:_N_COMPETITORS].max())
            return self._population[best].architecture
        members: list[_Member] = [self._population[place] for place in drawn]
        winner = max(members, key=lambda member: member.reward)
        return winner.architecture

    def _pick(self, of_kinds: list[list[Architecture]]) -> Architecture:
        """Pick a step; each kind that there is is equally likely."""
        present = [steps for steps in of_kinds if steps]
        steps = present[self.generator_.integers(len(present))]
        return steps[self.generator_.integers(len(steps))]

    def _is_new(self, architecture: Architecture) -> bool:
        return architecture not in self._told and architecture not in self._drawn
