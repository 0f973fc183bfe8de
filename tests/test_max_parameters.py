"""No network that is larger than `max_parameters`, in any search."""

import copy
import itertools
import pickle

import numpy as np
import pytest
import torch

from sknas import Architecture, NASMLPClassifier, NASMLPRegressor, SearchSpace
from sknas._search.strategies import STRATEGIES
from sknas._search.strategies.controller import LSTMController
from sknas._search.strategies.one_shot.base import OneShotStrategy
from sknas._sklearn import InvalidParameterError
from sknas._space import as_proposal
from sknas._space.restricted import largest, restricted, smallest

# Spaces with inputs and outputs; of many outputs, a narrow last layer saves some.
SPACES = {
    "dropout": (SearchSpace((8, 16), ("relu", "tanh"), 4), 5, 2),
    "many outputs": (SearchSpace((16, 4, 64), ("relu",), 5), 7, 100),
    "no dropout": (SearchSpace((3, 8), ("elu",), 6, dropout=False), 3, 1),
    "skip": (SearchSpace((3, 7, 8), ("elu",), 6, skip=True), 3, 2),
}
every_space = pytest.mark.parametrize(
    ("space", "n_inputs", "n_outputs"), SPACES.values(), ids=SPACES
)


def _limits(space, n_inputs, n_outputs):
    sizes = sorted({each.n_parameters(n_inputs, n_outputs) for each in space})
    assert sizes[0] == smallest(space, n_inputs, n_outputs)
    bound = largest(space, n_inputs, n_outputs)
    assert sizes[-1] <= bound if space.skip else sizes[-1] == bound
    # Each of these is itself allowed, and one less is not.
    chosen = [sizes[0], sizes[len(sizes) // 3], sizes[2 * len(sizes) // 3]]
    return [limit for size in chosen for limit in (size, size + 1)]


def _restricted_spaces(space, n_inputs, n_outputs):
    for limit in _limits(space, n_inputs, n_outputs):
        yield restricted(space, limit, n_inputs, n_outputs), limit


@every_space
def test_a_restricted_space_holds_what_is_small_enough(space, n_inputs, n_outputs):
    for part, limit in _restricted_spaces(space, n_inputs, n_outputs):
        fitting = [a for a in space if a.n_parameters(n_inputs, n_outputs) <= limit]
        assert list(part) == fitting
        assert [each in part for each in space] == [each in fitting for each in space]
        assert part.n_architectures == len(fitting) < space.n_architectures
        assert part.strong_architecture() in fitting


def test_a_space_that_fits_is_returned_itself():
    space, n_inputs, n_outputs = SPACES["dropout"]
    limit = largest(space, n_inputs, n_outputs)
    assert restricted(space, limit, n_inputs, n_outputs) is space
    assert restricted(space, limit - 1, n_inputs, n_outputs) is not space


def test_millions_of_architectures_are_counted_without_listing_them():
    space = SearchSpace((8, 16, 32, 64, 128, 256, 512), ("relu", "tanh"), 10)
    part = restricted(space, 10**6, 784, 10)
    assert 10**9 < part.n_architectures < space.n_architectures
    # Just one network, the widest and deepest, is too large, with 2 ** 9 activations.
    limit = largest(space, 784, 10) - 1
    part = restricted(space, limit, 784, 10)
    assert part.n_architectures == space.n_architectures - 2**9


def test_the_size_of_huge_networks_does_not_overflow():
    space = SearchSpace((8, 10**10), ("relu",), 4)
    part = restricted(space, 10_000, 20, 2)
    assert part.n_architectures == SearchSpace((8,), ("relu",), 4).n_architectures
    assert {part.sample(np.random.default_rng(s)) for s in range(30)} <= set(part)


def test_spaces_of_hundreds_of_widths_are_bounded_by_the_whole():
    space = SearchSpace(tuple(range(1, 401)), ("relu",), 8)
    part = restricted(space, 500, 20, 2)
    assert part.n_architectures == space.n_architectures
    assert part.sample(np.random.default_rng(0)) in part


@every_space
def test_draws_from_a_restricted_space_reach_all_of_it(space, n_inputs, n_outputs):
    generator = np.random.default_rng(0)
    for part, _ in itertools.islice(_restricted_spaces(space, n_inputs, n_outputs), 3):
        probabilities = [_probability(part, each) for each in part]
        assert sum(probabilities) == pytest.approx(1)
        assert min(probabilities) > 0
        drawn = [part.sample(generator) for _ in range(300)]
        assert all(each in part for each in drawn)
        counts = np.array([drawn.count(each) for each in part]) / 300
        deviations = np.sqrt(np.array(probabilities) / 300)
        # One or two draws of what is rare are no surprise.
        assert (np.abs(counts - probabilities) <= 5 * deviations + 0.01).all()


def _probability(space, architecture):
    tokens = space.encode(architecture)
    prior = np.exp(space.log_prior)
    allowed = space.allowed(np.array([tokens]))
    probability = 1.0
    for step, token in enumerate(tokens):
        state = space.token_states[tokens[step - 1] if step else -1]
        row = prior[step, state] * allowed[0, step]
        probability *= row[token] / row.sum()
    return probability


def _tokens(space, architectures):
    tokens = np.full((len(architectures), space.max_layers), space.end_token)
    for row, architecture in enumerate(architectures):
        encoded = space.encode(architecture)
        tokens[row, : len(encoded)] = encoded
    return torch.tensor(tokens)


@every_space
def test_a_policy_sums_to_one_over_the_restricted_space(space, n_inputs, n_outputs):
    spaces = _restricted_spaces(space, n_inputs, n_outputs)
    for part, _ in itertools.islice(spaces, 2, None, 2):
        controller = LSTMController(part, 6, torch.Generator().manual_seed(0))
        with torch.no_grad():
            for parameter in controller.parameters():
                parameter.mul_(15)
        of_part = controller.log_prob(_tokens(part, list(part)))
        assert of_part.isfinite().all()
        assert of_part.double().exp().sum().item() == pytest.approx(1, abs=1e-5)
        large = [each for each in space if each not in part]
        of_large = controller.log_prob(_tokens(space, large))
        assert (of_large == -torch.inf).all()
        drawn = controller.sample(100, torch.Generator().manual_seed(1))
        assert all(part.decode(row) in part for row in drawn.tolist())
        # What is sampled has the probability that it was sampled with.
        n_drawn = {}
        for row in drawn.tolist():
            n_drawn[part.decode(row)] = n_drawn.get(part.decode(row), 0) + 1
        p = dict(zip(part, of_part.exp().tolist(), strict=True))
        most = max(p, key=p.get)
        expected, noise = 100 * p[most], 10 * np.sqrt(p[most] * (1 - p[most]))
        assert abs(n_drawn.get(most, 0) - expected) <= 5 * noise + 1e-3
        of_part.sum().backward()
        assert all(p.grad.isfinite().all() for p in controller.parameters())


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_keeps_to_a_restricted_space_to_its_end(name):
    space, n_inputs, n_outputs = SPACES["dropout"]
    part = restricted(space, 190, n_inputs, n_outputs)
    strategy = STRATEGIES[name]()
    strategy.setup(part, 0)
    asked = []
    # A part of a larger space has few that are close to each other.
    while proposed := strategy.ask(9):
        tried = [as_proposal(each).candidate.architecture for each in proposed]
        strategy.tell(proposed, [sum(a.hidden_layer_sizes) for a in tried])
        asked += tried
    # Some are asked for again, to be trained for longer.
    assert set(asked) == set(part)


def test_a_restricted_space_survives_copies():
    space, n_inputs, n_outputs = SPACES["dropout"]
    part = restricted(space, 200, n_inputs, n_outputs)
    list(part)
    for again in (copy.deepcopy(part), pickle.loads(pickle.dumps(part))):
        assert again == part != space
        assert hash(again) == hash(part)
        assert list(again) == list(part)


@pytest.mark.parametrize("depth", [3, 2, 1])
def test_the_first_architecture_is_narrower_before_it_is_less_deep(depth):
    space = SearchSpace((16, 64, 256), ("relu",), 7)
    narrowest = Architecture(*[(16, "relu"), "dropout"] * depth)
    size = narrowest.n_parameters(10, 2)
    assert restricted(space, size, 10, 2).strong_architecture() == narrowest
    if depth == 3:
        between = Architecture(*[(64, "relu"), "dropout"] * 3)
        limit = between.n_parameters(10, 2)
        assert restricted(space, limit, 10, 2).strong_architecture() == between


# Estimators.


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_no_network_of_a_fit_is_larger(fast, binary_table, strategy):
    X, y = binary_table
    fast.update(n_rounds=3, n_architectures=4, layer_widths=(8, 64), encoding="auto")
    fast.update(search_strategy=strategy, max_iter=1, n_ensemble=1, search_epochs=1)
    classifier = NASMLPClassifier(**fast, max_parameters=1_500).fit(X, y)
    trials = classifier.search_results_
    n_inputs = classifier.encoder_.transform(X).shape[1]
    assert trials["n_parameters"].max() <= 1_500
    assert classifier.best_architecture_.n_parameters(n_inputs, 1) <= 1_500
    # Some strategies propose fewer than they are asked for, and in so short a search, a
    # supernet takes the place of all but trial 0 and one more.
    is_one_shot = issubclass(STRATEGIES[strategy], OneShotStrategy)
    assert len(set(trials["architecture"])) > (1 if is_one_shot else 3)
    assert (64, 64) not in {a.hidden_layer_sizes for a in trials["architecture"]}


def test_a_limit_above_all_changes_nothing(fast, binary_table):
    X, y = binary_table
    plain = NASMLPClassifier(**fast).fit(X, y)
    limited = NASMLPClassifier(**fast, max_parameters=10**9).fit(X, y)
    np.testing.assert_array_equal(limited.predict_proba(X), plain.predict_proba(X))
    assert limited.score_bound_ == plain.score_bound_


def test_a_smaller_space_is_bounded_more_tightly(fast, binary_table):
    X, y = binary_table
    fast.update(first_architecture=((8, "relu"),), n_rounds=1, n_architectures=1)
    bounds = [
        NASMLPClassifier(**fast, max_parameters=limit).fit(X, y).score_bound_
        for limit in (None, 500)
    ]
    assert bounds[1] > bounds[0]


def test_a_limit_below_every_network_is_an_error_before_any_training(
    fast, binary_table, monkeypatch
):
    from sknas._search.searcher import AskTellSearcher

    monkeypatch.setattr(AskTellSearcher, "run", None)
    X, y = binary_table
    with pytest.raises(InvalidParameterError, match=r"at least [0-9]+, which") as info:
        NASMLPRegressor(**fast, max_parameters=20).fit(X, y)
    message = str(info.value)
    assert f"with {X.shape[1]} columns" in message
    assert "'max_parameters' parameter of NASMLPRegressor" in message
    assert message.endswith("Got 20 instead.")
    fewest = int(message.split("at least ")[1].split(",")[0])
    with pytest.raises(TypeError, match="not callable"):  # the search would begin
        NASMLPRegressor(**fast, max_parameters=fewest).fit(X, y)


@pytest.mark.parametrize("limit", [True, False, np.True_])
def test_a_limit_is_no_answer_to_a_question(fast, binary_table, limit):
    message = f"'max_parameters' parameter of .* must be .* Got {limit!r} instead"
    with pytest.raises(InvalidParameterError, match=message):
        NASMLPClassifier(**fast, max_parameters=limit).fit(*binary_table)


def test_a_first_architecture_that_is_too_large_is_an_error(fast, binary_table):
    X, y = binary_table
    fast["first_architecture"] = ((16, "relu"), (16, "relu"))
    with pytest.raises(InvalidParameterError, match="max_parameters=300 weights"):
        NASMLPClassifier(**fast, max_parameters=300).fit(X, y)


def test_a_search_is_not_continued_under_another_limit(fast, binary_table):
    X, y = binary_table
    classifier = NASMLPClassifier(**fast, warm_start=True, max_parameters=400).fit(X, y)
    classifier.fit(X, y)
    assert classifier.continued_on_ == "same rows"
    classifier.set_params(max_parameters=300)
    with pytest.warns(UserWarning, match="begins a new search"):
        classifier.fit(X, y)
    assert classifier.continued_on_ is None
    assert classifier.search_results_["n_parameters"].max() <= 300
