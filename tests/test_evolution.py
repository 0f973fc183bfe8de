import collections
import itertools

import numpy as np
import pytest

from sknas import (
    Architecture,
    Candidate,
    EvolutionStrategy,
    RandomStrategy,
    SearchSpace,
)
from sknas._sklearn import InvalidParameterError
from sknas._space.mutation import neighbours

SPACE = SearchSpace((8, 16, 32), ("relu", "tanh"), 5)


def _strategy(space=SPACE, seed=0, **settings):
    strategy = EvolutionStrategy(**settings)
    strategy.setup(space, seed)
    return strategy


def _tell(strategy, architectures, rewards):
    """Tell what others proposed, as one round."""
    strategy.ask(0)
    strategy.tell(architectures, rewards)


def _steps(architecture, space=SPACE):
    return {step for kind in neighbours(architecture, space).values() for step in kind}


def _parents_of(strategy, architectures, n=200):
    """Count whose children are drawn; the steps of two must not meet."""
    steps = {parent: _steps(parent) for parent in architectures}
    counts = collections.Counter()
    for _ in range(n):
        (child,) = strategy.draw(1)
        strategy._drawn.clear()
        (parent,) = (each for each in architectures if child in steps[each])
        counts[parent] += 1
    return counts


# Far from each other: no two have a common step.
FAR = [
    Architecture((8, "relu")),
    Architecture((32, "tanh"), (32, "tanh"), (32, "tanh")),
    Architecture((8, "relu"), (8, "relu"), (8, "tanh"), (8, "relu")),
    Architecture((32, "relu"), "dropout", (32, "relu"), "dropout"),
]


@pytest.mark.parametrize(("n_initial", "n_prior"), [(6, 6), (None, 9), (1, 4)])
def test_children_follow_when_enough_was_drawn_from_the_prior(
    n_initial, n_prior, monkeypatch
):
    sampled = []
    sample = SearchSpace.sample

    def record(space, generator):
        sampled.append(sample(space, generator))
        return sampled[-1]

    monkeypatch.setattr(SearchSpace, "sample", record)
    strategy = _strategy(n_initial=n_initial, population_size=9)
    asked = []
    for _ in range(4):
        asked += strategy.ask(4)
        strategy.tell(asked[-4:], [0.1, 0.2, 0.3, 0.4])
    # Before anything was told there are no parents; repeated draws are not counted.
    assert len(set(sampled)) == n_prior
    assert set(sampled) <= set(asked)


def test_a_child_is_one_step_from_the_best_of_a_tournament_of_all():
    strategy = _strategy(n_initial=1, tournament_size=4)
    _tell(strategy, FAR, [0.1, 0.2, 0.9, 0.3])
    assert set(strategy.ask(6)) <= _steps(FAR[2])


@pytest.mark.parametrize(
    ("tournament_size", "shares"),
    # Of pairs of four, the best wins 3, the next 2, the next 1.
    [(1, [1 / 4] * 4), (2, [0, 1 / 6, 2 / 6, 3 / 6]), (4, [0, 0, 0, 1])],
)
def test_winners_are_as_frequent_as_tournaments_make_them(tournament_size, shares):
    strategy = _strategy(n_initial=1, tournament_size=tournament_size)
    _tell(strategy, FAR, [0.1, 0.2, 0.3, 0.4])
    counts = _parents_of(strategy, FAR, n=300)
    observed = np.array([counts[each] for each in FAR]) / 300
    np.testing.assert_allclose(observed, shares, atol=0.12)


def test_of_equal_rewards_any_wins():
    strategy = _strategy(n_initial=1, tournament_size=4)
    _tell(strategy, FAR, [0.5] * 4)
    assert set(_parents_of(strategy, FAR, n=100)) == set(FAR)


def test_the_oldest_dies_even_if_it_is_the_best():
    strategy = _strategy(n_initial=1, population_size=2, tournament_size=2)
    for architecture, reward in zip(FAR[:3], [0.9, 0.1, 0.2], strict=True):
        _tell(strategy, [architecture], [reward])
    assert set(strategy.ask(4)) <= _steps(FAR[2])


def test_of_one_round_the_best_remain_wherever_they_were_told():
    strategy = _strategy(n_initial=1, population_size=2, tournament_size=1)
    # As trial 0 of a search, which is told before the others of its round.
    _tell(strategy, FAR, [0.9, 0.1, 0.8, 0.2])
    assert set(_parents_of(strategy, FAR, n=50)) == {FAR[0], FAR[2]}


def test_what_others_proposed_counts_as_drawn():
    strategy = _strategy(n_initial=4, tournament_size=4)
    _tell(strategy, FAR, [0.9, 0.1, 0.8, 0.2])
    assert set(strategy.ask(4)) <= _steps(FAR[0])


def test_children_are_new_where_all_steps_of_the_parent_were_tried():
    space = SearchSpace((8, 16, 32, 64), ("relu",), 3, dropout=False)
    best = Architecture((8, "relu"))
    near = sorted(_steps(best, space), key=repr)
    strategy = _strategy(space, n_initial=1, population_size=50, tournament_size=50)
    _tell(strategy, [best, *near], [0.9] + [0.1] * len(near))
    two_steps = set().union(*(_steps(each, space) for each in near))
    for _ in range(2):
        (child,) = strategy.draw(1)
        assert child in two_steps - {best, *near}


def test_draws_of_one_round_are_all_different():
    strategy = _strategy(n_initial=1, tournament_size=1)
    _tell(strategy, FAR[:1], [0.5])
    # The only parent has fewer steps than that.
    drawn = strategy.draw(60)
    assert len(set(drawn)) == 60 > len(_steps(FAR[0]))
    assert set(strategy.draw(5)).isdisjoint(drawn)


def test_a_space_without_steps_ends():
    space = SearchSpace((8,), ("relu",), 2)
    strategy = _strategy(space, n_initial=1)
    (only,) = strategy.ask(3)
    strategy.tell([only], [0.5])
    assert strategy.draw(2) == []
    assert strategy.ask(2) == []


def test_a_candidate_is_the_architecture_that_it_has():
    plain, settled = _strategy(n_initial=1), _strategy(n_initial=1)
    _tell(plain, FAR, [0.1, 0.2, 0.3, 0.4])
    candidates = [Candidate(each, (("alpha", 0.5),)) for each in FAR]
    _tell(settled, candidates, [0.1, 0.2, 0.3, 0.4])
    assert settled.draw(8) == plain.draw(8)


def test_a_crossed_child_has_layers_of_two_parents():
    strategy = _strategy(n_initial=1, tournament_size=1, crossover=1.0)
    parents = [Architecture((8, "relu"), (8, "relu")), Architecture((32, "tanh"))]
    _tell(strategy, parents, [0.1, 0.2])
    children = [strategy.draw(1)[0] for _ in range(60)]
    mixed = [
        child
        for child in children
        if child not in _steps(parents[0]) | _steps(parents[1])
        and {(8, "relu"), (32, "tanh")} <= set(child.dense_layers)
    ]
    assert len(mixed) > 5


def test_evolution_finds_more_than_random_search_does():
    space = SearchSpace((8, 16, 32, 64), ("relu", "tanh"), 5, dropout=False)
    best = {EvolutionStrategy: [], RandomStrategy: []}
    for cls, seed in itertools.product(best, range(8)):
        strategy = cls()
        strategy.setup(space, seed)
        found = []
        for _ in range(5):
            asked = strategy.ask(8)
            rewards = [
                sum(np.log2(w) for w, name in each.dense_layers if name == "relu")
                for each in asked
            ]
            strategy.tell(asked, rewards)
            found += rewards
        best[cls].append(max(found))
    evolution, random = best.values()
    assert np.mean(evolution) > np.mean(random) + 2


INVALID = [
    ("population_size", 0),
    ("population_size", 8.0),
    ("tournament_size", 0),
    ("n_initial", 0),
    ("crossover", -0.1),
    ("crossover", 1.1),
    ("inherit_weights", "yes"),
]


@pytest.mark.parametrize(("name", "value"), INVALID)
def test_setup_refuses_invalid_parameters(name, value):
    with pytest.raises(
        InvalidParameterError, match=rf"'{name}' parameter of EvolutionStrategy must be"
    ):
        _strategy(**{name: value})


def test_every_parameter_is_checked():
    names = set(EvolutionStrategy().get_params())
    assert set(EvolutionStrategy._parameter_constraints) == names
    assert {name for name, _ in INVALID} == names
