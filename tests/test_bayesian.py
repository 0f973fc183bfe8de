"""The Bayesian strategy: distance, process and what is proposed."""

import itertools

import numpy as np
import pytest
from scipy.optimize import linprog
from scipy.stats import norm

from sknas import Architecture, BayesianStrategy, SearchSpace
from sknas._search.strategies.surrogate.distance import (
    as_layers,
    distances,
    distances_among,
)
from sknas._search.strategies.surrogate.process import GaussianProcess, Rewards
from sknas._search.strategies.surrogate.transport import transport_costs
from sknas._sklearn import InvalidParameterError

SPACE = SearchSpace((8, 16, 64), ("relu", "elu", "tanh"), 6)


def _architectures(n, seed=0, space=SPACE):
    generator = np.random.default_rng(seed)
    return [space.sample(generator) for _ in range(n)]


def _among(architectures):
    return distances_among(as_layers(architectures))


# The transport.


def _random_problems(kind, n=40):
    """Draw problems of 4 by 5 layers; ties are where paths go wrong."""
    generator = np.random.default_rng(0)
    costs = generator.uniform(0, 2.4, (4, 5, n))
    masses = generator.uniform(0, 3, (4, n)), generator.uniform(0, 3, (5, n))
    if kind == "ties":
        costs = np.round(costs * 4) / 4
        masses = tuple(np.round(mass) for mass in masses)
    if kind == "empty":
        masses = masses[0] * (generator.random((4, n)) < 0.4), masses[1] * 0
    if kind == "scarce":
        masses = masses[0] * 1e-3, masses[1]
    return costs, *masses


def _by_linear_programming(costs, supply, demand):
    n_sources, n_sinks = costs.shape
    numbers = np.arange(costs.size).reshape(costs.shape)
    limits = np.zeros((n_sources + n_sinks, costs.size))
    for row, of_row in enumerate([*numbers, *numbers.T]):
        limits[row, of_row] = 1
    solved = linprog(costs.ravel() - 2, limits, [*supply, *demand])
    return supply.sum() + demand.sum() + solved.fun


@pytest.mark.parametrize("kind", ["distinct", "ties", "empty", "scarce"])
def test_the_transport_is_that_of_linear_programming(kind):
    problems = _random_problems(kind)
    expected = [
        _by_linear_programming(*(array[..., number] for array in problems))
        for number in range(problems[0].shape[-1])
    ]
    before = [array.copy() for array in problems]
    np.testing.assert_allclose(transport_costs(*problems), expected, atol=1e-8)
    assert all(map(np.array_equal, problems, before))


def test_problems_are_solved_one_as_the_other():
    problems = _random_problems("distinct", 5000)
    alone = [array[..., -1:] for array in problems]
    assert transport_costs(*problems)[-1] == transport_costs(*alone)[0]
    assert transport_costs(*(array[..., :0] for array in problems)).shape == (0,)


def test_the_transport_is_that_of_pot():
    ot = pytest.importorskip("ot")
    costs, supply, demand = _random_problems("distinct", 20)
    expected = []
    for number in range(20):
        # One more place on both sides, for what is left.
        prices = np.pad(costs[..., number], ((0, 1), (0, 1)), constant_values=1.0)
        prices[-1, -1] = 0
        totals = demand[:, number].sum(), supply[:, number].sum()
        masses = [*supply[:, number], totals[0]], [*demand[:, number], totals[1]]
        expected.append(ot.emd2(*masses, prices))
    np.testing.assert_allclose(transport_costs(costs, supply, demand), expected)


# The distance.


def test_the_distance_is_a_metric():
    architectures = list(dict.fromkeys(_architectures(60)))
    gaps = _among(architectures)
    rows, columns = np.indices(gaps.shape[1:]).reshape(2, -1)
    layers = as_layers(architectures)
    both_ways = distances(layers, rows, layers, columns).reshape(gaps.shape)
    np.testing.assert_allclose(both_ways, both_ways.transpose(0, 2, 1), atol=1e-12)
    np.testing.assert_array_equal(np.diagonal(both_ways, axis1=1, axis2=2), 0)
    np.testing.assert_allclose(gaps, both_ways, atol=1e-12)
    others = ~np.eye(len(architectures), dtype=bool)
    assert gaps[:, others].min() > 1e-3
    assert gaps[1].max() <= 1
    distance = gaps[0]
    detours = distance[:, :, np.newaxis] + distance
    assert (distance[:, np.newaxis] <= detours.transpose(0, 2, 1) + 1e-9).all()


def test_a_distance_does_not_depend_on_what_else_is_compared():
    architectures = [Architecture((8, "relu")), *_architectures(10)]
    alone = _among(architectures[:2])
    np.testing.assert_allclose(_among(architectures)[:, :2, :2], alone, atol=1e-12)
    layers = as_layers(architectures)
    known = _among(architectures[:4])
    np.testing.assert_array_equal(distances_among(layers, known), _among(architectures))


@pytest.mark.parametrize(
    ("nearer", "farther"),
    [
        ([(16, "relu")], [(64, "relu")]),
        ([(8, "elu")], [(8, "tanh")]),
        ([(8, "relu"), "dropout"], [(64, "relu"), "dropout"]),
        ([(8, "relu"), (8, "relu")], [(8, "relu")] * 3),
        ([(8, "tanh")], [(64, "tanh")]),
    ],
)
def test_what_differs_more_is_farther(nearer, farther):
    one = Architecture((8, "relu"))
    gaps = _among([one, Architecture(*nearer), Architecture(*farther)])
    assert 0 < gaps[0, 0, 1] < gaps[0, 0, 2]


def test_a_distance_by_hand():
    # Masses 1 + 3 + 3 and 1 + 4 + 4; one octave, dropout, and a similar activation.
    one, other = Architecture((8, "relu")), Architecture((16, "elu"), "dropout")
    unit = 0.3 + 0.2 + 0.1
    expected = 7 * unit + (9 - 7) + 2 * 0.1 * (9 - 7)
    distance, normalised = _among([one, other])[:, 0, 1]
    assert distance == pytest.approx(expected)
    assert normalised == pytest.approx(expected / (16 * 1.2))


def test_positions_count_from_both_ends():
    # Each end is one layer farther from the other; one of two layers has no partner.
    one, two = Architecture((8, "relu")), Architecture(*[(8, "relu")] * 2)
    expected = 7 * 0.125 + 7 + 2 * (0.7 * 0.125 + 0.7)
    assert _among([one, two])[0, 0, 1] == pytest.approx(expected)


# Rewards.


@pytest.mark.parametrize("factor", [1.0, 2.0**996, 2.0**-900, 2.0**1020])
def test_rewards_come_back_from_their_scores(factor):
    values = factor * np.array([0.2, -15.0, 0.9, 0.2, 3.0])
    rewards = Rewards(values)
    np.testing.assert_array_equal(rewards.from_scores(rewards.scores), values)
    assert rewards.scores[0] == rewards.scores[3]
    between = rewards.from_scores(rewards.scores[[2, 4]].mean(keepdims=True))
    assert values[2] < between[0] < values[4]
    assert rewards.from_scores(np.array([9.0])) == values.max()


# The process.


def _process(architectures, scores):
    return GaussianProcess(
        as_layers(architectures), _among(architectures), np.asarray(scores)
    )


def _size(architecture):
    return float(sum(np.log2(architecture.hidden_layer_sizes)))


def test_the_posterior_is_the_formula():
    architectures = list(dict.fromkeys(_architectures(40)))
    known, asked = architectures[:20], architectures[20:]
    scores = np.random.default_rng(0).standard_normal(20)
    process = _process(known, scores)
    posterior = process.posterior(asked)
    gaps = _among(architectures)
    medians = np.median(gaps[:, :20, :20][:, *np.triu_indices(20, 1)], axis=1)
    plain, normalised = gaps / (process.lengthscale * medians[:, None, None])
    kernel = (np.exp(-plain) + np.exp(-(normalised**2))) / 2
    inverse = np.linalg.inv(kernel[:20, :20] + process.noise * np.eye(20))
    centered = scores - scores.mean()
    means = kernel[20:, :20] @ inverse @ centered + scores.mean()
    np.testing.assert_allclose(posterior.means, means, atol=1e-9)
    covariance = kernel[20:, 20:] - kernel[20:, :20] @ inverse @ kernel[:20, 20:]
    values, vectors = np.linalg.eigh(process.variance * covariance)
    covariance = (vectors * np.maximum(values, 0)) @ vectors.T
    root = posterior.root()
    np.testing.assert_allclose(root @ root.T, covariance, atol=1e-9)
    deviations = np.sqrt(np.maximum(process.variance * _variances(kernel, inverse), 0))
    np.testing.assert_allclose(posterior.bounds(2) - means, 2 * deviations, atol=1e-9)
    taken = posterior.take(np.array([3, 1]))
    np.testing.assert_array_equal(taken.means, posterior.means[[3, 1]])


def _variances(kernel, inverse):
    between = kernel[20:, :20]
    return 1 - ((between @ inverse) * between).sum(axis=1)


def test_a_kernel_that_is_not_positive_semidefinite_is_no_obstacle():
    # All architectures of a space, some of them twice.
    architectures = list(SearchSpace((8, 256), ("relu", "tanh"), 4))
    architectures += architectures[:9]
    process = _process(architectures, [_size(a) for a in architectures])
    gaps = _among(architectures)
    assert np.linalg.eigvalsh(process._kernel(gaps, 4.0))[0] < -1e-3
    posterior = process.posterior(architectures)
    assert np.isfinite(posterior.root()).all()
    assert np.corrcoef(posterior.means, list(map(_size, architectures)))[0, 1] > 0.9


def test_noise_is_told_from_signal():
    architectures = list(dict.fromkeys(_architectures(60)))
    smooth = _process(architectures, list(map(_size, architectures)))
    noise = np.random.default_rng(0).standard_normal(len(architectures))
    assert smooth.noise < _process(architectures, noise).noise


# The strategy.


def _told(strategy, n_rounds, n=4, reward=_size):
    asked = []
    for _ in range(n_rounds):
        asked.append(strategy.ask(n))
        strategy.tell(asked[-1], [reward(a) for a in asked[-1]])
    return list(itertools.chain.from_iterable(asked))


def _searching(seed=0, space=SPACE, **parameters):
    strategy = BayesianStrategy(**parameters)
    strategy.setup(space, seed)
    return strategy


@pytest.mark.parametrize("acquisition", ["expected_improvement", "thompson"])
def test_what_is_proposed_becomes_better(acquisition):
    means = []
    for seed in range(2):
        strategy = _searching(seed, acquisition=acquisition, n_candidates=80)
        asked = _told(strategy, 4, 6)
        sizes = list(map(_size, asked))
        means.append((np.mean(sizes[:6]), np.mean(sizes[-6:])))
    first, last = np.mean(means, axis=0)
    assert last > first + 3


def test_unseen_architectures_are_ranked():
    strategy = _searching()
    seen = _told(strategy, 5, 8)
    unseen = [a for a in dict.fromkeys(_architectures(60, seed=1)) if a not in seen]
    predicted = strategy.predict(unseen)
    assert np.corrcoef(predicted, list(map(_size, unseen)))[0, 1] > 0.7
    told = list(map(_size, seen))
    assert min(told) <= predicted.min() < predicted.max() <= max(told)


@pytest.mark.parametrize("reward", [0.0, 0.7, -1e300])
def test_equal_rewards_are_no_obstacle(reward):
    strategy = _searching()
    asked = _told(strategy, 3, reward=lambda _: reward)
    assert len(set(asked)) == 12
    np.testing.assert_array_equal(strategy.predict(asked), reward)


@pytest.mark.parametrize("limit", [2, 5, 12])
def test_the_best_and_the_latest_points_are_kept(limit):
    strategy = _searching(max_points=limit, n_candidates=20)
    asked = _told(strategy, 5)
    best = sorted(map(_size, asked), reverse=True)[: limit // 2]
    kept = strategy._points
    assert len(kept) == limit
    assert sorted(map(_size, kept), reverse=True)[: limit // 2] == best
    assert asked[-1] in kept
    np.testing.assert_allclose(strategy._gaps, _among(kept), atol=1e-12)
    assert strategy._rewards.tolist() == list(map(_size, kept))


def test_more_can_be_asked_for_than_there_are_candidates():
    strategy = _searching(n_candidates=5)
    assert len(set(_told(strategy, 3, 20))) == 60


def test_the_choice_is_by_the_expected_improvement():
    """The first of a round maximises it, by numerical integration."""
    strategy = _searching(space=SearchSpace((8, 64), ("relu", "tanh"), 4))
    _told(strategy, 3)
    process, space = strategy._process, strategy.space_
    tried = set(strategy._points)
    untried = [a for a in space if a not in tried]
    posterior = process.posterior(untried)
    noise = np.random.default_rng(0).standard_normal(4000)
    draws = posterior.means[:, None] + np.outer(
        posterior.bounds(1) - posterior.means, noise
    )
    gains = np.maximum(draws - process.highest, 0).mean(axis=1)
    chosen = strategy.ask(1)[0]
    assert gains[untried.index(chosen)] > 0.9 * gains.max()


def test_what_was_chosen_is_believed_before_the_next_is_chosen():
    strategy = _searching(space=SearchSpace((8, 64), ("relu", "tanh"), 4))
    _told(strategy, 3)
    process = strategy._process
    posterior = process.posterior(strategy._candidates(8))
    means, root = posterior.means, posterior.root()
    covariance, noise = root @ root.T, process.noise * process.variance
    expected, n_changed = [], 0
    for _ in range(6):
        between = covariance[:, expected]
        known = covariance[np.ix_(expected, expected)] + noise * np.eye(len(expected))
        explained = (between @ np.linalg.inv(known)) @ between.T
        highest = max([process.highest, *means[expected]])
        plain = _improvements(means - process.highest, covariance)
        believed = _improvements(means - highest, covariance - explained)
        plain[expected] = believed[expected] = -1
        n_changed += plain.argmax() != believed.argmax()
        expected.append(int(believed.argmax()))
    assert strategy._by_improvement(process, posterior, 6) == expected
    assert n_changed


def _improvements(gains, covariance):
    deviations = np.sqrt(np.maximum(np.diag(covariance), 1e-10))
    ratios = gains / deviations
    return gains * norm.cdf(ratios) + deviations * norm.pdf(ratios)


def test_the_report_names_what_was_fitted():
    strategy = _searching()
    assert strategy.report() == {}
    _told(strategy, 2)
    assert set(strategy.report()) == {"lengthscale", "noise"}


def test_an_architecture_of_another_space_cannot_be_told():
    strategy = _searching()
    asked = strategy.ask(1)
    with pytest.raises(ValueError, match="is not in SearchSpace"):
        strategy.tell([*asked, Architecture((9, "relu"))], [0.1, 0.2])


def test_predict_before_setup_fails():
    with pytest.raises(RuntimeError, match=r"predict\(\) was called without .*setup"):
        BayesianStrategy().predict([])


INVALID = [
    ("acquisition", "ucb"),
    ("acquisition", None),
    ("n_candidates", 0),
    ("n_candidates", 10.0),
    ("max_points", 1),
]


@pytest.mark.parametrize(("name", "value"), INVALID)
def test_setup_refuses_invalid_parameters(name, value):
    with pytest.raises(
        InvalidParameterError, match=rf"'{name}' parameter of BayesianStrategy must be"
    ):
        _searching(**{name: value})


def test_every_parameter_is_checked():
    names = set(BayesianStrategy().get_params())
    assert set(BayesianStrategy._parameter_constraints) == names
    assert {name for name, _ in INVALID} == names
